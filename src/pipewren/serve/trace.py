"""W3C trace context: what a request's `traceparent` says, and what is handed on
(https://www.w3.org/TR/trace-context/, sections 3.2 and 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import getrandbits

import msgspec

# Lower-case hex only. A later version may have more behind the flags; version ff is none.
_PARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


class Trace(msgspec.Struct, frozen=True):
    """A request's place in a trace. Ids are lower-case hex: `trace_id` of 16 bytes; `span_id`, of
    8, is ours for this request; `parent_id` the sender's, "" where the trace begins here."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    is_sampled: bool = True

    @property
    def header(self) -> bytes:
        """As `traceparent` and `traceresponse` have it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}".encode()


def read_trace(headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """The trace of ASGI's `headers`, with a new span in it. None where there is no `traceparent`,
    or one that is not valid, or several: those are ignored, as the standard asks."""
    found: bytes | None = None
    for name, value in headers:
        if name == b"traceparent":
            if found is not None:
                return None
            found = value
    if found is None:
        return None
    parent = _PARENT.fullmatch(found)
    if parent is None or (parent[5] is not None and parent[1] == b"00"):
        return None
    flags = int(parent[4], 16)
    return Trace(parent[2].decode(), new_span_id(), parent[3].decode(), bool(flags & _SAMPLED))


def new_trace() -> Trace:
    """One that begins here."""
    return Trace(f"{getrandbits(128) or 1:032x}", new_span_id())


def new_span_id() -> str:
    return f"{getrandbits(64) or 1:016x}"
