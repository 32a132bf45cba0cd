"""What a failed insert is told by, and what its repetition adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipewren.engine.errors import make_scrubber, translate_error
from pipewren.engine.insert_errors import InsertFailure, classify_insert_error
from pipewren.errors import EngineError, PipewrenError, TooManyRequests, Unavailable

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

SCRUBBER = make_scrubber("/data")
WINDOW = "SETTINGS non_replicated_deduplication_window = 1000"


def engine_error(code: int, text: str, name: str = "NAME") -> PipewrenError:
    raw = f"Code: {code}. DB::Exception: {text}. ({name})"
    return translate_error(raw, sql="INSERT INTO t", scrubber=SCRUBBER)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (engine_error(252, "Too many parts (3000) in table"), InsertFailure.BUSY),
        (engine_error(252, "Too many parts: while pushing to view w_1.v"), InsertFailure.BUSY),
        (engine_error(241, "(total) memory limit exceeded: would use 6 GiB"), InsertFailure.BUSY),
        (engine_error(394, "Query was cancelled"), InsertFailure.BUSY),
        (TooManyRequests("no connection"), InsertFailure.BUSY),
        (engine_error(243, "Cannot reserve 1.00 MiB"), InsertFailure.DISK),
        (engine_error(243, "Cannot reserve: while pushing to view w_1.v"), InsertFailure.DISK),
        (engine_error(1001, "filesystem error: No space left on device"), InsertFailure.DISK),
        (Unavailable("The disk is nearly full"), InsertFailure.DISK),
        (engine_error(395, "not two: while pushing to view w_1.v"), InsertFailure.VIEW),
        (engine_error(60, "gone: while pushing to view w_1.v"), InsertFailure.VIEW),
        (
            engine_error(241, "Query memory limit exceeded: while pushing to view w_1.v"),
            InsertFailure.VIEW,
        ),
        (engine_error(27, "Cannot parse input"), InsertFailure.ROWS),
        (engine_error(153, "Division by zero"), InsertFailure.ROWS),
        (engine_error(469, "Constraint c is violated"), InsertFailure.ROWS),
        (
            engine_error(252, "Too many partitions for single INSERT block (more than 100)"),
            InsertFailure.ROWS,
        ),
        (engine_error(60, "Table w_1.t does not exist"), InsertFailure.GONE),
        (engine_error(81, "Database w_1 does not exist"), InsertFailure.GONE),
        (
            engine_error(60, "Target table 'w_1.p' of view 'w_1.t' doesn't exists"),
            InsertFailure.OTHER,
        ),
        (engine_error(16, "No such column z in table w_1.t"), InsertFailure.OTHER),
        (engine_error(241, "Query memory limit exceeded"), InsertFailure.ROWS),
        (engine_error(49, "Logical error"), InsertFailure.OTHER),
        (engine_error(159, "Timeout exceeded"), InsertFailure.OTHER),
    ],
)
def test_a_failure_says_what_helps(error: PipewrenError, failure: InsertFailure) -> None:
    assert classify_insert_error(error) is failure


def test_an_engine_without_room_on_the_disk_is_unavailable() -> None:
    error = engine_error(243, "Cannot reserve 1.00 MiB, not enough space", "NOT_ENOUGH_SPACE")
    assert error.status == 503
    assert "Free disk space" in str(error)


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("no: while pushing to view w_1.totals__3", "totals__3"),
        ("no: while pushing to view w_1.`a b`", "a b"),
        ("no: while pushing to view w_1.last__1: while pushing to view w_1.first__2", "last__1"),
        ("no", ""),
    ],
)
def test_the_view_that_failed_is_named_and_in_a_chain_the_one_at_fault(
    text: str, view: str
) -> None:
    error = engine_error(395, text)
    assert isinstance(error, EngineError)
    assert error.view == view


async def chain(workspace: Workspace, *, last: str = "SELECT id AS k, n FROM doubled") -> None:
    """events -> doubled (a view) -> totals (a view on that, which sums), and copies."""
    await workspace.execute(
        f"CREATE TABLE events (id UInt32) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    await workspace.execute(
        f"CREATE TABLE copies (id UInt32) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    await workspace.execute(
        f"CREATE TABLE doubled (id UInt32, n UInt64) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    await workspace.execute(
        "CREATE TABLE totals (k UInt32, n SimpleAggregateFunction(sum, UInt64)) "
        f"ENGINE = AggregatingMergeTree ORDER BY k {WINDOW}"
    )
    await workspace.execute("CREATE MATERIALIZED VIEW to_copies TO copies AS SELECT id FROM events")
    await workspace.execute(
        "CREATE MATERIALIZED VIEW to_doubled TO doubled AS SELECT id, 2 AS n FROM events"
    )
    await workspace.execute(f"CREATE MATERIALIZED VIEW to_totals TO totals AS {last}")


async def sums(workspace: Workspace) -> str:
    body = await workspace.query(
        "SELECT (SELECT count() FROM events), (SELECT count() FROM copies), "
        "(SELECT sum(n) FROM doubled), (SELECT sum(n) FROM totals)",
        format="CSV",
    )
    return body.decode().strip()


async def test_a_view_at_the_end_of_a_chain_that_fails_keeps_no_other_from_its_rows(
    workspace: Workspace,
) -> None:
    failing = "SELECT id AS k, n FROM doubled WHERE throwIf(id = 2, 'not two') = 0"
    await chain(workspace, last=failing)
    rows = workspace.rows("events", "id", b'{"id": 1}\n{"id": 2}\n')
    with pytest.raises(EngineError, match="not two") as caught:
        await workspace.engine.insert(rows)
    assert caught.value.view == "to_totals"
    assert classify_insert_error(caught.value) is InsertFailure.VIEW
    assert await sums(workspace) == "2,2,4,0"
    await workspace.execute("DROP TABLE to_totals")
    await workspace.execute(
        "CREATE MATERIALIZED VIEW to_totals TO totals AS SELECT id AS k, n FROM doubled"
    )
    for _ in range(2):
        await workspace.engine.insert(rows)
    assert await sums(workspace) == "2,2,4,4"


async def test_another_connections_failure_makes_an_insert_repeat_and_count_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain(workspace)
    counts = iter([b"1\n", b"2\n"])
    monkeypatch.setattr(
        "pipewren.engine.connection._count_failed_inserts", lambda _: next(counts, b"2\n")
    )
    rows = b"".join(b'{"id": %d}\n' % number for number in range(1000))
    await workspace.engine.insert(workspace.rows("events", "id", rows))
    assert next(counts, None) is None
    assert await sums(workspace) == "1000,1000,2000,2000"


async def test_the_repetition_with_the_rows_in_the_text_takes_16_megabytes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workspace.execute(
        f"CREATE TABLE t (id UInt32, body String) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    counts = iter([b"1\n", b"2\n"])
    monkeypatch.setattr(
        "pipewren.engine.connection._count_failed_inserts", lambda _: next(counts, b"2\n")
    )
    body = b"".join(b'[%d, "%s"]\n' % (number, b"x" * 1_000_000) for number in range(16))
    await workspace.engine.insert(workspace.rows("t", "id body", body, format="JSONCompactEachRow"))
    answer = await workspace.query("SELECT count(), sum(length(body)) FROM t", format="CSV")
    assert answer == b"16,16000000\n"


@pytest.mark.parametrize("format", ["JSONCompactEachRow", "JSONEachRow"])
async def test_one_insert_is_one_block_up_to_16_megabytes_and_250_000_rows(
    workspace: Workspace, format: str
) -> None:
    await workspace.execute(
        "CREATE TABLE t (id UInt32, body String) ENGINE = MergeTree "
        f"ORDER BY id PARTITION BY id % 3 {WINDOW}"
    )
    await workspace.execute(
        f"CREATE TABLE copies (id UInt32) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    await workspace.execute("CREATE MATERIALIZED VIEW v TO copies AS SELECT id FROM t")
    shape = b'[%d, "%s"]\n' if format == "JSONCompactEachRow" else b'{"id": %d, "body": "%s"}\n'
    body = b"".join(shape % (number, b"x" * 48) for number in range(250_000))
    await workspace.engine.insert(workspace.rows("t", "id body", body, format=format))
    await workspace.execute("SYSTEM FLUSH LOGS")
    answer = await workspace.query(
        "SELECT table, partition, count(), sum(rows) FROM system.parts "
        f"WHERE database = '{workspace.database}' AND level = 0 GROUP BY ALL ORDER BY ALL",
        format="CSV",
    )
    expected = ['"copies","tuple()",1,250000']
    expected += [f'"t","{number}",1,{83334 if number == 0 else 83333}' for number in range(3)]
    assert answer.decode().split() == expected


async def test_a_view_over_a_table_that_keeps_nothing_counts_a_token_once(
    workspace: Workspace,
) -> None:
    await workspace.execute("CREATE TABLE passing (id UInt32) ENGINE = Null")
    await workspace.execute(
        f"CREATE TABLE kept (id UInt32) ENGINE = MergeTree ORDER BY id {WINDOW}"
    )
    await workspace.execute("CREATE MATERIALIZED VIEW v TO kept AS SELECT id FROM passing")
    for token in ("a", "a", "b"):
        await workspace.engine.insert(workspace.rows("passing", "id", b'{"id": 1}\n', token=token))
    assert await workspace.query("SELECT count() FROM kept", format="CSV") == b"2\n"
