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

    def __init__(self, protocol: BoundedProtocol, scope: Any, *, keep_alive: bool) -> None:
        # uvicorn's own constructor sets the same, by eleven named arguments.
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = False
        self.default_headers = protocol.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.task: asyncio.Task[None] | None = None

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
    """A connection. What is too large or too slow is answered with an error and closed; a request
    whose client has hung up is cancelled."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_in_head = True
        self._head_bytes = 0  # of what came since the last head was complete
        self._refusal: tuple[int, str] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None  # the loop's time; None while a request is under way

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_in_head = False
        self._watch_head()
        self._unset_keepalive_if_required()
        cycle = self.cycle
        super().connection_lost(exc)
        # Nobody waits for the answer any more: its query is stopped in the engine.
        if isinstance(cycle, AnswerCycle) and not cycle.response_complete and cycle.task:
            cycle.task.cancel()

    def data_received(self, data: bytes) -> None:
        self._idle_since = None
        if self._is_in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to: the request is answered as it is
        except httptools.HttpParserError:
            status, text = self._refusal or (400, "The request is not valid HTTP/1.1")
            self._refuse(status, text)
        if self._is_in_head:
            if self._head_bytes > MAX_HEADERS_BYTES:
                self._refuse(*self._find_excess())
            self._watch_head()
        elif self._head_timer is not None:
            self._watch_head()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        if not self._is_in_head:
            self._is_in_head = True
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if len(self.url) > MAX_URL_BYTES or self._head_bytes > MAX_HEADERS_BYTES:
            self._check_head()
        self._head_bytes = 0
        parser = self.parser
        version = parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "extensions": _EXTENSIONS,
        }
        self.scope = scope
        before = self.cycle
        keep_alive = version != "1.0" and parser.should_keep_alive()
        cycle = self.cycle = AnswerCycle(self, scope, keep_alive=keep_alive)
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:  # a pipelined request waits for the one before it
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_response_complete(self) -> None:
        """As uvicorn's, but with one timer for the connection instead of one for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_idleness(self.timeout_keep_alive)

    def _wait_for_idleness(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_when_idle)

    def _close_when_idle(self) -> None:
        now = self.loop.time()
        idle_s = 0.0 if self._idle_since is None else now - self._idle_since
        if idle_s < self.timeout_keep_alive:
            self._wait_for_idleness(self.timeout_keep_alive - idle_s)
            return
        self.timeout_keep_alive_task = None
        if not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        task = cycle.task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _check_head(self) -> None:
        """Raise, for the parser to stop, where a whole head is too large; what was counted may
        hold a body or a second request."""
        size = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.url) > MAX_URL_BYTES or size > MAX_HEADERS_BYTES:
            self._refusal = self._find_excess()
            raise ValueError("refused")

    def _find_excess(self) -> tuple[int, str]:
        if len(self.url) > MAX_URL_BYTES:
            return 414, (
                f"The URL is longer than {MAX_URL_BYTES:,} bytes: send the parameters in the body "
                "of a POST request"
            )
        return 431, f"The headers are larger than {MAX_HEADERS_BYTES:,} bytes"

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
