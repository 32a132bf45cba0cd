"""Bodies of events: what they were before they were compressed, bounded in memory and in time."""

from __future__ import annotations

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zstandard

from pipewren.errors import BadRequest, PayloadTooLarge, Unavailable
from pipewren.serve.bodies import Receive
from pipewren.serve.event_bodies import COPIES, MAX_MEMBERS, EventRoom, Share, read_event_body

ROWS = b"".join(b'{"kind": "a", "n": %d}\n' % n for n in range(20_000))
NOISE = random.Random(1).randbytes(300_000)
LARGE = 50_000_000


def sending(*parts: bytes) -> Receive:
    """A client that sends these, and is through."""
    left = list(parts) or [b""]

    async def receive() -> dict[str, Any]:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return receive


async def read(*parts: bytes, coding: str = "", max_bytes: int = LARGE) -> bytes:
    with EventRoom(10 * LARGE).share() as share:
        return await read_event_body(sending(*parts), coding, max_bytes, share)


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


def zstd_without_size(data: bytes) -> bytes:
    """As streams are: nothing says how large it will be."""
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return writer.compress(data) + writer.flush()


@pytest.mark.parametrize("coding", ["", "identity"])
async def test_a_body_without_a_coding_is_as_it_came(coding: str) -> None:
    assert await read(ROWS[:1000], ROWS[1000:1001], b"", ROWS[1001:], coding=coding) == ROWS
    assert await read(coding=coding) == b""


@pytest.mark.parametrize("data", [ROWS, NOISE, b"x", b"", 3_000_000 * b"0"])
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        *(("gzip", gzip.compress), ("x-gzip", gzip.compress)),
        *(("zstd", zstd), ("zstd", zstd_without_size)),
    ],
)
async def test_a_compressed_body_is_what_it_was(
    data: bytes, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(data)
    assert await read(body, coding=coding) == data
    assert await read(body[:5], body[5:], coding=coding) == data
    several = compress(data[:7]) + compress(b"") + compress(data[7:])
    assert await read(several, coding=coding) == data


async def test_a_frame_of_zstd_that_is_to_be_skipped_is_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert await read(skipped + zstd(ROWS), coding="zstd") == ROWS
    assert await read(zstd(ROWS) + skipped, coding="zstd") == ROWS


async def test_no_body_is_no_compressed_body_either() -> None:
    assert await read(coding="gzip") == b""


@pytest.mark.parametrize(
    "coding", ["br", "deflate", "gzip, zstd", "gzip, gzip", "GZIP2", "x" * 999]
)
async def test_an_unknown_coding_is_refused_before_the_body_is_read(coding: str) -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("the body is not to be asked for")

    with EventRoom(LARGE).share() as share, pytest.raises(BadRequest) as refused:
        await read_event_body(receive, coding, LARGE, share)
    assert "send gzip or zstd" in refused.value.message
    assert len(refused.value.message) < 120


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_what_is_not_what_it_says_is_refused(coding: str) -> None:
    whole = gzip.compress(NOISE) if coding == "gzip" else zstd(NOISE, write_checksum=True)
    for body in (ROWS, b"\x00", whole + b"tail", b"tail" + whole, whole[1:]):
        with pytest.raises(BadRequest):
            await read(body, coding=coding)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    with pytest.raises(BadRequest, match=f"not {coding}"):
        await read(bytes(flipped), coding=coding)
    for length in (1, 5, 12, len(whole) // 2, len(whole) - 1):
        with pytest.raises(BadRequest, match="cut off"):
            await read(whole[:length], coding=coding)


async def test_a_wrong_checksum_of_gzip_is_refused() -> None:
    body = bytearray(gzip.compress(ROWS))
    body[-6] ^= 1
    with pytest.raises(BadRequest, match="not gzip"):
        await read(bytes(body), coding="gzip")


async def test_the_bound_counts_what_is_sent_and_what_it_becomes() -> None:
    assert await read(100 * b"x", max_bytes=100) == 100 * b"x"
    assert await read(gzip.compress(100 * b"x"), coding="gzip", max_bytes=100) == 100 * b"x"
    for coding, body in (
        ("", 101 * b"x"),
        ("gzip", gzip.compress(101 * b"x")),
        ("zstd", zstd(101 * b"x")),
        ("gzip", gzip.compress(NOISE[:101])),
    ):
        with pytest.raises(PayloadTooLarge, match="max_events_bytes"):
            await read(body, coding=coding, max_bytes=100)


def gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1_000_000)
    return b"".join(packer.compress(zeros) for _ in range(size // len(zeros))) + packer.flush()


def zstd_bomb(size: int) -> bytes:
    """Blocks of one repeated byte, 4 bytes for 128 KB each."""
    block = 128 * 1024
    head = (block << 3) | (1 << 1)
    frame = b"\x28\xb5\x2f\xfd\x00\x58"  # no content size, a window of 2 MB
    blocks = (head.to_bytes(3, "little") + b"0") * (size // block)
    return frame + blocks + (head | 1).to_bytes(3, "little") + b"0"


BOMBS = [
    pytest.param("gzip", gzip_bomb(1_000_000_000), id="gzip"),
    pytest.param("zstd", zstd_bomb(20_000_000_000), id="zstd"),
    pytest.param("zstd", zstd(bytes(1_000_000_000)), id="zstd of a library"),
]


@pytest.mark.parametrize(("coding", "bomb"), BOMBS)
async def test_a_bomb_is_refused_before_it_has_taken_the_memory(coding: str, bomb: bytes) -> None:
    assert len(bomb) < 1_100_000
    max_bytes = 5_000_000
    room = EventRoom(100_000_000)
    tracemalloc.start()
    try:
        with room.share() as share, pytest.raises(PayloadTooLarge):
            await read_event_body(sending(bomb), coding, max_bytes, share)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(bomb) + max_bytes + 20_000_000
    assert room.used == 0


async def test_a_zstd_bomb_is_what_its_bytes_say() -> None:
    assert await read(zstd_bomb(1 << 20), coding="zstd") == b"0" * ((1 << 20) + 128 * 1024)


async def test_a_large_window_of_zstd_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = writer.compress(NOISE) + writer.flush()
    with pytest.raises(BadRequest, match="not zstd"):
        await read(body, coding="zstd")


@pytest.mark.parametrize(
    ("coding", "empty"), [("gzip", gzip.compress(b"")), ("zstd", zstd(b""))], ids=["gzip", "zstd"]
)
async def test_members_without_end_that_hold_nothing_are_refused(coding: str, empty: bytes) -> None:
    assert await read(empty * 1000, coding=coding) == b""
    with pytest.raises(BadRequest, match="more than 100,000"):
        await read(empty * (5 * MAX_MEMBERS), coding=coding)


async def test_the_loop_goes_on_while_a_large_body_is_decompressed() -> None:
    body = gzip.compress(random.Random(2).randbytes(20_000_000), 1)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await read(body, coding="gzip")
    counting.cancel()
    assert turns >= 10


# The room


def stuck() -> Receive:
    """A client that has sent a part and sends no more."""
    parts = [{"type": "http.request", "body": b"x" * 100, "more_body": True}]

    async def receive() -> dict[str, Any]:
        if parts:
            return parts.pop()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    return receive


def hanging_up() -> Receive:
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": b"x" * 100, "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    return receive


async def hold(room: EventRoom, receive: Receive, coding: str = "", max_bytes: int = LARGE) -> None:
    with room.share() as share:
        await read_event_body(receive, coding, max_bytes, share)
        assert room.used == share.held > 0


async def test_the_room_is_free_again_however_a_request_ends() -> None:
    room = EventRoom(1_000_000)
    await hold(room, sending(b"x" * 100))
    assert room.used == 0
    for receive, coding, error in (
        (sending(b"x" * 100), "gzip", BadRequest),
        (sending(gzip.compress(ROWS)[:-9]), "gzip", BadRequest),
        (sending(b"x" * 100, b"x" * 1000), "", PayloadTooLarge),
        (sending(gzip.compress(b"x" * 1001)), "gzip", PayloadTooLarge),
        (hanging_up(), "", BadRequest),
    ):
        with pytest.raises(error):
            await hold(room, receive, coding, 1000 if error is PayloadTooLarge else LARGE)
        assert room.used == 0
    waiting = asyncio.create_task(hold(room, stuck()))
    while not room.used:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.used == 0


async def test_a_request_that_is_cancelled_while_its_body_is_decompressed_frees_the_room() -> None:
    room = EventRoom(500_000_000)
    body = gzip.compress(random.Random(3).randbytes(30_000_000), 1)
    held = len(body) * COPIES
    waiting = asyncio.create_task(hold(room, sending(body), "gzip"))
    while room.used <= held:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.used == 0


async def test_bodies_that_find_no_room_are_refused_until_others_are_through() -> None:
    room = EventRoom(1000)
    with room.share() as first:
        await read_event_body(sending(b"x" * 200), "", LARGE, first)
        assert room.used == 200 * COPIES
        with room.share() as second, pytest.raises(Unavailable) as refused:
            await read_event_body(sending(b"x" * 100, b"x" * 100), "", LARGE, second)
        assert refused.value.retry_after_s >= 1
        assert "max_events_memory_bytes" in refused.value.message
        assert (room.used, room.refused) == (200 * COPIES, 1)
    with room.share() as again:
        assert await read_event_body(sending(b"x" * 200), "", LARGE, again) == b"x" * 200
    assert room.used == 0


async def test_a_body_that_no_empty_room_would_hold_is_too_large_and_not_to_be_sent_again() -> None:
    room = EventRoom(1000)
    for body, coding in ((b"x" * 400, ""), (gzip.compress(b"x" * 400), "gzip")):
        with room.share() as share, pytest.raises(PayloadTooLarge, match="max_events_memory_bytes"):
            await read_event_body(sending(body), coding, LARGE, share)
    assert (room.used, room.refused) == (0, 0)


async def test_a_share_tells_how_much_was_received() -> None:
    body = gzip.compress(ROWS)
    room = EventRoom(LARGE)
    with room.share() as share:
        await read_event_body(sending(body[:9], body[9:]), "gzip", LARGE, share)
        assert share.received == len(body)
        assert share.held == COPIES * (len(body) + len(ROWS))


def test_a_share_takes_nothing_that_the_room_refused() -> None:
    room = EventRoom(100)
    with room.share() as one, room.share() as other:
        one.take(80)
        with pytest.raises(Unavailable):
            other.take(30)
        assert isinstance(other, Share)
        assert (one.held, other.held, room.used) == (80, 0, 80)
    assert room.used == 0
