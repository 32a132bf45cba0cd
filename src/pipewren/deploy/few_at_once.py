"""Many checks, a few of them at a time: a server deploys while it answers requests.

With more of them under way than this, requests would wait in line behind them for a connection of
the engine, and for the loop while each begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_BREATH_S = 0.001
AT_ONCE = 2  # of the engine's light connections, of which there are 2 a core


async def take_a_breath() -> None:
    """Let others work. A `sleep(0)` would not do: the loop would go on holding the interpreter's
    lock, which the engine's workers need to begin a request's statement and to hand its result
    back, and get from a busy loop every 5 ms only."""
    await asyncio.sleep(_BREATH_S)


async def run_few_at_once(works: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results, in the order of the works. The first error ends it, and is raised."""
    waiting = list(enumerate(works))
    waiting.reverse()
    results: dict[int, T] = {}

    async def take() -> None:
        while waiting:
            number, work = waiting.pop()
            results[number] = await work()
            await take_a_breath()

    takers = [asyncio.ensure_future(take()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*takers)
    finally:
        waiting.clear()
        await asyncio.gather(*takers, return_exceptions=True)
    return [results[number] for number in sorted(results)]
