"""The server process as its supervisor sees it: started, told what to serve, listened to, ended.

Two pipes join them. *Control* carries one line of JSON to the child (what to serve; it can hold
secrets, so neither argv nor the environment does) and then stays open: its end means that the
supervisor has died. *Status* carries the child's reports back, one line of JSON each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXIT_START_ERROR = 3  # the server cannot start; its message is on stderr
CHILD_MODULE = "pipewren.serve.child"

Report = Mapping[str, Any]


@dataclass(slots=True)
class ChildProcess:
    """`control` and `status` are the supervisor's ends; both are non-blocking."""

    process: subprocess.Popen[bytes]
    control: int
    status: int
    started_at_s: float
    unsent: bytes
    ready_at_s: float | None = None
    received: bytearray = field(default_factory=bytearray)

    @property
    def pid(self) -> int:
        return self.process.pid


def spawn_child(order: Mapping[str, Any], listeners: tuple[int, ...]) -> ChildProcess:
    """Start a server process; `order` must be JSON. Raises OSError when the system refuses.

    A session of its own keeps a terminal's Ctrl+C from it: the supervisor alone passes signals
    on, or one Ctrl+C would count as two. `-P` keeps modules in the working folder, which is often
    a project of the user's, from taking the place of ours.
    """
    line = json.dumps({**order, "listeners": list(listeners)}).encode() + b"\n"
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD_MODULE, str(control_read), str(status_write)],
            stdin=subprocess.DEVNULL,
            pass_fds=(control_read, status_write, *listeners),
            start_new_session=True,
            env={**os.environ, "TZ": "UTC"},  # the host's zone leaks into results otherwise
        )
    except BaseException:
        os.close(control_write)
        os.close(status_read)
        raise
    finally:
        os.close(control_read)
        os.close(status_write)
    os.set_blocking(control_write, False)
    os.set_blocking(status_read, False)
    return ChildProcess(process, control_write, status_read, time.monotonic(), line)


def send_order(child: ChildProcess) -> None:
    """Write what the pipe takes; a child that has ended already is noticed elsewhere."""
    try:
        sent = os.write(child.control, child.unsent)
    except BlockingIOError:
        return
    except BrokenPipeError:
        child.unsent = b""
        return
    child.unsent = child.unsent[sent:]


def read_reports(child: ChildProcess) -> tuple[list[Report], bool]:
    """The reports that have come in whole, and whether the child has closed its end."""
    closed = False
    while True:
        try:
            part = os.read(child.status, 65_536)
        except BlockingIOError:
            break
        if not part:
            closed = True
            break
        child.received += part
    *lines, rest = bytes(child.received).split(b"\n")
    child.received = bytearray(rest)
    return [json.loads(line) for line in lines], closed


def close_child(child: ChildProcess) -> None:
    """Let go of an ended child's pipes."""
    os.close(child.control)
    os.close(child.status)
