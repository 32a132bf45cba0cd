"""What goes wrong at a certain point, and what becomes of the rows that were acknowledged."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError, StartError, Unavailable
from pipewren.ingest import committer, log, log_frames
from pipewren.ingest.batch import Batch, split_batch
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.inserter import Fate
from pipewren.ingest.log import FOLDER
from pipewren.ingest.queues import GROUP_ROWS
from tests.unit.ingest.conftest import TABLE, WORKSPACE, ModelEngine, Setup, batch, until
from tests.unit.ingest.model import View, ViewedEngine, busy, engine_error

pytestmark = pytest.mark.asyncio
QUARANTINE = "events_quarantine__1"


def values(engine: ModelEngine, table: str = TABLE) -> list[int]:
    return sorted(json.loads(row)[0] for row in engine.rows(table))


def use(setup: Setup, engine: ViewedEngine) -> None:
    setup.engine = engine  # type: ignore[assignment]


async def take_none(setup: Setup, ingestion: Ingestion, *given: int) -> None:
    """Rows that wait, since the engine takes none."""
    setup.engine.refuse = busy
    await ingestion.accept(WORKSPACE, [batch(*given)], wait=False)
    await until(lambda: bool(setup.engine.inserts))


async def test_rows_stay_where_a_truncate_that_would_drop_them_fails(
    setup: Setup, ingestion: Ingestion
) -> None:
    await take_none(setup, ingestion, 1)
    with pytest.raises(EngineError):
        async with ingestion.flushed(WORKSPACE, [TABLE], or_drop=True):
            raise engine_error(243, "Cannot reserve 1.00 MiB")
    setup.engine.refuse = None
    await until(lambda: values(setup.engine) == [1])


async def test_nothing_is_flushed_while_the_log_does_not_know_what_is_done(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a truncate and a kill the rows would come back."""
    write = log._write_all

    def refuse_once_inserted(file: int, data: bytes) -> None:
        if setup.engine.rows():
            raise OSError(28, "No space left on device")
        write(file, data)

    with monkeypatch.context() as patched:
        patched.setattr(log, "_write_all", refuse_once_inserted)
        await ingestion.accept(WORKSPACE, [batch(1)], wait=True)
        await until(lambda: ingestion.state().pending_rows == 0)
        with pytest.raises(Unavailable):
            async with ingestion.flushed(WORKSPACE, [TABLE]):
                pytest.fail("the log does not know that the group is done")
    async with ingestion.flushed(WORKSPACE, [TABLE]):
        setup.engine.truncate(TABLE)
    shutil.copytree(setup.path / FOLDER, setup.path / "killed" / FOLDER)
    after = Setup(setup.path / "killed")
    again = await after.start()
    assert after.engine.rows() == []
    await again.close()


async def test_rows_that_come_while_others_are_dropped_stay(
    setup: Setup, ingestion: Ingestion
) -> None:
    await take_none(setup, ingestion, 1)
    async with ingestion.flushed(WORKSPACE, [TABLE], or_drop=True):
        setup.engine.truncate(TABLE)
        await ingestion.accept(WORKSPACE, [batch(2)], wait=False)
    setup.engine.refuse = None
    await until(lambda: values(setup.engine) == [2])


@pytest.mark.parametrize("settle", [True, False])
async def test_a_flush_parts_the_bad_row_of_a_group_from_the_good_ones(
    setup: Setup, ingestion: Ingestion, settle: bool
) -> None:
    setup.engine.refuse = refuse_row(7)
    await ingestion.accept(WORKSPACE, [batch(*range(20))], wait=False)
    async with ingestion.flushed(WORKSPACE, settle=settle):
        assert values(setup.engine) == [n for n in range(20) if n != 7]
        # It is in its own table, before that table may go.
        assert len(setup.engine.rows(QUARANTINE)) == 1
    assert not (setup.path / "set_aside").exists()


async def test_a_group_that_fails_sometimes_is_not_given_up_by_a_flush(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.0, 0.0))
    failures = 2

    def refuse(insert: Insert) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise engine_error(49, "Logical error")

    setup.engine.refuse = refuse
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    async with ingestion.flushed(WORKSPACE, [TABLE]):
        assert values(setup.engine) == [1]


async def test_a_refused_row_is_not_lost_where_the_log_has_no_room_for_its_quarantine(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.STUCK_PAUSE_S", 0.01)
    is_full = False

    def require_room(size: int) -> None:
        if is_full:
            raise Unavailable("The disk is nearly full")

    setup.require_room = require_room
    ingestion = await setup.start()

    def refuse(insert: Insert) -> None:
        nonlocal is_full
        if insert.table == TABLE and not setup.engine.inserts[1:]:
            is_full = True
        refuse_row(7)(insert)

    setup.engine.refuse = refuse
    await ingestion.accept(WORKSPACE, [batch(7)], wait=False)
    await until(lambda: len(setup.engine.inserts) >= 3)
    is_full = False
    await until(lambda: len(setup.engine.rows(QUARANTINE)) == 1)
    assert ingestion.state().pending_rows == 0
    await ingestion.close()


async def test_a_refused_row_is_in_quarantine_once_wherever_a_kill_cuts_the_log(
    setup: Setup, tmp_path: Path
) -> None:
    setup.engine.refuse = refuse_row(7)
    setup.options["flush_s"] = 0.0001
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(7)], wait=False)
    await until(lambda: len(setup.engine.rows(QUARANTINE)) == 1)
    await ingestion.close()
    (path,) = (setup.path / FOLDER).glob("*.log")
    frames = list(log_frames.read_frames(path))
    sealed = next(one for one in frames if isinstance(one.head, log_frames.Sealed))
    again = next(
        number
        for number, one in enumerate(frames)
        if isinstance(one.head, log_frames.Rows) and one.head.table == QUARANTINE
    )
    content = path.read_bytes()
    # Up to the seal of the quarantine's own group, whose token the engine would know.
    for cut in range(sealed.end, frames[again + 2].end - 1):
        folder = tmp_path / f"cut{cut}"
        (folder / FOLDER).mkdir(parents=True)
        (folder / FOLDER / path.name).write_bytes(content[:cut])
        after = Setup(folder)
        after.engine.refuse = refuse_row(7)
        started = await after.start()
        await until(lambda after=after: len(after.engine.rows(QUARANTINE)) >= 1)  # type: ignore
        await until(lambda started=started: started.state().pending_rows == 0)  # type: ignore
        assert len(after.engine.rows(QUARANTINE)) == 1
        await started.close()
        shutil.rmtree(folder)


async def test_rows_that_are_in_their_table_are_not_parted_into_groups_with_other_tokens(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.0, 0.0))
    engine = ViewedEngine([View("by_kind__mv1", TABLE, "t", lambda body: True)])
    use(setup, engine)

    def refuse(insert: Insert) -> None:
        if len(engine.inserts) > 2:  # after the first try, and the one for the other views
            raise engine_error(241, "Query memory limit exceeded")

    engine.refuse = refuse
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1, 2, 3, 4)], wait=False)
    await until(lambda: bool(engine.inserts) and ingestion.state().pending_rows == 0)
    assert engine.values(TABLE) == [1, 2, 3, 4]
    assert len({insert.token for insert in engine.inserts}) == 1
    await until(lambda: setup.outcomes[-1].fate is Fate.VIEW_FAILED)
    await ingestion.close()


async def test_groups_that_a_view_refused_are_over_before_views_change(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view of a new version has another name: a token that its target does not know."""
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.01, 0.01))
    good, bad = View("good__mv1", TABLE, "t"), View("bad__mv1", TABLE, "u", lambda body: True)
    engine = ViewedEngine([good, bad])
    use(setup, engine)
    ingestion = await setup.start()
    async with setup.gate.closed(WORKSPACE):
        await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
        async with ingestion.flushed(WORKSPACE, settle=False):
            engine.views = [View("good__mv2", TABLE, "t"), View("bad__mv2", TABLE, "u")]
    await ingestion.accept(WORKSPACE, [batch(2)], wait=True)
    await until(lambda: ingestion.state().pending_rows == 0)
    assert engine.values("t") == [1, 2]
    await ingestion.close()


@pytest.mark.parametrize("fault", ["view", "other"])
async def test_a_group_is_not_tried_again_when_its_token_may_be_forgotten(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.2, 0.0))
    engine = ViewedEngine(window=20)
    monkeypatch.setattr("pipewren.ingest.token_window.SAFE_BLOCKS", 18)
    if fault == "view":
        engine.views = [View("v__mv1", TABLE, "t", lambda body: b"[1]" in body)]
    use(setup, engine)

    def step(name: str) -> None:
        insert = engine.inserts[-1]
        if fault == "other" and name == "in source" and insert.body == b"[1]\n":
            raise engine_error(49, "Logical error")

    engine.step = step
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await until(lambda: engine.values(TABLE) == [1])
    for number in range(2, 30):
        await ingestion.accept(WORKSPACE, [batch(number)], wait=True)
    await until(lambda: ingestion.state().pending_rows == 0)
    assert engine.values(TABLE) == list(range(1, 30))
    await until(lambda: any(one.error and one.is_over for one in setup.outcomes))
    await ingestion.close()


async def test_own_repetitions_do_not_count_as_passing(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.0,) * 10)
    monkeypatch.setattr("pipewren.ingest.token_window.SAFE_BLOCKS", 3)
    engine = ViewedEngine([View("v__mv1", TABLE, "t", lambda body: True)])
    use(setup, engine)
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await until(lambda: bool(engine.inserts) and ingestion.state().pending_rows == 0)
    assert len(engine.inserts) == 12
    await ingestion.close()


async def test_a_batch_of_tiny_rows_is_cut_below_a_block() -> None:
    rows = b"[1]\n" * 600_000
    pieces = split_batch(Batch(TABLE, ("a",), "JSONCompactEachRow", rows, 600_000))
    assert [piece.count for piece in pieces] == [GROUP_ROWS, GROUP_ROWS, 100_000]
    assert b"".join(piece.rows for piece in pieces) == rows
    assert all(piece.rows.count(b"\n") == piece.count for piece in pieces)


async def test_tiny_rows_of_many_requests_stay_below_a_block(setup: Setup) -> None:
    setup.options["max_log_bytes"] = 1 << 30
    other = await setup.start()
    rows = b"[1]\n" * 100_000
    one = Batch(TABLE, ("a",), "JSONCompactEachRow", rows, 100_000)
    await asyncio.gather(*(other.accept(WORKSPACE, [one], wait=False) for _ in range(20)))
    await until(lambda: len(setup.engine.rows()) == 2_000_000)
    assert max(insert.body.count(b"\n") for insert in setup.engine.inserts) <= GROUP_ROWS
    await other.close()


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
