"""Every format of an endpoint's answer over the real engine, byte by byte (endpoints.md section 3).

`tests/golden/formats/*.txt` hold cases: `=== name`, the statement, and after `--- extension` the
body. Behind the extension may stand what the caller sends, `--- json switch=1 switch=1`. The
elapsed seconds of JSON's statistics are written as 0.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipewren.engine.contract import Limits
from pipewren.errors import EngineError
from pipewren.serve.formats import CSV_HEADER, find_format, finish_body

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

GOLDEN = Path(__file__).parents[1] / "golden" / "formats"


class Case(NamedTuple):
    statement: str
    extension: str
    sent: dict[str, str]
    body: bytes


def read_cases() -> Iterator[Any]:
    for file in sorted(GOLDEN.glob("*.txt")):
        for text in file.read_text().split("=== ")[1:]:
            name, _, rest = text.partition("\n")
            statement, *answers = re.split(r"^--- ", rest, flags=re.MULTILINE)
            for answer in answers:
                head, _, body = answer.partition("\n")
                extension, *sent = head.split()
                pairs = dict(pair.split("=") for pair in sent)
                case = Case(statement, extension, pairs, body.encode())
                yield pytest.param(case, id=f"{name} {head}")


async def call(workspace: Workspace, sql: str, extension: str, **sent: str) -> bytes:
    """What a caller of an endpoint with this statement gets; `sent` are reserved parameters and
    an author's SETTINGS."""
    format = find_format(extension, sent.pop(CSV_HEADER, None))
    settings = tuple(sorted({**sent, **dict(format.settings)}.items()))
    limits = Limits(max_result_rows=100_000, max_result_bytes=50_000_000)
    body = await workspace.query(sql, format=format.engine_format, settings=settings, limits=limits)
    return await finish_body(format, body)


@pytest.mark.parametrize("case", list(read_cases()))
async def test_an_answer_has_exactly_these_bytes(workspace: Workspace, case: Case) -> None:
    body = await call(workspace, case.statement, case.extension, **case.sent)
    if case.extension == "json":
        json.loads(body)
        body = re.sub(rb'("elapsed": )[0-9.e-]+', rb"\g<1>0", body)
    if case.extension == "prometheus":
        assert list(text_string_to_metric_families(body.decode())) or not body
    assert body.decode() == case.body.decode()


async def test_bytes_that_are_not_utf8_are_valid_json_in_json_and_ndjson(
    workspace: Workspace,
) -> None:
    sql = (
        r"SELECT 'a\xffb' AS s, ['\xff'] AS a, map('\xff', '\xfe') AS m, "
        r"toFixedString('\xff', 1) AS f"
    )
    expected = {"s": "a�b", "a": ["�"], "m": {"�": "�"}, "f": "�"}
    assert json.loads(await call(workspace, sql, "json"))["data"] == [expected]
    assert json.loads(await call(workspace, sql, "ndjson")) == expected
    assert b'"a\xffb"' in await call(workspace, sql, "csv")  # CSV has no encoding: as they are


async def test_ndjson_has_one_row_in_each_line_whatever_the_texts_hold(
    workspace: Workspace,
) -> None:
    sql = "SELECT concat(char(number), '\u2028\n') AS c, number AS n FROM numbers(256)"
    lines = (await call(workspace, sql, "ndjson")).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["n"] for line in lines] == list(range(256))
    assert json.loads(lines[10])["c"] == "\n\u2028\n"


async def test_csv_is_read_back_by_a_csv_reader(workspace: Workspace) -> None:
    sql = r"""SELECT 'q"c,n\nl' AS `we"ird, name`, NULL AS n, 'NULL' AS t, [1, 2] AS a"""
    rows = list(csv.reader(io.StringIO((await call(workspace, sql, "csv")).decode(), newline="")))
    assert rows == [['we"ird, name', "n", "t", "a"], ['q"c,n\nl', r"\N", "NULL", "[1,2]"]]


async def test_equal_names_stay_apart_in_csv_and_parquet_and_are_written_twice_in_json(
    workspace: Workspace,
) -> None:
    sql = "SELECT *, number + 1 AS number FROM numbers(1)"
    assert await call(workspace, sql, "csv") == b'"number","number"\n0,1\n'
    line = await call(workspace, sql, "ndjson")
    assert json.loads(line, object_pairs_hook=list) == [("number", 0), ("number", 1)]
    answer = json.loads(await call(workspace, sql, "json"))
    assert [column["name"] for column in answer["meta"]] == ["number", "number"]
    parquet = io.BytesIO(await call(workspace, sql, "parquet"))
    table = pyarrow.parquet.ParquetFile(parquet).read()
    assert table.column_names == ["number", "number"]
    assert [column.to_pylist() for column in table.columns] == [[0], [1]]


@pytest.mark.parametrize("columns", ["*, 'x' AS number", "*, toString(number) AS number"])
async def test_equal_names_of_two_types_are_the_engines_error(
    workspace: Workspace, columns: str
) -> None:
    with pytest.raises(EngineError, match="columns with identical name") as caught:
        await call(workspace, f"SELECT {columns} FROM numbers(1)", "json")
    assert (caught.value.status, caught.value.engine_code) == (400, 352)


PARQUET = """
    SELECT
        number AS u64, toInt64(-9223372036854775808) AS i64, toInt8(-3) AS i8, 1 / 3 AS f,
        toFloat32(0.5) AS f32, if(number = 1, nan, inf) AS odd, toDecimal64(-1.25, 4) AS money,
        toDecimal128('12345678901234567890.12', 2) AS big,
        concat('é', toString(number)) AS s, toLowCardinality('lc') AS lc,
        toFixedString('ab', 2) AS fs,
        if(number = 0, NULL, 'x') AS n, if(number = 0, NULL, 5)::Nullable(Int32) AS ni,
        toDate('2024-05-06') AS day, toDateTime('2024-05-06 10:00:00', 'UTC') AS at,
        toDateTime64('2024-05-06 10:00:00.123456', 6, 'America/New_York') AS at64,
        number = 1 AS flag, true AS yes,
        [1, 2, number] AS numbers, [['a'], [], ['b', 'c']] AS nested, map('k', number) AS m,
        CAST((1, 'x') AS Tuple(a Int32, b String)) AS t,
        [CAST((1, 'x') AS Tuple(a Int32, b String))] AS objects,
        CAST('b' AS Enum8('a' = 1, 'b' = 2)) AS e
    FROM numbers(2)
"""


def parquet_values(number: int, text: type[str] | type[bytes]) -> dict[str, Any]:
    """The row of `PARQUET`; strings are `text`."""

    def string(value: str) -> str | bytes:
        return value if text is str else value.encode()

    return {
        "u64": number,
        "i64": -(2**63),
        "i8": -3,
        "f": 1 / 3,
        "f32": 0.5,
        "money": Decimal("-1.2500"),
        "big": Decimal("12345678901234567890.12"),
        "s": string(f"é{number}"),
        "lc": string("lc"),
        "n": None if number == 0 else string("x"),
        "ni": None if number == 0 else 5,
        "day": date(2024, 5, 6),
        "at": datetime(2024, 5, 6, 10, tzinfo=UTC),
        "at64": datetime(2024, 5, 6, 14, 0, 0, 123456, tzinfo=UTC),
        "flag": number,
        "yes": True,
        "numbers": [1, 2, number],
        "nested": [[string("a")], [], [string("b"), string("c")]],
        "t": {"a": 1, "b": string("x")},
        "objects": [{"a": 1, "b": string("x")}],
    }


STRINGS = {"output_format_parquet_string_as_string": "1"}


@pytest.mark.parametrize(("sent", "text"), [({}, bytes), (STRINGS, str)])
async def test_parquet_is_read_back_by_pyarrow(
    workspace: Workspace, sent: dict[str, str], text: type[str] | type[bytes]
) -> None:
    body = await call(workspace, PARQUET, "parquet", **sent)
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    kind = pyarrow.string() if text is str else pyarrow.binary()
    assert table.schema.field("s").type == table.schema.field("lc").type == kind
    rows = table.to_pylist()
    assert len(rows) == 2
    for number, row in enumerate(rows):
        odd, pairs, enum = row.pop("odd"), row.pop("m"), row.pop("e")
        assert odd == math.inf if number == 0 else math.isnan(odd)
        assert pairs == [("k" if text is str else b"k", number)]
        assert (enum, row.pop("fs")) == (b"b", b"ab")
        assert row == parquet_values(number, text)


@pytest.mark.parametrize(("sent", "text"), [({}, bytes), (STRINGS, str)])
async def test_parquet_is_read_back_by_duckdb(
    workspace: Workspace, tmp_path: Path, sent: dict[str, str], text: type[str] | type[bytes]
) -> None:
    file = tmp_path / "answer.parquet"
    file.write_bytes(await call(workspace, PARQUET, "parquet", **sent))
    with duckdb.connect() as database:
        relation = database.read_parquet(str(file))
        names, types = relation.columns, [str(type) for type in relation.types]
        rows = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
    assert types[names.index("s")] == ("VARCHAR" if text is str else "BLOB")
    assert len(rows) == 2
    for number, row in enumerate(rows):
        odd, pairs, enum = row.pop("odd"), row.pop("m"), row.pop("e")
        assert odd == math.inf if number == 0 else math.isnan(odd)
        assert pairs == {"k" if text is str else b"k": number}
        assert (enum, row.pop("fs")) == ("b", b"ab")
        assert row == parquet_values(number, text)


async def test_an_empty_parquet_file_keeps_its_columns(workspace: Workspace) -> None:
    body = await call(workspace, "SELECT 1 AS a, 'x' AS b WHERE 0", "parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(body))
    assert (table.column_names, table.num_rows) == (["a", "b"], 0)


async def test_parquet_leaves_totals_and_extremes_out(workspace: Workspace) -> None:
    sql = "SELECT number AS k, count() AS c FROM numbers(3) GROUP BY k WITH TOTALS"
    body = await call(workspace, sql, "parquet", extremes="1")
    assert pyarrow.parquet.read_table(io.BytesIO(body)).num_rows == 3


@pytest.mark.parametrize("expression", ["[]", "NULL", "sumState(1)", "toIntervalDay(1)"])
async def test_a_type_that_parquet_does_not_have_is_the_callers_error(
    workspace: Workspace, expression: str
) -> None:
    with pytest.raises(EngineError, match=r"Internal type .* of column") as caught:
        await call(workspace, f"SELECT {expression} AS x", "parquet")
    assert (caught.value.status, caught.value.engine_code) == (400, 50)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 AS value", "`name` is missing and must be a String: .* the columns are value"),
        ("SELECT 'a' AS name", "`value` is missing and must be a number"),
        ("SELECT 'a' AS Name, 1 AS Value", "`name` is missing .*; the column `value` is missing"),
        ("SELECT 1 AS name, 1 AS value", "`name` is UInt8 and must be a String"),
        ("SELECT 'a' AS name, 'b' AS value", "`value` is String and must be a number"),
        ("SELECT 'a' AS name, NULL AS value", r"`value` is Nullable\(Nothing\) and must be a num"),
        ("SELECT 'a' AS name, 1 AS value, 1 AS help", "`help` is UInt8 and must be a String"),
        ("SELECT 'a' AS name, 1 AS value, 1 AS type", "`type` is UInt8 and must be a String, one"),
        ("SELECT 'a' AS name, 1 AS value, 'x' AS labels", r"`labels` is String and must be a Map"),
        (
            "SELECT 'a' AS name, 1 AS value, map('a', 1) AS labels",
            r"`labels` is Map\(String, UInt8",
        ),
        (
            "SELECT 'a' AS name, 1 AS value, now() AS timestamp",
            "DateTime .* toUnixTimestamp64Milli",
        ),
        (
            "SELECT 'a' AS name, *, value + 1 AS value FROM values('value UInt64', 1, 2)",
            "two columns `value`",
        ),
        ("SELECT 'a' AS name, 1 AS value, 1 AS help WHERE 0", "`help` is UInt8"),
        (
            "SELECT 'a b' AS name, 1 AS value",
            "`name` is 'a b' in row 1 and must be a metric's name",
        ),
        ("SELECT '' AS name, 1 AS value", "`name` is '' in row 1"),
        ("SELECT NULL::Nullable(String) AS name, 1 AS value", "`name` is NULL in row 1"),
        ("SELECT 'a' AS name, NULL::Nullable(Int8) AS value", "`value` is NULL in row 1"),
        (
            "SELECT 'a' AS name, 1 AS value, 'Gauge' AS type",
            "`type` is 'Gauge' in row 1 and must be",
        ),
        (
            "SELECT 'a' AS name, 1 AS value, if(number = 1, 'gauge', 'counter') AS type "
            "FROM numbers(2)",
            "`type` is 'gauge' in row 2 and was 'counter' before",
        ),
        ("SELECT 'a' AS name, 1 AS value, map('b-c', '') AS labels", "key 'b-c' in row 1"),
        ("SELECT 'a' AS name, 1 AS value, map('__b', '') AS labels", "key '__b' in row 1"),
        ("SELECT 'a' AS name, 1 AS value, nan AS timestamp", "`timestamp` is NaN in row 1"),
        ("SELECT 'a' AS name, 1 AS value, 1e30 AS timestamp", "`timestamp` is 1e30 in row 1"),
        ("SELECT 'a' AS name, 1 AS value, 'histogram' AS type", "exactly one of the keys le, sum"),
        (
            "SELECT 'a' AS name, 1 AS value, 'histogram' AS type, map('le', '1') AS labels",
            "the histogram of row 1 has neither the bucket le=.Inf nor a count",
        ),
        (
            "SELECT 'a' AS name, 1 AS value, 'histogram' AS type, map('le', 'x') AS labels",
            "le is 'x' in row 1 and must be a number or .Inf",
        ),
        (
            "SELECT 'a' AS name, 1 AS value, 'summary' AS type, map('quantile', '2') AS labels",
            "quantile is '2' in row 1 and must be a number from 0 to 1",
        ),
    ],
)
async def test_what_prometheus_cannot_read_is_refused_by_its_column(
    workspace: Workspace, sql: str, words: str
) -> None:
    with pytest.raises(EngineError, match=words) as caught:
        await call(workspace, sql, "prometheus")
    error = caught.value
    assert (error.status, error.engine_code, error.engine_name) == (400, 36, "BAD_ARGUMENTS")


async def test_prometheus_text_is_read_back_as_what_the_rows_were(workspace: Workspace) -> None:
    odd = "".join(map(chr, range(1, 128))) + "é 😀 {}=,#"
    sql = (
        "SELECT concat('m', toString(number % 3)) AS name, number / 4 AS value, "
        "{odd:String} AS help, 'gauge' AS type, "
        "map('z', toString(number), 'a', {odd:String}) AS labels, "
        "1717171717000 + number AS timestamp FROM numbers(3000)"
    )
    format = find_format("prometheus")
    body = await workspace.query(
        sql, format=format.engine_format, settings=format.settings, parameters=(("odd", odd),)
    )
    text = (await finish_body(format, body)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert list(families) == ["m0", "m1", "m2"]
    assert [text.count(f"# {kind} ") for kind in ("HELP", "TYPE")] == [3, 3]
    for remainder in range(3):
        family = families[f"m{remainder}"]
        assert (family.type, family.documentation) == ("gauge", odd.replace("\r", " "))
        assert [(sample.labels, sample.value, sample.timestamp) for sample in family.samples] == [
            ({"z": str(number), "a": odd}, number / 4, (1717171717000 + number) / 1000)
            for number in range(remainder, 3000, 3)
        ]


@pytest.mark.parametrize(
    "columns",
    [
        "'a' AS name, number + 0.5 AS value",
        "'a' AS name, toUInt256(number) AS value, 'counter' AS type, 'Why \"x\"' AS help",
        "'a' AS name, toDecimal64(number, 2) AS value, 1717171717000 AS timestamp, 1 AS other",
        "'a' AS name, [nan, inf, -inf][number + 1] AS value, "
        "map('b', '1\"\\\\\n', 'a', '') AS labels",
    ],
)
async def test_prometheus_is_the_engines_own_text_where_that_is_right(
    workspace: Workspace, columns: str
) -> None:
    sql = f"SELECT {columns} FROM numbers(3)"
    assert await call(workspace, sql, "prometheus") == await workspace.query(
        sql, format="Prometheus"
    )


async def test_an_authors_settings_of_json_leave_prometheus_as_it_is(workspace: Workspace) -> None:
    sql = (
        "SELECT 'a' AS name, [nan, 1e300][number + 1] AS value, toUInt64(7) AS timestamp "
        "FROM numbers(2)"
    )
    expected = b"a NaN 7\na 1e300 7\n\n"
    for value in ("0", "1"):
        sent = {
            "output_format_json_quote_denormals": value,
            "output_format_json_quote_64bit_integers": value,
            "output_format_json_quote_64bit_floats": value,
            "output_format_json_quote_decimals": value,
        }
        assert await call(workspace, sql, "prometheus", **sent) == expected
