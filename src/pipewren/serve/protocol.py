"""HTTP/1.1 on one connection: bytes to requests, in order, with bounds on what a client may send
and on the time it may take (limits.md section 1 has the statuses).

Takes the place of uvicorn's own protocol, which bounds neither and runs each request as a task
(see `exchange.py`); uvicorn's server makes the connections and ends them.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections import deque
from typing import Any

import httptools

from pipewren.serve.answers import ANSWER, BROWSER_PATHS, CORS, header_lines, json_answer
from pipewren.serve.exchange import Exchange, Scope, status_line
from pipewren.serve.traffic import Traffic

_EXTENSIONS: dict[str, Any] = {ANSWER: {}}
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_BROWSER_PATHS = tuple(path.encode() for path in BROWSER_PATHS)
_BODY_CHECK_S = 10.0
_LINGER_S = 2.0  # for a client that is still sending to read why it was refused


class HttpConnection(asyncio.Protocol):
    """A connection. What is too large or too slow is answered with an error and closed; a request
    whose client has hung up is cancelled.

    Made by uvicorn's server with `config` and `server_state`; `traffic` is what all connections
    share.
    """

    def __init__(
        self, traffic: Traffic, config: Any, server_state: Any, app_state: Any, _loop: Any = None
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = _loop or asyncio.get_running_loop()
        self._traffic = traffic
        self._bounds = traffic.bounds
        self._app = config.loaded_app
        self._state = server_state
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._has_body = False
        self._expects_continue = False
        self._is_in_head = True
        self._head_bytes = 0  # of what came since the last head was complete
        self._body_bytes = 0  # of the body that is being read
        self._refusal: tuple[int, str] | None = None
        self._is_refused = False
        self._reading: Exchange | None = None  # whose body is still coming
        self._current: Exchange | None = None  # that is being answered
        self._waiting: deque[Exchange] = deque()  # pipelined behind it
        self._is_stopping = False
        self._is_paused = False  # reading
        self._writable: asyncio.Future[None] | None = None  # while writing is paused
        self._stalling: asyncio.TimerHandle | None = None  # ends that for a client that reads not
        self._slowness: asyncio.TimerHandle | None = None  # looks at a head or body under way
        self._is_watching_head = True
        self._idleness: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None  # the loop's time; None while a request is under way

    # The connection's life, called by the event loop and uvicorn's server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._client = transport.get_extra_info("peername")
        self._server = transport.get_extra_info("sockname")
        self._state.connections.add(self)
        refusal = self._traffic.admit(self._client)
        if refusal is not None:
            self._refuse(429, refusal)
            return
        self._watch_slowness()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._traffic.leave(self._client)
        self._is_in_head = False
        for timer in (self._slowness, self._idleness):
            if timer is not None:
                timer.cancel()
        self._slowness = self._idleness = None
        self.resume_writing()
        self._waiting.clear()
        if self._current is not None:
            self._current.hang_up()

    def shutdown(self) -> None:
        """The server stops: what is under way is answered, nothing else is taken."""
        self._is_stopping = True
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    def data_received(self, data: bytes) -> None:
        self._idle_since = None
        if self._is_refused:
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to: the request is answered as it is
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or (400, "The request is not valid HTTP/1.1")))
        if self._is_in_head and self._head_bytes > self._bounds.max_headers_bytes:
            self._refuse(*self._find_excess())
        self._set_timer()

    def eof_received(self) -> bool:
        return False  # a client that has closed its side waits for nothing

    def pause_writing(self) -> None:
        self._writable = self.loop.create_future()
        self._stalling = self.loop.call_later(self._bounds.stalled_reader_s, self.abort)

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if self._stalling is not None:
            self._stalling.cancel()
            self._stalling = None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # The request's parts, called by the parser

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._has_body = self._expects_continue = False
        if not self._is_in_head:
            self._is_in_head = True
            self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length" or name == b"transfer-encoding":
            self._has_body = value != b"0"
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        bounds = self._bounds
        if len(self._url) > bounds.max_url_bytes or self._head_bytes > bounds.max_headers_bytes:
            self._check_head()
        self._head_bytes = self._body_bytes = 0
        parser = self._parser
        version = parser.get_http_version()
        exchange = self._reading = Exchange(
            self,
            self._scope(version),
            keep_alive=(version != "1.0" and parser.should_keep_alive() and not self._is_stopping),
            expects_continue=self._expects_continue,
        )
        if self._has_body:
            self._take(exchange)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is None:
            return
        exchange.end_of_body()
        if not self._has_body:
            self._take(exchange)

    def _scope(self, version: str) -> Scope:
        url = self._url
        if url.startswith(b"/"):
            path, _, query = url.partition(b"#")[0].partition(b"?")
        else:  # the form that proxies are asked with
            parts = httptools.parse_url(url)
            path, query = parts.path or b"/", parts.query or b""
        text = path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "method": self._parser.get_method().decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": self._headers,
            "extensions": _EXTENSIONS,
        }

    # One exchange after the other

    def _take(self, exchange: Exchange) -> None:
        if self._is_refused:  # it came with what the last answer was for
            return
        if self._current is None:
            self._begin(exchange)
        else:  # a pipelined request waits for the one before it
            self._waiting.append(exchange)
            self.pause_reading()

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        self._state.tasks.add(exchange)
        exchange.begin(self._app)

    def finish(self, exchange: Exchange) -> None:
        self._state.tasks.discard(exchange)
        if self._current is not exchange:
            return
        self._current = None
        self._state.total_requests += 1
        if self._transport.is_closing():
            return
        if not exchange.keep_alive:
            self._hang_up(is_sending=not exchange.is_read)
            return
        if self._waiting:
            self.loop.call_soon(self._go_on)
            return
        self.resume_reading()
        self._idle_since = self.loop.time()
        if self._idleness is None:
            self._wait_for_idleness(self._bounds.keep_alive_s)

    def _go_on(self) -> None:
        """On a turn of its own: hundreds of pipelined requests are no recursion."""
        if self._waiting and self._current is None and not self._transport.is_closing():
            self._begin(self._waiting.popleft())

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def common_headers(self) -> bytes:
        return self._traffic.common_headers(self._state.default_headers)

    def is_writable(self) -> bool:
        return self._writable is None

    async def writable(self) -> None:
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def pause_reading(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    # Bounds

    def _check_head(self) -> None:
        """Raise, for the parser to stop, where a whole head is too large; what was counted may
        hold a body or a second request."""
        size = sum(len(name) + len(value) + 4 for name, value in self._headers)
        bounds = self._bounds
        if len(self._url) > bounds.max_url_bytes or size > bounds.max_headers_bytes:
            self._refusal = self._find_excess()
            raise ValueError("refused")

    def _find_excess(self) -> tuple[int, str]:
        if len(self._url) > self._bounds.max_url_bytes:
            return 414, (
                f"The URL is longer than {self._bounds.max_url_bytes:,} bytes (max_url_bytes): "
                "send the parameters in the body of a POST request"
            )
        return 431, (
            f"The headers are larger than {self._bounds.max_headers_bytes:,} bytes "
            "(max_headers_bytes)"
        )

    def _set_timer(self) -> None:
        """One runs while a head or a body is under way, and only then."""
        if self._is_refused:
            return
        if self._slowness is not None and self._is_watching_head != self._is_in_head:
            self._slowness.cancel()
            self._slowness = None
        if self._slowness is None and (self._is_in_head or self._reading is not None):
            self._watch_slowness()

    def _watch_slowness(self) -> None:
        self._is_watching_head = self._is_in_head
        if self._is_in_head:
            wait_s = self._bounds.head_timeout_s
            self._slowness = self.loop.call_later(wait_s, self._look_at_head)
        else:
            self._slowness = self.loop.call_later(
                _BODY_CHECK_S, self._look_at_body, self._reading, self._body_bytes
            )

    def _look_at_head(self) -> None:
        self._slowness = None
        if self._is_in_head:
            wait_s = self._bounds.head_timeout_s
            self._refuse(408, f"The request did not arrive within {wait_s:g} seconds")
        elif self._reading is not None:
            self._watch_slowness()

    def _look_at_body(self, watched: Exchange | None, before: int) -> None:
        """The same body must have grown by the lowest rate; not while it is us who pause."""
        self._slowness = None
        rate = self._bounds.min_body_bytes_per_s
        if self._reading is None or self._is_refused:
            return
        came = self._body_bytes - before
        if watched is self._reading and not self._is_paused and came < rate * _BODY_CHECK_S:
            self._refuse(408, f"The body comes slower than {rate:,} bytes a second")
        else:
            self._watch_slowness()

    def _wait_for_idleness(self, seconds: float) -> None:
        # One timer for the connection, which is set again when it rings, and not for each request.
        self._idleness = self.loop.call_later(seconds, self._close_when_idle)

    def _close_when_idle(self) -> None:
        self._idleness = None
        idle_s = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if idle_s < self._bounds.keep_alive_s:
            self._wait_for_idleness(self._bounds.keep_alive_s - idle_s)
        elif not self._transport.is_closing():
            self._transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Answer what cannot become a request, unless an answer is under way, and hang up."""
        self._is_in_head = False
        if self._is_refused or self._transport.is_closing():
            return
        self._is_refused = True
        current = self._current
        if current is not None:  # its body stopped coming, or what came after it is no request
            current.keep_alive = False
            if current.is_read or current.is_complete or current.is_started:
                return
            self._current = None
            self._state.tasks.discard(current)
            current.hang_up()
        answer = json_answer(status, {"error": text})
        lines = header_lines(
            (
                *answer.headers,
                (b"x-request-id", next(self._traffic.request_ids).encode()),
                (b"content-length", b"%d" % len(answer.body)),
                (b"connection", b"close"),
                *(CORS if self._url.startswith(_BROWSER_PATHS) else ()),
            )
        )
        self._transport.write(
            b"".join((status_line(status), self.common_headers(), lines, b"\r\n", answer.body))
        )
        self._hang_up(is_sending=True)

    def _hang_up(self, *, is_sending: bool) -> None:
        """Close; where the client is still sending, let it read its answer first: closing on
        unread bytes makes its system throw the answer away."""
        self._is_refused = True  # what comes now is thrown away
        if not is_sending:
            self._transport.close()
            return
        self.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._slowness is not None:
            self._slowness.cancel()
        self._slowness = self.loop.call_later(_LINGER_S, self._transport.close)
