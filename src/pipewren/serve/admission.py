"""How many requests are in the server at a time, in all and of one endpoint.

Waiting for a connection happens in the engine's lanes, first come, first served, and is bounded in
time there (`engine/pool.py`). Here the number of those who run and wait is bounded, so that
overload gives quick 429s and not a pile-up.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from pipewren.errors import TooManyRequests


class Admission:
    """Counters with bounds; `max_per_endpoint` 0 is no bound, and nothing is counted by endpoint
    then. Used on the event loop only."""

    def __init__(self, max_requests: int, max_per_endpoint: int = 0) -> None:
        self._max_requests = max_requests
        self._max_per_endpoint = max_per_endpoint
        self.inside = 0
        self.by_endpoint: Counter[str] = Counter()
        self.refused = self.refused_by_endpoint = 0

    def slot(self, endpoint_id: str) -> Slot:
        """`with admission.slot(id):` around what a request does in the engine."""
        return Slot(self, endpoint_id)

    def require_room(self) -> None:
        """Before anything is computed for a call that would be refused in the end. Raises
        TooManyRequests."""
        if self.inside >= self._max_requests:
            self.refused += 1
            raise TooManyRequests(
                f"Too many requests: {self._max_requests} are running or waiting already "
                "(max_waiting_requests)",
                limit=self._max_requests,
            )

    def enter(self, endpoint_id: str) -> None:
        """Raises TooManyRequests; nothing is counted then."""
        self.require_room()
        most = self._max_per_endpoint
        if most and self.by_endpoint[endpoint_id] >= most:
            self.refused_by_endpoint += 1
            raise TooManyRequests(
                f"Too many requests: {most} of this endpoint are running or waiting already "
                "(max_concurrent_per_endpoint)",
                limit=most,
            )
        self.inside += 1
        if most:
            self.by_endpoint[endpoint_id] += 1

    def leave(self, endpoint_id: str) -> None:
        self.inside -= 1
        if not self._max_per_endpoint:
            return
        left = self.by_endpoint[endpoint_id] - 1
        if left:
            self.by_endpoint[endpoint_id] = left
        else:
            del self.by_endpoint[endpoint_id]


class Slot:
    """One request's place."""

    __slots__ = ("_admission", "_endpoint_id")

    def __init__(self, admission: Admission, endpoint_id: str) -> None:
        self._admission = admission
        self._endpoint_id = endpoint_id

    def __enter__(self) -> None:
        self._admission.enter(self._endpoint_id)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admission.leave(self._endpoint_id)
