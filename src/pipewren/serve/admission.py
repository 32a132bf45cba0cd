"""How many requests are in the server at a time.

Waiting for a connection happens in the engine's lanes, first come, first served; here the number
of those who run and wait is bounded, so that overload gives quick 429s and not a pile-up.
"""

from __future__ import annotations

from types import TracebackType

from pipewren.errors import TooManyRequests


class Admission:
    """A counter with a bound: `with admission:` around what a request does in the engine."""

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self.inside = 0

    def __enter__(self) -> None:
        if self.inside >= self._max_requests:
            raise TooManyRequests(
                f"Too many requests: {self._max_requests} are running or waiting already"
            )
        self.inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.inside -= 1
