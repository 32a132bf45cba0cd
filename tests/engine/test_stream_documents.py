"""What a stream's chunks are joined to is what the engine writes whole, byte by byte, in every
format of the Query API that can be streamed (query-api.md section 2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.engine.contract import Limits
from pipewren.serve.documents import make_joiner
from pipewren.serve.formats import NAMED
from pipewren.sql.filtered_answers import hide_counts, hide_scanned

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

STREAMED = [name for name in NAMED if name not in ("Parquet", "PrettyCompact", "Prometheus")]
BLOCK_ROWS = 4096
BLOCKS = (("max_block_size", str(BLOCK_ROWS)),)
LIMITS = Limits(max_result_rows=100_000, max_result_bytes=50_000_000)

STATEMENTS = {
    "one row": "SELECT 1 AS n",
    "no row": "SELECT number AS n, 'x' AS s FROM numbers(3) WHERE n > 5",
    "LIMIT 0": "SELECT number AS n, 'x' AS s FROM numbers(3) LIMIT 0",
    "no row of many": "SELECT number AS n FROM numbers(20000) WHERE n > 20000",
    "many rows": "SELECT number AS n, toString(number) AS s, number % 7 AS r FROM numbers(9000)",
    "rows at the end": "SELECT number AS n FROM numbers(20000) WHERE n > 19990",
    "types": (
        "SELECT toLowCardinality(toString(number % 3)) AS lc, if(number % 2, NULL, number) AS n, "
        "[number, 1] AS a, map('k', toString(number)) AS m, CAST('a\\'\\tb' AS Enum8('a\\'\\tb' = "
        "1)) AS e, CAST((number, 'x') AS Tuple(`p q` UInt64, r String)) AS t FROM numbers(5000)"
    ),
    "many columns": f"SELECT * FROM (SELECT {', '.join(f'number AS c{i}' for i in range(40))} "
    "FROM numbers(5000))",
}
# Names of columns are a subject of their own: they stand in every chunk's head.
ODD_NAMES = (
    "t\ta",
    "it's",
    'say "a"',
    "line\nbreak",
    "cr\rlf\r\n",
    "back\\slash",
    "comma,;",
    '"data":\n\t[\n',
    '\n\t],\n\n\t"rows": 3',
    '{"progress":{}}\n',
    "grün",
    "n" * 300,
)
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "`": "\\`"})


async def join(workspace: Workspace, sql: str, format: str, **changes: Any) -> tuple[bytes, int]:
    """The joined document and the number of chunks."""
    joiner = make_joiner(format)
    assert joiner is not None
    changes = {"settings": BLOCKS, "limits": LIMITS} | changes
    stream = workspace.engine.stream(workspace.statement(sql, format=format, **changes))
    parts = [joiner.join(chunk) async for chunk in stream]
    return b"".join([*parts, joiner.end(stream.statistics)]), len(parts)


async def write_whole(workspace: Workspace, sql: str, format: str, **changes: Any) -> bytes:
    changes = {"settings": BLOCKS, "limits": LIMITS} | changes
    return await workspace.query(sql, format=format, **changes)


def without_statistics(body: bytes) -> bytes:
    """And without the number of rows before a LIMIT, which a stream does not know."""
    body = re.sub(rb'\n\t"statistics":\n\t\{[^}]*\}\n\}\n\Z', b"", body)
    body = re.sub(rb'\n\n\t"rows_before_limit_at_least": \d+,', b"", body)
    return re.sub(rb'^\{"(progress|rows_before_limit_at_least)":.*\n', b"", body, flags=re.M)


@pytest.mark.parametrize("format", STREAMED)
async def test_a_joined_stream_is_what_the_engine_writes_whole(
    workspace: Workspace, format: str
) -> None:
    for name, sql in STATEMENTS.items():
        joined, chunks = await join(workspace, sql, format)
        whole = await write_whole(workspace, sql, format)
        assert without_statistics(joined) == without_statistics(whole), name
        if name in ("many rows", "types", "many columns"):
            assert chunks > 1, name


@pytest.mark.parametrize("format", STREAMED)
async def test_names_of_columns_may_hold_anything(workspace: Workspace, format: str) -> None:
    columns = ", ".join(
        f"number + {i} AS `{name.translate(ESCAPES)}`" for i, name in enumerate(ODD_NAMES)
    )
    for rows in (0, 1, 5000):
        sql = f"SELECT {columns} FROM numbers({rows})"
        joined, _ = await join(workspace, sql, format)
        whole = await write_whole(workspace, sql, format)
        assert without_statistics(joined) == without_statistics(whole), rows


@pytest.mark.parametrize(
    "settings",
    [
        {"format_csv_delimiter": ";", "output_format_csv_crlf_end_of_line": "1"},
        {"format_csv_delimiter": "\t", "format_csv_null_representation": "none"},
    ],
)
async def test_authors_settings_of_csv_change_no_row(
    workspace: Workspace, settings: dict[str, str]
) -> None:
    sql = "SELECT number AS `a;b`, 'x' AS `c\\td\\n`, NULL AS n FROM numbers(5000)"
    pairs = tuple(sorted({**dict(BLOCKS), **settings}.items()))
    joined, chunks = await join(workspace, sql, "CSVWithNames", settings=pairs)
    assert chunks > 1
    assert joined == await write_whole(workspace, sql, "CSVWithNames", settings=pairs)


@pytest.mark.parametrize("format", [name for name in NAMED if name != "Prometheus"])
async def test_no_format_tells_how_much_was_scanned_of_hidden_rows(
    workspace: Workspace, format: str
) -> None:
    """The same rows of the result from a small table and from a large one: all that may differ is
    the time."""
    bodies = set()
    for scanned in (3, 70_000):
        sql = f"SELECT number AS n FROM numbers({scanned}) WHERE n < 3 ORDER BY n"
        result = await workspace.engine.run(
            workspace.statement(sql, format=format, limits=LIMITS, settings=BLOCKS)
        )
        shown = hide_scanned(result, format)
        assert (shown.statistics.rows_read, shown.statistics.bytes_read) == (0, 0)
        bodies.add(without_elapsed(shown.body))
        joiner = make_joiner(format)
        if joiner is not None:
            stream = workspace.engine.stream(
                workspace.statement(sql, format=format, limits=LIMITS, settings=BLOCKS)
            )
            parts = [joiner.join(chunk) async for chunk in stream]
            parts.append(joiner.end(hide_counts(stream.statistics)))
            bodies.add(without_elapsed(b"".join(parts)))
    assert len(bodies) == 1


def without_elapsed(body: bytes) -> bytes:
    return re.sub(rb'("elapsed(?:_ns)?": ?"?)[0-9.e-]+', rb"\g<1>", body)
