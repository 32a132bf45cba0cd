"""How an address that sends bad tokens is slowed down. Times are given, none is waited for."""

from __future__ import annotations

import pytest

from pipewren.access.brute_force import MAX_PROVEN, Attempts
from pipewren.errors import TooManyRequests

HERE, THERE = "192.0.2.1", "192.0.2.2"


def waits(attempts: Attempts, address: str, now_s: float, digest: bytes = b"?") -> int:
    """Seconds that the address has to wait, 0 when its token is looked at."""
    try:
        attempts.check(address, digest, now_s)
    except TooManyRequests as error:
        return error.retry_after_s
    return 0


def test_bad_tokens_come_back_evenly_over_the_minute() -> None:
    attempts = Attempts(6)
    for _ in range(6):
        assert waits(attempts, HERE, 100.0) == 0
        attempts.count(HERE, 100.0)
    assert waits(attempts, HERE, 100.0) == 10
    assert waits(attempts, HERE, 104.5) == 6
    assert waits(attempts, HERE, 110.0) == 0
    attempts.count(HERE, 110.0)
    assert waits(attempts, HERE, 110.0) == 10
    assert waits(attempts, THERE, 100.0) == 0


def test_an_address_is_forgotten_when_its_minute_is_over() -> None:
    attempts = Attempts(6)
    attempts.count(HERE, 0.0)
    assert attempts.is_watching
    assert waits(attempts, HERE, 60.0) == 0
    assert not attempts.is_watching


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    attempts = Attempts(1)
    attempts.count(HERE, 1000.0)
    assert waits(attempts, HERE, 10.0) == 60


def test_only_tokens_that_were_good_from_the_same_address_pass() -> None:
    attempts = Attempts(2)
    attempts.count(HERE, 0.0)
    attempts.prove(HERE, b"good")
    attempts.prove(THERE, b"other")
    attempts.count(HERE, 0.0)
    assert waits(attempts, HERE, 0.0, b"good") == 0
    assert waits(attempts, HERE, 0.0, b"other") > 0


def test_memory_is_bounded_by_addresses_and_by_tokens() -> None:
    attempts = Attempts(1, max_addresses=3)
    for number in range(10):
        attempts.count(f"192.0.2.{number}", 0.0)
    assert len(attempts) == 3
    assert waits(attempts, "192.0.2.9", 0.0) > 0
    assert waits(attempts, "192.0.2.1", 0.0) == 0
    many = Attempts(2)
    many.count(HERE, 0.0)
    for number in range(MAX_PROVEN + 1):
        many.prove(HERE, b"%d" % number)
    many.count(HERE, 0.0)
    assert waits(many, HERE, 0.0, b"0") == 0
    assert waits(many, HERE, 0.0, b"%d" % MAX_PROVEN) > 0


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_whole_network_of_ipv6_counts_as_one_address(
    first: str, second: str, is_one: bool
) -> None:
    attempts = Attempts(1)
    attempts.count(first, 0.0)
    assert (waits(attempts, second, 0.0) > 0) == is_one


def test_zero_turns_it_off() -> None:
    attempts = Attempts(0)
    for _ in range(1000):
        attempts.count(HERE, 0.0)
    assert not attempts.is_watching
    assert waits(attempts, HERE, 0.0) == 0
