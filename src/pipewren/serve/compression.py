"""gzip and zstd for answers, by `Accept-Encoding` (RFC 9110 section 12.5.3)."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, Protocol

import zstandard

MIN_BYTES = 1400  # smaller answers fit into one packet as they are
_INLINE_BYTES = 32_768  # what is compressed on the event loop, some 0.3 ms
_GZIP = 31  # zlib's window bits for a gzip member
_GZIP_LEVEL = 4
_ZSTD_LEVEL = 3


class Compressor(Protocol):
    """What zlib's and zstandard's compressors have in common. Used by one answer."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def choose_coding(accepted: bytes) -> bytes | None:
    """The best coding that a header's value allows: zstd, else gzip; None is the body as it is."""
    qualities: dict[bytes, float] = {}
    for item in accepted.lower().split(b","):
        coding, _, parameters = item.partition(b";")
        qualities[coding.strip()] = _quality(parameters)
    other = qualities.get(b"*", 0.0)
    zstd, gzip = qualities.get(b"zstd", other), qualities.get(b"gzip", other)
    best = max(zstd, gzip)
    if best <= 0 or best < qualities.get(b"identity", 0.0):
        return None
    return b"zstd" if zstd >= gzip else b"gzip"


def make_compressor(coding: bytes) -> Compressor:
    compressor: Any
    if coding == b"zstd":
        compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    else:
        compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor  # type: ignore[no-any-return]


async def compress(compressor: Compressor, data: bytes, *, is_last: bool = False) -> bytes:
    """More of the coded body; b"" where the compressor keeps it for later."""
    if len(data) <= _INLINE_BYTES:
        return _compress(compressor, data, is_last)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _compress, compressor, data, is_last)


def _compress(compressor: Compressor, data: bytes, is_last: bool) -> bytes:
    coded = compressor.compress(data)
    return coded + compressor.flush() if is_last else coded


def _quality(parameters: bytes) -> float:
    for parameter in parameters.split(b";"):
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
