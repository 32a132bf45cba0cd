"""Takes usage records on the event loop and writes them in groups, off the request's path.

    record() ──▶ waiting ──(rows made, in slices)──▶ groups by table ──(each second)──▶ engine

What cannot be written yet (the disk reserve, an engine that is busy) is kept up to bounds in
records and in bytes; beyond them new records are dropped and counted. A group has a deduplication
token of its own, so that writing it again after an error that left it open adds nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, TypeVar

import msgspec

from pipewren.engine.contract import Engine, Insert
from pipewren.errors import PipewrenError, TimedOut, Unavailable
from pipewren.usage.service_tables import DATABASE

S = TypeVar("S")
Row = Mapping[str, Any]  # column -> value as JSON has it; columns that are left out are empty

MAX_WAITING = 100_000
MAX_BYTES = 64_000_000  # of rows that wait to be written
_GROUP_BYTES = 4_000_000
_CONVERT_PAUSE_S = 0.1
_WRITE_PAUSE_S = 1.0
_LOOK_UP_S = 0.5  # at most
# How long the loop is held at a time. A `sleep(0)` in between would not do: the engine's workers
# need the interpreter's lock, which a loop that never waits gives away every 5 ms only.
_SLICE_S = 0.001
_BREATH_S = 0.001
_MAX_TRIES = 3  # of a group that the engine refuses, but for want of room or time
_WARNING_PAUSE_S = 60.0

_log = logging.getLogger("pipewren.usage")


@dataclass(slots=True)
class _Group:
    """Rows of one table, as JSON lines. `token` is set when it is complete."""

    table: str
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    token: str = ""
    tries: int = 0


class Recorder:
    """`written` and `dropped` count records since the start, `waiting` those that are neither.

    `record` and `close` are for the event loop that `start` was called on."""

    def __init__(
        self,
        engine: Engine,
        prepare: Callable[[], Awaitable[None]],
        *,
        max_waiting: int = MAX_WAITING,
        max_bytes: int = MAX_BYTES,
        look_up: Callable[[Sequence[Any]], Awaitable[None]] | None = None,
    ) -> None:
        """`prepare` makes the tables; it is called until it succeeds, before the first group.
        `look_up` gets the sources before rows are made of them, to find out what the rows need;
        where it fails they are made without."""
        self.written = 0
        self.dropped = 0
        self._engine = engine
        self._prepare: Callable[[], Awaitable[None]] | None = prepare
        self._look_up = look_up
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._sources: deque[tuple[str, Callable[[Any], Row | None], Any]] = deque()
        self._open: dict[str, _Group] = {}
        self._complete: deque[_Group] = deque()
        self._rows = 0  # of groups
        self._bytes = 0
        self._is_closed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._warned_s = -_WARNING_PAUSE_S
        self._told_dropped = 0

    @property
    def waiting(self) -> int:
        return len(self._sources) + self._rows

    def record(self, table: str, make_row: Callable[[S], Row | None], source: S) -> bool:
        """Have `make_row(source)` written to a table soon; None is no row. It is called later, on
        the loop. Never waits and never raises; False where there is no room for it."""
        if len(self._sources) + self._rows >= self._max_waiting or self._is_closed:
            self.dropped += 1
            return False
        self._sources.append((table, make_row, source))
        return True

    async def prepare(self) -> None:
        """Make the tables, unless they are made. Raises what that raises."""
        if self._prepare is not None:
            await self._prepare()
            self._prepare = None

    def start(self) -> None:
        """Begin to write."""
        if self._look_up is not None:  # which is dear: once a group
            self._tasks = [asyncio.create_task(_forever(self._convert_and_write, _WRITE_PAUSE_S))]
            return
        self._tasks = [
            asyncio.create_task(_forever(self._convert, _CONVERT_PAUSE_S)),
            asyncio.create_task(_forever(self._write, _WRITE_PAUSE_S)),
        ]

    async def close(self) -> None:
        """Write what waits; what cannot be written is dropped."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._convert_and_write()
        self.dropped += self.waiting
        if self.waiting:
            _log.warning("%s usage records could not be written and are lost", self.waiting)
        self._sources.clear()
        self._open.clear()
        self._complete.clear()
        self._rows = self._bytes = 0

    async def _convert_and_write(self) -> None:
        await self._convert()
        await self._write()

    async def _convert(self) -> None:
        """Sources into rows, a slice of them at a time; those that there are now."""
        sources, left = self._sources, len(self._sources)
        if left and self._look_up is not None:
            try:
                async with asyncio.timeout(_LOOK_UP_S):
                    await self._look_up([source for _, _, source in sources])
            except (PipewrenError, TimeoutError) as error:
                reason = str(error) or f"the engine took over {_LOOK_UP_S} s"
                self._warn(f"usage records are written without what queries cost: {reason}")
        while left:
            end_s = perf_counter() + _SLICE_S
            while left:
                left -= 1
                self._add(*sources.popleft())
                if perf_counter() >= end_s:
                    await asyncio.sleep(_BREATH_S)
                    break

    def _add(self, table: str, make_row: Callable[[Any], Row | None], source: Any) -> None:
        try:
            row = make_row(source)
            if row is None:
                return
            line = msgspec.json.encode(row)
        except Exception:  # noqa: BLE001 - one record that cannot be told must not end all others
            self.dropped += 1
            self._warn("a usage record could not be made into a row", exc_info=True)
            return
        if self._bytes + len(line) > self._max_bytes:
            self.dropped += 1
            return
        group = self._open.get(table)
        if group is None:
            group = self._open[table] = _Group(table)
        group.lines.append(line)
        group.size += len(line)
        self._rows += 1
        self._bytes += len(line)
        if group.size >= _GROUP_BYTES:
            self._complete_group(table)

    def _complete_group(self, table: str) -> None:
        group = self._open.pop(table)
        group.token = uuid.uuid4().hex
        self._complete.append(group)

    async def _write(self) -> None:
        """All groups that there are; those that cannot be written stay, in order."""
        for table in list(self._open):
            self._complete_group(table)
        while self._complete:
            group = self._complete[0]
            try:
                await self.prepare()
                await self._insert(group)
            except PipewrenError as error:
                group.tries += not isinstance(error, Unavailable | TimedOut)
                if group.tries < _MAX_TRIES:
                    self._warn(f"usage records wait to be written: {error.message}")
                    break
                self.dropped += len(group.lines)
                self._warn(f"usage records were refused and are lost: {error.message}")
            else:
                self.written += len(group.lines)
            self._complete.popleft()
            self._rows -= len(group.lines)
            self._bytes -= group.size
        if self.dropped > self._told_dropped:
            self._warn("there are more usage records than could be kept")

    async def _insert(self, group: _Group) -> None:
        await self._engine.insert(
            Insert(
                DATABASE,
                group.table,
                (),
                format="JSONEachRow",
                body=b"\n".join(group.lines) + b"\n",
                token=group.token,
            )
        )

    def _warn(self, text: str, *, exc_info: bool = False) -> None:
        """One line a minute at most."""
        now_s = monotonic()
        if now_s - self._warned_s >= _WARNING_PAUSE_S:
            self._warned_s = now_s
            self._told_dropped = self.dropped
            _log.warning("%s (%d dropped since the start)", text, self.dropped, exc_info=exc_info)


async def _forever(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await work()
        except Exception:  # noqa: BLE001 - records go on being written
            _log.exception("writing usage records went wrong")
