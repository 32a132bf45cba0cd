"""What callers are told of a group that fails: nothing of the rows of other callers in it."""

from __future__ import annotations

import asyncio

import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError, PipewrenError, ViewFailed
from pipewren.ingest.ingestion import Ingestion
from tests.unit.ingest.conftest import WORKSPACE, Setup, batch, until

pytestmark = pytest.mark.asyncio

TEXT = "Cannot parse string 'the value of another caller' as UInt8"


def failing(code: int, view: str) -> EngineError:
    return EngineError(
        TEXT, engine_code=code, engine_name="CANNOT_PARSE_TEXT", status=400, view=view
    )


async def test_a_view_that_fails_shows_no_values(setup: Setup, ingestion: Ingestion) -> None:
    def fail(insert: Insert) -> None:
        if ("materialized_views_ignore_errors", "1") not in insert.settings:
            raise failing(6, "by_kind__mv1")

    setup.engine.after = fail
    async with setup.gate.closed(WORKSPACE):
        await ingestion.accept(WORKSPACE, [batch(1)], wait=False)
        waiting = asyncio.create_task(ingestion.accept(WORKSPACE, [batch(2)], wait=True))
        await until(lambda: ingestion.state().pending_rows == 2)
    with pytest.raises(ViewFailed) as raised:
        await waiting
    assert "another caller" not in raised.value.message
    assert "pipe by_kind" in raised.value.message
    assert "CANNOT_PARSE_TEXT" in raised.value.message
    assert TEXT in (setup.outcomes[0].error or "")  # for the log, which is the owner's


async def test_a_group_that_is_set_aside_shows_no_values_and_does_not_ask_for_another_try(
    setup: Setup, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By 503 clients send again, and rows of the same request that are in would be there twice."""
    monkeypatch.setattr("pipewren.ingest.inserter.RETRY_PAUSES_S", ())

    def refuse(insert: Insert) -> None:
        raise failing(1001, "")

    setup.engine.refuse = refuse
    with pytest.raises(PipewrenError) as raised:
        await ingestion.accept(WORKSPACE, [batch(1)], wait=True)
    assert raised.value.status == 500
    assert "another caller" not in raised.value.message
    assert "set aside" in raised.value.message
