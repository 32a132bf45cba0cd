"""What waits for a slow reader: order, bounds, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from pipewren.errors import Unavailable
from pipewren.serve import spool as spools
from pipewren.serve.spool import Spool, SpoolRoom


def make_room(folder: Path, max_bytes: int = 10_000_000) -> SpoolRoom:
    return SpoolRoom(folder / "spool", max_bytes, 0)


async def read_all(spool: Spool) -> bytes:
    parts = []
    while part := await spool.take():
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(8))
async def test_bytes_come_out_in_order_whoever_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(spools, "MEMORY_BYTES", 5000)
    monkeypatch.setattr(spools, "_PART_BYTES", 700)
    chance = random.Random(seed)
    room = make_room(tmp_path)
    spool = Spool(room)
    sent = bytearray()

    async def write() -> None:
        for _ in range(200):
            data = chance.randbytes(chance.randint(1, 2000))
            sent.extend(data)
            await spool.put(data)
            for _ in range(chance.choice((0, 0, 0, 20))):
                await asyncio.sleep(0)
        spool.end()

    writing = asyncio.create_task(write())
    got = bytearray()
    while part := await spool.take():
        got += part
        for _ in range(chance.choice((0, 0, 40))):
            await asyncio.sleep(0)
    await writing
    assert got == sent
    spool.close()
    assert room.used_bytes == 0


async def test_what_does_not_fit_into_the_room_is_refused(tmp_path: Path) -> None:
    room = make_room(tmp_path, max_bytes=3_000_000)
    spool = Spool(room)
    await spool.put(b"a" * 2_000_000)
    await spool.put(b"b" * 3_000_000)
    with pytest.raises(Unavailable, match="max_spool_bytes"):
        await spool.put(b"c")
    other = Spool(room)
    with pytest.raises(Unavailable):
        await other.put(b"d" * 2_500_000)
    spool.close()
    await other.put(b"d" * 2_500_000)
    other.close()
    assert room.used_bytes == 0


async def test_bytes_beyond_the_disk_reserve_are_refused(tmp_path: Path) -> None:
    spool = Spool(SpoolRoom(tmp_path / "spool", 10**9, reserve_bytes=10**18))
    with pytest.raises(Unavailable, match="reserve"):
        await spool.put(b"a" * 2_500_000)
    spool.close()


async def test_the_reader_gets_what_there_is_and_then_the_writers_error(tmp_path: Path) -> None:
    spool = Spool(make_room(tmp_path))
    await spool.put(b"first")
    spool.end(Unavailable("gone"))
    assert await spool.take() == b"first"
    with pytest.raises(Unavailable, match="gone"):
        await spool.take()
    spool.close()


async def test_the_file_has_no_name_and_is_closed_with_its_spool(tmp_path: Path) -> None:
    spool = Spool(make_room(tmp_path))
    await spool.put(b"a" * 2_500_000)
    assert list((tmp_path / "spool").iterdir()) == []
    file = spool._file
    assert file is not None
    assert Path(f"/proc/self/fd/{file}").exists()
    spool.close()
    assert spool._file is None


async def test_closing_in_the_middle_of_a_write_waits_for_it(tmp_path: Path) -> None:
    """Else the file's number could be another file's when the thread writes."""
    room = make_room(tmp_path)
    spool = Spool(room)
    writing = asyncio.create_task(spool.put(b"a" * 2_500_000))
    await asyncio.sleep(0)
    spool.close()
    assert room.used_bytes == 2_500_000
    await writing
    assert room.used_bytes == 0
    assert spool._file is None


async def test_a_cancelled_write_leaves_nothing_behind(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    spool = Spool(room)
    writing = asyncio.create_task(spool.put(b"a" * 2_500_000))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    spool.close()
    while spool._busy:
        await asyncio.sleep(0)
    assert room.used_bytes == 0
    assert spool._file is None
