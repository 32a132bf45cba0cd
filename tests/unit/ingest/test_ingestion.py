"""Rows from `accept` to their tables: what callers are told, what a failure does, and a kill."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from pathlib import Path

import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError, Unavailable, ViewFailed
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.inserter import Fate
from pipewren.ingest.log import FOLDER
from tests.unit.ingest.conftest import TABLE, WORKSPACE, ModelEngine, Setup, batch, until

pytestmark = pytest.mark.asyncio


def engine_error(code: int, text: str, view: str = "") -> EngineError:
    return EngineError(text, engine_code=code, engine_name="X", status=400, view=view)


async def test_rows_are_acknowledged_before_they_are_in_their_table(
    setup: Setup, ingestion: Ingestion
) -> None:
    async with setup.gate.closed(WORKSPACE):
        assert await ingestion.accept(WORKSPACE, [batch(1, 2)], wait=False)
        assert setup.engine.rows() == []
        assert ingestion.state().pending_rows == 2
    await until(lambda: setup.engine.rows() == [b"[1]", b"[2]"])
    await until(lambda: ingestion.state().pending_rows == 0)


async def test_who_waits_finds_the_rows_in_the_table(setup: Setup, ingestion: Ingestion) -> None:
    assert await ingestion.accept(WORKSPACE, [batch(1), batch(2, table="other__1")], wait=True)
    assert setup.engine.rows() == [b"[1]"]
    assert setup.engine.rows("other__1") == [b"[2]"]


async def test_many_small_requests_become_few_inserts(setup: Setup, ingestion: Ingestion) -> None:
    async with setup.gate.closed(WORKSPACE):
        await asyncio.gather(
            *(ingestion.accept(WORKSPACE, [batch(n)], wait=False) for n in range(500))
        )
    await until(lambda: len(setup.engine.rows()) == 500)
    assert len(setup.engine.inserts) <= 3
    assert sorted(setup.engine.rows()) == sorted(f"[{n}]".encode() for n in range(500))


async def test_a_log_that_is_full_refuses_until_rows_have_gone(setup: Setup) -> None:
    setup.options["max_log_bytes"] = 2000
    ingestion = await setup.start()
    setup.engine.refuse = _busy
    taken = 0

    async def fill() -> None:
        nonlocal taken
        for _ in range(100):
            await ingestion.accept(WORKSPACE, [batch(*range(50))], wait=False)
            taken += 1

    with pytest.raises(Unavailable, match="max_event_log_bytes") as refused:
        await fill()
    assert refused.value.retry_after_s >= 1
    assert taken >= 3
    setup.engine.refuse = None
    await until(lambda: len(setup.engine.rows()) == 50 * taken)
    await ingestion.close()


async def test_an_engine_without_room_is_tried_again_until_it_has_some(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter._BUSY_PAUSE_S", 0.01)
    monkeypatch.setattr("pipewren.ingest.ingestion._PAUSE_S", 0.01)
    setup.engine.refuse = _busy
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await until(lambda: len(setup.engine.inserts) >= 10)
    assert len({insert.token for insert in setup.engine.inserts}) == 1
    setup.engine.refuse = None
    await until(lambda: setup.engine.rows() == [b"[1]"])


async def test_who_waits_is_told_at_once_that_the_engine_takes_nothing_now(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.ingestion.MAX_WAIT_S", 1000.0)
    setup.engine.refuse = _busy
    assert not await ingestion.accept(WORKSPACE, [batch(1)], wait=True)
    assert ingestion.state().pending_rows == 1
    setup.engine.refuse = None
    await until(lambda: setup.engine.rows() == [b"[1]"])


async def test_a_view_that_refuses_is_told_and_the_rows_stay_in_their_table_once(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.0, 0.0))
    setup.engine.after = _view_fails
    with pytest.raises(ViewFailed, match=r"of pipe by_kind refused them \(.+\)\. Do not send them"):
        await ingestion.accept(WORKSPACE, [batch(1)], wait=True)
    await until(lambda: len(setup.outcomes) == 3)
    assert ingestion.state().pending_rows == 0
    assert setup.engine.rows() == [b"[1]"]
    assert [outcome.is_over for outcome in setup.outcomes] == [False, False, True]
    assert setup.outcomes[-1].fate is Fate.VIEW_FAILED
    assert len({insert.token for insert in setup.engine.inserts}) == 1
    # Once, so that the views beside it have their rows; they get none by an insert that fails.
    assert len(setup.engine.inserts) == 3 + 1
    assert ingestion.state().groups_view_failed == 1
    assert not (setup.path / "set_aside").exists()  # the rows are not lost
    setup.engine.after = None
    await ingestion.accept(WORKSPACE, [batch(2)], wait=True)
    assert setup.engine.rows() == [b"[1]", b"[2]"]


async def test_rows_that_a_view_refused_are_not_set_aside_when_nobody_can_wait_for_it(
    setup: Setup, ingestion: Ingestion
) -> None:
    """They are in their table: whoever sent them again from the file would have them twice."""
    setup.engine.after = _view_fails
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    async with ingestion.flushed(WORKSPACE):
        assert setup.engine.rows() == [b"[1]"]
        assert ingestion.state().pending_rows == 0
    assert setup.outcomes[-1].fate is Fate.VIEW_FAILED
    assert not (setup.path / "set_aside").exists()


async def test_a_group_that_fails_for_ever_is_set_aside_and_blocks_nobody(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", (0.0, 0.0))

    def refuse(insert: Insert) -> None:
        if b"[13]" in insert.body:
            raise engine_error(49, "Logical error")

    setup.engine.refuse = refuse
    await ingestion.accept(WORKSPACE, [batch(13)], wait=False)
    await until(lambda: bool(setup.engine.inserts))
    await ingestion.accept(WORKSPACE, [batch(14)], wait=True)
    assert setup.engine.rows() == [b"[14]"]
    await until(lambda: ingestion.state().groups_set_aside == 1)
    about, rows = sorted((setup.path / "set_aside").iterdir())
    assert rows.read_bytes() == b"[13]\n"
    told = json.loads(about.read_bytes())
    assert told["reason"] == "Logical error"
    assert (told["table"], told["count"]) == (TABLE, 1)
    await until(lambda: ingestion.state().pending_rows == 0)


async def test_a_row_that_the_engine_refuses_goes_to_quarantine_and_the_others_in(
    setup: Setup, ingestion: Ingestion
) -> None:
    def refuse(insert: Insert) -> None:
        if insert.table == TABLE and (b"[7]" in insert.body or b"[11]" in insert.body):
            raise engine_error(27, "Cannot parse input")

    setup.engine.refuse = refuse
    await ingestion.accept(WORKSPACE, [batch(*range(20))], wait=False)
    await until(lambda: len(setup.engine.rows("events_quarantine__1")) == 2)
    await until(lambda: len(setup.engine.rows()) == 18)
    assert {b"[7]", b"[11]"}.isdisjoint(setup.engine.rows())
    errors, reasons, import_id, value, _ = json.loads(setup.engine.rows("events_quarantine__1")[0])
    assert (errors, reasons, import_id) == ([], ["Cannot parse input"], None)
    assert value in ("7", "11")


async def test_rows_wait_while_a_table_is_changed(setup: Setup, ingestion: Ingestion) -> None:
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    async with ingestion.flushed(WORKSPACE, [TABLE]):
        assert setup.engine.rows() == [b"[1]"]
        setup.engine.truncate(TABLE)
        waiting = asyncio.create_task(ingestion.accept(WORKSPACE, [batch(2)], wait=True))
        await asyncio.sleep(0.05)
        assert setup.engine.rows() == []
    await waiting
    assert setup.engine.rows() == [b"[2]"]


async def test_what_stands_in_the_log_can_be_dropped_where_the_engine_takes_nothing(
    setup: Setup, ingestion: Ingestion
) -> None:
    setup.engine.refuse = _busy
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    with pytest.raises(Unavailable):
        async with ingestion.flushed(WORKSPACE, [TABLE]):
            pytest.fail("rows are not in their table")
    async with ingestion.flushed(WORKSPACE, [TABLE], or_drop=True):
        setup.engine.truncate(TABLE)
    assert ingestion.state().pending_rows == 0
    setup.engine.refuse = None
    await ingestion.accept(WORKSPACE, [batch(2)], wait=True)
    assert setup.engine.rows() == [b"[2]"]


async def test_rows_of_a_workspace_that_is_gone_are_dropped_at_the_start(setup: Setup) -> None:
    setup.engine.refuse = _busy
    ingestion = await setup.start()
    await ingestion.accept("gone", [batch(1)], wait=False)
    await ingestion.accept(WORKSPACE, [batch(2)], wait=False)
    await ingestion.close()
    setup.engine.refuse = None
    again = await setup.start()
    assert setup.engine.rows() == [b"[2]"]
    assert again.state().pending_rows == 0
    await again.close()


async def test_a_stop_ends_the_insert_under_way_and_keeps_the_rest(setup: Setup) -> None:
    setup.options["flush_s"] = 60.0
    ingestion = await setup.start()
    await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
    await ingestion.close()
    with pytest.raises(Unavailable, match="stopping"):
        await ingestion.accept(WORKSPACE, [batch(2)], wait=False)
    assert setup.engine.rows() == []
    again = await setup.start()
    assert setup.engine.rows() == [b"[1]"]
    await again.close()


@pytest.mark.parametrize("seed", range(40))
async def test_a_kill_at_any_moment_leaves_each_acknowledged_row_once(
    tmp_path: Path, seed: int
) -> None:
    """The files are copied at random moments, as a kill would leave them; the engine's state is
    copied at the same moment, within an insert too."""
    chance = random.Random(seed)
    setup = Setup(tmp_path / "live")
    setup.path.mkdir()
    setup.options["flush_s"] = chance.choice([0.0001, 0.003])
    ingestion = await setup.start()
    acknowledged: set[bytes] = set()
    truncated: set[bytes] = set()
    snapshot: tuple[Path, ModelEngine, set[bytes], set[bytes]] | None = None
    kill_at = chance.randrange(1, 60)
    moments = 0

    def moment(_: object = None) -> None:
        nonlocal moments, snapshot
        moments += 1
        if moments == kill_at:
            folder = tmp_path / "killed"
            shutil.copytree(setup.path / FOLDER, folder / FOLDER)
            engine = ModelEngine(
                {name: list(rows) for name, rows in setup.engine.tables.items()},
                {name: set(tokens) for name, tokens in setup.engine.tokens.items()},
            )
            snapshot = folder, engine, set(acknowledged), set(truncated)

    setup.engine.refuse = setup.engine.after = moment

    async def write(writer: int) -> None:
        for number in range(12):
            values = [f"{writer}{number:03}{row}" for row in range(chance.randrange(1, 4))]
            await ingestion.accept(WORKSPACE, [batch(*values)], wait=chance.random() < 0.3)
            acknowledged.update(f"[{value}]".encode() for value in values)
            moment()

    await asyncio.gather(*(write(writer) for writer in range(1, 4)))
    async with ingestion.flushed(WORKSPACE, [TABLE]):
        moment()
        setup.engine.truncate(TABLE)
        truncated |= acknowledged
        moment()
    await asyncio.gather(*(write(writer) for writer in range(4, 6)))
    await ingestion.close()
    assert snapshot is not None
    folder, engine, known, gone = snapshot
    after = Setup(folder, engine)
    again = await after.start()
    await until(lambda: again.state().pending_rows == 0)
    rows = engine.rows()
    assert len(rows) == len(set(rows)), "a row is there twice"
    assert known - gone <= set(rows), "an acknowledged row is lost"
    assert not gone & set(rows), "a truncated row is back"
    await again.close()


def _busy(insert: Insert) -> None:
    raise Unavailable("The disk is nearly full")


def _view_fails(insert: Insert) -> None:
    if ("materialized_views_ignore_errors", "1") not in insert.settings:
        raise engine_error(395, "no", "by_kind__mv1")
