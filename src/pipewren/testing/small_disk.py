"""A small file system for tests that fill it, and what fills it."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class NotMounted(RuntimeError):
    """Neither a tmpfs nor a loop file can be mounted, which takes the rights of root."""


@contextlib.contextmanager
def mount_small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """`folder` as a file system of its own: in memory, else in a file. Raises NotMounted."""
    folder.mkdir()
    if not _mounts("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)):
        image = folder.with_suffix(".image")
        image.write_bytes(b"")
        os.truncate(image, megabytes * 1_000_000)
        made = subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True, check=False)
        if made.returncode or not _mounts("-o", "loop", str(image), str(folder)):
            raise NotMounted(NotMounted.__doc__)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mounts(*arguments: str) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    return done.returncode == 0


def free_bytes(folder: Path) -> int:
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize


def fill(file: Path) -> None:
    """Write to `file` until its file system is full, to the last byte."""
    with file.open("ab", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(bytes(max(4096, min(1_000_000, free_bytes(file.parent)))))


class Filler:
    """Another program that takes all that is free, at moments of its own choice, and gives some
    back. `with` begins and ends it; all is given back at the end."""

    def __init__(self, folder: Path, seed: int, *, given_back: tuple[int, int]) -> None:
        self._file = folder / "filler"
        self._folder = folder
        self._choose = random.Random(seed)
        self._given_back = given_back
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Filler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            while not self._is_over.wait(self._choose.random() * 0.3):
                self._take_all(file.fileno())
                if self._is_over.wait(self._choose.random() * 0.1):
                    return
                left = file.seek(0, os.SEEK_END) - self._choose.randint(*self._given_back)
                file.truncate(max(0, left))

    def _take_all(self, file: int) -> None:
        deadline_s = time.monotonic() + 0.05  # whoever frees space meanwhile gets it
        while time.monotonic() < deadline_s:
            try:
                os.write(file, bytes(min(1_000_000, max(4096, free_bytes(self._folder)))))
            except OSError:
                return
