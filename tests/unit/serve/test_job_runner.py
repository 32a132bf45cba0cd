"""Jobs run in order, say how far they are, and end with a status in the store in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipewren.errors import BadRequest
from pipewren.serve.job_runner import MAX_RUNNING, Jobs, RunningJob
from pipewren.storage.jobs import (
    Job,
    JobStatus,
    change_job,
    create_job,
    fail_interrupted_jobs,
    find_job,
    list_jobs,
)
from pipewren.storage.schema import jobs as jobs_table
from pipewren.storage.store import Store, open_store
from pipewren.storage.workspaces import create_workspace


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def workspace_id(store: Store) -> str:
    with store.begin() as connection:
        return create_workspace(connection, "tests").id


def stored(store: Store, job: Job) -> Job:
    with store.begin() as connection:
        found = find_job(connection, job.workspace_id, job.id)
    assert found is not None
    return found


async def test_a_job_works_and_is_done(store: Store, workspace_id: str) -> None:
    jobs = Jobs(store)
    seen: list[JobStatus] = []
    cleaned: list[str] = []

    async def run(job: RunningJob) -> None:
        seen.append(stored(store, job.job).status)
        job.update(rows=3, is_cancellable=False)

    job = jobs.start(
        "import", workspace_id, run, detail={"rows": 0}, cleanup=lambda: cleaned.append("x")
    )
    assert (job.status, job.detail["rows"]) == (JobStatus.WAITING, 0)
    await jobs.wait(job.id)
    done = stored(store, job)
    assert seen == [JobStatus.WORKING]
    assert (done.status, done.detail["rows"]) == (JobStatus.DONE, 3)
    assert "error" not in done.detail
    assert cleaned == ["x"]
    assert not jobs.cancel(job.id)


async def test_what_a_job_raises_is_its_error(store: Store, workspace_id: str) -> None:
    jobs = Jobs(store)

    async def refuse(_: RunningJob) -> None:
        raise BadRequest("line 3 is bad")

    async def break_down(_: RunningJob) -> None:
        raise ValueError("p.secret")

    told, untold = (jobs.start("import", workspace_id, run) for run in (refuse, break_down))
    await jobs.wait(told.id)
    await jobs.wait(untold.id)
    assert stored(store, told).detail["error"] == "line 3 is bad"
    assert stored(store, told).detail["errors"] == ["line 3 is bad"]
    failed = stored(store, untold)
    assert failed.status is JobStatus.ERROR
    assert "secret" not in failed.detail["error"]
    assert untold.id in failed.detail["error"]


async def test_jobs_of_one_queue_run_one_by_one_in_order(store: Store, workspace_id: str) -> None:
    jobs = Jobs(store)
    running: list[str] = []
    order: list[str] = []

    async def run(job: RunningJob) -> None:
        running.append(job.id)
        assert len(running) == 1
        await asyncio.sleep(0)
        running.remove(job.id)
        order.append(job.id)

    begun = [jobs.start("import", workspace_id, run, queue="one") for _ in range(4)]
    for job in begun:
        await jobs.wait(job.id)
    assert order == [job.id for job in begun]
    assert {stored(store, job).status for job in begun} == {JobStatus.DONE}


async def test_few_jobs_of_a_kind_run_at_a_time_and_other_kinds_do_not_wait(
    store: Store, workspace_id: str
) -> None:
    jobs = Jobs(store)
    go_on = asyncio.Event()

    async def run(_: RunningJob) -> None:
        await go_on.wait()

    async def quick(_: RunningJob) -> None:
        return

    begun = [jobs.start("import", workspace_id, run) for _ in range(MAX_RUNNING + 2)]
    other = jobs.start("deployment", workspace_id, quick)
    await jobs.wait(other.id)
    statuses = [stored(store, job).status for job in begun]
    assert statuses == [JobStatus.WORKING] * MAX_RUNNING + [JobStatus.WAITING] * 2
    go_on.set()
    for job in begun:
        await jobs.wait(job.id)
    assert {stored(store, job).status for job in begun} == {JobStatus.DONE}


async def test_waiting_jobs_can_be_cancelled_and_working_ones_where_they_say_so(
    store: Store, workspace_id: str
) -> None:
    jobs = Jobs(store)
    ran: list[str] = []
    cleaned: list[str] = []
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def run(job: RunningJob) -> None:
        ran.append(job.id)
        job.update(is_cancellable=False)
        begun.set()
        await go_on.wait()
        job.update(is_cancellable=True)
        begun.clear()
        await asyncio.Event().wait()

    first = jobs.start("import", workspace_id, run, queue="one")
    second = jobs.start(
        "import", workspace_id, run, queue="one", cleanup=lambda: cleaned.append("second")
    )
    await begun.wait()
    assert not jobs.cancel(first.id)
    assert jobs.cancel(second.id)
    await jobs.wait(second.id)
    assert stored(store, second).status is JobStatus.CANCELLED
    assert cleaned == ["second"]
    go_on.set()
    while begun.is_set():
        await asyncio.sleep(0)
    assert jobs.cancel(first.id)
    await jobs.wait(first.id)
    assert stored(store, first).status is JobStatus.CANCELLED
    assert ran == [first.id]


async def test_jobs_end_with_the_server_and_say_so(store: Store, workspace_id: str) -> None:
    jobs = Jobs(store)

    async def run(_: RunningJob) -> None:
        await asyncio.Event().wait()

    begun = [jobs.start("import", workspace_id, run, queue="one") for _ in range(2)]
    await jobs.close(0)
    for job in begun:
        ended = stored(store, job)
        assert ended.status is JobStatus.ERROR
        assert "stopped" in ended.detail["error"]


async def test_a_workspaces_jobs_end_with_it(store: Store, workspace_id: str) -> None:
    jobs = Jobs(store)
    with store.begin() as connection:
        other_id = create_workspace(connection, "other").id
    go_on = asyncio.Event()

    async def run(_: RunningJob) -> None:
        await go_on.wait()

    gone, kept = (jobs.start("import", one, run) for one in (workspace_id, other_id))
    await jobs.stop(workspace_id)
    assert stored(store, gone).status is JobStatus.ERROR
    go_on.set()
    await jobs.wait(kept.id)
    assert stored(store, kept).status is JobStatus.DONE


def test_jobs_that_a_dead_server_left_are_errors(store: Store, workspace_id: str) -> None:
    with store.begin() as connection:
        waiting, working, done = (
            create_job(connection, workspace_id, "import", {"rows": 1}) for _ in range(3)
        )
        change_job(connection, working, status=JobStatus.WORKING)
        change_job(connection, done, status=JobStatus.DONE)
        assert len(fail_interrupted_jobs(connection)) == 2
        assert fail_interrupted_jobs(connection) == []
    for job in (waiting, working):
        assert stored(store, job).status is JobStatus.ERROR
        assert "restarted" in stored(store, job).detail["error"]
        assert stored(store, job).detail["rows"] == 1
    assert stored(store, done).status is JobStatus.DONE


def test_jobs_are_listed_newest_first_and_forgotten_after_two_days(
    store: Store, workspace_id: str
) -> None:
    with store.begin() as connection:
        old = create_job(connection, workspace_id, "import", {})
        connection.execute(
            jobs_table.update().values(status="done", updated_at="2026-01-01 00:00:00.000000")
        )
        first = create_job(connection, workspace_id, "import", {})
        second = create_job(connection, workspace_id, "branch", {})
        assert find_job(connection, workspace_id, old.id) is None
        assert [job.id for job in list_jobs(connection, workspace_id)] == [second.id, first.id]
        assert list_jobs(connection, workspace_id, kind="branch") == [second]
        assert list_jobs(connection, workspace_id, status="done") == []
        assert list_jobs(connection, "another") == []
