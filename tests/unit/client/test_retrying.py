"""Both clients against a server that fails on purpose."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.client import (
    AnswerCut,
    AnswerTimedOut,
    BadRequest,
    Client,
    ClientError,
    ConnectionFailed,
    Forbidden,
    NotFound,
    QueryTimedOut,
    Refused,
    ServerFailed,
    TooManyRequests,
    UnreadableAnswer,
)

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer, Waits

ERROR = {"error": "not now"}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any], status: int
) -> None:
    server.answers(status, ERROR).answers(200, rows_json)
    assert caller.query("top").data == ({"n": 1},)
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (405, Refused),
        (408, QueryTimedOut),
        (414, Refused),
        (501, ServerFailed),
    ],
)
def test_a_refusal_is_raised_at_once_with_its_kind(
    caller: Caller, server: FailingServer, waits: Waits, status: int, kind: type[ClientError]
) -> None:
    server.answers(status, ERROR, x_request_id="r1", x_db_exception_code="62")
    with pytest.raises(kind) as caught:
        caller.query("top")
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.message, error.request_id) == (status, "not now", "r1")
    assert (error.engine_code, error.attempts) == (62, 1)
    assert waits.waited_s == []


def test_the_waits_double_and_end_with_the_last_attempt(
    caller: Caller, server: FailingServer, waits: Waits
) -> None:
    server.answers(500, ERROR, times=4)
    with pytest.raises(ServerFailed) as caught:
        caller.query("top", max_attempts=4)
    assert waits.waited_s == pytest.approx([0.1, 0.2, 0.4])
    assert caught.value.attempts == 4
    assert "4 attempts" in str(caught.value)


def test_retry_after_is_the_least_that_is_waited(
    caller: Caller, server: FailingServer, waits: Waits, rows_json: dict[str, Any]
) -> None:
    server.answers(429, ERROR, retry_after="7").answers(200, rows_json)
    caller.query("top")
    assert waits.waited_s == pytest.approx([7.1])


def test_retry_after_as_a_date_counts_from_the_date_of_the_answer(
    caller: Caller, server: FailingServer, waits: Waits, rows_json: dict[str, Any]
) -> None:
    server.answers(
        503,
        ERROR,
        retry_after="Thu, 01 Jan 2026 00:00:05 GMT",
        date="Thu, 01 Jan 2026 00:00:00 GMT",
    ).answers(200, rows_json)
    waits.drawn = 0.0
    caller.query("top")
    assert waits.waited_s == [5.0]


def test_a_retry_after_beyond_the_bound_ends_the_attempts_and_is_told(
    caller: Caller, server: FailingServer, waits: Waits
) -> None:
    server.answers(429, ERROR, retry_after="3600")
    with pytest.raises(TooManyRequests) as caught:
        caller.query("top", max_wait_s=10)
    assert caught.value.retry_after_s == 3600
    assert waits.waited_s == []


def test_no_attempt_begins_after_the_bound_of_time(
    caller: Caller, server: FailingServer, waits: Waits
) -> None:
    server.answers(429, ERROR, times=4, retry_after="4")
    waits.drawn = 0.0
    with pytest.raises(TooManyRequests):
        caller.query("top", max_attempts=100, max_wait_s=12.5)
    assert waits.waited_s == [4.0, 4.0, 4.0]


def test_a_dropped_connection_is_tried_again(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.drops().answers(200, rows_json)
    assert caller.query("top").rows == 1


def test_an_answer_cut_in_its_body_is_tried_again(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.cuts(b'{"data": [', length=100).answers(200, rows_json)
    assert caller.query("top").rows == 1


def test_an_answer_that_is_always_cut_is_an_error(caller: Caller, server: FailingServer) -> None:
    server.cuts(b"{}", length=100).cuts(b"{}", length=100)
    with pytest.raises(AnswerCut) as caught:
        caller.query("top", max_attempts=2)
    assert caught.value.may_have_arrived


def test_nobody_listening_is_a_connection_error_that_arrived_nowhere(
    caller: Caller, waits: Waits
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        caller.url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ConnectionFailed) as caught:
        caller.query("top", max_attempts=3)
    assert type(caught.value) is ConnectionFailed
    assert not caught.value.may_have_arrived
    assert caught.value.status is None
    assert len(waits.waited_s) == 2


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_a_silent_server_is_not_asked_again(
    caller: Caller, server: FailingServer, waits: Waits, sent: bytes
) -> None:
    server.hangs(sent)
    with pytest.raises(AnswerTimedOut):
        caller.query("top", timeout_s=0.05)
    assert len(server.received) == 1
    assert waits.waited_s == []


def test_a_redirect_is_not_followed(caller: Caller, server: FailingServer) -> None:
    server.answers(302, location=f"{server.url}/elsewhere")
    with pytest.raises(UnreadableAnswer, match="redirect"):
        caller.query("top")
    assert len(server.received) == 1


def test_an_error_that_is_not_json_is_told_by_its_status(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(414, b"<html>too long</html>")
    with pytest.raises(Refused, match=r"GET /v0/pipes/top\.json was answered with 414"):
        caller.query("top")


def test_no_connection_is_held_while_waiting(
    caller: Caller, server: FailingServer, waits: Waits, rows_json: dict[str, Any]
) -> None:
    has_left: list[bool] = []
    waits.meanwhile = lambda: has_left.append(server.left.wait(5))
    head = b"HTTP/1.1 503 Scripted\r\nContent-Length: 1000000\r\n\r\n"
    server.hangs(head + b"x" * 100_000).answers(200, rows_json)
    caller.query("top")
    assert has_left == [True]


def test_an_error_whose_text_is_cut_keeps_its_kind(caller: Caller, server: FailingServer) -> None:
    server.cuts(b'{"error": "no', length=100, status=403)
    with pytest.raises(Forbidden, match="was answered with 403"):
        caller.query("top")


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"data": 1}', b'{"data": [{"n": "\xff"}], "meta": [], "rows": 1}']
)
def test_an_answer_that_is_no_endpoints_json_is_an_error(
    caller: Caller, server: FailingServer, body: bytes
) -> None:
    server.answers(200, body, x_request_id="r9")
    with pytest.raises(UnreadableAnswer, match=r"GET /v0/pipes/top\.json") as caught:
        caller.query("top")
    assert caught.value.request_id == "r9"


def test_garbled_compression_is_an_error_of_its_own(caller: Caller, server: FailingServer) -> None:
    server.answers(200, b"not gzip at all", content_encoding="gzip")
    with pytest.raises(UnreadableAnswer):
        caller.query("top")


def test_retries_are_logged_without_parameters(
    server: FailingServer,
    waits: Waits,
    rows_json: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.answers(429, ERROR).answers(200, rows_json)
    with (
        caplog.at_level(logging.INFO, "pipewren.client"),
        Client(server.url, "t", sleep=waits.wait, clock=waits.clock()) as client,
    ):
        client.query("top", {"person": "Ada"})
    (record,) = [record for record in caplog.records if record.name == "pipewren.client"]
    assert record.getMessage() == "GET /v0/pipes/top.json: 429; attempt 2 in 0.10 s"


def test_a_closed_client_says_so(server: FailingServer) -> None:
    client = Client(server.url, "t")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.query("top")
