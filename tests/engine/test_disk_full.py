"""A disk that another program fills to the last byte, at any moment, while rows are inserted and
parts are merged: every row is there, once, when there is room again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.testing.small_disk import Filler, NotMounted, mount_small_disk

if TYPE_CHECKING:
    from tests.engine.conftest import Program

FAILED_WRITES = 3  # as often a write must have failed
LONGEST_S = 150.0

# What an ingestion does: a group is known outside before it is inserted, is done when the insert
# has returned, and is inserted again with its token after a restart when it is not. Many small
# files, so that a part takes more of the disk than the engine reserves for it.
INGEST = """
WIDE = 120
NAMES = [f"c{n}" for n in range(WIDE)]
WINDOW = "SETTINGS non_replicated_deduplication_window = 1000, old_parts_lifetime = 480"
FILES = WINDOW + ", min_bytes_for_wide_part = 0"
COLUMNS = ", ".join(f"{name} String" for name in NAMES)
TABLES = (
    "CREATE DATABASE w_1 ENGINE = Atomic",
    f"CREATE TABLE w_1.t (id UInt32, {COLUMNS}) ENGINE = MergeTree ORDER BY id {FILES}",
    f"CREATE TABLE w_1.p (id UInt32, {COLUMNS}) ENGINE = MergeTree ORDER BY id {FILES}",
    f"CREATE TABLE w_1.a (k UInt8, n SimpleAggregateFunction(sum, UInt64)) "
    f"ENGINE = AggregatingMergeTree ORDER BY k {WINDOW}",
    f"CREATE TABLE w_1.s (k UInt8, n UInt64) ENGINE = SummingMergeTree ORDER BY k {WINDOW}",
    f"CREATE TABLE w_1.old (id UInt32, body String CODEC(NONE)) "
    f"ENGINE = MergeTree ORDER BY id {WINDOW}",
    "CREATE MATERIALIZED VIEW w_1.pv TO w_1.p AS SELECT * FROM w_1.t",
    "CREATE MATERIALIZED VIEW w_1.av TO w_1.a AS "
    "SELECT id % 3 AS k, count() AS n FROM w_1.t GROUP BY k",
    "CREATE MATERIALIZED VIEW w_1.sv TO w_1.s AS SELECT id % 2 AS k, 1 AS n FROM w_1.p",
)
NOTES = Path(os.environ["NOTES"])

def note(kind, number):
    with (NOTES / kind).open("a") as file:
        file.write(f"{number}\\n")

def noted(kind):
    file = NOTES / kind
    return [int(line) for line in file.read_text().split()] if file.exists() else []

async def insert(engine, number):
    body = json.dumps([number, *(f"{number}-{name}" for name in NAMES)]).encode() + b"\\n"
    columns = ("id", *NAMES)
    rows = Insert("w_1", "t", columns, "JSONCompactEachRow", body, f"group {number}")
    await engine.insert(rows)
    note("done", number)

async def open_again(reserve):
    return await open_engine(disk_reserve_bytes=reserve, max_server_memory_bytes=4 * 10**9)

async def read(engine, query):
    answer = await engine.run(Statement(sql(query), "w_1", "JSONCompactEachRow"))
    return json.loads(answer.body)
"""
MAKE = (
    INGEST
    + """
async def main():
    engine = await open_again(1)
    for table in TABLES:
        await engine.execute(sql(table))
    for number in range(20):
        body = b"".join(
            json.dumps([1000 * number + n, os.urandom(200).hex()]).encode() + b"\\n"
            for n in range(1000)
        )
        rows = Insert("w_1", "old", ("id", "body"), "JSONCompactEachRow", body, str(number))
        await engine.insert(rows)
    print(json.dumps(await read(engine, "SELECT count(), sum(cityHash64(id, body)) FROM old")))
    await engine.close()
asyncio.run(main())
"""
)
STORM = (
    INGEST
    + """
async def merge(engine):
    for _ in range(5):  # what was merged keeps its room for minutes
        try:
            await engine.execute(sql("OPTIMIZE TABLE w_1.old FINAL"))
        except PipewrenError:
            pass
        await asyncio.sleep(0.2)

async def main():
    engine = await open_again(int(os.environ["RESERVE"]))
    print("open", flush=True)
    merging = asyncio.create_task(merge(engine))
    waiting = [number for number in noted("known") if number not in set(noted("done"))]
    number = max(noted("known"), default=0)
    while engine.health().ready:
        if not waiting:
            number += 1
            note("known", number)
            waiting.append(number)
        try:
            await insert(engine, waiting[0])
            waiting.pop(0)
        except Unavailable:
            await asyncio.sleep(0.02)
    await read(engine, "SELECT 1")
    merging.cancel()
    await asyncio.gather(merging, return_exceptions=True)
    print("failed writes", engine.health().detail["failed_writes"], flush=True)
    await engine.close()
asyncio.run(main())
"""
)
SETTLE = (
    INGEST
    + """
async def main():
    engine = await open_again(1)
    for number in sorted(set(noted("known")) - set(noted("done"))):
        await insert(engine, number)
    whole = " AND ".join(f"{name} = concat(toString(id), '-{name}')" for name in NAMES)
    outcome = {
        "known": len(noted("known")),
        "old": await read(engine, "SELECT count(), sum(cityHash64(id, body)) FROM old"),
        "t": await read(engine, f"SELECT count(), uniqExact(id) FROM t WHERE {whole}"),
        "p": await read(engine, f"SELECT count(), uniqExact(id) FROM p WHERE {whole}"),
        "a": await read(engine, "SELECT sum(n), 0 FROM a"),
        "s": await read(engine, "SELECT sum(n), 0 FROM s"),
    }
    await engine.close()
    print(json.dumps(outcome))
asyncio.run(main())
"""
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with mount_small_disk(tmp_path / "small", 240) as folder:
            yield folder
    except NotMounted as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("reserve_bytes", [1, 6_000_000])
def test_no_row_is_lost_or_doubled_when_another_program_takes_the_whole_disk(
    small_disk: Path,
    tmp_path: Path,
    make_program: Callable[[Path], Program],
    reserve_bytes: int,
) -> None:
    program = make_program(small_disk / "data")
    notes = tmp_path / "notes"
    notes.mkdir()
    old = json.loads(program.run(MAKE, NOTES=str(notes))[-1])
    failed = starts = 0
    deadline_s = time.monotonic() + LONGEST_S
    seed = int(os.environ.get("PIPEWREN_TEST_SEED", "1"))
    while failed < FAILED_WRITES and time.monotonic() < deadline_s:
        starts += 1
        ending = _storm(program, small_disk, notes, 100 * seed + starts, reserve_bytes)
        failed += ending == "failed writes"
    outcome = json.loads(program.run(SETTLE, NOTES=str(notes))[-1])
    known = outcome["known"]
    assert outcome["old"] == old
    assert {name: outcome[name][0] for name in "tpas"} == dict.fromkeys("tpas", known)
    assert (outcome["t"][1], outcome["p"][1]) == (known, known)
    if reserve_bytes == 1:
        assert failed == FAILED_WRITES, f"writes failed {failed} times in {starts} starts"


def _storm(
    program: Program, folder: Path, notes: Path, seed: int, reserve_bytes: int
) -> str | None:
    """One life of the process beside a filler: it ends when a write has failed, or is killed after
    some seconds."""
    process = program.start(STORM, NOTES=str(notes), RESERVE=str(reserve_bytes))
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "open\n"
        with Filler(folder, seed, given_back=(1_000_000, 12_000_000)):
            deadline_s = time.monotonic() + 8.0
            while process.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.05)
            ended_itself = process.poll() is not None
            if not ended_itself:
                process.send_signal(signal.SIGKILL)
            process.wait()
        if not ended_itself:
            return None
        assert process.returncode == 0
        said = process.stdout.read()
        assert "failed writes" in said
        return "failed writes"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()
