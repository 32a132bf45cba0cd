"""`traceparent` as the standard has it: valid ones are followed, all others ignored."""

from __future__ import annotations

import re

import pytest

from pipewren.serve.trace import new_trace, read_trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


def read(*values: str) -> object:
    headers = [(b"host", b"a"), *((b"traceparent", value.encode()) for value in values)]
    return read_trace(headers)


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (VALID, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
    ],
)
def test_a_valid_header_is_followed_with_a_span_of_our_own(header: str, is_sampled: bool) -> None:
    trace = read_trace([(b"traceparent", header.encode())])
    assert trace is not None
    assert (trace.trace_id, trace.parent_id, trace.is_sampled) == (TRACE, SPAN, is_sampled)
    assert re.fullmatch(r"[0-9a-f]{16}", trace.span_id)
    assert trace.span_id != SPAN
    flags = "01" if is_sampled else "00"
    assert trace.header.decode() == f"00-{TRACE}-{trace.span_id}-{flags}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        VALID.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f" {VALID}",
        f"{VALID}\n",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_anything_else_is_ignored(header: str) -> None:
    assert read(header) is None


def test_several_headers_are_ignored_and_none_is_none() -> None:
    assert read(VALID, VALID) is None
    assert read() is None


def test_a_trace_that_begins_here_has_no_parent() -> None:
    first, second = new_trace(), new_trace()
    assert first.parent_id == ""
    assert re.fullmatch(r"[0-9a-f]{32}", first.trace_id)
    assert first.trace_id != second.trace_id
