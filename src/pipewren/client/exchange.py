"""One request and its answer, and which error each failure is (endpoints.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from pipewren.client.errors import (
    AnswerCut,
    AnswerTimedOut,
    BadRequest,
    ClientError,
    ConnectionFailed,
    Forbidden,
    NotFound,
    QueryTimedOut,
    Refused,
    ServerFailed,
    TooManyRequests,
    UnreadableAnswer,
)
from pipewren.client.requests import Request
from pipewren.client.retries import Clock, RetryPolicy, read_retry_after_s
from pipewren.client.steps import Failure, Head, Open, Read, Steps

_MAX_ERROR_BYTES = 65_536
_MAX_MESSAGE_CHARACTERS = 2_000
_BY_STATUS: dict[int, type[Refused]] = {
    400: BadRequest,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: QueryTimedOut,
    429: TooManyRequests,
}
# An error of these leaves open whether events were stored: 422 is a materialized view that failed
# after the rows were written (data-apis.md section 1), and behind 5xx there may be anything.
_STORED_IN_PART = 422


@dataclass(frozen=True, slots=True)
class Target:
    """The server that a client talks to, and how patiently. The token is in no repr."""

    base_url: str
    token: str = field(repr=False)
    policy: RetryPolicy
    clock: Clock


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer, whole."""

    head: Head
    body: bytes


class _ErrorBody(msgspec.Struct, frozen=True):
    error: str


def fetch(target: Target, request: Request) -> Steps[Answer]:
    """The whole answer of one attempt. Raises ClientError for any status but 2xx."""
    head = yield from open_answer(target, request)
    chunks = []
    while (chunk := (yield from read_chunk(target, request))) is not None:
        chunks.append(chunk)
    return Answer(head, b"".join(chunks))


def open_answer(target: Target, request: Request) -> Steps[Head]:
    """The head of an answer of 2xx; its body is still to be read."""
    head = yield Open(request)
    if isinstance(head, Failure):
        raise _failed(target, request, head, None)
    assert isinstance(head, Head)
    if 200 <= head.status < 300:
        return head
    body = bytearray()
    while len(body) < _MAX_ERROR_BYTES:
        chunk = yield Read()
        if chunk is None or isinstance(chunk, Failure):
            break  # the status says enough; the text is shown as far as it came
        body += chunk
    raise error_of(target, request, head, bytes(body))


def read_chunk(target: Target, request: Request) -> Steps[bytes | None]:
    """The next bytes of the body, or None at its end. Raises AnswerCut and AnswerTimedOut."""
    chunk = yield Read()
    if isinstance(chunk, Failure):
        raise _failed(target, request, chunk, AnswerCut)
    assert chunk is None or isinstance(chunk, bytes)
    return chunk


def error_of(target: Target, request: Request, head: Head, body: bytes) -> ClientError:
    """The error of a status that is not 2xx."""
    status = head.status
    if status < 400:
        return UnreadableAnswer(
            f"{request.label} was answered with a redirect. The client follows none, since it "
            "would carry the token to another place: give the client the URL it leads to",
            status=status,
        )
    kind = _BY_STATUS.get(status, Refused) if status < 500 else ServerFailed
    try:
        text = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = f"{request.label} was answered with {status} and without the API's JSON error"
    code = head.headers.get("x-db-exception-code", "")
    return kind(
        _hide_token(target, text)[:_MAX_MESSAGE_CHARACTERS],
        status=status,
        request_id=request_id_of(target, head),
        retry_after_s=read_retry_after_s(head.headers, target.clock.now),
        engine_code=int(code) if code.isascii() and code.isdigit() and len(code) < 10 else None,
        may_have_arrived=status >= 500 or status == _STORED_IN_PART,
    )


def unreadable(target: Target, request: Request, head: Head, why: str) -> UnreadableAnswer:
    """An answer of 2xx that cannot be used; it may have done what was asked."""
    return UnreadableAnswer(
        f"The answer to {request.label} cannot be read: {_hide_token(target, why)}",
        status=head.status,
        request_id=request_id_of(target, head),
        may_have_arrived=True,
    )


def request_id_of(target: Target, head: Head) -> str | None:
    sent = head.headers.get("x-request-id")
    return _hide_token(target, sent)[:200] if sent else None


def _failed(
    target: Target, request: Request, failure: Failure, broken: type[ConnectionFailed] | None
) -> ClientError:
    reason = _hide_token(target, failure.reason)[:_MAX_MESSAGE_CHARACTERS] or "no reason given"
    where = f"{request.label} at {target.base_url}"
    arrived = failure.may_have_arrived
    if failure.kind == "silent":
        return AnswerTimedOut(
            f"{where} was not answered in time: {reason}", may_have_arrived=arrived
        )
    if failure.kind == "unreadable":
        return UnreadableAnswer(
            f"The answer to {where} cannot be read: {reason}", may_have_arrived=arrived
        )
    if broken is not None:
        return broken(f"The answer to {where} was cut: {reason}", may_have_arrived=arrived)
    return ConnectionFailed(f"{where} failed: {reason}", may_have_arrived=arrived)


def _hide_token(target: Target, text: str) -> str:
    """A text of the server's or the HTTP library's, which might repeat the token."""
    return text.replace(target.token, "***").replace(quote(target.token, safe=""), "***")
