"""The thread that stops running queries: KILL QUERY on a connection of its own.

KILL finds a query by its connection's log_comment (a query id cannot be set, engine-chdb.md
section 1) and misses one that the engine has not registered yet, so it is repeated, ever more
slowly, until the query has ended. A few functions listen to nothing (engine-guard.md section 5);
the pool gives their worker up.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue

from pipewren.engine.connection import Connection
from pipewren.engine.job import Job
from pipewren.errors import PipewrenError
from pipewren.sqltext import Sql, quote_literal, trusted_sql

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0


class Canceller(threading.Thread):
    """`kill` returns at once; the query ends some 20 ms later."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(name="cancel", daemon=True)
        self._connection = connection
        self._asked: SimpleQueue[Job | None] = SimpleQueue()
        self.kills = 0
        self.failure: PipewrenError | None = None

    def kill(self, job: Job) -> None:
        """Stop a job that `Job.cancel` said is running."""
        self._asked.put(job)

    def stop(self) -> None:
        self._asked.put(None)

    def run(self) -> None:
        pending: list[Job] = []
        pause_s = _FIRST_PAUSE_S
        is_stopping = False
        try:
            while not is_stopping:
                asked, is_stopping = self._wait(pause_s if pending else None)
                pause_s = _FIRST_PAUSE_S if asked else min(2 * pause_s, _LONGEST_PAUSE_S)
                pending = self._kill_all(pending + asked)
        finally:
            self._connection.close()

    def _wait(self, timeout_s: float | None) -> tuple[list[Job], bool]:
        asked: list[Job] = []
        try:
            job = self._asked.get(timeout=timeout_s)
            while job is not None:
                asked.append(job)
                job = self._asked.get_nowait()
        except Empty:
            return asked, False
        return asked, True

    def _kill_all(self, jobs: list[Job]) -> list[Job]:
        """One KILL for all that still run; those are returned."""
        running = [(job, event) for job in jobs if (event := job.open_kill()) is not None]
        if not running:
            return []
        try:
            self._connection.execute(
                kill_statement([job.connection_name for job, _ in running]), None
            )
            self.kills += 1
            self.failure = None
        except PipewrenError as error:
            self.failure = error  # shown by `health`; the jobs stay pending
        finally:
            # Only now may their workers take other work.
            for _, event in running:
                event.set()
        return [job for job, _ in running]


def kill_statement(connection_names: list[str]) -> Sql:
    names = ", ".join(quote_literal(name) for name in connection_names)
    return trusted_sql(f"KILL QUERY WHERE Settings['log_comment'] IN ({names}) ASYNC")
