"""What waits for one table: rows in the log that belong to no group, and groups that failed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipewren.ingest.batch import MAX_BATCH_ROWS
from pipewren.ingest.log_frames import Extent

GROUP_BYTES = 16_000_000
GROUP_ROWS = MAX_BATCH_ROWS
# So many inserts at once, then so many a second: each makes a part, and merges must keep up.
BURST = 100.0
INSERTS_PER_S = 20.0
RETRY_PAUSES_S = (0.3, 1.0, 3.0)  # then a group is set aside

Key = tuple[str, str]  # workspace id, physical table
# Of a caller who waits for the rows to be in their table: set to None then, or to why they are not.
Waiter = asyncio.Future[Exception | None]


class NotYet(Exception):
    """What waiters are told where the engine takes nothing now: their rows come later."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows are written: see `batch.Batch`."""

    columns: tuple[str, ...]
    format: str


@dataclass(slots=True)
class Pending:
    """Rows of one commit, in the log. `waiters` are told when they are in the table, or why not;
    `arrived_s` is by the monotonic clock."""

    shape: Shape
    extent: Extent
    arrived_s: float
    waiters: list[Waiter] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """Rows that are inserted as one, under `token`."""

    token: str
    shape: Shape
    extents: tuple[Extent, ...]
    arrived_s: float
    waiters: list[Waiter] = field(default_factory=list)
    parts: list[int] = field(default_factory=lambda: [1])  # that are not over: one number for all
    tries: int = 0
    retry_at_s: float = 0.0
    reason: str = ""
    refused: list[str] = field(default_factory=list)  # reasons of single rows, of all its parts
    is_in_table: bool = False  # and a materialised view has refused it
    is_in_other_views: bool = False
    blocks_at_try: int | None = None  # see token_window.py
    passed_blocks: int = 0

    @property
    def rows(self) -> int:
        return sum(extent.count for extent in self.extents)

    @property
    def size(self) -> int:
        return sum(extent.length for extent in self.extents)

    def tell(self, error: Exception | None = None) -> None:
        """Wake those who wait for its rows: of an error at once, else when all parts of what was
        one group are over. Later callers find nobody left."""
        if error is None:
            self.parts[0] -= 1
            if self.parts[0] > 0:
                return
        _tell(self.waiters, error)
        self.waiters.clear()


class TableQueue:
    """`lock` is held by whoever inserts into the table, or needs that nobody does; `changed` wakes
    the task that works on it."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.pending: deque[Pending] = deque()
        self.failed: list[Group] = []
        self.lock = asyncio.Lock()
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.rows = 0  # of `pending`
        self.size = 0
        self.busy_until_s = 0.0  # the engine has no room or no time before
        self._allowance = BURST
        self._counted_s = 0.0

    @property
    def is_empty(self) -> bool:
        return not self.pending and not self.failed

    @property
    def all_rows(self) -> int:
        """Pending ones and those of groups that failed."""
        return self.rows + sum(group.rows for group in self.failed)

    @property
    def oldest_s(self) -> float | None:
        """When the oldest of its rows came."""
        times = [group.arrived_s for group in self.failed]
        if self.pending:
            times.append(self.pending[0].arrived_s)
        return min(times, default=None)

    def add(self, pending: Pending) -> None:
        self.pending.append(pending)
        self.rows += pending.extent.count
        self.size += pending.extent.length
        self.changed.set()

    def take(self, last: Pending | None = None) -> list[Pending]:
        """The next group: rows of one shape, in order of their coming, within the bounds, up to
        `last` at most."""
        taken: list[Pending] = []
        rows = size = 0
        while self.pending:
            first = self.pending[0]
            rows += first.extent.count
            size += first.extent.length
            if taken and (first.shape != taken[0].shape or rows > GROUP_ROWS or size > GROUP_BYTES):
                break
            taken.append(self.pending.popleft())
            self.rows -= first.extent.count
            self.size -= first.extent.length
            if first is last:
                break
        return taken

    def take_all(self) -> None:
        self.pending.clear()
        self.rows = self.size = 0

    def put_back(self, taken: list[Pending]) -> None:
        """Rows that could not be made a group."""
        for pending in reversed(taken):
            self.pending.appendleft(pending)
            self.rows += pending.extent.count
            self.size += pending.extent.length

    def due_failed(self, now_s: float) -> list[Group]:
        return [group for group in self.failed if group.retry_at_s <= now_s]

    def due_in_s(self, now_s: float, flush_s: float) -> float | None:
        """When something is to be done, 0 for at once; None where nothing waits."""
        times = [group.retry_at_s - now_s for group in self.failed]
        if self.pending:
            times.append(self.pending_due_s(now_s, flush_s))
        if not times:
            return None
        return max(0.0, min(times), self.busy_until_s - now_s)

    def tell_all(self, error: Exception) -> None:
        """Wake all who wait for rows of this table."""
        for group in self.failed:
            group.tell(error)
        for pending in self.pending:
            waiters, pending.waiters = pending.waiters, []
            _tell(waiters, error)

    def note_insert(self, now_s: float) -> None:
        self._refill(now_s)
        self._allowance -= 1

    def pending_due_s(self, now_s: float, flush_s: float) -> float:
        self._refill(now_s)
        pause_s = max(0.0, (1 - self._allowance) / INSERTS_PER_S)
        is_full = self.rows >= GROUP_ROWS // 2 or self.size >= GROUP_BYTES // 2
        if is_full or any(pending.waiters for pending in self.pending):
            return pause_s
        return max(pause_s, self.pending[0].arrived_s + flush_s - now_s)

    def _refill(self, now_s: float) -> None:
        passed_s = now_s - self._counted_s
        self._counted_s = now_s
        self._allowance = min(BURST, self._allowance + passed_s * INSERTS_PER_S)


def _tell(waiters: Iterable[Waiter], error: Exception | None) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(error)
