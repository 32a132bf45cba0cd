"""A body that is too large for memory, on its way to a file in the data directory."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterable
from pathlib import Path

from pipewren.engine.disk import DiskReserve

_WRITE_BYTES = 1_000_000
FOLDER = "uploads"


class UploadFile:
    """One writer. `path` is there until `discard`, which may be called at any time."""

    def __init__(self, store_dir: Path, reserve_bytes: int) -> None:
        folder = store_dir / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self.path = folder / uuid.uuid4().hex
        self._disk = DiskReserve(store_dir, reserve_bytes)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._is_open = True
        self._work: asyncio.Future[None] | None = None

    async def receive(self, parts: AsyncIterable[bytes]) -> int:
        """Write all parts; their size in bytes. Raises what `parts` does, and Unavailable where
        the disk has no room. `discard` is the caller's, then too."""
        waiting: list[bytes] = []
        size = total = 0
        async for part in parts:
            waiting.append(part)
            size += len(part)
            total += len(part)
            if size >= _WRITE_BYTES:
                await self._write(b"".join(waiting))
                waiting, size = [], 0
        await self._write(b"".join(waiting))
        self._close()
        return total

    def discard(self) -> None:
        """Remove the file, once nothing writes to it any more."""
        if self._work is not None and not self._work.done():
            self._work.add_done_callback(lambda _: self._remove())
        else:
            self._remove()

    async def _write(self, data: bytes) -> None:
        self._disk.require(coming_bytes=len(data))
        loop = asyncio.get_running_loop()
        self._work = loop.run_in_executor(None, _write_all, self._file, data)
        await asyncio.shield(self._work)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._file)

    def _remove(self) -> None:
        self._close()
        self.path.unlink(missing_ok=True)


def clear_uploads(store_dir: Path) -> None:
    """At the start: what a killed server left there."""
    shutil.rmtree(store_dir / FOLDER, ignore_errors=True)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
