"""The reserve of free disk: below it nothing is written, and what was there stays readable."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.engine.disk import DiskReserve, frees_space
from pipewren.errors import Unavailable

if TYPE_CHECKING:
    from tests.engine.conftest import Program

FILL = """
async def main():
    reserve = int(os.environ["RESERVE"])
    engine = await open_engine(disk_reserve_bytes=reserve, max_server_memory_bytes=4 * 10**9)
    await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
    await engine.execute(
        sql("CREATE TABLE w_1.t (id UInt32, body String CODEC(NONE)) "
            "ENGINE = MergeTree ORDER BY id")
    )
    await engine.execute(sql("CREATE TABLE w_1.spare (id UInt32) ENGINE = MergeTree ORDER BY id"))
    acknowledged = 0
    refusal = None
    for n in range(1000):
        body = json.dumps({"id": n, "body": os.urandom(250_000).hex()}).encode()
        try:
            await engine.insert(Insert("w_1", "t", ("id", "body"), "JSONEachRow", body, str(n)))
        except Unavailable as error:
            refusal = str(error)
            break
        acknowledged += 1
    count = await engine.run(Statement(sql("SELECT count() FROM t"), "w_1", "TSVRaw"))
    await engine.close()
    print(json.dumps(
        {"acknowledged": acknowledged, "refusal": refusal, "count": int(count.body)}
    ))
asyncio.run(main())
"""
BELOW = """
async def refusal(work):
    try:
        await work
    except Unavailable as error:
        return str(error)
async def main():
    engine = await open_engine(disk_reserve_bytes=10**18)
    rows = Insert("w_1", "spare", ("id",), "CSV", b"1", "a")
    health = engine.health()
    outcome = {
        "create": await refusal(engine.execute(sql("CREATE TABLE w_1.m (a Int8) ENGINE = Memory"))),
        "alter": await refusal(engine.execute(sql("ALTER TABLE w_1.t ADD COLUMN a Int8"))),
        "insert": await refusal(engine.insert(rows)),
        "drop": await refusal(engine.execute(sql("DROP TABLE w_1.spare"))),
        "ready": health.ready,
        "writable": health.writable,
    }
    count = await engine.run(Statement(sql("SELECT count() FROM t"), "w_1", "TSVRaw"))
    await engine.close()
    print(json.dumps(outcome | {"count": int(count.body)}))
asyncio.run(main())
"""
READ = """
async def main():
    engine = await open_engine()
    query = sql("SELECT count() AS count, min(length(body)) AS shortest FROM t")
    answer = await engine.run(Statement(query, "w_1", "JSONEachRow"))
    print(answer.body.decode(), end="")
    await engine.close()
asyncio.run(main())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A folder and a reserve that leaves some 50 MB of it: of a file system of 128 MB, or, where
    the machine lets nobody mount one, of the disk as it is."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield folder, DiskReserve(folder, 0).free_bytes() - 50_000_000
        return
    yield folder, 78_000_000
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_refuses_writes_in_time_and_loses_no_row(
    small_disk: tuple[Path, int], make_program: Callable[[Path], Program]
) -> None:
    folder, reserve_bytes = small_disk
    program = make_program(folder / "data")
    filled = json.loads(program.run(FILL, RESERVE=str(reserve_bytes))[-1])
    assert filled["acknowledged"] >= 10
    assert "The disk is nearly full" in filled["refusal"]
    assert filled["count"] == filled["acknowledged"]
    below = json.loads(program.run(BELOW)[-1])
    for refused in ("create", "alter", "insert"):
        assert "Reading goes on" in below[refused]
    assert below["drop"] is None
    assert (below["ready"], below["writable"]) == (True, False)
    assert below["count"] == filled["acknowledged"]
    rows = json.loads(program.run(READ)[-1])
    assert rows == {"count": filled["acknowledged"], "shortest": 500_000}


def test_below_the_reserve_only_what_frees_space_may_run(tmp_path: Path) -> None:
    assert frees_space("DROP TABLE t")
    assert frees_space("/* why */ -- and\n truncate TABLE t")
    assert not frees_space("CREATE TABLE t (a Int8) ENGINE = Memory -- DROP")
    assert not frees_space("ALTER TABLE t DROP COLUMN a")
    assert not frees_space("DROPPED")


def test_bytes_that_are_to_come_count(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path, 1)
    reserve.require()
    with pytest.raises(Unavailable, match="nearly full"):
        reserve.require(coming_bytes=10**18)


def test_a_file_system_that_cannot_be_read_counts_as_full(tmp_path: Path) -> None:
    assert DiskReserve(tmp_path / "gone", 1).is_writable() is False
