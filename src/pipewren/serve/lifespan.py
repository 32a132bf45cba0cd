"""The application's start and end, by the ASGI lifespan protocol, with what uvicorn's own leaves
out: the error of a failed start reaches the caller as it is, a start can be given up, and a running
application can say that it is no longer healthy.

Beyond ASGI's messages the application may `send`:
`{"type": "pipewren.unhealthy", "reason": "..."}`: the process is to be replaced, and `detail` in
`lifespan.startup.complete` (a JSON object) for `Ready.detail`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from pipewren.errors import StartError

Message: TypeAlias = MutableMapping[str, Any]
Asgi: TypeAlias = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]

_logger = logging.getLogger(__name__)


class Lifespan:
    """Takes the place of uvicorn's `LifespanOn`: `startup`, `shutdown`, `state`, `should_exit`."""

    def __init__(self, app: Asgi, report_unhealthy: Callable[[str], None]) -> None:
        self.should_exit = False
        self.state: dict[str, Any] = {}
        self.detail: Mapping[str, Any] = {}
        self._app = app
        self._report_unhealthy = report_unhealthy
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._refusal: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Raises what the application raised, or StartError with the message of its
        `lifespan.startup.failed`."""
        self._task = asyncio.create_task(self._run())
        await self._inbox.put({"type": "lifespan.startup"})
        started = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if self._refusal is not None:
            raise StartError(self._refusal)
        if not self._started.is_set():
            await self._task
            raise StartError("The application ended before it had started")

    async def shutdown(self) -> None:
        """Tell the application to end, and wait until it has."""
        if self._task is None or self._task.done():
            return
        await self._inbox.put({"type": "lifespan.shutdown"})
        ended = asyncio.create_task(self._ended.wait())
        await asyncio.wait({self._task, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def give_up(self, grace_s: float) -> None:
        """Cancel an application that has not started, and wait for its cleaning up."""
        if self._task is None or self._task.done():
            return
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=grace_s)

    async def _run(self) -> None:
        scope: dict[str, Any] = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._inbox.get, self._receive_from_app)
        except Exception:
            if not self._started.is_set() or self._ended.is_set():
                raise
            _logger.exception("The application's lifespan ended with an error")
            self._report_unhealthy("its lifespan ended with an error")

    async def _receive_from_app(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self.detail = message.get("detail", {})
                self._started.set()
            case "lifespan.startup.failed":
                self._refusal = message.get("message") or "The application refused to start"
                self._started.set()
            case "lifespan.shutdown.complete":
                self._ended.set()
            case "lifespan.shutdown.failed":
                _logger.error("The application failed to stop: %s", message.get("message", ""))
                self._ended.set()
            case "pipewren.unhealthy":
                self._report_unhealthy(str(message["reason"]))
            case other:
                raise ValueError(f"{other} is not a message of the lifespan protocol")
