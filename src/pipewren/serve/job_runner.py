"""Runs jobs: work that outlives the request that began it, each in a task of its own.

Jobs of one `queue` run one after the other, in order of arrival; of one kind at most
`MAX_RUNNING` run at a time. Every change is in the store before anyone can ask for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from pipewren.errors import PipewrenError
from pipewren.storage.jobs import Job, JobStatus, change_job, create_job
from pipewren.storage.store import Store

MAX_RUNNING = 2  # of one kind
_STOPPED = "The server was stopped before the job had ended"

_log = logging.getLogger("pipewren.serve")

Tell = Callable[[Job], None]


def _tell_nobody(job: Job) -> None:
    """Where nobody is to be told of jobs."""


class RunningJob:
    """A job as the function that does it sees it."""

    def __init__(self, store: Store, job: Job, tell: Tell) -> None:
        self._store = store
        self._tell = tell
        self.job = job
        self.is_cancelled = False

    @property
    def id(self) -> str:
        return self.job.id

    def update(self, **detail: Any) -> None:
        """Add or replace keys of the job's answer. `is_cancellable` False protects what must not
        be broken off."""
        self.change(None, detail)

    def change(self, status: JobStatus | None, detail: Mapping[str, Any]) -> None:
        with self._store.begin() as connection:
            self.job = change_job(connection, self.job, status=status, detail=detail)
        if status is not None:
            self._tell(self.job)


JobFunction = Callable[[RunningJob], Awaitable[None]]


class Jobs:
    """The jobs that wait or run in this process; `ended` counts the others, by kind and status.
    `tell` is told of each that is in a new state."""

    def __init__(self, store: Store, tell: Tell = _tell_nobody) -> None:
        self._store = store
        self._tell = tell
        self._running: dict[str, tuple[RunningJob, asyncio.Task[None]]] = {}
        self.ended: Counter[tuple[str, str]] = Counter()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def start(
        self,
        kind: str,
        workspace_id: str,
        run: JobFunction,
        *,
        queue: str | None = None,
        detail: Mapping[str, Any] | None = None,
        cleanup: Callable[[], None] | None = None,
    ) -> Job:
        """Record a job and begin it soon. `run` returns when it is done; what it raises becomes the
        job's `error`. `queue` names what may have one job at a time, None nothing. `cleanup` is
        called at the end, also of a job that never ran."""
        with self._store.begin() as connection:
            job = create_job(
                connection, workspace_id, kind, {"is_cancellable": True, **(detail or {})}
            )
        self._tell(job)
        running = RunningJob(self._store, job, self._tell)
        lock = self._queues.setdefault(queue, asyncio.Lock()) if queue else asyncio.Lock()
        task = asyncio.create_task(self._run(running, run, lock))
        self._running[job.id] = running, task

        def end(_: asyncio.Task[None]) -> None:
            self._running.pop(job.id, None)
            self._end(running)
            self.ended[kind, running.job.status.value] += 1
            if cleanup is not None:
                cleanup()

        task.add_done_callback(end)
        return job

    def count_running(self) -> Counter[tuple[str, str]]:
        """Those that wait or work, by kind and status."""
        jobs = [running.job for running, _ in self._running.values()]
        return Counter((job.kind, job.status.value) for job in jobs)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job that waits, or that runs and says it can be. False where it cannot."""
        found = self._running.get(job_id)
        if found is None or not found[0].job.detail.get("is_cancellable"):
            return False
        running, task = found
        running.is_cancelled = True
        task.cancel()
        return True

    async def wait(self, job_id: str, timeout_s: float | None = None) -> None:
        """Until the job is over, or that time; the caller may be cancelled without harm to it."""
        found = self._running.get(job_id)
        if found is not None:
            await asyncio.wait({found[1]}, timeout=timeout_s)

    async def stop(self, workspace_id: str) -> None:
        """End all jobs of a workspace that goes."""
        tasks = {
            task
            for running, task in self._running.values()
            if running.job.workspace_id == workspace_id
        }
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self, grace_s: float) -> None:
        """End all: those that wait at once, those that run after `grace_s`."""
        found = list(self._running.values())
        for running, task in found:
            if running.job.status is JobStatus.WAITING:
                task.cancel()
        tasks = {task for _, task in found}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _run(self, running: RunningJob, run: JobFunction, lock: asyncio.Lock) -> None:
        slots = self._slots.setdefault(running.job.kind, asyncio.Semaphore(MAX_RUNNING))
        try:
            async with lock, slots:
                running.change(JobStatus.WORKING, {})
                await run(running)
                running.change(JobStatus.DONE, {"is_cancellable": False})
        except PipewrenError as error:
            _fail(running, error.message)
        except Exception:  # noqa: BLE001 - the job's answer tells of it, the log has it whole
            _log.exception("unexpected error, job %s", running.id)
            _fail(running, f"Internal error. Quote the job's id {running.id} when you report it.")

    def _end(self, running: RunningJob) -> None:
        """What was cancelled; also before its task had run a step."""
        if running.job.is_over:
            return
        if running.is_cancelled:
            running.change(JobStatus.CANCELLED, {"is_cancellable": False})
        else:
            _fail(running, _STOPPED)


def _fail(running: RunningJob, text: str) -> None:
    detail = {"error": text, "errors": [text], "is_cancellable": False}
    running.change(JobStatus.ERROR, detail)
