"""Group commit: what many callers hand over goes to the event log by one write.

While one write is under way the next ones gather, so the busier the server is, the larger are the
groups; rows for one table become one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from pipewren.errors import Unavailable
from pipewren.ingest.batch import MAX_BATCH_ROWS, Batch
from pipewren.ingest.log import EventLog
from pipewren.ingest.log_frames import Head, Rows
from pipewren.ingest.queues import Key, Pending, Shape, Waiter

_WRITE_BYTES = 32_000_000
_FRAME_BYTES = 8_000_000
# A write and the way to its thread cost a fifth of a millisecond: at more than a hundred a second
# a commit waits for others to come.
_BUSY_S = 0.01
_LINGER_S = 0.002


@dataclass(slots=True)
class _Entry:
    """Rows, or another record. `written` is set when it is in the log; one that `follows` goes by
    the same write as the entry before it."""

    head: Head
    rows: bytes
    written: asyncio.Future[None]
    waiter: Waiter | None = None
    follows: bool = False


class Committer:
    """`place` is told of all rows that are in the log, before their callers are. `waiting_bytes`
    are those that are not."""

    def __init__(self, log: EventLog, place: Callable[[Key, Pending], None]) -> None:
        self.waiting_bytes = 0
        self._log = log
        self._place = place
        self._waiting: list[_Entry] = []
        self._committing: list[_Entry] = []
        self._wanted = asyncio.Event()
        self._last_s = 0.0
        self._is_closed = False
        self._task = asyncio.create_task(self._commit_forever())

    def add_rows(
        self, workspace_id: str, batches: Sequence[Batch], waiters: Sequence[Waiter] = ()
    ) -> list[asyncio.Future[None]]:
        """Rows for the log, all or none; the results are set when they are there. Each of `waiters`
        is set when the rows of its batch are in their table."""
        return [
            self._add(
                Rows(workspace_id, batch.table, batch.columns, batch.format, batch.count),
                batch.rows,
                waiters[number] if waiters else None,
                follows=number > 0,
            )
            for number, batch in enumerate(batches)
        ]

    async def replace(self, workspace_id: str, token: str, batch: Batch) -> None:
        """Rows in the place of a group, which is done with that: one frame, so that no kill can
        part the two. In the log on return. Raises Unavailable."""
        await self._add(
            Rows(workspace_id, batch.table, batch.columns, batch.format, batch.count, token),
            batch.rows,
        )

    async def record(self, head: Head) -> None:
        """Another record; in the log on return. Raises Unavailable."""
        await self._add(head, b"")

    async def drain(self) -> None:
        """Until what has been handed over is in the log, or was refused."""
        waiting = [entry.written for entry in (*self._committing, *self._waiting)]
        if waiting:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Write what waits, take no more."""
        self._is_closed = True
        self._wanted.set()
        await self._task

    def _add(
        self, head: Head, rows: bytes, waiter: Waiter | None = None, *, follows: bool = False
    ) -> asyncio.Future[None]:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._is_closed:
            written.set_exception(Unavailable("The server is stopping: try again in a moment"))
            return written
        self._waiting.append(_Entry(head, rows, written, waiter, follows))
        self.waiting_bytes += len(rows)
        self._wanted.set()
        # A caller who goes takes nothing back: `drain` waits for these rows too.
        return asyncio.shield(written)

    async def _commit_forever(self) -> None:
        while not (self._is_closed and not self._waiting):
            await self._wanted.wait()
            if monotonic() - self._last_s < _BUSY_S and not self._is_closed:
                await asyncio.sleep(_LINGER_S)
            self._wanted.clear()
            while self._waiting:
                self._committing = self._take()
                await self._commit(self._committing)
                self._committing = []
            self._last_s = monotonic()

    def _take(self) -> list[_Entry]:
        size = 0
        for number, entry in enumerate(self._waiting):
            size += len(entry.rows)
            if size > _WRITE_BYTES and number and not entry.follows:
                break
        else:
            number = len(self._waiting)
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        return taken

    async def _commit(self, entries: list[_Entry]) -> None:
        frames = _merge(entries)
        try:
            extents = await self._log.append(
                [(head, b"".join(entry.rows for entry in merged)) for head, merged in frames]
            )
        except Exception as error:  # noqa: BLE001 - it is for those who wait, whatever it is
            # Records of groups need hardly any room, and let go of what does: they go without rows.
            refused = [entry for entry in entries if isinstance(entry.head, Rows)] or entries
            for entry in refused:
                self._end(entry, error)
            if len(refused) < len(entries):
                await self._commit([one for one in entries if not isinstance(one.head, Rows)])
            return
        now_s = monotonic()
        for (head, merged), extent in zip(frames, extents, strict=True):
            if isinstance(head, Rows) and extent is not None:
                self._place(
                    (head.workspace_id, head.table),
                    Pending(
                        Shape(head.columns, head.format),
                        extent,
                        now_s,
                        [entry.waiter for entry in merged if entry.waiter is not None],
                    ),
                )
            for entry in merged:
                self._end(entry)

    def _end(self, entry: _Entry, error: Exception | None = None) -> None:
        self.waiting_bytes -= len(entry.rows)
        if entry.written.done():  # its caller has gone
            return
        if error is None:
            entry.written.set_result(None)
        else:
            entry.written.set_exception(error)


def _merge(entries: list[_Entry]) -> list[tuple[Head, list[_Entry]]]:
    """Frames with what goes into each: rows of one table and shape together, in order."""
    merged: list[tuple[Head, list[_Entry]]] = []
    open_frames: dict[tuple[str, str, tuple[str, ...], str], int] = {}
    sizes: dict[int, int] = {}
    counts: dict[int, int] = {}
    for entry in entries:
        head = entry.head
        if not isinstance(head, Rows) or head.ends:
            merged.append((head, [entry]))
            continue
        key = (head.workspace_id, head.table, head.columns, head.format)
        at = open_frames.get(key)
        if (
            at is not None
            and sizes[at] + len(entry.rows) <= _FRAME_BYTES
            and counts[at] + head.count <= MAX_BATCH_ROWS
        ):
            merged[at][1].append(entry)
        else:
            at = open_frames[key] = len(merged)
            merged.append((head, [entry]))
            sizes[at] = counts[at] = 0
        sizes[at] += len(entry.rows)
        counts[at] += head.count
        merged[at] = (Rows(*key, counts[at]), merged[at][1])
    return merged
