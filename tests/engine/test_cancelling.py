"""Giving up a query stops it in the engine, and nothing but it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from pipewren.engine.contract import Limits
from pipewren.engine.delivery import Delivery
from pipewren.engine.job import Job
from pipewren.engine.outcome import Outcome
from pipewren.engine.pool import WorkerPool
from pipewren.engine.profile import Profile
from pipewren.errors import TimedOut, TooManyRequests, Unavailable

if TYPE_CHECKING:
    from pipewren.engine.embedded import EmbeddedEngine
    from tests.engine.conftest import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3"
LONG = Limits(max_execution_time_s=600)


async def running_names(workspace: Workspace) -> set[str]:
    body = await workspace.query(
        "SELECT Settings['log_comment'] FROM system.processes WHERE query LIKE '%1000000000000%' "
        "AND query NOT LIKE '%processes%'",
        format="TSV",
    )
    return set(body.decode().split())


async def until_running(workspace: Workspace, count: int) -> None:
    while len(await running_names(workspace)) != count:
        await asyncio.sleep(0)


async def test_a_thousand_cancels_that_race_completions_hit_nobody_else(
    workspace: Workspace,
) -> None:
    path = Path(__file__).parents[2] / "bench" / "cancel_race.py"
    spec = importlib.util.spec_from_file_location("cancel_race", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules["cancel_race"] = bench  # dataclasses look their module up
    spec.loader.exec_module(bench)

    race = await bench.race_cancels(workspace.engine, 1000, seed=3, completions=60)

    assert race.hits == 0, race.first_hit
    assert race.cancelled >= 1000
    assert race.completed > 50  # else nothing raced
    assert race.innocent > 100


async def test_a_cancelled_query_stops_in_the_engine(workspace: Workspace) -> None:
    query = asyncio.ensure_future(workspace.query(ENDLESS, limits=LONG))
    await until_running(workspace, 1)

    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query

    await until_running(workspace, 0)


async def test_a_cancelled_query_that_still_waits_never_runs(workspace: Workspace) -> None:
    busy = [asyncio.ensure_future(workspace.query(ENDLESS, limits=LONG)) for _ in range(4)]
    waiting = asyncio.ensure_future(workspace.query("SELECT 1"))
    await asyncio.sleep(0)

    waiting.cancel()
    for query in busy:
        query.cancel()
    outcomes = await asyncio.gather(*busy, waiting, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 5
    assert await workspace.query("SELECT 1 AS a") == b'{"a":1}\n'


async def test_our_own_clock_stops_what_the_engines_does_not(workspace: Workspace) -> None:
    """The engine looks at its clock between blocks, and one sleep is within a block."""
    limits = Limits(max_execution_time_s=0.05)

    with pytest.raises(TimedOut) as caught:
        await workspace.query(
            "SELECT sleepEachRow(0.5) FROM numbers(5)",
            limits=limits,
            settings=(("function_sleep_max_microseconds_per_block", "0"),),
        )

    assert "0.05 seconds" in caught.value.message


async def test_ddl_can_be_cancelled_and_the_next_one_runs(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    filling = asyncio.ensure_future(
        workspace.execute("INSERT INTO t SELECT count() FROM numbers(1000000000000)")
    )
    await until_running(workspace, 1)

    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling

    await workspace.execute("INSERT INTO t VALUES (7)")
    assert await workspace.query("SELECT a FROM t") == b'{"a":7}\n'


class Deaf:
    """A connection whose work ends when the test says so, whatever is killed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def close(self) -> None:
        pass


class Deafness:
    """A canceller that only notes what it was asked to stop."""

    def __init__(self) -> None:
        self.asked: list[Job] = []

    def kill(self, job: Job) -> None:
        self.asked.append(job)


@pytest_asyncio.fixture(loop_scope="session")
async def pool() -> AsyncIterator[WorkerPool]:
    connect: Any = lambda profile, name: Deaf(name)  # noqa: E731
    canceller: Any = Deafness()
    made = WorkerPool(
        "deaf",
        1,
        Profile(()),
        connect=connect,
        delivery=Delivery(asyncio.get_running_loop()),
        canceller=canceller,
        stuck_after_s=5.0,
        max_wait_s=3.0,
    )
    yield made
    made.begin_close(kill=False)
    assert await asyncio.to_thread(made.join, monotonic() + 10)


async def test_a_worker_whose_query_ignores_kill_is_replaced(pool: WorkerPool) -> None:
    started, may_end = threading.Event(), threading.Event()

    def stick(connection: Any) -> str:
        started.set()
        may_end.wait()
        return "too late"

    stuck = asyncio.ensure_future(pool.run(stick, limit_s=10))
    await asyncio.to_thread(started.wait)
    now = monotonic()
    pool.watch(now + 10)
    assert not stuck.done()  # the engine's own limit may still speak
    pool.watch(now + 10.2)  # at most 0.25 s late, the pause between two looks included
    with pytest.raises(TimedOut):
        await stuck
    pool.watch(now + 12)
    assert pool.lost == 0
    pool.watch(now + 20)
    assert pool.lost == 1

    assert await pool.run(lambda connection: connection.name) == "deaf-2-1"

    # The bound: a second stuck query is not replaced, and the pool says that it is exhausted.
    may_end_too = threading.Event()
    started.clear()

    def stick_too(connection: Any) -> None:
        started.set()
        may_end_too.wait()

    second = asyncio.ensure_future(pool.run(stick_too, limit_s=10))
    await asyncio.to_thread(started.wait)
    pool.watch(monotonic() + 10.5)
    with pytest.raises(TimedOut):
        await second
    pool.watch(monotonic() + 40)
    assert pool.lost == 1
    assert pool.is_exhausted
    may_end.set()
    may_end_too.set()


async def test_a_job_that_is_killed_holds_its_worker_until_kill_has_returned(
    pool: WorkerPool,
) -> None:
    """Else the KILL would find the next caller's query under the same connection's name."""
    job_of_first: list[Job] = []
    started, may_end = threading.Event(), threading.Event()

    def first(connection: Any) -> None:
        started.set()
        may_end.wait()

    loop = asyncio.get_running_loop()
    job = Job(first, Outcome(loop))
    job_of_first.append(job)
    pool.submit(job)
    await asyncio.to_thread(started.wait)
    assert job.cancel(monotonic())
    kill_returned = job.open_kill()
    assert kill_returned is not None
    second = asyncio.ensure_future(pool.run(lambda connection: "second"))

    may_end.set()
    await job.outcome
    done, _ = await asyncio.wait([second], timeout=0.05)
    assert not done
    kill_returned.set()

    assert await second == "second"
    assert job.open_kill() is None


async def test_jobs_that_wait_too_long_are_refused_and_the_others_are_done(
    pool: WorkerPool,
) -> None:
    started, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def first(connection: Any) -> None:
        started.set()
        may_end.wait()

    running = asyncio.ensure_future(pool.run(first))
    await asyncio.to_thread(started.wait)
    late = [asyncio.ensure_future(pool.run(lambda _: done.append("late"))) for _ in range(3)]
    given_up = asyncio.ensure_future(pool.run(lambda _: done.append("given up")))
    await asyncio.sleep(0)
    late[1].cancel()
    given_up.cancel()
    pool.watch(monotonic() + 2.9)
    assert not late[0].done()
    pool.watch(monotonic() + 3.1)
    in_time = asyncio.ensure_future(pool.run(lambda _: done.append("in time")))
    for one in (late[0], late[2]):
        with pytest.raises(TooManyRequests, match="max_wait_s"):
            await one
    may_end.set()
    await running
    await in_time
    assert done == ["in time"]


async def test_a_closing_pool_refuses_what_waits(pool: WorkerPool) -> None:
    started, may_end = threading.Event(), threading.Event()

    def first(connection: Any) -> str:
        started.set()
        may_end.wait()
        return "ended"

    running = asyncio.ensure_future(pool.run(first))
    await asyncio.to_thread(started.wait)
    waiting = asyncio.ensure_future(pool.run(lambda connection: "never"))
    await asyncio.sleep(0)

    pool.begin_close(kill=False)
    may_end.set()

    assert await running == "ended"
    with pytest.raises(Unavailable, match="stopping"):
        await waiting
    with pytest.raises(Unavailable, match="stopping"):
        await pool.run(lambda connection: "never")


async def test_an_engine_that_has_lost_more_than_half_of_its_readers_is_not_ready(
    engine: EmbeddedEngine,
) -> None:
    """So that the supervisor gives it a new process."""

    class Stuck:
        def is_alive(self) -> bool:
            return True

    pools = list(engine._lanes.values())
    size = sum(pool.size for pool in pools)
    assert engine.health().ready
    try:
        for number in range(1, size + 1):
            pools[0]._retired.append(cast(Any, Stuck()))
            assert engine.health().ready is (2 * number <= size)
    finally:
        pools[0]._retired.clear()
    assert engine.health().ready
