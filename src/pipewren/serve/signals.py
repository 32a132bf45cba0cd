"""Signals as bytes on a socket, so that one `select` waits for them and for all else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def receive_signals() -> Iterator[socket.socket]:
    """A socket on which the number of every signal arrives as one byte."""
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)
    previous = {}
    for number in (*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD):
        handler = signal.getsignal(number)
        if number == signal.SIGHUP and handler == signal.SIG_IGN:
            continue  # nohup
        previous[number] = handler
        signal.signal(number, _wake)
    previous_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield receiver
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        receiver.close()
        sender.close()


def _wake(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has told already."""


def read_signals(receiver: socket.socket) -> list[int]:
    """The signals that have come in, in order; none is waited for."""
    with contextlib.suppress(BlockingIOError):
        return list(receiver.recv(4096))
    return []


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that is still open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
