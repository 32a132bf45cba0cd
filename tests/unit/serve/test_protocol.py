"""HTTP/1.1 over real sockets: bounds, whole answers, kept and pipelined connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from pipewren.serve.answers import Answer
from pipewren.serve.bounds import HttpBounds
from pipewren.serve.sending import send_answer
from tests.unit.serve.connections import Connect, listening

BODY = b"x" * 200_000


waiting, cancelled = asyncio.Event(), asyncio.Event()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Tells the request; `/large` answers a large body, `/asgi` by ASGI's own messages, `/never`
    waits until it is cancelled."""
    if scope["path"] == "/never":
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    told = {key: scope[key] for key in ("method", "path", "http_version")}
    told |= {"query": scope["query_string"].decode(), "body": body.decode()}
    answer = Answer(200, (), BODY if scope["path"] == "/large" else json.dumps(told).encode())
    if scope["path"] == "/asgi":
        scope = {**scope, "extensions": {}}
    await send_answer(scope, send, answer, "1", cors=True)


@pytest_asyncio.fixture(loop_scope="session")
async def listen() -> AsyncIterator[Callable[[HttpBounds], Awaitable[Connect]]]:
    """Serve under given bounds; what comes back opens a connection."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(bounds: HttpBounds) -> Connect:
            return await stack.enter_async_context(listening(app, bounds))

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def connect() -> AsyncIterator[Connect]:
    async with listening(app, HttpBounds(keep_alive_s=1)) as opened:
        yield opened


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("path", ["/a%20b", "/asgi"])
async def test_a_request_is_read_and_answered(connect: Connect, path: str) -> None:
    reader, writer = await connect()
    writer.write(f"POST {path}?c=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi".encode())
    status, headers, body = await read_answer(reader)
    told = json.loads(body)
    assert status == 200
    assert headers["x-request-id"] == "1"
    assert told == {
        "method": "POST",
        "path": path.replace("%20", " "),
        "http_version": "1.1",
        "query": "c=1",
        "body": "hi",
    }


async def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(
    connect: Connect,
) -> None:
    reader, writer = await connect()
    writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(5)))
    paths = [json.loads((await read_answer(reader))[2])["path"] for _ in range(5)]
    assert paths == [f"/{n}" for n in range(5)]


async def test_a_connection_that_stays_idle_is_closed(connect: Connect) -> None:
    reader, writer = await connect()
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
    assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_a_head_in_small_pieces_is_one_request(connect: Connect) -> None:
    reader, writer = await connect()
    for piece in (b"GE", b"T /pie", b"ces HTTP/1.1\r\nHo", b"st: h\r\n", b"\r\n"):
        writer.write(piece)
        await writer.drain()
    assert json.loads((await read_answer(reader))[2])["path"] == "/pieces"


async def test_a_large_answer_arrives_whole(connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await read_answer(reader))[2] == BODY


async def test_http_1_0_and_connection_close_end_the_connection(connect: Connect) -> None:
    for request in (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"):
        reader, writer = await connect()
        writer.write(request)
        _, headers, _ = await read_answer(reader)
        assert headers["connection"] == "close"
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("request_text", "status", "message"),
    [
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414, "8,192 bytes"),
        (b"GET /" + b"a" * 400_000, 414, "POST"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000 + b"\r\n\r\n", 431, "65,536 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 20_000 + b"\r\n", 431, "65,536 bytes"),
        (b"rubbish\r\n\r\n", 400, "not valid HTTP"),
        (b"\x16\x03\x01\x02\x00", 400, "not valid HTTP"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400, "not valid HTTP"),
    ],
)
async def test_what_is_no_request_gets_a_json_error_and_is_hung_up_on(
    connect: Connect, request_text: bytes, status: int, message: str
) -> None:
    reader, writer = await connect()
    writer.write(request_text)
    answered, headers, body = await read_answer(reader)
    assert answered == status
    assert headers["content-type"].startswith("application/json")
    assert len(headers["x-request-id"]) == 24
    assert message in json.loads(body)["error"]


async def test_a_head_that_does_not_come_is_given_up(
    listen: Callable[[HttpBounds], Awaitable[Connect]],
) -> None:
    connect = await listen(HttpBounds(head_timeout_s=0.01))
    for sent in (b"", b"GET / HTTP/1.1\r\nHost:"):
        reader, writer = await connect()
        writer.write(sent)
        status, _, body = await read_answer(reader)
        assert status == 408
        assert "did not arrive" in json.loads(body)["error"]
        assert await reader.read() == b""


async def test_a_request_whose_client_hangs_up_is_cancelled(connect: Connect) -> None:
    waiting.clear()
    cancelled.clear()
    _, writer = await connect()
    writer.write(b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n")
    await waiting.wait()
    writer.transport.abort()
    await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_client_that_hangs_up_breaks_nothing(connect: Connect) -> None:
    _, writer = await connect()
    writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
    writer.transport.abort()
    reader, writer = await connect()
    writer.write(b"GET /still HTTP/1.1\r\nHost: h\r\n\r\n")
    assert json.loads((await read_answer(reader))[2])["path"] == "/still"


@pytest.mark.parametrize(
    "first",
    [
        b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
        b"POST /early HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["refused-early", "asked-for"],
)
async def test_nothing_is_done_after_an_answer_that_closes_the_connection(first: bytes) -> None:
    """The client can get no answer to it, and takes it for not done."""
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])
        head = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 403, "headers": head})
        await send({"type": "http.response.body", "body": b"no"})

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(first + b"hiPOST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (403, "close")
        assert await asyncio.wait_for(reader.read(), 30) == b""
    assert called == ["/early"]
