"""A thread that owns connections and runs jobs on them, one at a time."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Any

from pipewren.engine.connection import Connection
from pipewren.engine.delivery import Delivery, settle
from pipewren.engine.job import Job
from pipewren.engine.profile import Profile
from pipewren.errors import PipewrenError

JobQueue = SimpleQueue[Job | None]
Connect = Callable[[Profile, str], Connection]

# With more jobs than this waiting, outcomes of quick ones are handed over in batches.
_BACKLOG = 2
_QUICK_S = 0.003


class Worker(threading.Thread):
    """Takes jobs from a queue that it shares with the other workers of its lane.

    It keeps one pooled connection for the lane's own profile, and a few others by profile, the
    least recently used closed first. `current` is the job under way. A worker that was given up
    (`retire`) leaves after its job.
    """

    def __init__(
        self,
        name: str,
        queue: JobQueue,
        delivery: Delivery,
        connect: Connect,
        profile: Profile,
        *,
        max_profiles: int,
    ) -> None:
        # A daemon, so that a process whose engine was never closed can end.
        super().__init__(name=name, daemon=True)
        self._queue = queue
        self._delivery = delivery
        self._connect = connect
        self._profile = profile
        self._max_profiles = max_profiles
        self._pooled: Connection | None = None
        self._others: OrderedDict[Profile, Connection] = OrderedDict()
        self._opened = 0
        self.current: Job | None = None
        self.is_retired = False

    def run(self) -> None:
        try:
            while not self.is_retired and (job := self._queue.get()) is not None:
                self._do(job)
                # Else the job's rows stay in memory until the next one comes.
                del job
        finally:
            for connection in (self._pooled, *self._others.values()):
                if connection is not None:
                    connection.close()

    def _do(self, job: Job) -> None:
        if job.is_cancelled:
            return
        outcome: Any = None
        error: BaseException | None = None
        try:
            connection = self._connection(job.profile)
        except Exception as failure:  # noqa: BLE001 - it goes to whoever awaits the job
            self._delivery.call(settle, job, None, failure)
            return
        if not job.start(connection.name, monotonic()):
            return
        self.current = job
        connection.waited_s, connection.span = job.waited_s, None
        try:
            outcome = job.act(connection)
        except BaseException as failure:  # noqa: BLE001 - it goes to whoever awaits the job
            error = failure
            if isinstance(failure, PipewrenError):
                failure.connection, failure.waited_s = connection.name, job.waited_s
                failure.span = connection.span
        kill_returned = job.end()
        self.current = None
        if self._queue.qsize() > _BACKLOG and monotonic() - job.started_at < _QUICK_S:
            self._delivery.defer(settle, job, outcome, error)
        else:
            self._delivery.call(settle, job, outcome, error)
        if kill_returned is not None:
            kill_returned.wait()

    def _connection(self, profile: Profile | None) -> Connection:
        if profile is None or profile == self._profile:
            if self._pooled is None:
                self._pooled = self._open(self._profile)
            return self._pooled
        connection = self._others.pop(profile, None)
        if connection is None:
            connection = self._open(profile)
            if len(self._others) >= self._max_profiles:
                _, oldest = self._others.popitem(last=False)
                with contextlib.suppress(RuntimeError):
                    oldest.close()
        self._others[profile] = connection
        return connection

    def _open(self, profile: Profile) -> Connection:
        self._opened += 1
        return self._connect(profile, f"{self.name}-{self._opened}")
