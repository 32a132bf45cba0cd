"""What goes wrong at a certain point, and what becomes of the rows that were acknowledged."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError, Unavailable
from pipewren.ingest import log, log_frames
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


def refuse_row(number: int) -> Any:
    row = f"[{number}]".encode()

    def refuse(insert: Insert) -> None:
        if insert.table == TABLE and row in insert.body.splitlines():
            raise engine_error(27, "Cannot parse input")

    return refuse
