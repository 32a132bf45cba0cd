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
