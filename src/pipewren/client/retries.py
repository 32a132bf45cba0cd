"""When a call is made again, and after how long (endpoints.md section 4, limits.md section 6).

Pure but for the clock and the source of random numbers, which are given.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipewren.client.errors import ClientError, ConnectionFailed, InvalidArgument
from pipewren.client.steps import Steps, T, Wait

# 408 is not among them: a query that ran into its limit would run into it again.
RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})

_log = logging.getLogger("pipewren.client")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` counts the first one; no attempt begins later than `max_wait_s` seconds after
    the first. The waits are random between 0 and `base_s`, twice that, ... but at most `cap_s`."""

    max_attempts: int = 5
    max_wait_s: float = 30.0
    base_s: float = 0.2
    cap_s: float = 8.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise InvalidArgument("max_attempts must be at least 1")
        for name in ("max_wait_s", "base_s", "cap_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidArgument(f"{name} must be a number of seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only grow, the time of day, and random numbers from 0 up to but not including
    1; a test gives its own."""

    monotonic_s: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    random: Callable[[], float] = random.random


def is_retried(error: ClientError) -> bool:
    return isinstance(error, ConnectionFailed) or error.status in RETRIED_STATUSES


def choose_wait_s(
    policy: RetryPolicy, clock: Clock, error: ClientError, *, attempts: int, elapsed_s: float
) -> float | None:
    """How long to wait before the next attempt, or None when `error` is to be raised.

    Exponential back-off with full jitter: anything between nothing and the step's whole, so that
    clients that failed together do not come back together. `Retry-After` is the least that is
    waited, with the jitter on top; one that leads over `max_wait_s` ends the attempts at once,
    since a try before it would be refused.
    """
    left_s = policy.max_wait_s - elapsed_s
    least_s = error.retry_after_s or 0.0
    if attempts >= policy.max_attempts or not is_retried(error) or left_s <= 0 or least_s > left_s:
        return None
    # The exponent is bounded: 2.0 ** 1024 is an OverflowError.
    step_s = min(policy.cap_s, policy.base_s * 2.0 ** min(attempts - 1, 60))
    return min(least_s + clock.random() * step_s, left_s)


def read_retry_after_s(headers: Mapping[str, str], now: Callable[[], datetime]) -> float | None:
    """`Retry-After` in seconds, at least 0; None when it is missing or makes no sense.

    It is a number of seconds or an HTTP date; a date is counted from the answer's own `Date` if
    there is one, since the two clocks may differ.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    until = _read_date(text)
    if until is None:
        return None
    sent = _read_date(headers.get("date", "")) or now()
    return max(0.0, (until - sent).total_seconds())


def with_retries(
    attempt: Callable[[], Steps[T]], policy: RetryPolicy, clock: Clock, *, label: str
) -> Steps[T]:
    """The result of the first attempt that succeeds; else the last attempt's error is raised.

    `label` names the request in the log.
    """
    started_s = clock.monotonic_s()
    may_have_arrived = False
    for attempts in itertools.count(1):
        try:
            return (yield from attempt())
        except ClientError as error:
            failed = error
        may_have_arrived |= failed.may_have_arrived
        elapsed_s = clock.monotonic_s() - started_s
        wait_s = choose_wait_s(policy, clock, failed, attempts=attempts, elapsed_s=elapsed_s)
        if wait_s is None:
            break
        what = failed.status or type(failed).__name__
        _log.info("%s: %s; attempt %d in %.2f s", label, what, attempts + 1, wait_s)
        yield Wait(wait_s)
    failed.attempts = attempts
    failed.may_have_arrived = may_have_arrived
    raise failed


def _read_date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
