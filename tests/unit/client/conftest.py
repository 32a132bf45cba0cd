"""A server that fails on purpose, and both clients behind one face, with a clock of their own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from pipewren.client import AsyncClient, Client, Clock, EventsReport, Rows

TOKEN = "p.secret-of-the-tests.signature"
ROWS_JSON = {
    "meta": [{"name": "n", "type": "UInt8"}],
    "data": [{"n": 1}],
    "rows": 1,
    "statistics": {"elapsed": 0.5, "rows_read": 10, "bytes_read": 20},
}


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came in; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(slots=True)
class FailingServer:
    """Answers each request, on a connection of its own, with the next thing of its script."""

    url: str
    received: list[Received] = field(default_factory=list)
    script: list[Callable[[socket.socket], None]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def answers(
        self, status: int, body: object = None, *, times: int = 1, **headers: str
    ) -> FailingServer:
        """`body` is sent as JSON unless it is bytes; `retry_after` is the header Retry-After."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        raw = _head(status, {**headers, "content_length": str(len(sent))}) + sent
        self.script += [lambda connection: connection.sendall(raw)] * times
        return self

    def cuts(self, body: bytes, *, length: int, status: int = 200) -> FailingServer:
        """Announces `length` bytes, sends `body`, and ends the connection."""
        return self.sends(_head(status, {"content_length": str(length)}) + body)

    def sends(self, raw: bytes) -> FailingServer:
        """These bytes, and the end of the connection."""
        self.script.append(lambda connection: connection.sendall(raw))
        return self

    def chunks(self, *chunks: bytes, ends: bool = True) -> FailingServer:
        """A chunked answer; without `ends` the connection ends before the last chunk."""
        raw = _head(200, {"transfer_encoding": "chunked"})
        raw += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        return self.sends(raw + (b"0\r\n\r\n" if ends else b""))

    def drops(self, *, times: int = 1) -> FailingServer:
        """Ends the connection without an answer."""
        self.script += [lambda connection: None] * times
        return self

    def hangs(self, raw: bytes = b"") -> FailingServer:
        """Sends the bytes, and then nothing until the client goes away, which sets `left`."""

        def hang(connection: socket.socket) -> None:
            connection.sendall(raw)
            while connection.recv(65536):
                pass
            self.left.set()

        self.script.append(hang)
        return self


@dataclass(slots=True)
class Waits:
    """Time that passes only by waiting, and a random source that always says the same."""

    waited_s: list[float] = field(default_factory=list)
    drawn: float = 0.5
    meanwhile: Callable[[], object] = lambda: None

    def clock(self) -> Clock:
        now = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
        return Clock(lambda: sum(self.waited_s), lambda: now, lambda: self.drawn)

    def wait(self, wait_s: float) -> None:
        self.meanwhile()
        self.waited_s.append(wait_s)

    async def wait_async(self, wait_s: float) -> None:
        self.wait(wait_s)


@dataclass(slots=True)
class Caller:
    """One of the two clients, called from blocking code; `streamed` are the rows handed over."""

    kind: str
    url: str
    waits: Waits
    streamed: list[dict[str, Any]] = field(default_factory=list)
    token: str = TOKEN

    def query(self, *arguments: Any, **settings: Any) -> Rows:
        rows: Rows = self._call("query", arguments, {}, settings)
        return rows

    def query_arrow(self, *arguments: Any, **settings: Any) -> Any:
        return self._call("query_arrow", arguments, {}, settings)

    def send_events(self, *arguments: Any, **named: Any) -> EventsReport:
        of_the_client = named.keys() & {"max_attempts", "timeout_s"}
        settings = {name: named.pop(name) for name in of_the_client}
        report: EventsReport = self._call("send_events", arguments, named, settings)
        return report

    def stream(
        self,
        *arguments: Any,
        most: int = 1_000_000,
        then: Callable[[], object] = lambda: None,
        **settings: Any,
    ) -> None:
        """Reads rows into `streamed`, at most `most`, and lets the stream go; `then` is called
        while the client is still open."""
        if self.kind == "blocking":
            with self._blocking(settings) as client:
                with client.stream(*arguments) as rows:
                    for row in rows:
                        self.streamed.append(row)
                        if len(self.streamed) == most:
                            break
                then()
            return

        async def read() -> None:
            async with self._async(settings) as client:
                async with client.stream(*arguments) as rows:
                    async for row in rows:
                        self.streamed.append(row)
                        if len(self.streamed) == most:
                            break
                then()

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(read())

    def _call(
        self, name: str, arguments: Any, named: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> Any:
        if self.kind == "blocking":
            with self._blocking(settings) as client:
                return getattr(client, name)(*arguments, **named)

        async def call() -> Any:
            async with self._async(settings) as client:
                return await getattr(client, name)(*arguments, **named)

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(call())

    def _blocking(self, settings: Mapping[str, Any]) -> Client:
        clock = self.waits.clock()
        return Client(self.url, self.token, sleep=self.waits.wait, clock=clock, **settings)

    def _async(self, settings: Mapping[str, Any]) -> AsyncClient:
        clock = self.waits.clock()
        sleep = self.waits.wait_async
        return AsyncClient(self.url, self.token, sleep=sleep, clock=clock, **settings)


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        failing = FailingServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, failing))
        thread.start()
        yield failing
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        thread.join(10)
        assert not thread.is_alive()
    assert not failing.script, "the script was not used up"


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture(params=["blocking", "async"])
def caller(request: pytest.FixtureRequest, server: FailingServer, waits: Waits) -> Caller:
    return Caller(request.param, server.url, waits)


@pytest.fixture
def rows_json() -> dict[str, Any]:
    return dict(ROWS_JSON)


def _serve(listener: socket.socket, failing: FailingServer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            received = _receive(connection)
            if received is None:
                continue
            failing.received.append(received)
            if failing.script:
                failing.script.pop(0)(connection)
            else:
                connection.sendall(_head(418, {"content_length": "0"}))


def _receive(connection: socket.socket) -> Received | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65536)
    method, target, _ = first.split(" ")
    return Received(method, target, headers, body)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
