"""uvicorn's HTTP/1.1 protocol, with bounds on what a client may send before it is answered, and
answers in one write.

uvicorn sets no bound on a URL, on headers, or on the time that they take (limits.md section 1 has
the statuses). It writes head and body of an answer separately: two system calls, and with some
clients a delay of 40 ms (design, decision 12). So the application may send the whole answer as one
message, where the scope's extensions have `ANSWER`.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from pipewren.serve.answers import ANSWER, json_answer

MAX_URL_BYTES = 16_384  # clients move to POST from 4,096 or 8,192 on
MAX_HEADERS_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0  # for the first request line and headers to arrive whole
_ONE_WRITE_BYTES = 65_536  # a larger body is not worth a copy
_EXTENSIONS: dict[str, Any] = {ANSWER: {}}


class AnswerCycle(RequestResponseCycle):
    """One request and its answer; takes the message `ANSWER` beside those of ASGI."""

    async def send(self, message: Any) -> None:
        if message["type"] != ANSWER:
            await super().send(message)
            return
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        content = [STATUS_LINE[message["status"]]]
        for name, value in self.default_headers:
            content += (name, b": ", value, b"\r\n")
        for name, value in message["headers"]:
            content += (name, b": ", value, b"\r\n")
        content.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        body: bytes = message["body"]
        if len(body) <= _ONE_WRITE_BYTES:
            content.append(body)
            self.transport.write(b"".join(content))
        else:
            self.transport.write(b"".join(content))
            self.transport.write(body)
        self.response_started = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """A connection. What is too large or too slow is answered with an error and closed."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_in_head = True
        self._head_bytes = 0
        self._refusal: tuple[int, str] | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_in_head = False
        self._watch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to: the request is answered as it is
        except httptools.HttpParserError:
            status, text = self._refusal or (400, "The request is not valid HTTP/1.1")
            self._refuse(status, text)
        if self._is_in_head or self._head_timer is not None:
            self._watch_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refusal = (
                414,
                f"The URL is longer than {MAX_URL_BYTES:,} bytes: send the parameters in the body "
                "of a POST request",
            )
            raise ValueError("refused")

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEADERS_BYTES:
            self._refusal = (431, f"The headers are larger than {MAX_HEADERS_BYTES:,} bytes")
            raise ValueError("refused")

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["raw_path"] = url.path
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["query_string"] = url.query or b""
        scope["extensions"] = _EXTENSIONS
        before = self.cycle
        self.cycle = AnswerCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # a pipelined request waits for the one before it
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _watch_head(self) -> None:
        """Have a timer while a head is under way, and only then."""
        if not self._is_in_head:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        self._refuse(408, f"The request did not arrive within {HEAD_TIMEOUT_S:g} seconds")

    def _refuse(self, status: int, text: str) -> None:
        """Answer what cannot become a request, unless an answer is under way, and hang up."""
        self._is_in_head = False
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            answer = json_answer(status, {"error": text})
            head = [STATUS_LINE[status]]
            for name, value in (
                *self.server_state.default_headers,
                *answer.headers,
                (b"content-length", b"%d" % len(answer.body)),
                (b"connection", b"close"),
            ):
                head += (name, b": ", value, b"\r\n")
            self.transport.write(b"".join((*head, b"\r\n", answer.body)))
        self.transport.close()
