"""Answers and their one JSON shape for errors (endpoints.md sections 3 and 4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from pipewren.errors import (
    CustomTemplateError,
    EngineError,
    MethodNotAllowed,
    PipewrenError,
    TooManyRequests,
)

Header = tuple[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A message of our own: `status`, `headers` and the whole `body` (see protocol.py).
ANSWER = "pipewren.answer"
JSON_TYPE = b"application/json; charset=UTF-8"
# Browsers call endpoints with a JWT; errors must be readable to them too (client-compat.md 1.12).
CORS: tuple[Header, ...] = (
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"X-DB-Exception-Code, X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, "
        b"X-RateLimit-Reset, Retry-After",
    ),
)
PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-max-age", b"86400"),
)

_log = logging.getLogger("pipewren.serve")


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. Headers are lower-case, as ASGI wants them."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


def json_answer(status: int, value: object, headers: tuple[Header, ...] = ()) -> Answer:
    return Answer(status, ((b"content-type", JSON_TYPE), *headers), json.dumps(value).encode())


def error_answer(error: BaseException, request_id: str) -> Answer:
    """Any exception as an answer. One that is not ours is logged whole and answered bare: its
    text can hold anything."""
    if not isinstance(error, PipewrenError):
        _log.error("unexpected error, request %s", request_id, exc_info=error)
        text = f"Internal error. Quote the request id {request_id} when you report it."
        return json_answer(500, {"error": text})
    headers: list[Header] = []
    if isinstance(error, EngineError):
        headers.append((b"x-db-exception-code", str(error.engine_code).encode()))
    elif isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, TooManyRequests):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if isinstance(error, CustomTemplateError):
        body = error.body if isinstance(error.body, dict) else {"error": error.message}
        return json_answer(error.status, body, tuple(headers))
    body = {"error": error.message}
    if error.documentation:
        body["documentation"] = error.documentation
    return json_answer(error.status, body, tuple(headers))


async def send_answer(
    scope: Mapping[str, Any], send: Send, answer: Answer, extra: tuple[Header, ...]
) -> None:
    """Send it in one message where the server takes that, else as ASGI's two. A HEAD request gets
    the length and no body."""
    headers = [*answer.headers, *extra]
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    body = b"" if scope["method"] == "HEAD" else answer.body
    if ANSWER in scope.get("extensions", ()):
        await send({"type": ANSWER, "status": answer.status, "headers": headers, "body": body})
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
