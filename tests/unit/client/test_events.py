"""Events in batches against a stand-in for their route (data-apis.md section 1)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.client import (
    AnswerTimedOut,
    EventsBatch,
    EventsReport,
    Forbidden,
    InvalidArgument,
    NotAllSent,
    Refused,
    TooManyRequests,
    UnreadableAnswer,
)
from pipewren.client.batches import cut_batches, encode_row

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer, Waits


def rows(count: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(count)]


def counts(successful: int, quarantined: int = 0) -> dict[str, int]:
    return {"successful_rows": successful, "quarantined_rows": quarantined}


def sent_numbers(server: FailingServer) -> list[list[int]]:
    return [
        [json.loads(line)["n"] for line in received.body.split(b"\n")]
        for received in server.received
    ]


def test_rows_go_as_ndjson_and_the_counts_come_back(caller: Caller, server: FailingServer) -> None:
    server.answers(200, counts(1, 1))
    report = caller.send_events("visits & more", rows(2))
    assert report == EventsReport((EventsBatch(0, 2, 1, 1),))
    (received,) = server.received
    assert received.method == "POST"
    assert received.target.startswith("/v0/events?")
    assert received.query == [("name", "visits & more"), ("wait", "true")]
    assert received.headers["content-type"] == "application/x-ndjson"
    assert received.body == b'{"n":0}\n{"n":1}'


def test_without_wait_an_accepted_batch_is_enough(caller: Caller, server: FailingServer) -> None:
    server.answers(202, counts(2))
    assert caller.send_events("visits", rows(2), wait=False).successful_rows == 2
    assert ("wait", "false") in server.received[0].query


def test_no_rows_are_no_request(caller: Caller, server: FailingServer) -> None:
    assert caller.send_events("visits", []) == EventsReport()
    assert server.received == []


def test_batches_are_bounded_and_read_lazily_in_order(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(200, counts(2)).answers(200, counts(1, 1)).answers(200, counts(1))
    seen: list[int] = []

    def produce() -> Iterator[dict[str, int]]:
        for number in range(5):
            seen.append(len(server.received))
            yield {"n": number}

    report = caller.send_events("visits", produce(), max_batch_rows=2)
    assert sent_numbers(server) == [[0, 1], [2, 3], [4]]
    assert [batch.first_row for batch in report.batches] == [0, 2, 4]
    assert (report.rows, report.successful_rows, report.quarantined_rows) == (5, 4, 1)
    assert seen == [0, 0, 0, 1, 1], "a batch goes out as soon as the next row does not fit"


def test_a_throttled_batch_is_sent_again_and_the_others_are_not(
    caller: Caller, server: FailingServer, waits: Waits
) -> None:
    server.answers(200, counts(2)).answers(429, {"error": "slow"}, retry_after="3")
    server.drops().answers(503, {"error": "slow"}).answers(200, counts(2))
    report = caller.send_events("visits", rows(4), max_batch_rows=2)
    assert report.rows == 4
    assert sent_numbers(server) == [[0, 1], [2, 3], [2, 3], [2, 3], [2, 3]]
    assert waits.waited_s[0] >= 3


def test_a_partial_failure_tells_what_got_through(caller: Caller, server: FailingServer) -> None:
    server.answers(200, counts(2)).answers(
        429, {"error": "slow down"}, times=2, retry_after="1", x_request_id="r2"
    )
    with pytest.raises(NotAllSent, match="2 rows got through") as caught:
        caller.send_events("visits", rows(6), max_batch_rows=2, max_attempts=2)
    error = caught.value
    assert error.report == EventsReport((EventsBatch(0, 2, 2, 0),))
    assert error.next_row == 2
    assert isinstance(error.cause, TooManyRequests)
    assert (error.status, error.request_id, error.retry_after_s) == (429, "r2", 1.0)
    assert (error.attempts, error.may_have_arrived) == (2, False)
    assert sent_numbers(server) == [[0, 1], [2, 3], [2, 3]]


def test_when_the_first_batch_fails_its_own_error_is_raised(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(403, {"error": "no"})
    with pytest.raises(Forbidden):
        caller.send_events("visits", rows(6), max_batch_rows=2)
    assert len(server.received) == 1


def test_doubt_stays_when_a_later_attempt_was_refused(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(200, counts(1)).drops().answers(403, {"error": "no"})
    with pytest.raises(NotAllSent, match="may be stored all the same") as caught:
        caller.send_events("visits", rows(2), max_batch_rows=1)
    assert isinstance(caught.value.cause, Forbidden)
    assert caught.value.may_have_arrived


def test_a_failed_view_is_in_doubt_and_not_sent_again(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(422, {"error": "a materialized view failed"})
    with pytest.raises(Refused) as caught:
        caller.send_events("visits", rows(1))
    assert caught.value.may_have_arrived


def test_a_silent_server_leaves_doubt_and_is_not_sent_it_again(
    caller: Caller, server: FailingServer
) -> None:
    server.hangs()
    with pytest.raises(AnswerTimedOut) as caught:
        caller.send_events("visits", rows(1), timeout_s=0.05)
    assert caught.value.may_have_arrived
    assert len(server.received) == 1


def test_a_batch_that_is_too_large_goes_in_halves(caller: Caller, server: FailingServer) -> None:
    too_large = {"error": "too large"}
    server.answers(413, too_large).answers(413, too_large).answers(200, counts(1))
    server.answers(200, counts(1)).answers(200, counts(3))
    report = caller.send_events("visits", rows(5))
    assert sent_numbers(server) == [[0, 1, 2, 3, 4], [0, 1], [0], [1], [2, 3, 4]]
    assert [batch.first_row for batch in report.batches] == [0, 1, 2]
    assert report.successful_rows == 5


def test_a_row_that_is_too_large_alone_is_an_error(caller: Caller, server: FailingServer) -> None:
    server.answers(413, {"error": "too large"})
    with pytest.raises(Refused) as caught:
        caller.send_events("visits", rows(1))
    assert caught.value.status == 413


def test_an_answer_without_counts_is_an_error_in_doubt(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(200, {"ok": True})
    with pytest.raises(UnreadableAnswer) as caught:
        caller.send_events("visits", rows(1))
    assert caught.value.may_have_arrived


@pytest.mark.parametrize(
    "row", [{"n": float("nan")}, {"n": b"x"}, ["n"], "n", {"s": "\ud800"}, {"s": "x" * 101}]
)
def test_a_row_that_cannot_be_sent_is_named_and_the_ones_before_it_are_sent(
    caller: Caller, server: FailingServer, row: Any
) -> None:
    server.answers(200, counts(2))
    with pytest.raises(NotAllSent, match="Row 2 cannot be sent") as caught:
        caller.send_events("visits", [*rows(2), row, *rows(3)], max_batch_bytes=100)
    assert isinstance(caught.value.cause, InvalidArgument)
    assert caught.value.next_row == 2
    assert sent_numbers(server) == [[0, 1]]


def test_an_error_of_the_rows_own_is_let_through_with_what_was_sent(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(200, counts(1))

    def produce() -> Iterator[dict[str, int]]:
        yield from rows(2)
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke") as caught:
        caller.send_events("visits", produce(), max_batch_rows=1)
    assert caught.value.__notes__ == ["pipewren: 1 rows had been sent before this"]


@pytest.mark.parametrize("bounds", [{"max_batch_rows": 0}, {"max_batch_bytes": 0}])
def test_batches_of_nothing_are_refused(caller: Caller, bounds: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="at least 1"):
        caller.send_events("visits", rows(1), **bounds)


def test_an_empty_name_is_refused(caller: Caller) -> None:
    with pytest.raises(InvalidArgument, match="name is empty"):
        caller.send_events("", rows(1))


@given(
    texts=st.lists(st.text("abü\n", max_size=12), max_size=20),
    max_bytes=st.integers(40, 80),
    max_rows=st.integers(1, 5),
)
def test_batches_hold_all_rows_within_both_bounds(
    texts: list[str], max_bytes: int, max_rows: int
) -> None:
    given_rows = [{"s": text} for text in texts]
    batches = list(cut_batches(given_rows, max_bytes=max_bytes, max_rows=max_rows))
    assert [json.loads(line) for batch in batches for line in batch] == given_rows
    assert all(len(b"\n".join(batch)) <= max_bytes for batch in batches)
    assert all(1 <= len(batch) <= max_rows for batch in batches)
    for batch, after in itertools.pairwise(batches):
        full = len(batch) == max_rows
        assert full or len(b"\n".join([*batch, after[0]])) > max_bytes


def test_values_that_json_does_not_have_become_text() -> None:
    row = {
        "at": datetime(2026, 1, 31, 12, tzinfo=UTC),
        "day": date(2026, 1, 31),
        "time": time(12, 30),
        "id": UUID(int=1),
        "price": Decimal("1.10"),
        "nested": MappingProxyType({"x": [1, None, True]}),
        "big": 2**200,
        "text": "ü\n",
    }
    line = encode_row(row)
    assert b"\n" not in line
    assert json.loads(line) == {
        "at": "2026-01-31T12:00:00+00:00",
        "day": "2026-01-31",
        "time": "12:30:00",
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "1.10",
        "nested": {"x": [1, None, True]},
        "big": 2**200,
        "text": "ü\n",
    }
