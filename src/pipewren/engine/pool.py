"""A lane: a few workers that share one queue, so that an idle one takes the next job by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from pipewren.engine.cancel import Canceller
from pipewren.engine.connection import Connection
from pipewren.engine.contract import PoolState
from pipewren.engine.delivery import Delivery
from pipewren.engine.errors import make_timeout
from pipewren.engine.job import Job, Phase
from pipewren.engine.outcome import Outcome
from pipewren.engine.profile import Profile
from pipewren.engine.worker import Connect, JobQueue, Worker
from pipewren.errors import TooManyRequests, Unavailable

# The engine's own limit should speak first: its error is the same, and nothing must be killed.
_GRACE_S = 0.1


class WorkerPool:
    """`size` workers whose pooled connections have one profile. Used on the event loop only.

    Cancelling the task that awaits `run` cancels the job. A worker whose query ignores KILL for
    `stuck_after_s` is given up and replaced, up to `size` times; `lost` counts those still stuck.
    A job that has waited for `max_wait_s` is refused (0: no limit).
    """

    def __init__(
        self,
        name: str,
        size: int,
        profile: Profile,
        *,
        connect: Connect,
        delivery: Delivery,
        canceller: Canceller,
        max_profiles: int = 0,
        stuck_after_s: float = 5.0,
        max_wait_s: float = 0.0,
    ) -> None:
        self.name = name
        self.size = size
        self.profile = profile
        self._connect = connect
        self._delivery = delivery
        self._canceller = canceller
        self._max_profiles = max_profiles
        self._stuck_after_s = stuck_after_s
        self._max_wait_s = max_wait_s
        self._queue: JobQueue = SimpleQueue()
        self._waiting: deque[Job] = deque()  # in the queue's order, and some that wait no more
        self._workers: list[Worker] = []
        self._retired: list[Worker] = []
        self._spawned = 0
        self._stuck = 0
        self._refused = 0
        self._is_closed = False
        for _ in range(size):
            self._spawn()

    async def run(
        self,
        act: Callable[[Connection], Any],
        *,
        profile: Profile | None = None,
        limit_s: float | None = None,
    ) -> Any:
        """The outcome of `act` on a connection. Raises what it raises, or TimedOut after
        `limit_s` seconds of running, or Unavailable when the pool is closed."""
        job = Job(
            act,
            Outcome(asyncio.get_running_loop()),
            profile=profile,
            limit_s=limit_s,
        )
        self.submit(job)
        try:
            return await job.outcome
        except asyncio.CancelledError:
            self.cancel(job)
            raise

    def submit(self, job: Job) -> None:
        if self._is_closed:
            raise Unavailable("The server is stopping.")
        job.queued_at = monotonic()
        waiting = self._waiting
        while waiting and waiting[0].phase is not Phase.WAITING:
            waiting.popleft()
        waiting.append(job)
        self._queue.put(job)

    def cancel(self, job: Job, now: float | None = None) -> None:
        """Give a job up, whatever it is doing; nobody waits for its outcome any more."""
        if job.cancel(monotonic() if now is None else now):
            self._canceller.kill(job)
        if job.interrupt is not None:
            job.interrupt()

    @property
    def lost(self) -> int:
        return len(self._retired)

    @property
    def is_exhausted(self) -> bool:
        """Every worker is stuck and no more may be started: only a new process helps."""
        return self._stuck == len(self._workers)

    def state(self) -> PoolState:
        busy = sum(worker.current is not None for worker in self._workers)
        return PoolState(
            self.name,
            busy=busy,
            idle=len(self._workers) - busy,
            lost=self.lost,
            waiting=sum(job.is_waiting for job in self._waiting),
            refused=self._refused,
        )

    def watch(self, now: float) -> None:
        """Refuse jobs that have waited too long, stop those that are over their time, give up
        workers that are stuck; called often."""
        self._refuse_late(now)
        self._retired = [worker for worker in self._retired if worker.is_alive()]
        self._stuck = 0
        for worker in self._workers[:]:
            job = worker.current
            if job is None or job.phase is not Phase.RUNNING:
                continue
            if job.kill_asked_at is not None:
                if now - job.kill_asked_at > self._stuck_after_s and not self._replace(worker):
                    self._stuck += 1
            elif job.limit_s is not None and now - job.started_at > job.limit_s + _GRACE_S:
                self.cancel(job, now)
                if not job.outcome.done():
                    late = make_timeout(job.limit_s)
                    late.connection, late.waited_s = job.connection_name, job.waited_s
                    job.outcome.set_exception(late)

    def _refuse_late(self, now: float) -> None:
        waiting = self._waiting
        while waiting:
            job = waiting[0]
            if job.phase is Phase.WAITING and not job.is_cancelled:
                if not self._max_wait_s or now - job.queued_at < self._max_wait_s:
                    return
                job.cancel(now)  # the worker that comes upon it leaves it
                if not job.outcome.done():
                    self._refused += 1
                    job.outcome.set_exception(
                        TooManyRequests(
                            "Too many requests: no connection was free for "
                            f"{self._max_wait_s:g} seconds (max_wait_s)"
                        )
                    )
            waiting.popleft()

    def begin_close(self, *, kill: bool = True) -> None:
        """Take nothing more, refuse what waits, kill what runs, send the workers home."""
        self._is_closed = True
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is not None:
                job.cancel(monotonic())
                if not job.outcome.done():
                    job.outcome.set_exception(Unavailable("The server is stopping."))
        if kill:
            self.kill_running()
        for _ in self._workers:
            self._queue.put(None)

    def kill_running(self) -> None:
        for worker in self._workers:
            job = worker.current
            if job is not None:
                self.cancel(job)
                if not job.outcome.done():
                    job.outcome.set_exception(Unavailable("The server is stopping."))

    def join(self, deadline: float) -> bool:
        """Wait until `deadline` (monotonic) for the threads; False when one is still busy.
        Blocks: not for the event loop's thread."""
        for worker in (*self._workers, *self._retired):
            worker.join(max(0.0, deadline - monotonic()))
        return self.count_alive() == 0

    def count_alive(self) -> int:
        return sum(worker.is_alive() for worker in (*self._workers, *self._retired))

    def _spawn(self) -> None:
        self._spawned += 1
        worker = Worker(
            f"{self.name}-{self._spawned}",
            self._queue,
            self._delivery,
            self._connect,
            self.profile,
            max_profiles=self._max_profiles,
        )
        self._workers.append(worker)
        worker.start()

    def _replace(self, worker: Worker) -> bool:
        if len(self._retired) >= self.size:
            return False
        worker.is_retired = True
        self._workers.remove(worker)
        self._retired.append(worker)
        self._spawn()
        return True
