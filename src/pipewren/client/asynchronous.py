"""The async client: performs the same steps with `httpx2.AsyncClient`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
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


class AsyncClient:
    """As `Client`, for asyncio: the same arguments, calls and errors, with `await`.

    One event loop's; as many calls at a time as there are tasks. `transport` is an async one, and
    `sleep` returns an awaitable.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        max_attempts: int = 5,
        max_wait_s: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Clock | None = None,
    ) -> None:
        """Raises InvalidArgument for a URL with a user or a query, or an impossible token."""
        self._target = make_target(url, token, max_attempts, max_wait_s, clock)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(timeout=check_timeout_s(timeout_s), transport=transport)

    def __repr__(self) -> str:
        return f"AsyncClient({self._target.base_url!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections."""
        await self._http.aclose()

    async def query(self, pipe: str, parameters: Parameters | None = None) -> Rows:
        """An endpoint's whole answer. Raises ClientError."""
        return await self._run(query_rows(self._target, pipe, parameters or {}))

    async def query_arrow(self, pipe: str, parameters: Parameters | None = None) -> Table:
        """An endpoint's whole answer as a `pyarrow.Table`, with the engine's own types.

        Needs pyarrow (`pip install 'pipewren[arrow]'`). Raises ClientError.
        """
        return await self._run(query_table(self._target, pipe, parameters or {}))

    def stream(self, pipe: str, parameters: Parameters | None = None) -> AsyncRowStream:
        """An endpoint's rows one by one, while they arrive; the request goes out with the first.

        Attempts are repeated only before the first row was handed over. An answer that is cut
        raises AnswerCut from the iteration: it never looks complete.
        """
        steps = stream_rows(self._target, pipe, parameters or {})
        return AsyncRowStream(_AsyncConnection(self._http, self._target, self._sleep), steps)

    async def send_events(
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
        return await self._run(
            send_rows(
                self._target,
                datasource,
                rows,
                wait=wait,
                max_batch_bytes=max_batch_bytes,
                max_batch_rows=max_batch_rows,
            )
        )

    async def _run(self, steps: Steps[T]) -> T:
        connection = _AsyncConnection(self._http, self._target, self._sleep)
        told: object = None
        try:
            while True:
                try:
                    step = steps.send(told)
                except StopIteration as end:
                    result: T = end.value
                    return result
                told = await connection.perform(step)
        finally:
            await connection.close()


class AsyncRowStream:
    """The rows of one answer, as an iterator and a context manager that lets the connection go."""

    def __init__(self, connection: _AsyncConnection, steps: Steps[None]) -> None:
        self._rows = _iterate(connection, steps)

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await anext(self._rows)

    async def __aenter__(self) -> AsyncRowStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lets the connection go; the rest of the answer is not read."""
        await self._rows.aclose()


class _AsyncConnection:
    """The answer of one call that is under way, if there is one."""

    def __init__(
        self, http: httpx2.AsyncClient, target: Target, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self._http = http
        self._target = target
        self._sleep = sleep
        self._response: httpx2.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def perform(self, step: Step) -> Head | bytes | Failure | None:
        try:
            match step:
                case Open(request):
                    await self.close()
                    sent = make_request(self._target, request)
                    self._response = await self._http.send(sent, stream=True)
                    self._chunks = self._response.aiter_bytes()
                    return head_of(self._response)
                case Read():
                    return await anext(self._chunks, None) if self._chunks is not None else None
                case Wait(wait_s):
                    await self.close()
                    await self._sleep(wait_s)
        except httpx2.RequestError as error:
            return failure_of(error)
        return None

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None


async def _iterate(
    connection: _AsyncConnection, steps: Steps[None]
) -> AsyncGenerator[dict[str, Any], None]:
    told: object = None
    try:
        while True:
            try:
                step = steps.send(told)
            except StopIteration:
                return
            if isinstance(step, HandOver):
                for row in step.rows:
                    yield row
                told = None
            else:
                told = await connection.perform(step)
    finally:
        await connection.close()
