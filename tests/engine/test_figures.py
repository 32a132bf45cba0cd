"""What ClickHouse counts of itself, and what its connections are doing."""

from __future__ import annotations

import asyncio

import pytest

from pipewren.engine.figures import FIGURES
from pipewren.errors import EngineError
from tests.engine.conftest import Program, Workspace


async def test_figures_rise_with_what_is_done(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    await workspace.execute("SYSTEM STOP MERGES t")
    before = await workspace.engine.figures()
    assert set(before) == FIGURES
    for number in range(3):
        body = f'{{"n":{number}}}\n'.encode() * 1000
        await workspace.engine.insert(workspace.rows("t", "n", body))
    await workspace.query("SELECT count() FROM t WHERE n > 0")
    with pytest.raises(EngineError):
        await workspace.query("SELECT throwIf(n = 1) FROM t")
    after = await workspace.engine.figures()

    def rise(name: str) -> int:
        return after[name] - before[name]

    assert (rise("inserted_rows"), rise("inserted_bytes")) == (3000, 24_000)
    assert (rise("parts"), rise("table_rows")) == (3, 3000)
    assert after["largest_partition_parts"] >= 3
    assert rise("selected_rows") >= 3000
    assert rise("inserts") == 3
    assert rise("selects") >= 2
    assert rise("failed_queries") >= 1
    assert rise("table_bytes") > 0
    assert after["memory_bytes"] > 0
    assert (after["failed_writes"], rise("failed_inserts")) == (0, 0)


async def test_a_running_query_shows_in_the_figures_and_in_its_lane(workspace: Workspace) -> None:
    engine = workspace.engine
    idle = {pool.name: pool.idle for pool in engine.pools()}
    assert set(idle) == {"light", "heavy", "writer", "admin"}
    assert (await engine.figures())["running_queries"] == 0
    one_by_one = (("max_block_size", "1"),)
    running = asyncio.create_task(
        workspace.query("SELECT sleepEachRow(0.1) FROM numbers(600)", settings=one_by_one)
    )
    while (await engine.figures())["running_queries"] != 1:
        assert not running.done()
    light = next(pool for pool in engine.pools() if pool.name == "light")
    assert (light.busy, light.idle, light.waiting) == (1, idle["light"] - 1, 0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_figures_wait_for_no_statement_of_an_admin(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    rows = "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1"
    slow = asyncio.create_task(workspace.execute(f"INSERT INTO t {rows}"))
    while (await workspace.engine.figures())["running_queries"] != 1:
        assert not slow.done()
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


def test_figures_of_a_closed_engine_are_refused(program: Program) -> None:
    lines = program.run(
        """
        async def main():
            engine = await open_engine()
            print(len(await engine.figures()) > 0)
            await engine.close()
            print(engine.health().lost_connections)
            try:
                await engine.figures()
            except Unavailable as error:
                print(error.message)

        asyncio.run(main())
        """
    )
    assert lines == ["True", "0", "The server is stopping."]
