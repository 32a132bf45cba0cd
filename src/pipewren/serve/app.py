"""The ASGI application: routes to functions, and one wrapper around them all that gives every
request its id and every error its JSON shape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from pipewren.errors import MethodNotAllowed, PipewrenError, Unavailable
from pipewren.serve.answers import (
    BROWSER_PATHS,
    PREFLIGHT,
    Answer,
    Send,
    StreamedAnswer,
    error_answer,
    json_answer,
)
from pipewren.serve.bodies import Receive, read_whole_body
from pipewren.serve.call import read_call
from pipewren.serve.metrics_page import PATH, answer_own_port
from pipewren.serve.request import call_endpoint
from pipewren.serve.request_ids import make_request_ids
from pipewren.serve.request_record import (
    ANSWERED,
    ENDPOINT_ROUTE,
    HUNG_UP,
    RequestRecord,
    begin_record,
    note_failure,
)
from pipewren.serve.routes import OPENAPI, answer_route
from pipewren.serve.sending import CutOff, send_answer
from pipewren.serve.server import Server

Scope = MutableMapping[str, Any]

PIPES = "/v0/pipes/"
HEALTH = "/v0/health"
REFUSAL_PAUSE_S = 0.035


class App:
    """`server` is None before the start has finished and after the end has begun. `has_spans`:
    requests' steps are recorded, to be made spans of (serve/spans.py). `metrics_port` is the port
    of their own that metrics have, if any."""

    def __init__(self, lifespan: Callable[[App, Receive, Send], Awaitable[None]]) -> None:
        self.server: Server | None = None
        self.has_spans = False
        self.metrics_port: int | None = None
        self._lifespan = lifespan
        self._request_ids = make_request_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        request_id = next(self._request_ids)
        record = begin_record(request_id, scope, has_steps=self.has_spans)
        try:
            answer = await self._answer(scope, receive, record)
        except asyncio.CancelledError:
            # uvicorn cancels what still runs when the grace of a stop is over; the protocol, what
            # nobody waits for any more, and then nothing is sent.
            stopped = Unavailable("The server is stopping: try again in a moment")
            answer = error_answer(stopped, request_id)
            is_stopping = self.server is None
            record.status = answer.status if is_stopping else HUNG_UP
            record.error = stopped.message if is_stopping else "The client hung up"
        record.end_step(ANSWERED)
        try:
            await send_answer(
                scope, send, answer, request_id, cors=scope["path"].startswith(BROWSER_PATHS)
            )
        except CutOff as cut:
            record.error = str(cut)
            note_failure(record, cut)
            raise
        except asyncio.CancelledError:
            record.status, record.error = HUNG_UP, "The client hung up"
            raise
        finally:
            record.ended_s = perf_counter()
            if self.server is not None:
                for observe in self.server.observers:
                    observe(record)

    async def _answer(
        self, scope: Scope, receive: Receive, record: RequestRecord
    ) -> Answer | StreamedAnswer:
        try:
            answer = await self._route(scope, receive, record)
            record.status = answer.status
        except Exception as error:  # noqa: BLE001 - the one place that turns errors into answers
            answer = error_answer(error, record.request_id, record.trace)
            record.status = answer.status
            note_failure(record, error)
            record.error = error.message if isinstance(error, PipewrenError) else "Internal error"
            if answer.status == 429:
                # A caller who asks again at once would take the time of those who are answered.
                await asyncio.sleep(REFUSAL_PAUSE_S)
        return answer

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(self, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _route(
        self, scope: Scope, receive: Receive, record: RequestRecord
    ) -> Answer | StreamedAnswer:
        path: str = scope["path"]
        method: str = scope["method"]
        server = self.server
        is_for_metrics = self.metrics_port is not None and scope["server"][1] == self.metrics_port
        if path == HEALTH and not is_for_metrics:
            record.route = HEALTH
            _allow(method, ("GET", "HEAD"))
            return health(server)
        if server is None:
            raise Unavailable("The server is starting or stopping: try again in a moment")
        if is_for_metrics:
            record.route = PATH
            return await answer_own_port(scope, server)
        if path.startswith(PIPES):
            name, dot, extension = path[len(PIPES) :].rpartition(".")
            # openapi.json is the description of all endpoints; POST reaches one of that name.
            is_call = dot and extension != "pipe" and (path != OPENAPI or method == "POST")
            if is_call and "/" not in path[len(PIPES) :]:
                record.route = ENDPOINT_ROUTE
                if method == "OPTIONS":
                    return Answer(204, PREFLIGHT, b"")
                _allow(method, ("GET", "POST", "HEAD", "OPTIONS"))
                body = await read_whole_body(scope, receive, server.settings.max_body_bytes)
                call = read_call(scope, name, extension, body)
                return await call_endpoint(call, server, scope)
        return await answer_route(scope, server, receive)


def health(server: Server | None) -> Answer:
    """`GET /v0/health`: 200 when queries are answered, 503 with the reason otherwise."""
    if server is None:
        return json_answer(503, {"status": "starting"})
    state = server.engine.health()
    if not state.ready:
        return json_answer(503, {"status": "unhealthy", "reason": state.reason})
    body: dict[str, object] = {"status": "ok"}
    if not state.writable:
        body = {"status": "read_only", "reason": state.reason}
    return json_answer(200, body)


def _allow(method: str, allowed: tuple[str, ...]) -> None:
    if method not in allowed:
        raise MethodNotAllowed(
            f"Method {method} is not allowed here, use {' or '.join(allowed[:2])}", allowed=allowed
        )
