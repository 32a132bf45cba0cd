"""Any order of writers, failures, truncates and flushes, with a kill at any step and in the middle
of any write of the log: each acknowledged row is in its table and its views' targets once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import PipewrenError, Unavailable
from pipewren.ingest import log
from pipewren.ingest.ingestion import Ingestion
from tests.unit.ingest.conftest import WORKSPACE, Setup, batch
from tests.unit.ingest.model import Killed, View, ViewedEngine, engine_error

pytestmark = pytest.mark.asyncio

# Sources, and what their views write to. A row's number says what becomes of it.
SOURCES = ("a__1", "b__1", "c__1")
BAD, POISON, NO_VIEW, SHAKY = range(4)  # number % 40: to quarantine, set aside, no `u`, sometimes
VIEWS = {"a__1": ("t", "u"), "b__1": ("t",), "c__1": ()}


def numbers(body: bytes) -> list[int]:
    return [json.loads(line)[0] for line in body.splitlines()]


def is_of(body: bytes, kind: int) -> bool:
    return any(number % 40 == kind for number in numbers(body))


@dataclass
class Storm:
    """`acknowledged` and `truncated` are (table, number). A truncate that has begun and was not
    answered leaves open whether its rows are there (`unclear`)."""

    chance: random.Random
    setup: Setup
    engine: ViewedEngine
    kill_at: int
    steps: int = 0
    is_dead: bool = False
    is_truncated: bool = False
    died: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    sent: set[tuple[str, int]] = field(default_factory=set)
    acknowledged: set[tuple[str, int]] = field(default_factory=set)
    truncated: set[tuple[str, int]] = field(default_factory=set)
    unclear: set[tuple[str, int]] = field(default_factory=set)
    ids: Iterator[int] = field(default_factory=itertools.count)

    def step(self, name: str = "") -> None:
        if self.is_dead:
            raise Killed
        self.steps += 1
        if self.steps == self.kill_at:
            self.is_dead = self.engine.is_dead = True
            self.loop.call_soon_threadsafe(self.died.set)
            raise Killed

    def refuse(self, insert: Insert) -> None:
        if insert.table in SOURCES:
            if is_of(insert.body, BAD):
                raise engine_error(27, "Cannot parse input")
            if is_of(insert.body, POISON):
                raise engine_error(49, "Logical error")
        if is_of_source(insert) and is_of(insert.body, SHAKY) and self.chance.random() < 0.5:
            is_last_chance = ("materialized_views_ignore_errors", "1") in insert.settings
            if self.chance.random() < 0.5 and not is_last_chance:
                raise engine_error(49, "Logical error")
            raise _busy()
        if self.chance.random() < 0.08:
            raise _busy()

    def require_room(self, size: int) -> None:
        if self.chance.random() < 0.03:
            raise _busy()

    async def write(self, ingestion: Ingestion) -> None:
        while not self.is_dead:
            rows = {
                table: [next(self.ids) for _ in range(self.chance.randrange(1, 6))]
                for table in self.chance.sample(SOURCES, self.chance.randrange(1, 3))
            }
            pairs = {(table, one) for table, given in rows.items() for one in given}
            self.sent |= pairs
            batches = [batch(*given, table=table) for table, given in rows.items()]
            wait = self.chance.random() < 0.3
            try:
                await ingestion.accept(WORKSPACE, batches, wait=wait)
            except Unavailable:
                continue  # of an insert, or of the log; refused rows may be there, or not
            except PipewrenError:
                pass  # a view refused them, and they are in their table
            if not self.is_dead:
                self.acknowledged |= pairs
            await asyncio.sleep(self.chance.choice([0, 0, 0.001, 0.003]))

    async def truncate(self, ingestion: Ingestion) -> None:
        while not self.is_dead:
            await asyncio.sleep(self.chance.choice([0.003, 0.01]))
            table = self.chance.choice(["a__1", "c__1"])
            before = {one for one in self.acknowledged if one[0] == table}
            or_drop = self.chance.random() < 0.5 and table == "c__1"
            try:
                async with (
                    self.setup.gate.writing(WORKSPACE),
                    ingestion.flushed(WORKSPACE, [table], or_drop=or_drop),
                ):
                    if self.chance.random() < 0.2:
                        raise _busy()
                    self.is_truncated = True  # or is killed in it
                    self.engine.truncate(table)
                if not self.is_dead:
                    self.truncated |= before
            except Unavailable:
                pass
            finally:
                # What was sent meanwhile may have come before, or not.
                if self.is_truncated:
                    self.unclear |= {one for one in self.sent if one[0] == table}
                self.is_truncated = self.is_dead

    async def flush(self, ingestion: Ingestion) -> None:
        while not self.is_dead:
            await asyncio.sleep(0.01)
            with contextlib.suppress(Unavailable):
                async with (
                    self.setup.gate.closed(WORKSPACE),
                    ingestion.flushed(WORKSPACE, settle=self.chance.random() < 0.5),
                ):
                    # Another version of the view, as a deploy makes one.
                    version = self.chance.randrange(1000)
                    self.engine.views = make_views(version)


def is_of_source(insert: Insert) -> bool:
    return insert.table in SOURCES


def make_views(version: int) -> list[View]:
    return [
        View(f"at__mv{version}", "a__1", "t"),
        View(f"au__mv{version}", "a__1", "u", lambda body: is_of(body, NO_VIEW)),
        View(f"bt__mv{version}", "b__1", "t"),
    ]


def _busy() -> Unavailable:
    return Unavailable("The disk is nearly full")


@pytest.mark.parametrize("seed", range(30))
async def test_a_kill_at_any_step_of_anything(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    for name, value in (
        ("inserter.RETRY_PAUSES_S", (0.0, 0.002, 0.01)),
        ("inserter._BUSY_PAUSE_S", 0.002),
        ("inserter.STUCK_PAUSE_S", 0.004),
        ("ingestion._PAUSE_S", 0.002),
        ("log.SEGMENT_BYTES", chance.choice([300, 2000, 64_000_000])),
        ("log._SMALL_BYTES", 200),
        ("queues.BURST", 1e9),
    ):
        monkeypatch.setattr(f"pipewren.ingest.{name}", value)
    engine = ViewedEngine(make_views(1), window=200)
    monkeypatch.setattr("pipewren.ingest.token_window.SAFE_BLOCKS", 150)
    setup = Setup(tmp_path, engine)  # type: ignore[arg-type]
    setup.options = {"max_log_bytes": 1_000_000, "flush_s": chance.choice([0.0001, 0.003])}
    storm = Storm(chance, setup, engine, kill_at=chance.randrange(1, 900))
    engine.step, engine.refuse, setup.require_room = storm.step, storm.refuse, storm.require_room
    write, remove = log._write_all, log.EventLog._remove

    def write_some(file: int, data: bytes) -> None:
        try:
            storm.step()
        except Killed:
            if storm.steps == storm.kill_at:
                write(file, data[: chance.randrange(len(data) + 1)])
                storm.steps += 1
            raise
        if chance.random() < 0.01:
            write(file, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write(file, data)
        storm.step()

    def remove_one(self: log.EventLog, segment: log._Segment) -> None:
        storm.step()
        remove(self, segment)

    monkeypatch.setattr(log, "_write_all", write_some)
    monkeypatch.setattr(log.EventLog, "_remove", remove_one)
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda *_: None)  # of tasks that were killed
    ingestion = await setup.start()
    works = (storm.write, storm.write, storm.write, storm.truncate, storm.flush)
    tasks = [asyncio.create_task(survive(work(ingestion))) for work in works]
    async with asyncio.timeout(30):
        await storm.died.wait()
    for task in {*tasks, *asyncio.all_tasks()} - before:
        task.cancel()
    if rest := asyncio.all_tasks() - before:
        await asyncio.wait(rest, timeout=5)
    # The next process, without failures but of rows.
    monkeypatch.setattr(log, "_write_all", write)
    monkeypatch.setattr(log.EventLog, "_remove", remove)
    engine.is_dead = False
    engine.step = lambda name: None
    engine.refuse = refuse_rows
    setup.require_room = lambda size: None
    again = await setup.start()
    async with again.flushed(WORKSPACE):
        assert again.state().pending_rows == 0
    await again.close()
    check(storm, tmp_path)


async def survive(work: object) -> None:
    with contextlib.suppress(Killed, asyncio.CancelledError):
        await work  # type: ignore[misc]


def refuse_rows(insert: Insert) -> None:
    if insert.table in SOURCES:
        if is_of(insert.body, BAD):
            raise engine_error(27, "Cannot parse input")
        if is_of(insert.body, POISON):
            raise engine_error(49, "Logical error")


def check(storm: Storm, path: Path) -> None:
    engine = storm.engine
    aside: Counter[tuple[str, int]] = Counter()
    for about in (path / "set_aside").glob("*.json"):
        table = json.loads(about.read_bytes())["table"]
        aside.update((table, n) for n in numbers(about.with_suffix(".rows").read_bytes()))
    for table in SOURCES:
        name, _, version = table.rpartition("__")
        there = Counter(engine.values(table))
        bad = Counter(
            json.loads(json.loads(row)[3]) for row in engine.rows(f"{name}_quarantine__{version}")
        )
        kept = Counter({n: count for (of, n), count in aside.items() if of == table})
        twice = [n for counter in (there, bad, kept) for n, times in counter.items() if times > 1]
        assert not twice, f"twice in {table}"
        assert not there.keys() & bad.keys()
        assert not there.keys() & kept.keys(), "in its table and in a file"
        assert {(table, n) for n in (*there, *bad, *kept)} <= storm.sent, "invented"
        due = {n for of, n in storm.acknowledged - storm.unclear if of == table}
        assert due <= there.keys() | bad.keys() | kept.keys(), "lost"
        assert not {n for of, n in storm.truncated if of == table} & there.keys(), "back"
        assert all(n % 40 == BAD for n in bad)
    for target, sources in (("t", ("a__1", "b__1")), ("u", ("a__1",))):
        seen = Counter(engine.values(target))
        assert max(seen.values(), default=1) == 1, f"twice in {target}"
        for table in sources:
            there = Counter(engine.values(table))
            missing = {n for n in there if n not in seen}
            if target == "t":
                assert not missing, "not in its view's target"
