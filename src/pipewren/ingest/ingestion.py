"""Events on their way: acknowledged when they are in the log, grouped, inserted exactly once.

    accept ──▶ committer ──▶ event log ──▶ queue of the table ──(time, rows, bytes)──▶ inserter

The page to read first of this folder. What changes tables under the rows' feet (truncate, replace,
going live) does it inside `flushed`: ClickHouse forgets the tokens of a table's inserts then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

from pipewren.engine.contract import Engine
from pipewren.errors import PipewrenError, Unavailable
from pipewren.ingest.batch import Batch, split_batch
from pipewren.ingest.committer import Committer
from pipewren.ingest.gate import WriteGate
from pipewren.ingest.ingestion_state import IngestionState
from pipewren.ingest.inserter import Fate, Inserter, Outcome, Stuck
from pipewren.ingest.log import EventLog
from pipewren.ingest.queues import Key, NotYet, Pending, TableQueue, Waiter
from pipewren.ingest.recovery import read_log
from pipewren.ingest.set_aside import is_set_aside

MAX_WAIT_S = 30.0  # of callers who want their rows in the table
_PAUSE_S = 1.0  # after an error that is no group's

_log = logging.getLogger("pipewren.ingest")


class Ingestion:
    """`observe` is told of every insert of a group. One event loop; `start` before all else."""

    def __init__(
        self,
        engine: Engine,
        log: EventLog,
        gate: WriteGate,
        data_dir: Path,
        *,
        max_log_bytes: int,
        flush_s: float,
        observe: Callable[[Outcome], None] | None = None,
    ) -> None:
        self.gate = gate
        self.observe = observe
        self._log = log
        self._max_log_bytes = max_log_bytes
        self._flush_s = flush_s
        self._queues: dict[Key, TableQueue] = {}
        self._committer = Committer(log, self._place)
        self._data_dir = data_dir
        self._inserter = Inserter(engine, log, self._committer, data_dir, self._count)
        self._is_closed = False
        self._counts = dict.fromkeys(
            ("written", "failed", "view_failed", "set_aside", "rows", "refused"), 0
        )

    async def start(self, workspace_ids: Collection[str]) -> int:
        """Insert what a server that ended had acknowledged and not inserted; the number of rows.
        What cannot be inserted now is tried later. Rows of workspaces that are not in
        `workspace_ids` are dropped: they were deleted."""
        self._queues, over = await asyncio.to_thread(read_log, self._log)
        if over:
            await self._log.release(over)
        for queue in list(self._queues.values()):
            if queue.key[0] not in workspace_ids:
                await self._inserter.forget(queue)
            for group in list(queue.failed):
                if is_set_aside(self._data_dir, group.token):  # and was killed before it said so
                    with contextlib.suppress(PipewrenError):
                        await self._inserter.drop(queue, group)
        queues = [queue for queue in self._queues.values() if not queue.is_empty]
        rows = sum(queue.all_rows for queue in queues)
        # All repetitions first: other rows might push their tokens out of a table that several
        # of these feed.
        for is_first in (True, False):
            for queue in queues:
                async with queue.lock:
                    with contextlib.suppress(PipewrenError):
                        await self._insert_all(queue, has_pending=not is_first)
        for queue in queues:
            self._begin(queue)
        return rows

    async def accept(self, workspace_id: str, batches: Sequence[Batch], *, wait: bool) -> bool:
        """Rows for tables that exist. They are durable on return, and with `wait` in their tables;
        False where that takes too long, and they come later. Raises Unavailable, and ViewFailed
        where they are in their table and a materialised view refused them."""
        pieces = [piece for batch in batches for piece in split_batch(batch)]
        self.require_room(sum(len(piece.rows) for piece in pieces))
        loop = asyncio.get_running_loop()
        waiters: list[Waiter] = [loop.create_future() for _ in pieces] if wait else []
        written = self._committer.add_rows(workspace_id, pieces, waiters)
        for result in await asyncio.gather(*written, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        if not waiters:
            return True
        done, late = await asyncio.wait(waiters, timeout=MAX_WAIT_S)
        errors = [error for one in done if (error := one.result()) is not None]
        for error in errors:
            if not isinstance(error, NotYet):
                raise error
        return not (late or errors)

    def require_room(self, size: int) -> None:
        """Raises Unavailable where so many bytes more would be too many."""
        if self._is_closed:
            raise Unavailable("The server is stopping: try again in a moment")
        held = self._log.size + self._committer.waiting_bytes
        if held + size > self._max_log_bytes:
            self._counts["refused"] += 1
            raise Unavailable(
                f"The server cannot keep up: {held // 1_000_000} MB of events wait to be inserted, "
                "and max_event_log_bytes allows no more. Send them again in a few seconds",
                retry_after_s=5,
            )

    @asynccontextmanager
    async def flushed(
        self,
        workspace_id: str,
        tables: Collection[str] | None = None,
        *,
        settle: bool = True,
        or_drop: bool = False,
    ) -> AsyncGenerator[None, None]:
        """Nothing is inserted inside, and what was acknowledged before is in its table. `tables`
        are physical ones, None means all of the workspace. A group that a view refused is over,
        since a view of another version would not know its token; with `settle` any other that
        fails is tried to its end, else it is tried again later. With `or_drop` rows that the engine
        does not take are dropped, after what is inside has succeeded. To be called inside the write
        gate. Raises Unavailable."""
        await self._committer.drain()
        late: list[tuple[TableQueue, Pending | None]] = []
        async with AsyncExitStack() as stack:
            queues: list[TableQueue] = []
            # Rows that are refused come into queues of quarantines, which may be new ones.
            while more := self._select(workspace_id, tables, queues):
                queues += more
                for queue in more:
                    await stack.enter_async_context(queue.lock)
                for queue in more:
                    last = queue.pending[-1] if queue.pending else None
                    try:
                        await self._insert_all(queue)
                        await self._end_failed(queue, settle=settle)
                    except Unavailable:
                        if not or_drop:
                            raise
                        late.append((queue, last))
            await self._inserter.record_done()
            yield
            # Not before: where a truncate fails, or is killed, its rows are still wanted.
            for queue, last in late:
                await self._drop_all(queue, last)

    @asynccontextmanager
    async def quiet(self, workspace_id: str) -> AsyncGenerator[None, None]:
        """Around what changes tables and views: nothing is written meanwhile, and rows of before
        have gone through the views of before. Raises Unavailable."""
        async with self.gate.closed(workspace_id), self.flushed(workspace_id, settle=False):
            yield

    async def drop_workspace(self, workspace_id: str) -> None:
        """Forget the rows of a workspace that the store does not know any more."""
        await self._committer.drain()
        for queue in [one for key, one in self._queues.items() if key[0] == workspace_id]:
            async with queue.lock:
                await self._inserter.forget(queue)

    def state(self) -> IngestionState:
        now_s = monotonic()
        queues = list(self._queues.values())
        times = [time_s for queue in queues if (time_s := queue.oldest_s) is not None]
        return IngestionState(
            log_bytes=self._log.size,
            log_max_bytes=self._max_log_bytes,
            pending_rows=sum(queue.all_rows for queue in queues),
            oldest_age_s=now_s - min(times) if times else 0.0,
            groups_written=self._counts["written"],
            groups_failed=self._counts["failed"],
            groups_view_failed=self._counts["view_failed"],
            groups_set_aside=self._counts["set_aside"],
            rows_written=self._counts["rows"],
            refused=self._counts["refused"],
        )

    async def close(self) -> None:
        """Take no more, end the inserts under way; the rest stays in the log for the next start."""
        self._is_closed = True
        await self._committer.drain()
        tasks = []
        for queue in list(self._queues.values()):
            async with queue.lock:
                if queue.task is not None:
                    queue.task.cancel()
                    tasks.append(queue.task)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._committer.close()
        await self._log.close()

    def _place(self, key: Key, pending: Pending) -> None:
        queue = self._queue(key)
        queue.add(pending)
        self._begin(queue)

    def _queue(self, key: Key) -> TableQueue:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = TableQueue(key)
        return queue

    def _begin(self, queue: TableQueue) -> None:
        if queue.task is None and not queue.is_empty and not self._is_closed:
            queue.task = asyncio.create_task(self._work(queue))

    async def _work(self, queue: TableQueue) -> None:
        """Insert what a queue has, whenever it is due, until it is empty."""
        while True:
            queue.changed.clear()
            due_s = queue.due_in_s(monotonic(), self._flush_s)
            if due_s is None:
                queue.task = None
                return
            if due_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(queue.changed.wait(), due_s)
                continue
            try:
                async with self.gate.writing(queue.key[0]), queue.lock:
                    await self._insert_due(queue)
            except PipewrenError as error:
                _log.warning("events for %s wait: %s", queue.key[1], error.message)
                queue.busy_until_s = monotonic() + _PAUSE_S
            except Exception:  # noqa: BLE001 - other tables and later rows go on
                _log.exception("inserting events into %s went wrong", queue.key[1])
                queue.busy_until_s = monotonic() + _PAUSE_S

    async def _insert_due(self, queue: TableQueue) -> None:
        now_s = monotonic()
        # One at a time, so that others need not wait for the many parts of a group.
        for group in queue.due_failed(now_s)[:1]:
            try:
                await self._inserter.insert(queue, group)
            except Stuck as error:
                _log.warning("a group for %s waits: %s", queue.key[1], error.message)
        if queue.pending and queue.pending_due_s(now_s, self._flush_s) <= 0:
            group, _ = await self._inserter.seal(queue)
            await self._inserter.insert(queue, group)

    async def _insert_all(self, queue: TableQueue, *, has_pending: bool = True) -> None:
        """Try everything once, parts of groups too, and first what was sealed already. Raises
        Unavailable."""
        # What comes meanwhile is not waited for: it may come without end.
        last = queue.pending[-1] if queue.pending and has_pending else None
        tried: set[str] = set()
        while True:
            group = next((one for one in queue.failed if one.token not in tried), None)
            if group is None:
                if last is None:
                    return
                group, is_last = await self._inserter.seal(queue, last)
                last = None if is_last else last
            tried.add(group.token)
            await self._inserter.insert(queue, group)

    async def _end_failed(self, queue: TableQueue, *, settle: bool) -> None:
        """After `_insert_all`. Raises Unavailable."""
        for group in [one for one in queue.failed if one.is_in_table]:
            await self._inserter.give_up(queue, group)
        while settle and queue.failed:
            group = queue.failed[0]
            await asyncio.sleep(max(0.0, group.retry_at_s - monotonic()))
            if group.is_in_table:
                await self._inserter.give_up(queue, group)
            else:
                await self._inserter.insert(queue, group)

    async def _drop_all(self, queue: TableQueue, last: Pending | None) -> None:
        """Sealed groups, and pending rows up to `last`: what came later belongs to later."""
        while any(pending is last for pending in queue.pending):
            await self._inserter.seal(queue, last)
        for group in list(queue.failed):
            await self._inserter.drop(queue, group)

    def _select(
        self, workspace_id: str, tables: Collection[str] | None, known: Sequence[TableQueue]
    ) -> list[TableQueue]:
        """The queues of these tables, or those of the workspace, without the known ones; in one
        order for all, so that nobody waits in a circle."""
        if tables is None:
            tables = [table for workspace, table in self._queues if workspace == workspace_id]
        queues = [self._queue((workspace_id, table)) for table in sorted(tables)]
        return [queue for queue in queues if queue not in known]

    def _count(self, outcome: Outcome) -> None:
        if outcome.fate is Fate.WRITTEN:
            self._counts["written"] += 1
        else:
            self._counts["failed"] += 1
            self._counts["view_failed"] += outcome.fate is Fate.VIEW_FAILED
            self._counts["set_aside"] += outcome.fate is Fate.SET_ASIDE
        if outcome.fate in (Fate.WRITTEN, Fate.VIEW_FAILED):
            self._counts["rows"] += outcome.rows
        if self.observe is not None:
            self.observe(outcome)
