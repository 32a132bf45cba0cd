"""One request and its answer, on a connection that may see many.

The application is an ASGI coroutine. asyncio would run it as a task, whose every step is a turn of
the event loop: a system call, and the interpreter's lock taken again while the engine's workers
want it. So it is run by hand, from the bytes that complete a request to the first wait, and from
the engine's outcome to the last byte written, each in one go. In return the application has no
current task: what needs one (`asyncio.timeout`, task groups) it runs in a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Protocol

from pipewren.engine.outcome import Outcome
from pipewren.serve.answers import ANSWER, header_lines
from pipewren.serve.sending import CutOff

Scope = dict[str, Any]
Message = dict[str, Any]
Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]

ONE_WRITE_BYTES = 65_536  # a larger body is not worth a copy
MAX_UNREAD_BYTES = 65_536  # of a body that the application has not asked for yet
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BROKEN = b'{"error": "Internal error."}'

_log = logging.getLogger("pipewren.serve")


def status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: status_line(status) for status in range(100, 600)}


class Wire(Protocol):
    """The connection below, as an exchange sees it."""

    loop: asyncio.AbstractEventLoop

    def write(self, data: bytes) -> None: ...

    def common_headers(self) -> bytes:
        """The lines that every answer has."""
        ...

    def is_writable(self) -> bool: ...

    async def writable(self) -> None:
        """Until the client has taken most of what was written, or is gone."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def finish(self, exchange: Exchange) -> None:
        """The answer was written, or cannot be completed any more."""
        ...

    def abort(self) -> None:
        """Cut the connection, so that an answer cannot look complete."""
        ...


class Exchange:
    """`keep_alive` says whether the connection may go on after it; False once it must not.
    `is_read` is True when the request's body has come to its end, `is_started` when something of
    the answer was sent."""

    __slots__ = (
        "_awaited",
        "_body",
        "_coroutine",
        "_expects_continue",
        "_is_cancelled",
        "_is_chunked",
        "_news",
        "_told_end",
        "_wire",
        "is_complete",
        "is_gone",
        "is_read",
        "is_started",
        "keep_alive",
        "scope",
    )

    def __init__(
        self, wire: Wire, scope: Scope, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self._wire = wire
        self.scope = scope
        self.keep_alive = keep_alive
        self._expects_continue = expects_continue
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._awaited: Any = None
        self._is_cancelled = False
        self._body: bytearray | None = None
        self._news: asyncio.Future[None] | None = None
        self._told_end = False
        self.is_read = False
        self.is_started = False
        self._is_chunked = False
        self.is_complete = False
        self.is_gone = False

    # Running the application

    def begin(self, application: Application) -> None:
        self._coroutine = application(self.scope, self.receive, self.send)
        self._step()

    def _step(self, _: object = None) -> None:
        coroutine = self._coroutine
        if coroutine is None:
            return
        self._awaited = None
        try:
            if self._is_cancelled:
                self._is_cancelled = False
                awaited = coroutine.throw(asyncio.CancelledError())
            else:
                awaited = coroutine.send(None)
        except StopIteration:
            self._coroutine = None
            self._end(None)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - nobody else would see it
            self._coroutine = None
            self._end(error)
        else:
            self._awaited = awaited
            if type(awaited) is Outcome:
                awaited.when_done(self._step)
            elif awaited is None:  # asyncio.sleep(0)
                self._wire.loop.call_soon(self._step)
            else:
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._step)

    def cancel(self, msg: object = None) -> bool:
        """Have CancelledError raised in the application, at what it waits for. As
        `Task.cancel`, for the server that stops; False when it has ended."""
        if self._coroutine is None:
            return False
        awaited = self._awaited
        if awaited is None or not awaited.cancel():
            self._is_cancelled = True
        return True

    def _end(self, error: BaseException | None) -> None:
        """The application has returned or raised: see that nothing is left open."""
        if self.is_complete:
            if error is not None:
                _log.error("the application failed after its answer", exc_info=error)
            return
        if not self.is_gone:
            if not isinstance(error, CutOff):
                _log.error("the application gave no whole answer", exc_info=error)
            self.keep_alive = False
            if not self.is_started:
                head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(_BROKEN)
                self._answer(500, head, _BROKEN)
                return
            self._wire.abort()
        self._wire.finish(self)

    # What the client sends

    def feed(self, data: bytes) -> None:
        """More of the request's body."""
        if self.is_complete:
            return
        if self._body is None:
            self._body = bytearray()
        self._body += data
        if len(self._body) > MAX_UNREAD_BYTES:
            self._wire.pause_reading()
        self._tell()

    def end_of_body(self) -> None:
        self.is_read = True
        self._tell()

    def hang_up(self) -> None:
        """The client is gone: nobody waits for the answer, and its query is stopped."""
        self.is_gone = True
        self._tell()
        if not self.is_complete:
            path = self.scope["raw_path"].decode("latin-1")  # not decoded: no line breaks
            _log.debug("499: the client of %s %s hung up", self.scope["method"], path)
            self.cancel()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def receive(self) -> Message:
        if self._expects_continue:
            self._expects_continue = False
            if not self.is_started and not self.is_gone:
                self._wire.write(_CONTINUE)
        while True:
            if self.is_gone or self.is_complete:
                return {"type": "http.disconnect"}
            if self._body or (self.is_read and not self._told_end):
                body, self._body = self._body or b"", None
                self._told_end = self.is_read
                return {"type": "http.request", "body": bytes(body), "more_body": not self.is_read}
            self._wire.resume_reading()
            self._news = self._wire.loop.create_future()
            await self._news

    # What the client gets

    async def send(self, message: Message) -> None:
        if not self._wire.is_writable():
            await self._wire.writable()
        if self.is_gone:
            return
        kind = message["type"]
        if self.is_complete:
            raise RuntimeError(f"{kind} after the answer was complete")
        if kind == ANSWER:
            self._answer(message["status"], message["head"], message["body"])
        elif kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body":
            self._send_part(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is no message of an answer")

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        """A whole answer in one write; `head` are its header lines."""
        wire = self._wire
        self.is_started = True
        end = b"\r\n" if self._may_go_on() else b"connection: close\r\n\r\n"
        if len(body) <= ONE_WRITE_BYTES:
            wire.write(b"".join((_STATUS_LINES[status], wire.common_headers(), head, end, body)))
        else:
            wire.write(b"".join((_STATUS_LINES[status], wire.common_headers(), head, end)))
            wire.write(body)
        self.is_complete = True
        wire.finish(self)

    def _start(self, status: int, headers: Any) -> None:
        if self.is_started:
            raise RuntimeError("http.response.start twice")
        lines = [_STATUS_LINES[status], self._wire.common_headers(), header_lines(headers)]
        self.is_started = True
        has_length = status in (204, 304)
        for name, _ in headers:
            has_length = has_length or name == b"content-length"
        if not has_length and self.scope["method"] != "HEAD":
            if self.scope["http_version"] == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:  # the end of the connection is the end of the body
                self.keep_alive = False
        lines.append(b"\r\n" if self._may_go_on() else b"connection: close\r\n\r\n")
        self._wire.write(b"".join(lines))

    def _send_part(self, body: bytes, more: bool) -> None:
        if not self.is_started:
            raise RuntimeError("http.response.body before http.response.start")
        if self.scope["method"] == "HEAD":
            body = b""
        if self._is_chunked:
            if body:
                self._wire.write(b"%x\r\n%b\r\n" % (len(body), body))
            if not more:
                self._wire.write(b"0\r\n\r\n")
        elif body:
            self._wire.write(body)
        if not more:
            self.is_complete = True
            self._wire.finish(self)

    def _may_go_on(self) -> bool:
        """What of the request's body has not come by now would have to be read first."""
        if not self.is_read:
            self.keep_alive = False
        return self.keep_alive
