"""Inserts: exactly once by token, into views too, over restarts and kills."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from pipewren.errors import EngineError

if TYPE_CHECKING:
    from tests.engine.conftest import Program, Workspace

SETTINGS = "SETTINGS non_replicated_deduplication_window = 1000"


async def count(workspace: Workspace, table: str) -> int:
    body = await workspace.query(f"SELECT count() AS n FROM {table}")
    rows: int = json.loads(body)["n"]
    return rows


async def test_rows_can_be_read_at_once_and_are_counted(workspace: Workspace) -> None:
    await workspace.execute(
        "CREATE TABLE t (id UInt32, name String) ENGINE = MergeTree ORDER BY id"
    )
    written = await workspace.engine.insert(
        workspace.rows("t", "id name", b'{"id": 1, "name": "a"}\n{"id": 2, "name": "\\u00e9"}\n')
    )
    assert written == 2
    body = await workspace.query("SELECT * FROM t ORDER BY id")
    assert body.decode() == '{"id":1,"name":"a"}\n{"id":2,"name":"é"}\n'


async def test_a_token_is_inserted_once_into_table_and_view(workspace: Workspace) -> None:
    await workspace.execute(f"CREATE TABLE t (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}")
    await workspace.execute(
        f"CREATE TABLE doubled (twice UInt64) ENGINE = MergeTree ORDER BY twice {SETTINGS}"
    )
    await workspace.execute(
        "CREATE MATERIALIZED VIEW v TO doubled AS SELECT id * 2 AS twice FROM t"
    )
    for _ in range(3):
        await workspace.engine.insert(workspace.rows("t", "id", b'{"id": 1}\n', token="same"))
    await workspace.engine.insert(workspace.rows("t", "id", b'{"id": 1}\n', token="other"))
    assert await count(workspace, "t") == 2
    assert await count(workspace, "doubled") == 2


async def test_a_bad_row_inserts_nothing_and_says_what_is_wrong(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (id UInt32) ENGINE = MergeTree ORDER BY id")
    with pytest.raises(EngineError, match="Cannot parse") as caught:
        await workspace.engine.insert(workspace.rows("t", "id", b'{"id": 1}\n{"id": "x"}\n'))
    assert caught.value.status == 400
    assert await count(workspace, "t") == 0


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("(id UInt32, n Int8 DEFAULT intDiv(1, id - 1)) ENGINE = MergeTree ORDER BY id", "zero"),
        ("(id UInt32) ENGINE = MergeTree ORDER BY id PARTITION BY intDiv(1, id - 1)", "zero"),
        ("(id UInt32, CONSTRAINT c CHECK id > 1) ENGINE = MergeTree ORDER BY id", "violated"),
    ],
)
async def test_what_fails_after_the_rows_are_parsed_is_an_error(
    workspace: Workspace, table: str, told: str
) -> None:
    await workspace.execute(f"CREATE TABLE t {table}")
    with pytest.raises(EngineError, match=told):
        await workspace.engine.insert(workspace.rows("t", "id", b'{"id": 5}\n{"id": 1}\n'))
    assert await count(workspace, "t") == 0
    await workspace.engine.insert(workspace.rows("t", "id", b'{"id": 5}\n', token="good"))
    assert await count(workspace, "t") == 1


async def test_a_view_that_fails_is_an_error_and_the_same_insert_later_feeds_it(
    workspace: Workspace,
) -> None:
    for name in ("t", "copies", "marks"):
        await workspace.execute(
            f"CREATE TABLE {name} (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}"
        )
    await workspace.execute("CREATE MATERIALIZED VIEW good TO copies AS SELECT id FROM t")
    failing = "SELECT id FROM t WHERE throwIf(id = 2, 'not two') = 0"
    await workspace.execute(f"CREATE MATERIALIZED VIEW bad TO marks AS {failing}")
    rows = workspace.rows("t", "id", b'{"id": 1}\n{"id": 2}\n', token="one")
    with pytest.raises(EngineError, match="not two"):
        await workspace.engine.insert(rows)
    await workspace.execute("DROP TABLE bad")
    await workspace.execute("CREATE MATERIALIZED VIEW bad TO marks AS SELECT id FROM t")
    await workspace.engine.insert(rows)
    assert [await count(workspace, name) for name in ("t", "copies", "marks")] == [2, 2, 2]


async def test_what_was_acknowledged_survives_a_kill_and_its_token_is_remembered(
    program: Program,
) -> None:
    process = program.start(
        f"""
        async def main():
            engine = await open_engine()
            await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
            await engine.execute(
                sql("CREATE TABLE w_1.t (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}")
            )
            for n in range(50):
                body = b'{{"id": %d}}' % n
                rows = Insert("w_1", "t", ("id",), "JSONEachRow", body, f"token {{n}}")
                await engine.insert(rows)
            print("acknowledged", flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "acknowledged\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stdin.close()
    lines = program.run(
        """
        async def main():
            engine = await open_engine()
            for n in (7, 49):
                body = b'{"id": %d}' % n
                await engine.insert(Insert("w_1", "t", ("id",), "JSONEachRow", body, f"token {n}"))
            result = await engine.run(
                Statement(sql("SELECT count() AS n, sum(id) AS s FROM t"), "w_1", "JSONEachRow")
            )
            print(result.body.decode(), end="")
            await engine.close()
        asyncio.run(main())
        """
    )
    assert [json.loads(line) for line in lines] == [{"n": 50, "s": 49 * 50 // 2}]


async def test_tokens_count_in_views_of_all_kinds_after_a_kill_in_the_middle_of_inserts(
    program: Program,
) -> None:
    """Plain, aggregating, at the end of a chain, and over a table that keeps nothing."""
    head = f"""
        TABLES = (
            "CREATE DATABASE w_1 ENGINE = Atomic",
            "CREATE TABLE w_1.t (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}",
            "CREATE TABLE w_1.p (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}",
            "CREATE TABLE w_1.a (k UInt8, n AggregateFunction(count)) "
            "ENGINE = AggregatingMergeTree ORDER BY k {SETTINGS}",
            "CREATE TABLE w_1.s (k UInt8, n UInt64) "
            "ENGINE = SummingMergeTree ORDER BY k {SETTINGS}",
            "CREATE TABLE w_1.z (id UInt32) ENGINE = Null",
            "CREATE TABLE w_1.y (id UInt32) ENGINE = MergeTree ORDER BY id {SETTINGS}",
            "CREATE MATERIALIZED VIEW w_1.pv TO w_1.p AS SELECT id FROM w_1.t",
            "CREATE MATERIALIZED VIEW w_1.av TO w_1.a AS "
            "SELECT id % 3 AS k, countState() AS n FROM w_1.p GROUP BY k",
            "CREATE MATERIALIZED VIEW w_1.sv TO w_1.s AS SELECT id % 2 AS k, 1 AS n FROM w_1.t",
            "CREATE MATERIALIZED VIEW w_1.yv TO w_1.y AS SELECT id FROM w_1.z",
        )
        async def insert(engine, number):
            body = b'[%d]' % number
            for table in ("t", "z"):
                await engine.insert(
                    Insert("w_1", table, ("id",), "JSONCompactEachRow", body, f"token {{number}}")
                )
        """
    process = program.start(
        head
        + """
        async def main():
            engine = await open_engine()
            for table in TABLES:
                await engine.execute(sql(table))
            for number in range(10**6):
                print(number, flush=True)
                await insert(engine, number)
        asyncio.run(main())
        """
    )
    assert process.stdout is not None
    assert process.stdin is not None
    while int(process.stdout.readline()) < 30:
        pass
    process.send_signal(signal.SIGKILL)
    begun = 31 + len(process.stdout.read().split())
    process.wait()
    process.stdout.close()
    process.stdin.close()
    lines = program.run(
        head
        + f"""
        async def main():
            engine = await open_engine()
            for number in range({begun}):
                await insert(engine, number)
            query = (
                "SELECT (SELECT count() FROM t), (SELECT count() FROM p), "
                "(SELECT countMerge(n) FROM a), (SELECT sum(n) FROM s), (SELECT count() FROM y)"
            )
            answer = await engine.run(Statement(sql(query), "w_1", "JSONCompactEachRow"))
            print(answer.body.decode(), end="")
            await engine.close()
        asyncio.run(main())
        """
    )
    assert json.loads(lines[-1]) == [begun] * 5
