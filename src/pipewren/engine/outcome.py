"""What a job will have come to: a future whose first waiter is called at once.

asyncio's futures call back on the event loop's next turn, and a turn costs a system call and the
interpreter's lock while workers want it. The request path waits through `when_done` and goes on in
the very call that brought the outcome; tasks may await an `Outcome` too, and are called as asyncio
calls them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

_PENDING, _SETTLED, _CANCELLED = range(3)


class Outcome:
    """Used on the event loop's thread only. Has of `asyncio.Future` what awaiting needs."""

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_error",
        "_loop",
        "_state",
        "_value",
        "_waiters",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._state = _PENDING
        self._value: Any = None
        self._error: BaseException | None = None
        self._callback: Callable[[], None] | None = None
        self._waiters: list[tuple[Callable[[Any], object], Context | None]] | None = None
        self._asyncio_future_blocking = False  # by which a task knows what it may wait for

    def __await__(self) -> Generator[Any, None, Any]:
        if self._state == _PENDING:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    def done(self) -> bool:
        return self._state != _PENDING

    def cancelled(self) -> bool:
        return self._state == _CANCELLED

    def result(self) -> Any:
        """Raises the job's error, or CancelledError."""
        if self._state == _CANCELLED:
            raise asyncio.CancelledError
        if self._state == _PENDING:
            raise asyncio.InvalidStateError("The job has not ended")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, value: Any) -> None:
        self._settle(_SETTLED, value=value)

    def set_exception(self, error: BaseException) -> None:
        self._settle(_SETTLED, error=error)

    def cancel(self, msg: Any = None) -> bool:
        """Nobody waits for the job any more; to stop it is the canceller's part."""
        if self._state != _PENDING:
            return False
        self._settle(_CANCELLED)
        return True

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back, once and at once; there is one such waiter."""
        if self._state == _PENDING:
            self._callback = callback
        else:
            callback()

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        if self._state != _PENDING:
            self._loop.call_soon(callback, self, context=context)
        elif self._waiters is None:
            self._waiters = [(callback, context)]
        else:
            self._waiters.append((callback, context))

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        waiters = self._waiters or []
        self._waiters = [waiter for waiter in waiters if waiter[0] != callback]
        return len(waiters) - len(self._waiters)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def _settle(self, state: int, *, value: Any = None, error: BaseException | None = None) -> None:
        if self._state != _PENDING:
            raise asyncio.InvalidStateError("The job has ended already")
        self._state, self._value, self._error = state, value, error
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()
        if self._waiters is not None:
            for waiter, context in self._waiters:
                self._loop.call_soon(waiter, self, context=context)
            self._waiters = None
