"""Bodies of events: whole in memory, decompressed, and counted, so that many large or slow ones
cannot take the server's memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Protocol

import zstandard

from pipewren.errors import BadRequest, PayloadTooLarge, Unavailable
from pipewren.serve.bodies import Receive, read_parts

_STEP_BYTES = 1_000_000  # of what is decompressed at a time
_SMALL_BYTES = 4096  # parts of a body that are put together as they come
_INLINE_BYTES = 4096  # compressed bodies that are not worth the way to a thread
_GZIP = 31  # zlib's window bits for a gzip member
# What compressors use without long-distance matching; a window is memory that a frame asks for.
_MAX_ZSTD_WINDOW_BYTES = 8 << 20
# What one call is given: 4 bytes of zstd can become a block of 128 KB, a byte of gzip 1,032.
_ZSTD_FEED_BYTES = 256
_GZIP_FEED_BYTES = 2048
MAX_MEMBERS = 100_000  # of gzip, or frames of zstd: empty ones cost time and are no bytes
# A body's rows are written again, and stand in memory until they are in the log.
COPIES = 3


class _Member(Protocol):
    """A decompressor of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class Share:
    """What one request holds of the room."""

    def __init__(self, room: EventRoom) -> None:
        self._room = room
        self.turn = room.turn
        self.held = 0
        self.received = 0  # bytes of the body as it was sent

    def take(self, size: int) -> None:
        """Raises Unavailable, and PayloadTooLarge where there will never be so much."""
        if self.held + size > self._room.max_bytes:
            raise PayloadTooLarge(
                "The body is too large: with the rows that become of it, it takes more than "
                f"{self._room.max_bytes:,} bytes of memory (max_events_memory_bytes). Send it in "
                "parts"
            )
        self._room.take(size)
        self.held += size

    def give_back(self, size: int) -> None:
        self._room.used -= size
        self.held -= size

    @contextmanager
    def lent(self, size: int) -> Generator[None, None, None]:
        """For as long as something is done. Raises as `take`."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)


class EventRoom:
    """The memory of all bodies together, in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.used = 0
        self.refused = 0
        self.max_bytes = max_bytes
        # Long bodies are read in turn: if each held the loop for its slice, sixty of them would
        # hold it for sixty slices on end.
        self.turn = asyncio.Lock()

    @contextmanager
    def share(self) -> Generator[Share, None, None]:
        """Around a request; what it took is free again at its end, however that comes."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.held

    def take(self, size: int) -> None:
        if self.used + size > self.max_bytes:
            self.refused += 1
            raise Unavailable(
                f"The server holds as many bodies of events as it may ({self.max_bytes:,} bytes, "
                "max_events_memory_bytes): send them again in a moment"
            )
        self.used += size


async def read_event_body(receive: Receive, coding: str, max_bytes: int, share: Share) -> bytes:
    """The body as it was before `coding` (Content-Encoding). Raises BadRequest for one that is not
    what it says, PayloadTooLarge, Unavailable."""
    decompress = _decompressor_of(coding)
    parts: list[bytes | bytearray] = []
    async for part in read_parts(receive, max_bytes, "max_events_bytes"):
        share.received += len(part)
        share.take(len(part) * COPIES)
        if len(part) >= _SMALL_BYTES or not parts:
            parts.append(part)
        elif isinstance(last := parts[-1], bytearray):
            last += part
        else:  # an object for each few bytes would take many times their room
            parts.append(bytearray(part))
    body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
    if decompress is None or not body:
        return body
    pieces: list[bytes] = []
    size = 0
    steps = decompress(body)
    is_small = len(body) <= _INLINE_BYTES
    while (piece := await _next(steps, is_small=is_small and not size)) is not None:
        size += len(piece)
        if size > max_bytes:
            raise PayloadTooLarge(
                f"The decompressed body is larger than {max_bytes:,} bytes (max_events_bytes)"
            )
        share.take(len(piece) * COPIES)
        pieces.append(piece)
    return b"".join(pieces)


def _decompressor_of(coding: str) -> Callable[[bytes], Iterator[bytes]] | None:
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return _gunzip
    if coding == "zstd":
        return _unzstd
    raise BadRequest(f"Content-Encoding {coding[:40]} is not supported: send gzip or zstd, or none")


async def _next(steps: Iterator[bytes], *, is_small: bool) -> bytes | None:
    if is_small:
        return next(steps, None)
    return await asyncio.to_thread(next, steps, None)


def _gunzip(body: bytes) -> Iterator[bytes]:
    """Of one member or several, as `cat a.gz b.gz` makes them."""
    return _decompress(body, lambda: zlib.decompressobj(_GZIP), _GZIP_FEED_BYTES, "gzip")


def _unzstd(body: bytes) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    return _decompress(body, context.decompressobj, _ZSTD_FEED_BYTES, "zstd")


def _decompress(
    body: bytes, begin: Callable[[], _Member], feed_bytes: int, name: str
) -> Iterator[bytes]:
    """The pieces of a body, each of about `_STEP_BYTES`. It is fed in small parts: what one call
    puts out is bounded then, and so is what it copies of what follows a member."""
    at = members = 0
    gathered: list[bytes] = []
    size = 0
    while at < len(body):
        members += 1
        if members > MAX_MEMBERS:
            raise BadRequest(f"The body has more than {MAX_MEMBERS:,} {name} members or frames")
        member = begin()
        while not member.eof:
            if at >= len(body):
                raise BadRequest(f"The body is cut off: its {name} data has no end")
            fed = body[at : at + feed_bytes]
            try:
                piece = member.decompress(fed)
            except (zlib.error, zstandard.ZstdError) as error:
                raise BadRequest(f"The body is not {name}: {error}") from None
            at += len(fed) - len(member.unused_data)
            gathered.append(piece)
            size += len(piece)
            if size >= _STEP_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
    yield b"".join(gathered)
