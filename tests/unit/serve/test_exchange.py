"""Requests and answers over real sockets, with applications that do what they may and what they
must not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import pytest

from pipewren.engine.outcome import Outcome
from pipewren.serve import protocol
from pipewren.serve.bounds import HttpBounds
from pipewren.serve.sending import CutOff
from tests.unit.serve.connections import Application, listening

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def ask(app: Application, request: bytes = GET) -> bytes:
    """All that comes back until the connection ends."""
    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 20)


async def start(send: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def part(send: Any, body: bytes, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def text(send: Any, body: str, status: int = 200) -> None:
    await start(send, (b"content-length", b"%d" % len(body)), status=status)
    await part(send, body.encode(), False)


async def read_text(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return (await reader.readexactly(length)).decode()


async def test_a_client_who_reads_nothing_more_of_its_answer_is_cut_off() -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        try:
            while True:
                await part(send, b"x" * 100_000, True)
        finally:
            ended.set()

    async with listening(app, HttpBounds(stalled_reader_s=0.05)) as connect:
        reader, writer = await connect()
        writer.write(GET)
        await asyncio.wait_for(ended.wait(), 20)
        read = await asyncio.wait_for(reader.read(), 20)
    assert read.startswith(b"HTTP/1.1 200")
    assert not read.endswith(b"\r\n0\r\n\r\n")


CLOSING = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


async def test_an_application_may_wait_for_futures_tasks_turns_and_outcomes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        future, outcome = loop.create_future(), Outcome(loop)
        loop.call_soon(future.set_result, "future")
        loop.call_soon(outcome.set_result, "outcome")
        told = [await future, await outcome]
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        told.append(await asyncio.create_task(asyncio.sleep(0, "task")))
        told.append(await asyncio.to_thread(lambda: "thread"))
        failing = Outcome(loop)
        loop.call_soon(failing.set_exception, KeyError("failed"))
        with pytest.raises(KeyError):
            await failing
        await text(send, " ".join(told))

    assert (await ask(app, CLOSING)).endswith(b"\r\n\r\nfuture outcome task thread")


async def test_a_body_without_a_length_is_chunked_and_whole() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        for piece in (b"one", b"", b"two"):
            await part(send, piece, True)
        await part(send, b"", False)

    answer = await ask(app, CLOSING)
    assert b"transfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_http_1_0_gets_a_body_that_ends_with_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await part(send, b"one", True)
        await part(send, b"two", False)

    answer = await ask(app, b"GET / HTTP/1.0\r\n\r\n")
    assert b"chunked" not in answer
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


async def test_head_gets_no_body_and_204_no_chunks() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send, status=204 if scope["method"] == "GET" else 200)
        await part(send, b"body" if scope["method"] == "HEAD" else b"", False)

    head = await ask(app, CLOSING.replace(b"GET", b"HEAD"))
    assert head.endswith(b"\r\n\r\n")
    assert (await ask(app, CLOSING)).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("error", [CutOff(), RuntimeError("secret")])
async def test_an_answer_that_breaks_off_does_not_look_complete(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await part(send, b"one", True)
        raise error

    with caplog.at_level(logging.CRITICAL, "pipewren.serve"):
        try:
            answer = await ask(app)
        except ConnectionResetError:
            return
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("mistake", ["raises", "returns", "twice", "body first", "line break"])
async def test_an_application_without_an_answer_is_a_bare_500(
    mistake: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if mistake == "raises":
            raise RuntimeError("secret")
        if mistake == "body first":
            await part(send, b"secret", False)
        if mistake == "line break":
            await start(send, (b"x-secret", b"a\r\nb: c"))
        if mistake == "twice":
            await text(send, "first")
            await text(send, "secret")

    answer = await ask(app, CLOSING)
    assert b"secret" not in answer
    if mistake == "twice":
        assert answer.endswith(b"first")
    else:
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert json.loads(answer.split(b"\r\n\r\n")[1]) == {"error": "Internal error."}
    assert "the application" in caplog.text


async def test_a_body_comes_as_it_is_asked_for() -> None:
    got: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            got.append(message["body"])
            if not message["more_body"]:
                break
        await text(send, str(sum(map(len, got))))

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(b"x" * 100_000)
            await writer.drain()
        assert await read_text(reader) == "3000000"
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert await read_text(reader) == "3000005"


async def test_a_client_that_expects_100_continue_is_told_to_go_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await text(send, message["body"].decode())

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert await read_text(reader) == "hi"


async def test_an_answer_before_the_body_has_come_ends_the_connection_but_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "_LINGER_S", 0.05)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await text(send, "refused", 403)

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(20):
            writer.write(b"x" * 10_000)
        answer = await asyncio.wait_for(reader.read(), 20)
        assert b"connection: close" in answer
        assert answer.endswith(b"refused")


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_BODY_CHECK_S", 0.02)
    cancelled = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive())["more_body"]:
                continue
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"slower than 1,000 bytes" in answer
        await asyncio.wait_for(cancelled.wait(), 20)


async def test_a_hundred_pipelined_requests_are_answered_in_order() -> None:
    numbers = iter(range(1000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        number = next(numbers)
        if number % 3 == 0:
            await asyncio.sleep(0)
        await text(send, scope["path"])

    async with listening(app) as connect:
        reader, writer = await connect()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % n for n in range(500)))
        assert [await read_text(reader) for _ in range(500)] == [f"/{n}" for n in range(500)]


async def test_cancelling_reaches_what_the_application_waits_for() -> None:
    reached: list[str] = []
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outcome = Outcome(asyncio.get_running_loop())
        waiting.set()
        try:
            await outcome
        except asyncio.CancelledError:
            reached.append("outcome" if outcome.cancelled() else "nothing")
            raise

    async with listening(app) as connect:
        _, writer = await connect()
        writer.write(GET)
        await waiting.wait()
        writer.transport.abort()
        while not reached:
            await asyncio.sleep(0)
    assert reached == ["outcome"]


async def test_connections_beyond_the_bounds_are_429_and_room_is_given_back() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await text(send, "hi")

    for bounds, name in (
        (HttpBounds(max_connections=1), b"max_connections"),
        (HttpBounds(max_connections_per_address=1), b"max_connections_per_address"),
    ):
        async with listening(app, bounds) as connect:
            reader, writer = await connect()
            writer.write(GET)
            assert await read_text(reader) == "hi"
            refused, other = await connect()
            answer = await asyncio.wait_for(refused.read(), 20)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert name in answer
            other.close()
            writer.write(CLOSING)
            assert await read_text(reader) == "hi"
            assert await reader.read() == b""
            while True:  # the server notices the closed ones in its own time
                reader, writer = await connect()
                writer.write(GET)
                with contextlib.suppress(ConnectionError):
                    if (await reader.readline()).startswith(b"HTTP/1.1 200"):
                        break
                writer.close()


async def test_20_mb_of_url_or_headers_are_refused_in_constant_memory() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("no request")

    for begin, status in ((b"GET /", 414), (b"GET / HTTP/1.1\r\nX: ", 431)):
        async with listening(app) as connect:
            reader, writer = await connect()
            writer.write(begin)
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    writer.write(b"a" * 100_000)
                    await writer.drain()
            with contextlib.suppress(ConnectionError):
                assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)


async def test_an_outcome_is_awaited_by_tasks_too() -> None:
    loop = asyncio.get_running_loop()

    async def wait(outcome: Outcome) -> Any:
        return await outcome

    first, second, third = Outcome(loop), Outcome(loop), Outcome(loop)
    tasks = [loop.create_task(wait(outcome)) for outcome in (first, first, second, third)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    first.set_result("value")
    second.set_exception(KeyError("failed"))
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert done[:2] == ["value", "value"]
    assert isinstance(done[2], KeyError)
    assert isinstance(done[3], asyncio.CancelledError)
    assert third.cancelled()
    assert not first.cancel()
    with pytest.raises(asyncio.InvalidStateError):
        first.set_result("again")
    assert await first == "value"
