"""The body of a request, as it arrives: whole in memory where it is small, in parts elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from pipewren.errors import BadRequest, PayloadTooLarge

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def read_whole_body(scope: Mapping[str, Any], receive: Receive, max_bytes: int) -> bytes:
    """Raises PayloadTooLarge, and BadRequest where the client hangs up. Nothing for methods that
    have no body."""
    if scope["method"] not in ("POST", "PUT", "DELETE"):
        return b""
    return b"".join([part async for part in read_parts(receive, max_bytes, "max_body_bytes")])


async def read_parts(
    receive: Receive, max_bytes: int, setting: str = ""
) -> AsyncGenerator[bytes, None]:
    """The body's parts as the client sends them, at most `max_bytes` in all. `setting` is named
    in the error. Raises PayloadTooLarge, and BadRequest where the client hangs up."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client hung up before the body was complete")
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            where = f" ({setting})" if setting else ""
            raise PayloadTooLarge(f"The body is larger than {max_bytes:,} bytes{where}")
        yield part
        if not message.get("more_body"):
            return
