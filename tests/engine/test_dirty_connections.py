"""After an error a connection can begin its next answer with the failed one's bytes
(engine-chdb.md section 3). The danger is shown on a bare connection, then its absence."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipewren.engine.connection import Connection, RawConnection
from pipewren.engine.contract import Lane, Limits
from pipewren.errors import EngineError, TimedOut

if TYPE_CHECKING:
    from tests.engine.conftest import BareChdb, Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAILS_AFTER_OUTPUT_BEGAN = (
    "SELECT number, 'secret of another caller' FROM numbers(100) "
    "SETTINGS max_result_rows = 10, max_block_size = 5"
)


def provoke(connection: Any, sql: str = FAILS_AFTER_OUTPUT_BEGAN) -> None:
    with pytest.raises(RuntimeError, match="396"):
        connection.query(sql, "JSON")


async def test_the_danger_exists_on_a_bare_connection(bare_chdb: BareChdb) -> None:
    connection = bare_chdb.connect()

    leaks = 0
    for _ in range(20):
        provoke(connection)
        leaks += connection.query("SELECT 1", "CSV").bytes() != b"1\n"
        connection.query("", "CSV")

    assert leaks > 0


async def test_an_empty_query_cleans_a_bare_connection(bare_chdb: BareChdb) -> None:
    connection = bare_chdb.connect()

    for _ in range(200):
        provoke(connection)
        connection.query("", "CSV")
        assert connection.query("SELECT 1", "CSV").bytes() == b"1\n"


async def test_no_caller_gets_anothers_bytes_among_thousands_of_failing_and_good_queries(
    workspace: Workspace,
) -> None:
    """Each good query asks for its own number; each bad one fails in another way, most of them
    after their output began."""
    await workspace.execute("CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    await workspace.execute("INSERT INTO t SELECT number, 'secret' FROM numbers(30000)")
    bad = (
        ("SELECT a, s FROM t", "JSON"),  # 396 once the head is written
        ("SELECT a, s FROM t", "CSVWithNames"),
        ("SELECT s, throwIf(a = 29999) FROM t LIMIT 30000", "JSONEachRow"),
        ("SELECT s, toUInt8(concat(s, toString(a))) FROM t", "JSONCompact"),
        ("SELECT nope FROM t", "JSON"),
        ("SELECT s, intDiv(1, a - 29000) FROM t WHERE a > 100", "TSV"),
        ("SELECT", "JSON"),
        ("SELECT toUInt8(s) FROM t SETTINGS max_threads = 9", "JSON"),
    )
    wrong: list[bytes] = []
    failures = 0
    numbers = iter(range(4000))
    choose = random.Random(7)

    async def call() -> None:
        nonlocal failures
        for number in numbers:
            if choose.random() < 0.5:
                sql, format = choose.choice(bad)
                with pytest.raises((EngineError, TimedOut)):
                    await workspace.query(sql, format=format)
                failures += 1
            else:
                body = await workspace.query(f"SELECT {number} AS n")
                if body != b'{"n":%d}\n' % number:
                    wrong.append(body[:200])

    await asyncio.gather(*(call() for _ in range(16)))

    assert failures > 1500
    assert wrong == []


async def test_streams_that_fail_or_are_left_leave_nothing_behind(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    await workspace.execute("INSERT INTO t SELECT number, 'secret' FROM numbers(60000)")
    wide = Limits(max_result_rows=10**9, max_result_bytes=10**9)

    for number in range(100):
        is_left = number % 2 == 1
        sql = "SELECT s, a FROM t" if is_left else "SELECT s, throwIf(a = 50000) FROM t"
        stream = workspace.engine.stream(workspace.statement(sql, limits=wide, format="JSON"))
        if is_left:
            await anext(stream)
            await stream.aclose()
        else:
            with pytest.raises(EngineError):
                async for _ in stream:
                    pass
        answers = await asyncio.gather(
            *(workspace.query(f"SELECT {number} AS n", limits=wide) for _ in range(4))
        )
        assert set(answers) == {b'{"n":%d}\n' % number}


async def test_a_failed_insert_leaves_the_writer_fit_for_the_next(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")

    for number in range(50):
        with pytest.raises(EngineError):
            await workspace.engine.insert(workspace.rows("t", "a", b'{"a":1}\n{"a":"x"}\n'))
        good = workspace.rows("t", "a", b'{"a":%d}\n' % number)
        assert await workspace.engine.insert(good) == 1

    assert await workspace.query("SELECT count() AS c, uniq(a) AS u FROM t") == (
        b'{"c":50,"u":50}\n'
    )


class Unflushable:
    """A connection on which nothing works any more, not even the flush."""

    def __init__(self, raw: Any) -> None:
        self.close = raw.close

    def query(self, sql: str, format: str, **options: Any) -> Any:
        raise RuntimeError("Code: 1002. DB::Exception: broken. (UNKNOWN_EXCEPTION)")


async def test_a_connection_whose_flush_fails_is_replaced(workspace: Workspace) -> None:
    engine = workspace.engine
    connection = Connection(engine._source, engine._lanes[Lane.LIGHT].profile, "replaced-1")
    statement = workspace.statement("SELECT getSetting('log_comment') AS c, currentRoles() AS r")
    try:
        before = connection.run(statement).body
        connection._raw = cast(RawConnection, Unflushable(connection._raw))
        with pytest.raises(EngineError, match="broken"):
            connection.run(statement)
        after = connection.run(statement).body
    finally:
        connection.close()

    assert before == after == b'{"c":"replaced-1","r":["reader"]}\n'
    assert connection.replaced == 1
