"""Rows while they arrive: complete, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.client import AnswerCut, AnswerTimedOut, Client, NotFound, UnreadableAnswer
from pipewren.client.stream import Lines

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer, Waits

TWO = [{"n": 1}, {"n": 2}]


def test_rows_arrive_in_order_across_chunks(caller: Caller, server: FailingServer) -> None:
    server.chunks(b'{"n":', b'1}\n{"n":2}\n{"s":"\xc3', b'\xbc"}', b"\n")
    caller.stream("top", {"x": 1})
    assert caller.streamed == [*TWO, {"s": "ü"}]
    assert server.received[0].target == "/v0/pipes/top.ndjson?x=1"


def test_an_empty_result_has_no_rows(caller: Caller, server: FailingServer) -> None:
    server.answers(200, b"")
    caller.stream("top")
    assert caller.streamed == []


def test_nothing_is_sent_before_the_first_row_is_asked_for(server: FailingServer) -> None:
    with Client(server.url, "t") as client, client.stream("top"):
        pass
    assert server.received == []


def test_a_failure_before_the_first_row_is_tried_again(
    caller: Caller, server: FailingServer, waits: Waits
) -> None:
    server.answers(429, {"error": "later"}, retry_after="2").drops()
    server.chunks(ends=False).chunks(b'{"n"', ends=False).chunks(b'{"n":1}\n')
    caller.stream("top")
    assert caller.streamed == [{"n": 1}]
    assert len(server.received) == 5
    assert waits.waited_s[0] >= 2


@pytest.mark.parametrize("body", [b'{"n":1}\n{"n":2}\n', b'{"n":1}\n{"n":2}\n{"n":'])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_cut_after_the_first_row_raises_and_is_not_tried_again(
    caller: Caller, server: FailingServer, body: bytes, framing: str
) -> None:
    if framing == "length":
        server.cuts(body, length=1000)
    else:
        server.chunks(body, ends=False)
    with pytest.raises(AnswerCut, match="after 2 rows were handed over"):
        caller.stream("top")
    assert caller.streamed == TWO
    assert len(server.received) == 1


def test_an_answer_that_ends_inside_a_row_is_cut_whatever_its_length_says(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(200, b'{"n":1}\n{"n":2}\n{"n":34}')
    with pytest.raises(AnswerCut, match="inside a row"):
        caller.stream("top")
    assert caller.streamed == TWO


def test_an_answer_whose_cut_could_not_be_seen_is_refused(
    caller: Caller, server: FailingServer
) -> None:
    server.sends(b'HTTP/1.0 200 OK\r\n\r\n{"n":1}\n')
    with pytest.raises(UnreadableAnswer, match=r"HTTP/1\.0"):
        caller.stream("top")
    assert caller.streamed == []


def test_a_stream_that_falls_silent_raises(caller: Caller, server: FailingServer) -> None:
    server.hangs(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"n":1}\n')
    with pytest.raises(AnswerTimedOut, match="after 1 rows"):
        caller.stream("top", timeout_s=0.05)
    assert caller.streamed == [{"n": 1}]


@pytest.mark.parametrize("line", [b"<html>\n", b"[1]\n", b'{"s":"\xff"}\n'])
def test_a_line_that_is_no_row_raises(caller: Caller, server: FailingServer, line: bytes) -> None:
    server.answers(200, b'{"n":1}\n' + line)
    with pytest.raises(UnreadableAnswer):
        caller.stream("top")


def test_a_refusal_is_raised_by_the_first_row(caller: Caller, server: FailingServer) -> None:
    server.answers(404, {"error": "The pipe 'top' does not exist"})
    with pytest.raises(NotFound, match="The pipe 'top' does not exist"):
        caller.stream("top")


def test_a_stream_that_is_let_go_ends_its_connection_and_not_the_client(
    caller: Caller, server: FailingServer
) -> None:
    server.hangs(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"n":1}\n{"n":2}\n')
    has_left: list[bool] = []
    caller.stream("top", most=1, then=lambda: has_left.append(server.left.wait(5)))
    assert caller.streamed == [{"n": 1}]
    assert has_left == [True]


def test_a_client_takes_other_calls_while_a_stream_is_open(
    server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.chunks(b'{"n":1}\n{"n":2}\n').answers(200, rows_json)
    with Client(server.url, "t") as client:
        rows = client.stream("top")
        assert next(rows) == {"n": 1}
        assert client.query("top").rows == 1
        assert list(rows) == [{"n": 2}]


@given(st.lists(st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")), max_size=6))
def test_lines_are_the_same_however_they_are_chunked(lines: list[bytes]) -> None:
    body = b"".join(line + b"\n" for line in lines)
    for size in range(1, len(body) + 1):
        splitter = Lines()
        read = []
        for start in range(0, len(body), size):
            read += splitter.feed(body[start : start + size])
        assert read == lines
        assert not splitter.has_rest
