"""When another attempt is made, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.client import AnswerTimedOut, Clock, ConnectionFailed, InvalidArgument, ServerFailed
from pipewren.client.retries import RetryPolicy, choose_wait_s, is_retried, read_retry_after_s

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


@given(
    attempts=st.integers(1, 10_000),
    elapsed_s=st.floats(0, 1000),
    retry_after_s=st.none() | st.floats(0, allow_nan=False),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_within_all_its_bounds(
    attempts: int, elapsed_s: float, retry_after_s: float | None, drawn: float
) -> None:
    policy = RetryPolicy(max_attempts=9_000, max_wait_s=60.0)
    error = ServerFailed("", status=503, retry_after_s=retry_after_s)
    clock = Clock(random=lambda: drawn)
    wait_s = choose_wait_s(policy, clock, error, attempts=attempts, elapsed_s=elapsed_s)
    if wait_s is None:
        assert attempts >= 9_000 or elapsed_s >= 60 or (retry_after_s or 0) > 60 - elapsed_s
    else:
        assert attempts < 9_000
        assert (retry_after_s or 0) <= wait_s <= (retry_after_s or 0) + policy.cap_s
        assert elapsed_s + wait_s <= 60.000001


def test_the_jitter_spreads_over_the_whole_step() -> None:
    policy = RetryPolicy(base_s=1.0, cap_s=5.0, max_attempts=100)
    error = ServerFailed("", status=500)

    def waits_s(drawn: float) -> list[float | None]:
        clock = Clock(random=lambda: drawn)
        return [
            choose_wait_s(policy, clock, error, attempts=number, elapsed_s=0)
            for number in range(1, 6)
        ]

    assert waits_s(0.0) == [0, 0, 0, 0, 0]
    assert waits_s(0.5) == [0.5, 1.0, 2.0, 2.5, 2.5]


def test_the_jitter_does_not_lead_over_the_bound_of_time() -> None:
    policy = RetryPolicy(base_s=8.0, max_wait_s=10.0)
    clock = Clock(random=lambda: 0.99)
    error = ServerFailed("", status=503, retry_after_s=1.0)
    assert choose_wait_s(policy, clock, error, attempts=1, elapsed_s=7.0) == 3.0
    assert choose_wait_s(policy, clock, error, attempts=1, elapsed_s=9.5) is None


def test_a_broken_connection_is_retried_and_a_silent_one_is_not() -> None:
    assert is_retried(ConnectionFailed(""))
    assert not is_retried(AnswerTimedOut(""))


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("1.5", 1.5),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60.0),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0.0),
        ("", None),
        (".", None),
        ("-1", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("1e9", None),
        ("9" * 500, float("inf")),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected_s: float | None) -> None:
    assert read_retry_after_s({"retry-after": text}, lambda: NOON) == expected_s


def test_no_retry_after_is_none() -> None:
    assert read_retry_after_s({}, lambda: NOON) is None


@pytest.mark.parametrize(
    "bounds",
    [{"max_attempts": 0}, {"max_wait_s": -1}, {"max_wait_s": float("nan")}, {"cap_s": -0.1}],
)
def test_a_policy_without_bounds_is_refused(bounds: dict[str, float]) -> None:
    (name,) = bounds
    with pytest.raises(InvalidArgument, match=name):
        RetryPolicy(**bounds)  # type: ignore[arg-type]
