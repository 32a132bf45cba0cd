"""A job: what a worker thread is to do on a connection, and where its outcome goes.

A job may be cancelled while it waits, runs or has just ended. KILL names a *connection*, so the
rule that keeps it from the next caller's query is held here: a worker that ends a job whose KILL
is under way waits until that KILL has returned (design, decision 7).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

from pipewren.engine.connection import Connection
from pipewren.engine.outcome import Outcome
from pipewren.engine.profile import Profile


class Phase(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Job:
    """One piece of work. `outcome` belongs to the event loop; the rest is guarded by `_lock`.

    `profile` None means the worker's own, pooled connection. `limit_s` counts from the start of
    the work (None: no limit). `interrupt` wakes work that waits for its reader (streams).
    """

    __slots__ = (
        "_kill_returned",
        "_lock",
        "act",
        "connection_name",
        "interrupt",
        "is_cancelled",
        "kill_asked_at",
        "limit_s",
        "outcome",
        "phase",
        "profile",
        "queued_at",
        "started_at",
    )

    def __init__(
        self,
        act: Callable[[Connection], Any],
        outcome: Outcome,
        *,
        profile: Profile | None = None,
        limit_s: float | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self.act = act
        self.outcome = outcome
        self.profile = profile
        self.limit_s = limit_s
        self.interrupt = interrupt
        self.phase = Phase.WAITING
        self.is_cancelled = False
        self.queued_at = 0.0
        self.started_at = 0.0
        self.kill_asked_at: float | None = None
        self.connection_name = ""
        self._lock = threading.Lock()
        self._kill_returned: threading.Event | None = None

    @property
    def is_waiting(self) -> bool:
        return self.phase is Phase.WAITING and not self.is_cancelled

    def start(self, connection_name: str, now: float) -> bool:
        """The worker takes the job; False when it was cancelled while it waited."""
        with self._lock:
            if self.is_cancelled:
                self.phase = Phase.ENDED
                return False
            self.connection_name = connection_name
            self.started_at = now
            self.phase = Phase.RUNNING
            return True

    @property
    def waited_s(self) -> float:
        """For how long it waited, once it has started."""
        return self.started_at - self.queued_at

    def end(self) -> threading.Event | None:
        """The worker's query is over; what it must wait for before it takes other work."""
        with self._lock:
            self.phase = Phase.ENDED
            return self._kill_returned

    def cancel(self, now: float) -> bool:
        """Give the job up; True when it runs, so that a KILL is needed."""
        with self._lock:
            self.is_cancelled = True
            if self.phase is not Phase.RUNNING or self.kill_asked_at is not None:
                return False
            self.kill_asked_at = now
            return True

    def open_kill(self) -> threading.Event | None:
        """Before a KILL of its connection: the event to set when KILL has returned, or None when
        the job is over and KILL would hit the next one."""
        with self._lock:
            if self.phase is not Phase.RUNNING:
                return None
            self._kill_returned = threading.Event()
            return self._kill_returned
