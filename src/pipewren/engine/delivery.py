"""Carries calls from worker threads to the event loop, with one wake-up for many of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from pipewren.engine.job import Job

_MAX_DEFERRED = 5


class Delivery:
    """`call` may be used by any thread; the calls run on the loop, in the order of each thread.

    Waking the loop is a system call, a good part of a hand-over's cost, so while a wake-up is
    under way nobody asks for another.
    """

    __slots__ = ("_calls", "_is_waking", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_waking = False

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        self._calls.append((function, arguments))
        if not self._is_waking:
            self._is_waking = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:  # the loop is closed: nobody waits for an outcome any more
                self._calls.clear()

    def defer(self, function: Callable[..., object], *arguments: Any) -> None:
        """Like `call`, but the next call wakes the loop for this one too. For outcomes behind which
        many more wait: waking it for each costs a tenth of a quick query."""
        if len(self._calls) < _MAX_DEFERRED:
            self._calls.append((function, arguments))
        else:
            self.call(function, *arguments)

    def flush(self) -> None:
        """On the loop: run what was deferred and nobody has called for since."""
        self._run()

    def _run(self) -> None:
        # First the flag: a call that is added from here on wakes the loop again.
        self._is_waking = False
        calls = self._calls
        while calls:
            function, arguments = calls.popleft()
            function(*arguments)


def settle(job: Job, outcome: Any, error: BaseException | None) -> None:
    """Hand a job's outcome to whoever awaits it; nobody does when it was cancelled."""
    if job.outcome.done():
        return
    if error is None:
        job.outcome.set_result(outcome)
    else:
        job.outcome.set_exception(error)
