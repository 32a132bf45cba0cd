"""The event log: rows that were acknowledged and are not yet in their tables, in files of frames.

    append()    many frames by one write (and one fsync, where that is asked for)
    read()      rows of a group, from the files
    release()   rows that are in their tables; files without other rows are removed, oldest first

The order of removal is what makes the log safe: the frame that seals a group stands behind the
group's rows, and the one that says that it is done behind both, so no file that is left can tell
half of the story. All that changes files is done by one thread, in order of the calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipewren.errors import StartError, Unavailable
from pipewren.ingest.log_frames import (
    MAGIC,
    Extent,
    Frame,
    Head,
    Rows,
    is_cut_off,
    make_frame,
    read_frames,
)

SEGMENT_BYTES = 64_000_000
_SMALL_BYTES = 4_000_000  # of a file that is started anew as soon as nothing in it is wanted
FOLDER = "events"

_log = logging.getLogger("pipewren.ingest")


@dataclass(slots=True)
class _Segment:
    number: int
    size: int
    wanted: int = 0  # bytes of rows that are not in their table
    is_damaged: bool = False


class EventLog:
    """Made by `open_log`. `size` is that of all files, in bytes."""

    def __init__(self, folder: Path, *, fsync: bool, require_room: Callable[[int], None]) -> None:
        self._folder = folder
        self._fsync = fsync
        self._require_room = require_room
        self._segments: dict[int, _Segment] = {}
        self._last_number = 0
        self._file = -1
        self._active: _Segment | None = None
        self._broken: str | None = None
        self._thread = ThreadPoolExecutor(1, "event-log")

    @property
    def size(self) -> int:
        return sum(segment.size for segment in list(self._segments.values()))

    async def append(self, frames: Sequence[tuple[Head, bytes]]) -> list[Extent | None]:
        """Write all frames, or none; where the rows of each are, which are wanted from then on.
        Raises Unavailable: there is no room on the disk, or it refused the write."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._append, frames)

    async def read(self, extents: Sequence[Extent]) -> bytes:
        """The rows of these extents, one after the other. Raises Unavailable."""
        return await asyncio.get_running_loop().run_in_executor(None, self._read, extents)

    async def release(self, extents: Sequence[Extent]) -> None:
        """Rows that are wanted no more, after the frame that says so was appended."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release, extents)

    async def close(self) -> None:
        """After the last call of all others."""
        await asyncio.to_thread(self._thread.shutdown)
        self._close_file()

    def recover(self) -> Iterator[tuple[Frame, int]]:
        """At the start: the frames that there are, with the number of their file. All their rows
        are wanted, until `release`."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self._folder.glob("*.log")):
            number = int(path.stem)
            self._last_number = max(self._last_number, number)
            segment = self._segments[number] = _Segment(number, path.stat().st_size)
            end = len(MAGIC)
            for frame in read_frames(path):
                end = frame.end
                if isinstance(frame.head, Rows):
                    segment.wanted += frame.length
                yield frame, number
            if end < segment.size:
                self._tell_rest(path, segment, end)

    def _tell_rest(self, path: Path, segment: _Segment, end: int) -> None:
        """A file that does not end with a whole frame. The last write may have been cut off by a
        kill: nobody was told that its rows are safe. What has more behind the bad frame was damaged
        later, and is kept for whoever can repair it."""
        rest = segment.size - end
        if is_cut_off(path, end):
            _log.warning("the event log %s ends with %d bytes of a write cut off", path.name, rest)
        else:
            segment.is_damaged = True
            _log.error(
                "the event log %s is damaged at byte %d: %d bytes cannot be read, events may be "
                "lost. The file is kept as %s.damaged",
                path.name,
                end,
                rest,
                path.stem,
            )

    def _release(self, extents: Sequence[Extent]) -> None:
        for extent in extents:
            self._segments[extent.segment].wanted -= extent.length
        for number in sorted(self._segments):
            segment = self._segments[number]
            if segment.wanted:
                return
            if segment is self._active:
                if segment.size < _SMALL_BYTES:
                    return
                self._active = None  # the next append begins another file
            try:
                self._remove(segment)
            except OSError as error:
                # Later files say that its groups are done: they stay as long as it does.
                _log.warning("%s of the event log stays: %s", self._path(number).name, error)
                return

    def _append(self, frames: Sequence[tuple[Head, bytes]]) -> list[Extent | None]:
        if self._broken is not None:
            raise _unwritable(self._broken)
        made = [make_frame(head, rows) for head, rows in frames]
        data = b"".join(frame for frame, _ in made)
        if any(isinstance(head, Rows) for head, _ in frames):
            # What ends a group may be written below the reserve: it lets files be removed.
            self._require_room(len(data))
        segment = self._open_segment()
        begin = segment.size
        try:
            _write_all(self._file, data)
            if self._fsync:
                os.fdatasync(self._file)
        except OSError as error:
            self._undo(begin, error)
            raise _unwritable(os.strerror(error.errno or 0)) from None
        segment.size += len(data)
        placed: list[Extent | None] = []
        at = begin
        for (head, rows), (frame, offset) in zip(frames, made, strict=True):
            extent = None
            if isinstance(head, Rows):
                segment.wanted += len(rows)
                extent = Extent(segment.number, at + offset, len(rows), head.count)
            placed.append(extent)
            at += len(frame)
        return placed

    def _undo(self, begin: int, error: OSError) -> None:
        """Cut off what was written of an append that failed, so that the next one can follow. A
        failed fsync leaves nothing that could be relied upon."""
        try:
            os.ftruncate(self._file, begin)
            os.lseek(self._file, begin, os.SEEK_SET)
        except OSError as second:
            self._broken = os.strerror(second.errno or 0)
        if self._fsync and self._broken is None and error.errno not in _NO_ROOM:
            self._broken = os.strerror(error.errno or 0)

    def _open_segment(self) -> _Segment:
        active = self._active
        if active is not None and active.size < SEGMENT_BYTES:
            return active
        number = self._last_number + 1
        path = self._path(number)
        self._close_file()
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _write_all(file, MAGIC)
                if self._fsync:
                    os.fsync(file)
                    _sync_folder(self._folder)
            except OSError:
                os.close(file)
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._active = None
            raise _unwritable(os.strerror(error.errno or 0)) from None
        self._file, self._last_number = file, number
        active = self._active = self._segments[number] = _Segment(number, len(MAGIC))
        return active

    def _read(self, extents: Sequence[Extent]) -> bytes:
        files: dict[int, int] = {}
        parts: list[bytes] = []
        try:
            for extent in extents:
                file = files.get(extent.segment)
                if file is None:
                    file = os.open(self._path(extent.segment), os.O_RDONLY)
                    files[extent.segment] = file
                parts.append(os.pread(file, extent.length, extent.offset))
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise Unavailable(f"The event log cannot be read ({reason})") from None
        finally:
            for file in files.values():
                os.close(file)
        if any(len(part) != extent.length for part, extent in zip(parts, extents, strict=True)):
            raise Unavailable("The event log is shorter than it was written")
        return b"".join(parts)

    def _remove(self, segment: _Segment) -> None:
        path = self._path(segment.number)
        if segment.is_damaged:
            path.rename(path.with_suffix(".damaged"))
        else:
            path.unlink(missing_ok=True)
        del self._segments[segment.number]

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012}.log"


_NO_ROOM = frozenset({28, 122})  # ENOSPC, EDQUOT


def open_log(data_dir: Path, *, fsync: bool, require_room: Callable[[int], None]) -> EventLog:
    """The log in a data directory; `EventLog.recover` is to be read next. `require_room` raises
    Unavailable where that many bytes must not be written to the disk. Raises StartError."""
    folder = data_dir / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartError(f"The event log {folder} cannot be made: {error.strerror}") from None
    return EventLog(folder, fsync=fsync, require_room=require_room)


def _unwritable(reason: str) -> Unavailable:
    return Unavailable(f"Events cannot be written to the disk ({reason}): send them again later")


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
