"""Usage records are written in groups, each exactly once, kept while the engine cannot take them,
and dropped and counted beyond the bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError, PipewrenError, Unavailable
from pipewren.testing.engine import ScriptedEngine
from pipewren.usage import recorder as module
from pipewren.usage.recorder import Recorder

FULL_DISK = Unavailable("The disk is nearly full")
REFUSAL = EngineError("[Error] No such column", engine_code=16, engine_name="X", status=400)


@dataclass(slots=True)
class FailingEngine(ScriptedEngine):
    """Inserts raise `errors`, one after the other, and then work. `tried` are all."""

    errors: list[PipewrenError] = field(default_factory=list)
    tried: list[Insert] = field(default_factory=list)

    async def insert(self, insert: Insert) -> int:
        self.tried.append(insert)
        if self.errors:
            raise self.errors.pop(0)
        return await ScriptedEngine.insert(self, insert)


async def nothing() -> None:
    """Tables that are there."""


def as_it_is(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row


def rows_of(engine: ScriptedEngine) -> list[tuple[str, Any]]:
    return [
        (one.table, msgspec.json.decode(line))
        for one in engine.inserts
        for line in one.body.splitlines()
    ]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONVERT_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_WRITE_PAUSE_S", 0.001)


@pytest.mark.usefixtures("quick")
async def test_records_are_written_while_the_server_runs() -> None:
    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing)
    recorder.start()
    recorder.record("requests", as_it_is, {"n": 1})
    await until(lambda: recorder.written == 1)
    recorder.record("requests", as_it_is, {"n": 2})
    await until(lambda: recorder.written == 2)
    assert rows_of(engine) == [("requests", {"n": 1}), ("requests", {"n": 2})]
    await recorder.close()
    assert (recorder.dropped, recorder.waiting) == (0, 0)


async def test_a_group_is_one_insert_of_one_table_with_a_token_of_its_own() -> None:
    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing)
    for number in range(3):
        recorder.record("requests", as_it_is, {"n": number})
        recorder.record("jobs", as_it_is, {"j": number})
    await recorder.close()
    assert [(one.database, one.table) for one in engine.inserts] == [
        ("w_usage", "requests"),
        ("w_usage", "jobs"),
    ]
    assert [row for table, row in rows_of(engine) if table == "requests"] == [
        {"n": 0},
        {"n": 1},
        {"n": 2},
    ]
    assert len({one.token for one in engine.inserts}) == 2
    assert all(one.token for one in engine.inserts)
    assert recorder.written == 6


async def test_a_large_group_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP_BYTES", 30)
    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing)
    for number in range(10):
        recorder.record("requests", as_it_is, {"n": number})
    await recorder.close()
    assert len(engine.inserts) == 2
    assert [row["n"] for _, row in rows_of(engine)] == list(range(10))


async def test_beyond_the_bound_records_are_dropped_and_counted() -> None:
    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing, max_waiting=3)
    for number in range(5):
        recorder.record("requests", as_it_is, {"n": number})
    assert (recorder.waiting, recorder.dropped) == (3, 2)
    await recorder.close()
    assert [row["n"] for _, row in rows_of(engine)] == [0, 1, 2]
    assert (recorder.written, recorder.dropped) == (3, 2)


async def test_rows_are_bounded_in_bytes_too() -> None:
    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing, max_bytes=100)
    for _ in range(5):
        recorder.record("requests", as_it_is, {"text": "x" * 30})
    await recorder.close()
    assert (recorder.written, recorder.dropped) == (2, 3)


@pytest.mark.usefixtures("quick")
async def test_what_was_not_written_is_kept_and_written_again_with_the_same_token() -> None:
    engine = FailingEngine(errors=[FULL_DISK, FULL_DISK, FULL_DISK, FULL_DISK])
    recorder = Recorder(engine, nothing, max_waiting=2)
    recorder.start()
    recorder.record("requests", as_it_is, {"n": 1})
    await until(lambda: len(engine.tried) == 1)
    recorder.record("requests", as_it_is, {"n": 2})
    recorder.record("requests", as_it_is, {"n": 3})  # the first still counts
    assert recorder.dropped == 1
    await until(lambda: recorder.written == 2)
    await recorder.close()
    assert [row["n"] for _, row in rows_of(engine)] == [1, 2]
    assert engine.tried[0].body == engine.tried[1].body
    assert len({one.token for one in engine.tried}) == 2


async def test_a_group_that_is_refused_does_not_stand_in_the_way_for_ever() -> None:
    engine = FailingEngine(errors=[REFUSAL, REFUSAL, REFUSAL])
    recorder = Recorder(engine, nothing)
    recorder.record("broken", as_it_is, {"n": 1})
    recorder.record("requests", as_it_is, {"n": 2})
    for _ in range(2):
        await recorder._convert()
        await recorder._write()
        assert (recorder.written, recorder.waiting) == (0, 2)
    await recorder.close()
    assert rows_of(engine) == [("requests", {"n": 2})]
    assert (recorder.written, recorder.dropped) == (1, 1)


async def test_tables_are_made_before_anything_is_written() -> None:
    tries = 0

    async def prepare() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise FULL_DISK

    engine = ScriptedEngine()
    recorder = Recorder(engine, prepare)
    with pytest.raises(Unavailable):
        await recorder.prepare()
    recorder.record("requests", as_it_is, {"n": 1})
    await recorder._convert()
    await recorder._write()
    assert engine.inserts == []
    await recorder.close()
    assert recorder.written == 1
    assert tries == 3


async def test_a_record_that_cannot_be_told_costs_no_other() -> None:
    def fail(row: object) -> Mapping[str, Any]:
        raise RuntimeError("no row")

    engine = ScriptedEngine()
    recorder = Recorder(engine, nothing)
    recorder.record("requests", fail, {})
    recorder.record("requests", lambda _: None, {})
    recorder.record("requests", as_it_is, {"text": "\ud800"})  # no UTF-8
    recorder.record("requests", as_it_is, {"n": 1})
    await recorder.close()
    assert rows_of(engine) == [("requests", {"n": 1})]
    assert recorder.dropped == 2


async def test_rows_are_made_in_slices_between_which_others_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SLICE_S", 0.0)
    turns: list[int] = []
    made: list[int] = []

    async def others() -> None:
        while True:
            turns.append(len(made))
            await asyncio.sleep(0)

    def make_row(number: int) -> Mapping[str, Any]:
        made.append(number)
        return {"n": number}

    recorder = Recorder(ScriptedEngine(), nothing)
    for number in range(20):
        recorder.record("requests", make_row, number)
    task = asyncio.create_task(others())
    await recorder._convert()
    task.cancel()
    assert set(range(1, 20)) <= set(turns)


async def test_what_cannot_be_written_at_the_end_is_counted() -> None:
    engine = FailingEngine(errors=[FULL_DISK] * 10)
    recorder = Recorder(engine, nothing)
    recorder.record("requests", as_it_is, {"n": 1})
    await recorder.close()
    recorder.record("requests", as_it_is, {"n": 2})
    assert (recorder.written, recorder.dropped, recorder.waiting) == (0, 2, 0)


async def test_the_log_has_one_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now_s)
    engine = FailingEngine(errors=[FULL_DISK] * 100)
    recorder = Recorder(engine, nothing, max_waiting=1)
    with caplog.at_level(logging.WARNING, "pipewren.usage"):
        for _ in range(5):
            recorder.record("requests", as_it_is, {"n": 1})
            await recorder._convert()
            await recorder._write()
        assert len(caplog.records) == 1
        now_s += 61
        await recorder._write()
        assert len(caplog.records) == 2
    await recorder.close()


async def test_a_stop_in_the_middle_of_an_insert_writes_the_group_with_its_token() -> None:
    class SlowEngine(FailingEngine):
        async def insert(self, insert: Insert) -> int:
            self.tried.append(insert)
            if len(self.tried) == 1:
                await asyncio.Event().wait()
            return await ScriptedEngine.insert(self, insert)

    engine = SlowEngine()
    recorder = Recorder(engine, nothing)
    recorder.record("requests", as_it_is, {"n": 1})
    await recorder._convert()
    recorder._tasks = [asyncio.create_task(recorder._write())]
    await until(lambda: engine.tried)
    await recorder.close()
    assert len(engine.tried) == 2
    assert engine.tried[0].token == engine.tried[1].token
    assert recorder.written == 1
