"""Limits by the second: counted together, refused together, and free again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipewren.access.rates import Rate, RateLimiter
from pipewren.errors import StartError, TooManyRequests, Unavailable

TOKEN = Rate("token 'a'", ("token", "1"), 3)
WORKSPACE = Rate("the workspace", ("workspace", "1"), 2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that everybody sees; tests move it."""
    now = [1_000_000.25]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


async def test_requests_are_refused_beyond_the_limit_and_taken_when_the_window_has_moved_on(
    clock: list[float],
) -> None:
    limiter = RateLimiter()
    states = []
    for _ in range(3):
        states.append(await limiter.take([TOKEN]))
        clock[0] += 0.1
    assert [(state.limit, state.remaining, state.reset_s) for state in states] == [
        (3, 2, 1),
        (3, 1, 1),
        (3, 0, 1),
    ]
    with pytest.raises(TooManyRequests, match="limit of 3 requests per second of token 'a'") as got:
        await limiter.take([TOKEN])
    assert (got.value.limit, got.value.retry_after_s, got.value.status) == (3, 1, 429)
    clock[0] += 0.75  # the first of the three is a second ago
    assert (await limiter.take([TOKEN])).remaining == 0
    with pytest.raises(TooManyRequests):
        await limiter.take([TOKEN])


async def test_a_request_that_one_limit_refuses_counts_towards_none(clock: list[float]) -> None:
    limiter = RateLimiter()
    for _ in range(2):
        state = await limiter.take([TOKEN, WORKSPACE])
    assert (state.limit, state.remaining) == (2, 0)
    for _ in range(5):
        with pytest.raises(TooManyRequests, match="of the workspace"):
            await limiter.take([TOKEN, WORKSPACE])
    assert (await limiter.take([TOKEN])).remaining == 0


async def test_keys_are_kept_apart(clock: list[float]) -> None:
    limiter = RateLimiter()
    for name in ("a", "b", "a/b"):
        rate = Rate("a JWT", ("jwt", name), 1)
        await limiter.take([rate])
        with pytest.raises(TooManyRequests):
            await limiter.take([rate])


@pytest.mark.parametrize("storage", ["nonsense", "redis//x", "", "memcached://127.0.0.1:1"])
def test_a_storage_that_is_none_is_refused_without_its_url(storage: str) -> None:
    with pytest.raises(StartError, match="rate_limit_storage") as caught:
        RateLimiter(storage)
    assert "127.0.0.1" not in str(caught.value)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of the test's own, on a socket in its folder."""
    path = tmp_path / "r.sock"
    process = subprocess.Popen(
        [
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--save",
            "",
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        while not path.exists():
            assert process.poll() is None
        yield f"redis+unix://{path}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.needs("redis-server")
async def test_servers_that_share_a_redis_share_the_limits(redis_url: str) -> None:
    first, second = RateLimiter(redis_url), RateLimiter(redis_url)
    rate = Rate("a JWT", ("jwt", "w", "name"), 4)
    for number in range(4):
        state = await (first, second)[number % 2].take([rate])
        assert state.limit == 4
    with pytest.raises(TooManyRequests) as caught:
        await second.take([rate])
    assert caught.value.retry_after_s == 1
    for limiter in (first, second):
        await limiter.close()


async def test_a_redis_that_does_not_answer_lets_nobody_through(tmp_path: Path) -> None:
    limiter = RateLimiter(f"redis+unix://{tmp_path}/nothing")
    with pytest.raises(Unavailable, match="rate_limit_storage"):
        await limiter.take([TOKEN])
    await limiter.close()
