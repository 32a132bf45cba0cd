"""Answers and their one JSON shape for errors (endpoints.md sections 3 and 4)."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

import msgspec

from pipewren.errors import (
    CustomTemplateError,
    EngineError,
    MethodNotAllowed,
    PipewrenError,
    TooManyRequests,
    Unavailable,
)
from pipewren.serve.logs import request_fields
from pipewren.serve.trace import Trace

Header = tuple[bytes, bytes]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A message of our own: `status`, the header lines `head` and the whole `body` (see exchange.py).
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
# Nothing below these paths hands out tokens.
BROWSER_PATHS = ("/v0/pipes/", "/v0/sql", "/v0/events")
PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-max-age", b"86400"),
)

_log = logging.getLogger("pipewren.serve")


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. Headers are lower-case, as ASGI wants them."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class StreamedAnswer(msgspec.Struct, frozen=True):
    """An answer whose body is sent as it is produced. Where `parts` raises, the connection is
    cut, so that what was sent cannot look complete. Closing `parts` stops what produces them."""

    status: int
    headers: tuple[Header, ...]
    parts: AsyncGenerator[bytes, None]


def json_answer(status: int, value: object, headers: tuple[Header, ...] = ()) -> Answer:
    return Answer(status, ((b"content-type", JSON_TYPE), *headers), json.dumps(value).encode())


def error_answer(error: BaseException, request_id: str, trace: Trace | None = None) -> Answer:
    """Any exception as an answer. One that is not ours is logged whole and answered bare: its
    text can hold anything."""
    if not isinstance(error, PipewrenError):
        fields = request_fields(request_id, trace)
        _log.error("unexpected error, request %s", request_id, exc_info=error, extra=fields)
        text = f"Internal error. Quote the request id {request_id} when you report it."
        return json_answer(500, {"error": text})
    headers: list[Header] = []
    if isinstance(error, EngineError):
        headers.append((b"x-db-exception-code", str(error.engine_code).encode()))
    elif isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    elif isinstance(error, TooManyRequests | Unavailable):
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
        if isinstance(error, TooManyRequests) and error.limit is not None:
            headers += rate_limit_headers(error.limit, 0, error.retry_after_s)
    if isinstance(error, CustomTemplateError):
        body = error.body if isinstance(error.body, dict) else {"error": error.message}
        return json_answer(error.status, body, tuple(headers))
    body = {"error": error.message}
    if error.documentation:
        body["documentation"] = error.documentation
    return json_answer(error.status, body, tuple(headers))


def rate_limit_headers(limit: int, remaining: int, reset_s: int) -> tuple[Header, ...]:
    """`reset_s`: seconds until the window resets (limits.md section 6)."""
    return (
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % reset_s),
    )


def header_lines(headers: Iterable[Header]) -> bytes:
    """As they stand in a head. Raises ValueError for a line break, which would begin another."""
    lines = [b"%b: %b" % header for header in headers]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise ValueError("a line break in a header")
    return b"".join(line + b"\r\n" for line in lines)
