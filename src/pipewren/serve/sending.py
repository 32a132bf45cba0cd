"""An answer on its way to the client: head, coding, and the body whole or part by part."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from typing import Any

from pipewren.errors import PipewrenError
from pipewren.serve.answers import (
    ANSWER,
    CORS,
    Answer,
    Header,
    Send,
    StreamedAnswer,
    header_lines,
)
from pipewren.serve.compression import MIN_BYTES, choose_coding, compress, make_compressor
from pipewren.serve.logs import request_fields
from pipewren.serve.request_record import record_of
from pipewren.serve.trace import Trace

# Whose bytes are compressed already, or make a bad text.
_BINARY = frozenset({b"application/octet-stream"})

_log = logging.getLogger("pipewren.serve")

# Few heads are in use, and putting one together costs more than all else of a small answer.
_lines_of = lru_cache(maxsize=256)(header_lines)
_CORS_LINES = header_lines(CORS)


class CutOff(Exception):
    """An answer that had begun could not be completed; what there is to tell was logged."""


async def send_answer(
    scope: Mapping[str, Any],
    send: Send,
    answer: Answer | StreamedAnswer,
    request_id: str,
    *,
    cors: bool,
) -> None:
    """Send it, compressed where the client takes that. A HEAD request gets the head alone; `cors`
    lets scripts of other origins read it; one that came with a `traceparent` is told our span in
    `traceresponse`. Raises CutOff in the middle of a stream."""
    if isinstance(answer, StreamedAnswer):
        await _send_stream(scope, send, answer, request_id, cors=cors)
        return
    headers, body = answer.headers, answer.body
    if len(body) >= MIN_BYTES and (coding := _coding(scope, headers)):
        body = await compress(make_compressor(coding), body, is_last=True)
        headers = (*headers, (b"content-encoding", coding), (b"vary", b"accept-encoding"))
    sent = b"" if scope["method"] == "HEAD" else body
    trace = record_of(scope).trace
    if ANSWER in scope.get("extensions", ()):
        head = b"%bx-request-id: %b\r\n%b" % (
            _lines_of(headers),
            request_id.encode(),
            _CORS_LINES if cors else b"",
        )
        if answer.status != 204:
            head += b"content-length: %d\r\n" % len(body)
        if trace is not None and trace.parent_id:
            head += b"traceresponse: %b\r\n" % trace.header
        await send({"type": ANSWER, "status": answer.status, "head": head, "body": sent})
        return
    all_headers = _add_common(headers, request_id, trace, cors=cors)
    if answer.status != 204:
        all_headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": all_headers})
    await send({"type": "http.response.body", "body": sent})


async def _send_stream(
    scope: Mapping[str, Any], send: Send, answer: StreamedAnswer, request_id: str, *, cors: bool
) -> None:
    headers, parts = answer.headers, answer.parts
    trace = record_of(scope).trace
    coding = _coding(scope, headers)
    if coding is not None:
        headers = (*headers, (b"content-encoding", coding), (b"vary", b"accept-encoding"))
    async with contextlib.aclosing(parts):
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": _add_common(headers, request_id, trace, cors=cors),
            }
        )
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            async for part in _coded(parts, coding):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except PipewrenError as error:
            _log.warning(
                "request %s was cut off: %s",
                request_id,
                error.message,
                extra=request_fields(request_id, trace),
            )
            raise CutOff(error.message) from None
    await send({"type": "http.response.body", "body": b""})


async def _coded(
    parts: AsyncGenerator[bytes, None], coding: bytes | None
) -> AsyncGenerator[bytes, None]:
    if coding is None:
        async for part in parts:
            yield part
        return
    compressor = make_compressor(coding)
    async for part in parts:
        if coded := await compress(compressor, part):
            yield coded
    yield await compress(compressor, b"", is_last=True)


def _coding(scope: Mapping[str, Any], headers: tuple[Header, ...]) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            kind = dict(headers).get(b"content-type", b"")
            return None if kind in _BINARY else choose_coding(value)
    return None


def _add_common(
    headers: tuple[Header, ...], request_id: str, trace: Trace | None, *, cors: bool
) -> list[Header]:
    all_headers = [*headers, (b"x-request-id", request_id.encode()), *(CORS if cors else ())]
    if trace is not None and trace.parent_id:
        all_headers.append((b"traceresponse", trace.header))
    return all_headers
