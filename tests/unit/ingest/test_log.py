"""The event log's files: what is read back after a kill at any byte."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from pipewren.errors import Unavailable
from pipewren.ingest import log as log_module
from pipewren.ingest.log import FOLDER, EventLog, open_log
from pipewren.ingest.log_frames import Done, Extent, Head, Rows, Sealed, Split, make_frame
from pipewren.ingest.recovery import read_log

COLUMNS = ("a",)


def rows_of(count: int, table: str = "t__1") -> tuple[Head, bytes]:
    lines = b"".join(b"[%d]\n" % number for number in range(count))
    return Rows("w", table, COLUMNS, "JSONCompactEachRow", count), lines


def sealed(token: str, *extents: Extent | None) -> tuple[Head, bytes]:
    known = tuple(extent for extent in extents if extent is not None)
    return Sealed(token, "w", "t__1", COLUMNS, "JSONCompactEachRow", known), b""


def no_bound(size: int) -> None:
    del size


def open_at(path: Path, require_room: Callable[[int], None] = no_bound) -> EventLog:
    return open_log(path, fsync=False, require_room=require_room)


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    opened = open_at(tmp_path)
    yield opened
    await opened.close()


def files(path: Path) -> list[Path]:
    return sorted((path / FOLDER).glob("*.log"))


@pytest.mark.asyncio
async def test_rows_are_read_back_where_they_were_written(log: EventLog) -> None:
    first, none, second = await log.append([rows_of(2), (Done("x"), b""), rows_of(3)])
    assert none is None
    assert first is not None
    assert second is not None
    assert await log.read([second, first]) == b"[0]\n[1]\n[2]\n[0]\n[1]\n"


@pytest.mark.asyncio
async def test_a_log_cut_at_any_byte_keeps_exactly_the_whole_frames(
    log: EventLog, tmp_path: Path
) -> None:
    ends = []
    for count in (1, 3, 2):
        await log.append([rows_of(count)])
        ends.append(files(tmp_path)[0].stat().st_size)
    content = files(tmp_path)[0].read_bytes()
    for size in range(len(content) + 1):
        folder = tmp_path / "cut"
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / FOLDER / "000000000001.log").write_bytes(content[:size])
        cut = open_at(folder)
        queues, over = read_log(cut)
        whole = [count for count, end in zip((1, 3, 2), ends, strict=True) if end <= size]
        assert [queue.rows for queue in queues.values()] == ([sum(whole)] if whole else [])
        assert not over
        # What is appended after it goes to a file of its own and is found again.
        await cut.append([rows_of(5)])
        await cut.close()
        again = open_at(folder)
        queues, _ = read_log(again)
        assert sum(queue.rows for queue in queues.values()) == sum(whole) + 5
        await again.close()
        for file in files(folder):
            file.unlink()


@pytest.mark.asyncio
async def test_a_flipped_bit_ends_the_file_before_it_and_the_file_is_kept(
    log: EventLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await log.append([rows_of(1)])
    end = files(tmp_path)[0].stat().st_size
    await log.append([rows_of(2)])
    await log.append([rows_of(4)])
    content = bytearray(files(tmp_path)[0].read_bytes())
    content[end + 20] ^= 1
    folder = tmp_path / "flipped"
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "000000000001.log").write_bytes(content)
    damaged = open_at(folder)
    queues, _ = read_log(damaged)
    (queue,) = queues.values()
    assert queue.rows == 1
    assert "is damaged at byte" in caplog.text
    await damaged.release([one.extent for one in queue.pending])
    assert not files(folder)
    assert [file.name for file in (folder / FOLDER).iterdir()] == ["000000000001.damaged"]
    await damaged.close()


@pytest.mark.asyncio
async def test_groups_that_are_not_done_are_found_with_their_tokens(
    log: EventLog, tmp_path: Path
) -> None:
    first, second, third = await log.append([rows_of(1), rows_of(2), rows_of(4)])
    await log.append([sealed("one", first), sealed("two", second)])
    await log.append([(Done("one"), b"")])
    read = open_at(tmp_path)
    queues, over = read_log(read)
    (queue,) = queues.values()
    assert over == [first]
    assert [(group.token, group.extents) for group in queue.failed] == [("two", (second,))]
    assert [one.extent for one in queue.pending] == [third]
    await read.close()


@pytest.mark.asyncio
async def test_files_go_oldest_first_when_none_of_their_rows_is_wanted(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.log.SEGMENT_BYTES", 10)
    monkeypatch.setattr("pipewren.ingest.log._SMALL_BYTES", 10)
    placed = [(await log.append([rows_of(1)]))[0] for _ in range(3)]
    assert len(files(tmp_path)) == 3
    first, second, third = [one for one in placed if one is not None]
    await log.release([second])
    assert len(files(tmp_path)) == 3  # the first is wanted still
    await log.release([first])
    assert [file.stem[-1] for file in files(tmp_path)] == ["3"]
    await log.release([third])
    assert not files(tmp_path)
    assert log.size == 0
    placed = await log.append([rows_of(2)])
    assert placed[0] is not None
    assert await log.read([placed[0]]) == b"[0]\n[1]\n"


@pytest.mark.asyncio
async def test_a_refused_write_leaves_the_log_as_it_was(
    log: EventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.append([rows_of(1)])
    size = files(tmp_path)[0].stat().st_size

    def write_half(file: int, data: bytes) -> int:
        os.pwrite(file, data[: len(data) // 2], os.lseek(file, 0, os.SEEK_CUR))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipewren.ingest.log.os.write", write_half)
        with pytest.raises(Unavailable, match="No space left"):
            await log.append([rows_of(9)])
    assert files(tmp_path)[0].stat().st_size == size
    placed = await log.append([rows_of(2)])
    assert placed[0] is not None
    assert await log.read([placed[0]]) == b"[0]\n[1]\n"


@pytest.mark.asyncio
async def test_rows_need_room_above_the_reserve_and_records_of_groups_do_not(
    tmp_path: Path,
) -> None:
    def refuse(size: int) -> None:
        raise Unavailable(f"no room for {size} bytes")

    log = open_at(tmp_path, refuse)
    with pytest.raises(Unavailable, match="no room for"):
        await log.append([rows_of(1)])
    assert await log.append([(Done("x"), b"")]) == [None]
    await log.close()


def test_a_frame_tells_where_its_rows_begin() -> None:
    head, rows = rows_of(3)
    frame, offset = make_frame(head, rows)
    assert frame[offset:] == rows


@pytest.mark.asyncio
@pytest.mark.parametrize("is_divided", [False, True])
async def test_rows_of_a_group_that_is_done_are_not_taken_again_where_one_of_its_files_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_divided: bool
) -> None:
    """The file after it stays, for the rows of others."""
    monkeypatch.setattr(log_module, "SEGMENT_BYTES", 1)
    log = open_at(tmp_path)
    [first] = await log.append([rows_of(2)])
    second, _ = await log.append([rows_of(3), rows_of(4, "other__1")])
    monkeypatch.setattr(log_module, "SEGMENT_BYTES", 64_000_000)
    await log.append([sealed("a", first, second)])
    assert first is not None
    assert second is not None
    if is_divided:
        parts = tuple(
            Sealed(token, "w", "t__1", COLUMNS, "JSONCompactEachRow", (extent,))
            for token, extent in (("b", first), ("c", second))
        )
        await log.append([(Split("a", parts), b""), (Done("b"), b""), (Done("c"), b"")])
    else:
        await log.append([(Done("a"), b"")])
    await log.release([first, second])
    assert len(files(tmp_path)) == 1
    await log.close()
    again = open_at(tmp_path)
    queues, over = read_log(again)
    assert {key[1]: queue.rows for key, queue in queues.items()} == {"other__1": 4}
    assert not any(queue.failed for queue in queues.values())
    assert over == [second]
    await again.close()
