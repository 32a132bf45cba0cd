"""Results and errors tell by which name the engine knows the connection, and for how long it was
waited for: that is how a line of the log is found again in the engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from pipewren.engine.contract import Limits
from pipewren.errors import EngineError, TimedOut

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

OWN_NAME = "SELECT getSetting('log_comment') AS name"


async def test_a_result_tells_the_name_that_its_connection_has_in_the_engine(
    workspace: Workspace,
) -> None:
    result = await workspace.engine.run(workspace.statement(OWN_NAME))
    assert result.statistics.connection == msgspec.json.decode(result.body)["name"]
    assert result.statistics.connection.startswith("light-")
    assert result.statistics.waited_s >= 0


async def test_a_streams_statistics_tell_it_too(workspace: Workspace) -> None:
    stream = workspace.engine.stream(workspace.statement(OWN_NAME))
    chunks = [chunk async for chunk in stream]
    assert stream.statistics.connection == msgspec.json.decode(b"".join(chunks))["name"]


async def test_an_error_tells_where_it_came_up(workspace: Workspace) -> None:
    with pytest.raises(EngineError) as failed:
        await workspace.query("SELECT throwIf(number = 3) AS a FROM numbers(5)")
    assert failed.value.connection.startswith("light-")


async def test_a_query_that_was_stopped_tells_it_too(workspace: Workspace) -> None:
    limits = Limits(max_execution_time_s=0.1)
    # One that asks for its time limit, and one that does not and is killed.
    for sql in ("SELECT count(number) FROM numbers(100000000000)", "SELECT sleep(1.5) AS a"):
        with pytest.raises(TimedOut) as stopped:
            await workspace.query(sql, limits=limits)
        assert stopped.value.connection.startswith("light-")


async def test_what_was_waited_for_is_told_apart_from_running(workspace: Workspace) -> None:
    sql = "SELECT sleep(0.2) AS a"
    results = await asyncio.gather(
        *(workspace.engine.run(workspace.statement(sql)) for _ in range(9))
    )
    waits = sorted(result.statistics.waited_s for result in results)
    # More than there are connections, so the last one has waited for the whole of another.
    assert waits[-1] >= 0.2
    assert all(result.statistics.elapsed_s >= 0.2 for result in results)
