"""Bytes on their way from the engine to a reader who may be slower.

The engine is drained at its own speed, so that a slow reader holds none of its connections: a
little waits in memory, the rest in a temporary file (design, decision 12). What all files hold
together is bounded, and counts against the disk reserve.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipewren.engine.disk import DiskReserve
from pipewren.errors import Unavailable

MEMORY_BYTES = 2_000_000  # of one answer
_PART_BYTES = 262_144  # read from the file at a time
_T = TypeVar("_T")


@dataclass(slots=True)
class SpoolRoom:
    """What the spools of a server may take of the disk. `folder` is made when it is first used."""

    folder: Path
    max_bytes: int
    reserve_bytes: int
    used_bytes: int = 0

    def take(self, size: int) -> None:
        """Raises Unavailable where the bytes do not fit."""
        if self.used_bytes + size > self.max_bytes:
            raise Unavailable(
                f"Answers that wait for slow readers fill {self.max_bytes:,} bytes already "
                "(max_spool_bytes): read faster, or ask for less at a time"
            )
        DiskReserve(self.folder.parent, self.reserve_bytes).require(coming_bytes=size)
        self.used_bytes += size

    def give_back(self, size: int) -> None:
        self.used_bytes -= size


class Spool:
    """One writer, one reader, both on the event loop. `close` may be called at any time."""

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file: int | None = None
        self._written = self._read = 0  # places in the file
        self._taken = 0  # of the room
        self._is_ended = self._is_closed = False
        self._error: BaseException | None = None
        self._news: asyncio.Future[None] | None = None
        self._busy = 0  # threads that use the file

    async def put(self, data: bytes) -> None:
        """Keep `data` for the reader. Raises Unavailable when there is no room for it."""
        if self._is_closed:
            return
        waits_in_file = self._written > self._read
        if not waits_in_file and self._memory_bytes + len(data) <= MEMORY_BYTES:
            self._memory.append(data)
            self._memory_bytes += len(data)
        else:
            if not waits_in_file:  # and so nobody reads it either: begin it again
                self._room.give_back(self._taken)
                self._written = self._read = self._taken = 0
            self._room.take(len(data))
            self._taken += len(data)
            await self._use_file(_write_all, data, self._written)
            self._written += len(data)
        self._tell()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; the reader gets what there is, then `error`."""
        self._is_ended = True
        self._error = error
        self._tell()

    async def take(self) -> bytes:
        """The next bytes; b"" is the end. Raises the error that the writer ended with."""
        while True:
            if self._memory:
                data = self._memory.popleft()
                self._memory_bytes -= len(data)
                return data
            if self._written > self._read:
                size = min(_PART_BYTES, self._written - self._read)
                data = await self._use_file(os.pread, size, self._read)
                self._read += len(data)
                return data
            if self._is_ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._news = self._loop.create_future()
            await self._news

    def close(self) -> None:
        """Throw away what nobody will read."""
        self._is_closed = True
        self._memory.clear()
        self._written = self._read
        self._let_go()

    def _let_go(self) -> None:
        if self._busy:
            return
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._room.give_back(self._taken)
        self._taken = 0

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _use_file(self, act: Callable[..., _T], *arguments: Any) -> _T:
        """In a thread, since a disk may be slow; cancelled callers leave it to its end."""
        self._busy += 1
        work = self._loop.run_in_executor(None, self._act, act, arguments)
        work.add_done_callback(self._used)
        return await asyncio.shield(work)

    def _act(self, act: Callable[..., _T], arguments: tuple[Any, ...]) -> _T:
        if self._file is None:
            self._file = _open_file(self._room.folder)
        return act(self._file, *arguments)

    def _used(self, work: asyncio.Future[Any]) -> None:
        self._busy -= 1
        if self._is_closed:
            self._let_go()


def _write_all(file: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, place)
        view = view[written:]
        place += written


def _open_file(folder: Path) -> int:
    """A file without a name: it is gone with its last user, also after a kill -9."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.dup(file.fileno())
