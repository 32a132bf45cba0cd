"""The application of the supervisor's tests: one that tells about its process, waits on demand,
and misbehaves as the payload asks."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pipewren.errors import StartError

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class TinyApp:
    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = payload
        self.running = 0
        self.tell: Send | None = None
        self.descriptors_at_start = describe_descriptors()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["path"] == "/wait":
            await self.wait_for_file(send)
        elif scope["path"] == "/unhealthy":
            assert self.tell is not None
            await self.tell({"type": "pipewren.unhealthy", "reason": "the engine is stuck"})
            await answer(send, {})
        else:
            await answer(send, self.describe())

    async def live(self, receive: Receive, send: Send) -> None:
        await receive()
        if "start_error" in self.payload:
            raise StartError(self.payload["start_error"])
        if Path(self.payload.get("start_error_while", "/nonexistent")).exists():
            raise StartError("the project is broken")
        if "refuse" in self.payload:
            await send({"type": "lifespan.startup.failed", "message": self.payload["refuse"]})
            return
        if "slow_start" in self.payload:
            Path(self.payload["slow_start"]).write_text(str(os.getpid()))
            try:
                await asyncio.Event().wait()
            finally:
                Path(self.payload["given_up"]).touch()
        self.tell = send
        await send({"type": "lifespan.startup.complete", "detail": {"pipes": 3}})
        await receive()
        if "deaf" in self.payload:
            threading.Event().wait()
        if "stopped" in self.payload:
            Path(self.payload["stopped"]).touch()
        await send({"type": "lifespan.shutdown.complete"})

    async def wait_for_file(self, send: Send) -> None:
        """Answer when the file `release` exists; `running` tells when such a request runs."""
        Path(self.payload["running"]).touch()
        while not Path(self.payload["release"]).exists():
            await asyncio.sleep(0.01)
        await answer(send, {"waited": True})

    def describe(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "payload": dict(self.payload),
            "tz": os.environ["TZ"],
            "utc_offset_s": time.localtime().tm_gmtoff,
            "address_space": resource.getrlimit(resource.RLIMIT_AS),
            "descriptors": self.descriptors_at_start,
            "inheritable": inheritable_descriptors(),
            "no_delay": connections_without_delay(),
            "session": os.getsid(0),
        }


def create_app(payload: Mapping[str, Any]) -> TinyApp:
    if "crash" in payload:
        with Path(payload["crash"]).open("a") as starts:
            starts.write("start\n")
        os._exit(9)
    if "raise" in payload:
        raise RuntimeError(payload["raise"])
    if "raise_memory" in payload:
        raise MemoryError
    return TinyApp(payload)


async def answer(send: Send, body: Mapping[str, Any]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def describe_descriptors() -> dict[str, str]:
    """The open descriptors of this process by number: what each is."""
    kinds = {}
    for name in os.listdir("/dev/fd"):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:  # the one that listed them
            continue
        kinds[name] = "socket" if stat.S_ISSOCK(mode) else "pipe" if stat.S_ISFIFO(mode) else "file"
    return kinds


def inheritable_descriptors() -> list[int]:
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            if os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            continue
    return sorted(found)


def connections_without_delay() -> list[bool]:
    """TCP_NODELAY of every accepted connection."""
    found = []
    for name, kind in describe_descriptors().items():
        if kind != "socket":
            continue
        with socket.socket(fileno=os.dup(int(name))) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            try:
                connection.getpeername()
            except OSError:
                continue
            found.append(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    return found
