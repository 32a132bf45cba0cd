"""Requests a second: by JWT name, token, endpoint and workspace (limits.md sections 2 and 6).

A moving window of one second, by the `limits` library: in memory, or in Redis where several servers
share it. A request counts towards all of its limits or, where one is reached, towards none.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from pipewren.errors import StartError, TooManyRequests, Unavailable

MEMORY = "memory"
_REDIS_OPTIONS: dict[str, Any] = {
    "implementation": "redispy",
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
}


@dataclass(frozen=True, slots=True)
class Rate:
    """`of` names in messages what is limited; `key` tells it from all others of the server."""

    of: str
    key: tuple[str, ...]
    per_second: int


@dataclass(frozen=True, slots=True)
class RateState:
    """What the `X-RateLimit-*` headers say: of all limits the one with the fewest requests left.
    `reset_s` are whole seconds until its window is free again."""

    limit: int
    remaining: int
    reset_s: int


class RateLimiter:
    """`storage` is `memory` or the URL of a Redis. Raises StartError for one that is neither.
    `refused` counts by the kind of limit, the first part of its key."""

    def __init__(self, storage: str = MEMORY) -> None:
        self._is_shared = storage != MEMORY
        self.refused: Counter[str] = Counter()
        uri = f"async+{storage}" if self._is_shared else "async+memory://"
        options = _REDIS_OPTIONS if self._is_shared else {}
        try:
            made: Any = storage_from_string(uri, wrap_exceptions=True, **options)
        except Exception as error:  # noqa: BLE001 - the library's own are of many kinds
            raise StartError(
                "rate_limit_storage is neither `memory` nor the URL of a Redis that can be used "
                f"({type(error).__name__}); Redis needs `pip install pipewren[redis]`"
            ) from None
        self._storage = made
        self._window = MovingWindowRateLimiter(made)

    async def take(self, rates: Sequence[Rate]) -> RateState:
        """Count a request towards all of `rates` (at least one). Raises TooManyRequests, and
        Unavailable where Redis does not answer: nobody is let through uncounted."""
        if not self._is_shared:
            return await self._take(rates)
        try:  # in a task, since its client has time limits, and a request none (serve/exchange.py)
            return await asyncio.create_task(self._take(rates))
        except (StorageError, OSError):
            raise Unavailable(
                "The rate limits cannot be counted: rate_limit_storage does not answer"
            ) from None

    async def close(self) -> None:
        if self._is_shared:
            await self._storage.bridge.get_connection().aclose()

    async def _take(self, rates: Sequence[Rate]) -> RateState:
        items = [(RateLimitItemPerSecond(rate.per_second), rate) for rate in rates]
        for item, rate in items:
            if not await self._window.test(item, *rate.key):
                raise await self._refuse(item, rate)
        states: list[RateState] = []
        for item, rate in items:
            if not await self._window.hit(item, *rate.key):  # another server was quicker
                raise await self._refuse(item, rate)
            states.append(await self._state(item, rate))
        return min(states, key=lambda state: state.remaining)

    async def _state(self, item: RateLimitItemPerSecond, rate: Rate) -> RateState:
        stats = await self._window.get_window_stats(item, *rate.key)
        reset_s = max(1, math.ceil(stats.reset_time - time.time()))
        return RateState(rate.per_second, max(0, stats.remaining), reset_s)

    async def _refuse(self, item: RateLimitItemPerSecond, rate: Rate) -> TooManyRequests:
        self.refused[rate.key[0]] += 1
        state = await self._state(item, rate)
        return TooManyRequests(
            f"Too many requests: limit of {rate.per_second} requests per second of {rate.of} "
            "exceeded",
            retry_after_s=state.reset_s,
            limit=rate.per_second,
        )
