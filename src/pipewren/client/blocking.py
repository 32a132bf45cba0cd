"""The blocking client: performs steps with `httpx2.Client`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2

from pipewren.client.arrow import query_table
from pipewren.client.batches import (
    MAX_BATCH_BYTES,
    MAX_BATCH_ROWS,
    EventRow,
    EventsReport,
    send_rows,
)
from pipewren.client.exchange import Target
from pipewren.client.parameters import Parameters
from pipewren.client.retries import Clock
from pipewren.client.rows import Rows, query_rows
from pipewren.client.steps import Failure, HandOver, Head, Open, Read, Step, Steps, T, Wait
from pipewren.client.stream import stream_rows
from pipewren.client.transport import (
    check_timeout_s,
    failure_of,
    head_of,
    make_request,
    make_target,
)

if TYPE_CHECKING:
    from pipewren.client.arrow import Table


class Client:
    """A server's endpoints and its events, for one token; safe to share between threads.

    `timeout_s` bounds each wait: for a connection, and for the next piece of an answer. Attempts
    are repeated on 429, 500, 502, 503, 504 and broken connections, at most `max_attempts` in
    all, none later than `max_wait_s` seconds after the first, with exponential back-off, full
    jitter and `Retry-After` (endpoints.md section 4, limits.md section 6). `transport` replaces
    the network, for certificates of one's own or for tests, as `sleep` and `clock` do for time.

    What a call raises is a ClientError (see `pipewren.client.errors`); a client that was closed
    raises RuntimeError.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        max_attempts: int = 5,
        max_wait_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Clock | None = None,
    ) -> None:
        """Raises InvalidArgument for a URL with a user or a query, or an impossible token."""
        self._target = make_target(url, token, max_attempts, max_wait_s, clock)
        self._sleep = sleep
        self._http = httpx2.Client(timeout=check_timeout_s(timeout_s), transport=transport)

    def __repr__(self) -> str:
        return f"Client({self._target.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections."""
        self._http.close()

    def query(self, pipe: str, parameters: Parameters | None = None) -> Rows:
        """An endpoint's whole answer. Raises ClientError."""
        return self._run(query_rows(self._target, pipe, parameters or {}))

    def query_arrow(self, pipe: str, parameters: Parameters | None = None) -> Table:
        """An endpoint's whole answer as a `pyarrow.Table`, with the engine's own types.

        Needs pyarrow (`pip install 'pipewren[arrow]'`). Raises ClientError.
        """
        return self._run(query_table(self._target, pipe, parameters or {}))

    def stream(self, pipe: str, parameters: Parameters | None = None) -> RowStream:
        """An endpoint's rows one by one, while they arrive; the request goes out with the first.

        Attempts are repeated only before the first row was handed over. An answer that is cut
        raises AnswerCut from the iteration: it never looks complete.
        """
        steps = stream_rows(self._target, pipe, parameters or {})
        return RowStream(_Connection(self._http, self._target, self._sleep), steps)

    def send_events(
        self,
        datasource: str,
        rows: Iterable[EventRow],
        *,
        wait: bool = True,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_batch_rows: int = MAX_BATCH_ROWS,
    ) -> EventsReport:
        """Sends rows in batches, in order; without rows nothing is sent.

        With `wait` a batch counts when the engine has written it, else when the server has taken
        it (data-apis.md section 1). At least once: a batch is sent again when its connection
        broke or its answer was 429 or 5xx, and the server may have stored it before that, so rows
        can be there twice. Raises NotAllSent when batches got through before one failed, with
        what got through; when the first one failed, its own error.
        """
        return self._run(
            send_rows(
                self._target,
                datasource,
                rows,
                wait=wait,
                max_batch_bytes=max_batch_bytes,
                max_batch_rows=max_batch_rows,
            )
        )

    def _run(self, steps: Steps[T]) -> T:
        connection = _Connection(self._http, self._target, self._sleep)
        told: object = None
        try:
            while True:
                try:
                    step = steps.send(told)
                except StopIteration as end:
                    result: T = end.value
                    return result
                told = connection.perform(step)
        finally:
            connection.close()


class RowStream:
    """The rows of one answer, as an iterator and a context manager that lets the connection go."""

    def __init__(self, connection: _Connection, steps: Steps[None]) -> None:
        self._rows = _iterate(connection, steps)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._rows)

    def __enter__(self) -> RowStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets the connection go; the rest of the answer is not read."""
        self._rows.close()


class _Connection:
    """The answer of one call that is under way, if there is one."""

    def __init__(
        self, http: httpx2.Client, target: Target, sleep: Callable[[float], object]
    ) -> None:
        self._http = http
        self._target = target
        self._sleep = sleep
        self._response: httpx2.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, step: Step) -> Head | bytes | Failure | None:
        try:
            match step:
                case Open(request):
                    self.close()
                    sent = make_request(self._target, request)
                    self._response = self._http.send(sent, stream=True)
                    self._chunks = self._response.iter_bytes()
                    return head_of(self._response)
                case Read():
                    return next(self._chunks, None)
                case Wait(wait_s):
                    self.close()
                    self._sleep(wait_s)
        except httpx2.RequestError as error:
            return failure_of(error)
        return None

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


def _iterate(connection: _Connection, steps: Steps[None]) -> Generator[dict[str, Any], None, None]:
    told: object = None
    try:
        while True:
            try:
                step = steps.send(told)
            except StopIteration:
                return
            if isinstance(step, HandOver):
                yield from step.rows
                told = None
            else:
                told = connection.perform(step)
    finally:
        connection.close()
