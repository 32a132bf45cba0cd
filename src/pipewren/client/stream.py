"""An endpoint's NDJSON answer, row by row while it arrives (endpoints.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from pipewren.client.errors import AnswerCut, ClientError
from pipewren.client.exchange import Target, open_answer, read_chunk, request_id_of, unreadable
from pipewren.client.parameters import Parameters
from pipewren.client.requests import Request, endpoint_request
from pipewren.client.retries import with_retries
from pipewren.client.steps import HandOver, Head, Steps

_DECODER = msgspec.json.Decoder(dict[str, Any])


class Lines:
    """Chunks to lines. A line is joined once, however many chunks it came in."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends."""
        first, *others = chunk.split(b"\n")
        self._pieces.append(first)
        if not others:
            return []
        lines = [b"".join(self._pieces), *others[:-1]]
        self._pieces = [others[-1]]
        return lines

    @property
    def has_rest(self) -> bool:
        """Whether there is a line that has not ended."""
        return any(self._pieces)


@dataclass(slots=True)
class _Reading:
    """An answer under way; `first` are the rows that came with its beginning."""

    head: Head
    lines: Lines
    first: list[dict[str, Any]]


def stream_rows(target: Target, pipe: str, parameters: Parameters) -> Steps[None]:
    """Hands over rows until the answer is complete.

    Attempts are repeated only until the first row is there: what was handed over cannot be taken
    back, and a second answer need not have the same rows in the same order. Raises AnswerCut
    for an answer that ends early, also one that ends in the middle of a line.
    """
    request = endpoint_request(target.base_url, pipe, "ndjson", parameters)
    reading = yield from with_retries(
        lambda: _begin(target, request), target.policy, target.clock, label=request.label
    )
    handed_over, rows = 0, reading.first
    while rows:
        yield HandOver(rows)
        handed_over += len(rows)
        try:
            rows = yield from _read_rows(target, request, reading)
        except ClientError as error:
            error.message += f" after {handed_over} rows were handed over"
            raise


def _begin(target: Target, request: Request) -> Steps[_Reading]:
    head = yield from open_answer(target, request)
    if not head.has_end:
        raise unreadable(
            target,
            request,
            head,
            "it has neither a length nor chunks, so that a cut could not be told from its end. Is "
            "there a proxy that speaks HTTP/1.0?",
        )
    reading = _Reading(head, Lines(), [])
    reading.first = yield from _read_rows(target, request, reading)
    return reading


def _read_rows(target: Target, request: Request, reading: _Reading) -> Steps[list[dict[str, Any]]]:
    """The next rows, at least one; none at the answer's end."""
    while True:
        chunk = yield from read_chunk(target, request)
        if chunk is None:
            if reading.lines.has_rest:
                raise AnswerCut(
                    f"The answer to {request.label} at {target.base_url} ended inside a row",
                    request_id=request_id_of(target, reading.head),
                    may_have_arrived=True,
                )
            return []
        lines = reading.lines.feed(chunk)
        try:
            rows = [_DECODER.decode(line) for line in lines if line]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = f"a line is not a row in JSON: {error}"
        else:
            if rows:
                return rows
            continue
        raise unreadable(target, request, reading.head, why)
