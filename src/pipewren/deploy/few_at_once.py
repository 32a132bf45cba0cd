"""Many checks, a few of them at a time: a server deploys while it answers requests.

With more of them under way than this, requests would wait in line behind them for a connection of
the engine, and for the loop while each begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 2  # of the engine's light connections, of which there are 2 a core


async def run_few_at_once(works: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results, in the order of the works. The first error ends it, and is raised."""
    waiting = list(enumerate(works))
    waiting.reverse()
    results: dict[int, T] = {}

    async def take() -> None:
        while waiting:
            number, work = waiting.pop()
            results[number] = await work()

    takers = [asyncio.ensure_future(take()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*takers)
    finally:
        waiting.clear()
        await asyncio.gather(*takers, return_exceptions=True)
    return [results[number] for number in sorted(results)]
