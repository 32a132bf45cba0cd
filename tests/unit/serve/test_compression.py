from __future__ import annotations

import gzip

import pytest
import zstandard

from pipewren.serve.compression import choose_coding, compress, make_compressor


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip", b"gzip"),
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"GZIP;q=0.5, zstd;q=0.1", b"gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0, *", b"zstd"),
        (b"*;q=0", None),
        (b"identity, gzip;q=0.5", None),
        (b"br", None),
        (b"", None),
        (b"gzip;q=nonsense", None),
    ],
)
def test_the_best_coding_that_the_client_takes(accepted: bytes, coding: bytes | None) -> None:
    assert choose_coding(accepted) == coding


@pytest.mark.parametrize("coding", [b"gzip", b"zstd"])
async def test_parts_are_one_coded_body(coding: bytes) -> None:
    compressor = make_compressor(coding)
    parts = [b"a" * 10, b"b" * 100_000, b"", b"c"]
    coded = b"".join([await compress(compressor, part) for part in parts])
    coded += await compress(compressor, b"", is_last=True)
    plain = (
        gzip.decompress(coded)
        if coding == b"gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress(coded)
    )
    assert plain == b"".join(parts)
    assert len(coded) < 2000
