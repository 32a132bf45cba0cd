"""What decides an attack: marks that must not be told, files and ports that must not be touched."""

from __future__ import annotations

import base64
import ctypes
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from pipewren.testing.serving import HttpAnswer

_OPENED, _MADE = 0x20, 0x100 | 0x80  # IN_OPEN, IN_CREATE | IN_MOVED_TO


@dataclass(frozen=True, slots=True)
class Marks:
    """Texts that stand nowhere but in what is hidden, one for each kind, new for each server.

    Every row of a hidden kind holds its mark, so that a row cannot be shown without it.
    """

    row: str = field(default_factory=lambda: _make("row"))  # below a row filter
    vault: str = field(default_factory=lambda: _make("vlt"))  # a data source without a right
    foreign: str = field(default_factory=lambda: _make("fgn"))  # another workspace
    file: str = field(default_factory=lambda: _make("fil"))  # a file beside the data directory
    secret: str = field(default_factory=lambda: _make("sec"))  # a secret of the workspace
    environment: str = field(default_factory=lambda: _make("env"))  # of the server's process

    def told_by(self, answer: HttpAnswer, allowed: frozenset[str]) -> list[str]:
        """The kinds of which an answer, its headers included, tells; those of `allowed` may be."""
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        text = (f"{answer.status}\n{head}\n".encode("utf-8", "replace") + answer.body).lower()
        return [
            kind
            for kind in self.__slots__
            if kind not in allowed and any(one in text for one in _spellings(getattr(self, kind)))
        ]


def _make(kind: str) -> str:
    # Letters and digits that base64 writes alike wherever it begins: see `_spellings`.
    return f"zq{kind}{secrets.token_hex(12)}"


def _spellings(mark: str) -> list[bytes]:
    """A mark as it is, and as the usual functions would disguise it, in lower case."""
    plain = mark.encode()
    found = [plain, plain[::-1], plain.hex().encode()]
    for start in range(3):  # where in a longer text it begins
        coded = base64.b64encode(b"x" * start + plain)
        found.append(coded[4:-4])
    return [one.lower() for one in found]


class Watch:
    """inotify on a file's opening, and on what is made in folders."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._descriptor >= 0

    def opening(self, path: Path) -> None:
        self._add(path, _OPENED)

    def making(self, folder: Path) -> None:
        self._add(folder, _MADE)

    def _add(self, path: Path, mask: int) -> None:
        assert self._libc.inotify_add_watch(self._descriptor, str(path).encode(), mask) >= 0

    def has_seen(self) -> bool:
        """Whether anything has happened since the last call."""
        try:
            return bool(os.read(self._descriptor, 65536))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._descriptor)


class Listener:
    """A port of this machine that nobody has a reason to call."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port: int = self._server.getsockname()[1]

    def was_called(self) -> bool:
        """Whether anybody has called since the last call."""
        called = False
        while True:
            try:
                self._server.accept()[0].close()
            except BlockingIOError:
                return called
            called = True

    def close(self) -> None:
        self._server.close()


def peak_memory_bytes(pid: int) -> int:
    """The most resident memory of a process since `forget_peak`; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> int:
    """Let the peak begin anew at what is resident now, which is returned."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_memory_bytes(pid)
