"""A result that arrives in chunks, pulled by its reader from the worker that runs it."""

from __future__ import annotations

import asyncio
from collections import deque
from queue import SimpleQueue

from msgspec.structs import replace

from pipewren.engine.connection import Connection
from pipewren.engine.contract import QuerySpan, Result, Statement, Statistics
from pipewren.engine.delivery import Delivery
from pipewren.engine.job import Job
from pipewren.engine.outcome import Outcome
from pipewren.engine.pool import WorkerPool
from pipewren.engine.profile import Profile

_AHEAD = 2  # chunks that the worker fetches before the reader asks for them


class EmbeddedStream:
    """An async iterator of chunks. The query starts with the first `__anext__`.

    An open stream owns a worker, and its reader's pauses count to the time limit. Closing it early
    ends the query on the worker's own thread (from another one it can hang, engine-chdb.md
    section 1) and KILLs it, since the worker may be inside a long fetch. Only bytes waiting for
    the reader are held: `_AHEAD` chunks.
    """

    def __init__(
        self,
        statement: Statement,
        pool: WorkerPool,
        delivery: Delivery,
        profile: Profile | None,
    ) -> None:
        self._statement = statement
        self._pool = pool
        self._delivery = delivery
        self._profile = profile
        self._credits: SimpleQueue[bool] = SimpleQueue()
        self._chunks: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._job: Job | None = None
        self._is_closed = False
        self.statistics = Statistics()

    def __aiter__(self) -> EmbeddedStream:
        return self

    async def __anext__(self) -> bytes:
        if self._is_closed:
            raise StopAsyncIteration
        job = self._job or self._start()
        try:
            while not self._chunks:
                if job.outcome.done():
                    self._is_closed = True
                    job.outcome.result()  # raises the query's error, if any
                    raise StopAsyncIteration
                self._arrived.clear()
                await self._arrived.wait()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        self._credits.put(True)
        return self._chunks.popleft()

    async def aclose(self) -> None:
        """End the query now, if it is not over; may be called again."""
        self._is_closed = True
        self._chunks.clear()
        if self._job is not None and not self._job.outcome.done():
            self._pool.cancel(self._job)
            self._job.outcome.cancel()

    def _start(self) -> Job:
        outcome = Outcome(asyncio.get_running_loop())
        job = Job(
            self._pump,
            outcome,
            profile=self._profile,
            limit_s=self._statement.limits.max_execution_time_s,
            interrupt=lambda: self._credits.put(False),
        )
        outcome.when_done(self._arrived.set)
        for _ in range(_AHEAD):
            self._credits.put(True)
        self._pool.submit(job)
        self._job = job
        return job

    def _pump(self, connection: Connection) -> None:
        """On the worker's thread: fetch as long as the reader takes."""
        chunks = connection.stream(self._statement)
        try:
            for chunk in chunks:
                self._delivery.call(self._push, chunk)
                if not self._credits.get():
                    break
        finally:
            chunks.close()
        if connection.span is not None:
            self._delivery.call(self._note_span, connection.span)

    def _note_span(self, span: QuerySpan) -> None:
        """When the query is over, and before its outcome is there."""
        self.statistics = replace(self.statistics, span=span)

    def _push(self, chunk: Result) -> None:
        before, more = self.statistics, chunk.statistics
        # A chunk's scanned rows are what came since the last one (engine-chdb.md section 1).
        self.statistics = Statistics(
            elapsed_s=max(before.elapsed_s, more.elapsed_s),
            rows_read=before.rows_read + more.rows_read,
            bytes_read=before.bytes_read + more.bytes_read,
            result_rows=before.result_rows + more.result_rows,
            connection=more.connection,
            waited_s=more.waited_s,
        )
        if not self._is_closed:
            self._chunks.append(chunk.body)
            self._arrived.set()
