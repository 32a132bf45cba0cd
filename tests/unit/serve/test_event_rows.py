"""Bodies of events become rows within bounds on memory and on the time that the loop is held."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import pipewren.serve.event_rows
from pipewren.engine.contract import Result, Statement, Statistics
from pipewren.errors import PayloadTooLarge, Unavailable
from pipewren.ingest.row_reader import RowReader, make_row_reader
from pipewren.project.model import Column, Datasource, Position
from pipewren.serve.event_bodies import EventRoom, Share
from pipewren.serve.event_rows import EventRows, Format, read_event_rows
from pipewren.serve.events import FORMATS
from pipewren.storage.deployments import TableVersion

HERE = Position("x.datasource", 1)
TABLE = TableVersion("rows", 1, "t_1", "")
ROOM_BYTES = 20_000_000


def make_datasource(**types: str) -> Datasource:
    columns = []
    for name, text in types.items():
        type, _, default = text.partition(" DEFAULT ")
        path = f"$.{name}[:]" if type.startswith("Array") else f"$.{name}"
        columns.append(Column(name, type, HERE, jsonpath=path, default=default or None))
    return Datasource("rows", tuple(columns), HERE, "", "")


FLAT = make_datasource(id="UInt64", text="String")


class Judging:
    """An engine that takes each value it is asked about."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def read_rows(self, statement: Statement) -> Result:
        ((_, rows),) = statement.parameters
        lines = [json.loads(line) for line in rows.splitlines()]
        self.asked.append(len(lines))
        answers = [json.dumps([0, number, json.dumps(value)]) for number, value in lines]
        return Result("\n".join(answers).encode(), Statistics())


async def read(
    body: bytes,
    datasource: Datasource = FLAT,
    format: Format = "ndjson",
    *,
    room: EventRoom | None = None,
    look: Callable[[Share, EventRows], None] = lambda *_: None,
    engine: Any = None,
) -> EventRows:
    room = room or EventRoom(ROOM_BYTES)
    reader = make_row_reader(datasource)
    with room.share() as share:
        rows = await read_event_rows(reader, datasource, body, format, engine, share)
        look(share, rows)
    assert room.used == 0
    return rows


def lines_of(rows: EventRows) -> tuple[list[Any], list[Any]]:
    """Good and bad rows, as they go to their tables."""
    found: dict[str, list[Any]] = {"rows__1": [], "rows_quarantine__1": []}
    for batch in rows.batches(TABLE):
        found[batch.table] = [json.loads(line) for line in batch.rows.splitlines()]
        assert len(found[batch.table]) == batch.count
        assert batch.rows.endswith(b"\n")
    return found["rows__1"], found["rows_quarantine__1"]


@pytest.mark.parametrize("count", [0, 1, 7, 3000])
@pytest.mark.parametrize("every", [1, 2, 50, 10_000])
async def test_each_row_is_there_once_however_the_body_is_cut(count: int, every: int) -> None:
    """In order, good and bad ones; every so manieth is bad."""
    sent = [
        {"id": number, "text": "x" * (number % 90)} if number % every else {"id": -1 - number}
        for number in range(count)
    ]
    ndjson = b"\n".join(json.dumps(row).encode() for row in sent)
    for body, format in (
        (ndjson, "ndjson"),
        (ndjson + b"\n", "ndjson"),
        (json.dumps(sent, indent=1).encode(), "json"),
    ):
        rows = await read(body, format=format)  # type: ignore[arg-type]
        good, bad = lines_of(rows)
        assert good == [[row["id"], row["text"]] for row in sent if "text" in row]
        assert [row[3] for row in bad] == [str(row["id"]) for row in sent if "text" not in row]
        assert (rows.count, rows.bad_count) == (len(good), len(bad))


async def test_nothing_is_no_rows() -> None:
    for body in (b"", b"\n\n", b"  \r\n"):
        for format in FORMATS:
            assert (await read(body, format=format)).batches(TABLE) == []


MANY = 100_000


@pytest.mark.parametrize(
    ("body", "datasource", "format"),
    [
        (b"1\n" * MANY, FLAT, "ndjson"),
        (b"{}\n" * MANY, make_datasource(**{f"c{n}": "Int64" for n in range(30)}), "ndjson"),
        (
            b"{}\n" * MANY,
            make_datasource(**{f"c{n}": "Int64 DEFAULT 1" for n in range(200)}),
            "ndjson",
        ),
        (b"[" + b",".join([b"{}"] * 3 * MANY) + b"]", FLAT, "json"),
        (b'{"a":[' + b"1," * 3 * MANY + b"300]}", make_datasource(a="Array(UInt8)"), "ndjson"),
    ],
    ids=["no-objects", "many-faults", "many-defaults", "array-of-rows", "long-array"],
)
async def test_a_small_body_that_becomes_large_is_refused_before_it_has_taken_the_memory(
    body: bytes, datasource: Datasource, format: Format
) -> None:
    room = EventRoom(8_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge, match="max_events_memory_bytes"):
            await read(body, datasource, format, room=room)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 8_000_000
    assert room.used == 0


async def test_rows_that_are_larger_than_the_body_are_counted_and_given_back() -> None:
    room = EventRoom(ROOM_BYTES)

    def look(share: Share, rows: EventRows) -> None:
        size = sum(len(batch.rows) for batch in rows.batches(TABLE))
        assert share.held == room.used == rows.held == 2 * (size - len(body))
        rows.let_go()
        assert share.held == room.used == rows.held == 0

    body = b"{}\n" * 1000
    await read(body, look=look, room=room)


async def test_rows_that_are_not_larger_are_counted_with_the_body() -> None:
    def look(share: Share, rows: EventRows) -> None:
        assert (rows.held, share.held) == (0, 0)

    await read(b'{"id": 1, "text": "x"}\n' * 1000, look=look)


async def test_where_others_have_the_room_it_is_not_the_body_that_is_too_large() -> None:
    room = EventRoom(1_000_000)
    with room.share() as other:
        other.take(900_000)
        reader = make_row_reader(FLAT)
        with room.share() as share, pytest.raises(Unavailable):
            await read_event_rows(reader, FLAT, b"{}\n" * 5000, "ndjson", None, share)  # type: ignore[arg-type]
        assert (room.used, room.refused) == (900_000, 1)


async def test_rows_that_only_the_engine_can_judge_are_asked_about_some_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipewren.serve.event_rows, "_UNSURE_VALUES", 400)
    engine = Judging()
    datasource = make_datasource(at="Point")
    body = b"".join(b'{"at": [%d, 1]}\n' % number for number in range(5000))
    rows = await read(body, datasource, engine=engine)
    assert (rows.count, rows.bad_count) == (5000, 0)
    assert sum(engine.asked) == 5000
    assert len(engine.asked) > 1


async def test_the_loop_goes_on_while_many_bad_rows_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slices get smaller where reading takes long."""
    sizes: list[int] = []
    read_lines = RowReader.read

    def reading(self: RowReader, lines: bytes) -> Any:
        sizes.append(len(lines))
        return read_lines(self, lines)

    monkeypatch.setattr(RowReader, "read", reading)
    datasource = make_datasource(**{f"c{n}": "Int64" for n in range(100)})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    rows = await read(b"{}\n" * 3000, datasource, room=EventRoom(500_000_000))
    counting.cancel()
    assert rows.bad_count == 3000
    assert max(sizes[1:]) < sizes[0]
    assert turns >= len(sizes) // 2


@pytest.mark.parametrize("format", FORMATS)
async def test_a_byte_order_mark_is_no_part_of_the_first_row(format: Format) -> None:
    rows = await read(b'\xef\xbb\xbf{"id":1,"text":"a"}', format=format)
    assert lines_of(rows) == ([[1, "a"]], [])


async def test_long_bodies_hold_the_loop_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: a small request beside them waits for one slice and not for all."""
    monkeypatch.setattr(pipewren.serve.event_rows, "_HELD_S", 0.0)
    rounds = 0
    reads: list[int] = []
    reader = make_row_reader(FLAT)
    actual = reader.read

    def counting(lines: bytes) -> Any:
        reads.append(rounds)
        return actual(lines)

    monkeypatch.setattr(reader, "read", counting)

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    room = EventRoom(10**9)

    async def read_one() -> None:
        with room.share() as share:
            await read_event_rows(reader, FLAT, b"{}\n" * 7000, "ndjson", None, share)  # type: ignore[arg-type]

    counter = asyncio.create_task(count_rounds())
    await asyncio.gather(*(read_one() for _ in range(20)))
    counter.cancel()
    by_round = sorted(reads.count(number) for number in set(reads))
    assert by_round.pop() == 20  # the first slices of all, which is as far as most bodies go
    assert len(by_round) > 20
    assert by_round[-1] == 1


async def test_a_body_that_fails_or_is_judged_does_not_keep_the_turn() -> None:
    room = EventRoom(300_000)
    with pytest.raises(PayloadTooLarge):
        await read(b"{}\n" * 5000, room=room)
    assert not room.turn.locked()
    datasource = make_datasource(x="Dynamic")
    judging = Judging()

    class Looking(Judging):
        async def read_rows(self, statement: Statement) -> Result:
            assert not room.turn.locked()
            return await judging.read_rows(statement)

    room = EventRoom(ROOM_BYTES)
    await read(b'{"x":1}\n' * 30_000, datasource, room=room, engine=Looking())
    assert len(judging.asked) > 1
