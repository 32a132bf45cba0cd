"""Starts over a log that is not as it should be, and requests that are half done."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import StartError
from pipewren.ingest import committer, log, log_frames
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.log import FOLDER
from tests.unit.ingest.conftest import TABLE, WORKSPACE, ModelEngine, Setup, batch, until
from tests.unit.ingest.model import busy, engine_error

pytestmark = pytest.mark.asyncio


def values(engine: ModelEngine, table: str = TABLE) -> list[int]:
    return sorted(json.loads(row)[0] for row in engine.rows(table))


async def test_all_sealed_groups_are_repeated_before_other_rows_go_in(setup: Setup) -> None:
    """What else is inserted first may push a token out of a table that several feed."""
    setup.engine.refuse = busy
    setup.options["flush_s"] = 0.0001
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1, table="a__1")], wait=False)
    await ingestion.accept(WORKSPACE, [batch(2, table="b__1")], wait=False)
    await until(lambda: {one.table for one in setup.engine.inserts} == {"a__1", "b__1"})
    await ingestion.accept(WORKSPACE, [batch(3, table="a__1")], wait=False)
    await ingestion.close()
    setup.engine.inserts.clear()
    setup.engine.refuse = None
    again = await setup.start()
    bodies = [(one.table, one.body) for one in setup.engine.inserts]
    assert bodies == [("a__1", b"[1]\n"), ("b__1", b"[2]\n"), ("a__1", b"[3]\n")]
    await again.close()


async def test_a_start_does_not_need_the_log_to_forget_a_workspace_that_is_gone(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.engine.refuse = busy
    ingestion = await setup.start()
    await ingestion.accept("gone", [batch(1)], wait=False)
    await until(lambda: bool(setup.engine.inserts))
    await ingestion.accept("gone", [batch(2)], wait=False)
    await ingestion.accept(WORKSPACE, [batch(3)], wait=False)
    await ingestion.close()
    setup.engine.refuse = None

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(log, "_write_all", full)
        again = await setup.start()
        assert again.state().pending_rows == 1
    await until(lambda: values(setup.engine) == [3])
    await until(lambda: again.state().pending_rows == 0)
    await again.close()


async def test_a_group_whose_rows_cannot_be_read_keeps_nobody_waiting(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1)  # a file each
    ingestion = await setup.start()
    async with setup.gate.closed(WORKSPACE):
        await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
        for path in (setup.path / FOLDER).glob("*.log"):
            path.rename(path.with_suffix(".away"))
    await asyncio.sleep(0.05)  # it has been tried
    assert await ingestion.accept(WORKSPACE, [batch(2)], wait=True)
    assert values(setup.engine) == [2]
    await ingestion.close()


async def test_rows_of_a_caller_who_has_gone_are_flushed_too(
    setup: Setup, ingestion: Ingestion
) -> None:
    """Else they come after the truncate that followed them."""
    task = asyncio.create_task(ingestion.accept(WORKSPACE, [batch(1)], wait=False))
    await asyncio.sleep(0)
    task.cancel()
    async with ingestion.flushed(WORKSPACE, [TABLE]):
        assert values(setup.engine) == [1]
        setup.engine.truncate(TABLE)
    await ingestion.accept(WORKSPACE, [batch(2)], wait=True)
    assert values(setup.engine) == [2]


async def test_who_waits_is_told_when_all_parts_of_a_group_are_over(
    setup: Setup, ingestion: Ingestion
) -> None:
    setup.engine.refuse = refuse_row(0)
    assert await ingestion.accept(WORKSPACE, [batch(*range(16))], wait=True)
    assert values(setup.engine) == list(range(1, 16))


async def test_the_rows_of_a_request_are_in_the_log_all_or_none(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused sends all of them again."""
    monkeypatch.setattr(committer, "_WRITE_BYTES", 20)
    ingestion = await setup.start()
    appends = 0
    write = log._write_all

    def refuse_second(file: int, data: bytes) -> None:
        nonlocal appends
        if data != log_frames.MAGIC:
            appends += 1
            if appends == 2:
                raise OSError(28, "No space left on device")
        write(file, data)

    monkeypatch.setattr(log, "_write_all", refuse_second)
    tables = [batch(*range(10), table=f"t{n}__1") for n in range(4)]
    await ingestion.accept(WORKSPACE, tables, wait=False)
    assert appends == 1
    await ingestion.close()


async def test_a_file_that_cannot_be_removed_keeps_the_later_ones(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say that its groups are done."""
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1)
    monkeypatch.setattr(log, "_SMALL_BYTES", 1)
    ingestion = await setup.start()
    unlink = Path.unlink
    is_stuck = True

    def fail(path: Path, missing_ok: bool = False) -> None:
        if is_stuck and path.name == f"{1:012}.log":
            raise OSError(5, "Input/output error")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    for number in range(5):
        await ingestion.accept(WORKSPACE, [batch(number)], wait=True)
    await ingestion.close()
    setup.engine.tokens.clear()  # long ago
    again = await setup.start()
    assert values(setup.engine) == [0, 1, 2, 3, 4]
    is_stuck = False
    await again.accept(WORKSPACE, [batch(5)], wait=True)
    await until(lambda: len(list((setup.path / FOLDER).iterdir())) <= 1)
    await again.close()


@pytest.mark.parametrize("newer", ["frame", "file"])
async def test_a_log_of_a_newer_version_is_refused_and_left_alone(setup: Setup, newer: str) -> None:
    setup.engine.refuse = busy
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await ingestion.close()
    (path,) = (setup.path / FOLDER).glob("*.log")
    if newer == "file":
        path.write_bytes(b"PWRNLOG2" + path.read_bytes()[8:])
    else:
        frame, _ = log_frames.make_frame(Newer("x"))  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes() + frame)
    before = path.read_bytes()
    with pytest.raises(StartError, match="newer"):
        await setup.start()
    assert path.read_bytes() == before


class Newer(msgspec.Struct, tag="newer", array_like=True):
    x: str


async def test_a_group_that_was_set_aside_before_a_kill_is_not_inserted_after_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", ())

    def refuse(insert: Insert) -> None:
        raise engine_error(49, "Logical error")

    setup.engine.refuse = refuse
    ingestion = await setup.start()
    copy = setup.path / "copy"
    write = log._write_all

    def snapshot(file: int, data: bytes) -> None:
        if (setup.path / "set_aside").exists() and not copy.exists():
            shutil.copytree(setup.path / FOLDER, copy / FOLDER)
            shutil.copytree(setup.path / "set_aside", copy / "set_aside")
        write(file, data)

    monkeypatch.setattr(log, "_write_all", snapshot)
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await until(lambda: ingestion.state().groups_set_aside == 1)
    await ingestion.close()
    after = Setup(copy)
    again = await after.start()
    assert after.engine.rows() == []
    assert again.state().pending_rows == 0
    await again.close()


def refuse_row(number: int) -> Any:
    row = f"[{number}]".encode()

    def refuse(insert: Insert) -> None:
        if insert.table == TABLE and row in insert.body.splitlines():
            raise engine_error(27, "Cannot parse input")

    return refuse
