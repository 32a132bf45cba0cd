"""Usage records have what their own queries cost, and 0 where that is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import QueryCost, QuerySpan, Statistics
from pipewren.engine.query_log import note_insert
from pipewren.errors import EngineError, Unavailable
from pipewren.serve.query_costs import QueryCosts
from pipewren.serve.request_record import begin_record, note_failure
from pipewren.serve.usage import Operation, Usage
from pipewren.testing.engine import ScriptedEngine
from pipewren.usage.recorder import Recorder

WORKSPACE = "ab" * 16
SPANS = [QuerySpan("light-1-1", 10 * number, 10 * number + 9) for number in range(4)]
COSTS = {span: QueryCost(0.5 + number, 1000 + number) for number, span in enumerate(SPANS)}


async def nothing() -> None:
    """Tables that are there."""


def make_usage(engine: ScriptedEngine) -> Usage:
    costs = QueryCosts(engine)
    return Usage(Recorder(engine, nothing, look_up=costs.look_up), costs=costs)


def a_request(name: str, span: QuerySpan | None, error: EngineError | None = None) -> Any:
    scope: dict[str, Any] = {
        "path": "/x",
        "method": "GET",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    record = begin_record(name, scope)
    record.workspace_id, record.resource_id, record.status = WORKSPACE, "t_1", 200
    if error is None:
        record.statistics = Statistics(span=span)
    else:
        error.connection, error.span = "light-1-1", span
        note_failure(record, error)
    return record


def costs_by_id(engine: ScriptedEngine, table: str = "requests") -> Mapping[str, Any]:
    rows = [
        msgspec.json.decode(line)
        for one in engine.inserts
        if one.table == table
        for line in one.body.splitlines()
    ]
    return {row["request_id"]: (row.get("cpu_time", 0), row.get("memory_usage", 0)) for row in rows}


async def test_requests_have_the_cost_of_their_own_query_also_failed_ones() -> None:
    engine = ScriptedEngine(costs=COSTS)
    usage = make_usage(engine)
    failure = EngineError("[Error] Late", engine_code=159, engine_name="X", status=408)
    usage.observe(a_request("one", SPANS[0]))
    usage.observe(a_request("failed", SPANS[1], failure))
    usage.observe(a_request("not logged", QuerySpan("light-9-9", 1, 2)))
    usage.observe(a_request("no query", None))
    await usage.close()
    assert costs_by_id(engine) == {
        "one": (0.5, 1000),
        "failed": (1.5, 1001),
        "not logged": (0, 0),
        "no query": (0, 0),
    }
    assert len(engine.cost_questions) == 1


async def test_costs_are_asked_for_anew_for_each_group() -> None:
    engine = ScriptedEngine(costs=COSTS)
    usage = make_usage(engine)
    recorder = usage.recorder
    assert recorder is not None
    for number in range(3):
        usage.observe(a_request(str(number), SPANS[number]))
        await recorder._convert_and_write()
    assert engine.cost_questions == [[SPANS[0]], [SPANS[1]], [SPANS[2]]]
    assert [cost for cost, _ in costs_by_id(engine).values()] == [0.5, 1.5, 2.5]


async def test_requests_that_end_while_costs_are_asked_for_wait_for_their_own() -> None:
    engine = ScriptedEngine(costs=COSTS)
    costs = QueryCosts(engine)

    async def look_up(sources: Any) -> None:
        if len(engine.cost_questions) == 0:
            usage.observe(a_request("late", SPANS[1]))
        await costs.look_up(sources)

    recorder = Recorder(engine, nothing, look_up=look_up)
    usage = Usage(recorder, costs=costs)
    usage.observe(a_request("early", SPANS[0]))
    await recorder._convert_and_write()
    assert list(costs_by_id(engine)) == ["early"]
    await usage.close()
    assert costs_by_id(engine) == {"early": (0.5, 1000), "late": (1.5, 1001)}


@pytest.mark.parametrize("failure", ["refused", "slow"])
async def test_requests_are_recorded_without_costs_where_those_cannot_be_read(
    failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipewren.usage.recorder._LOOK_UP_S", 0.01)
    engine = ScriptedEngine(costs=Unavailable("no") if failure == "refused" else COSTS)
    costs = QueryCosts(engine)

    async def look_up(sources: Any) -> None:
        if failure == "slow":
            await asyncio.Event().wait()
        await costs.look_up(sources)

    usage = Usage(Recorder(engine, nothing, look_up=look_up), costs=costs)
    usage.observe(a_request("one", SPANS[0]))
    await usage.close()
    assert costs_by_id(engine) == {"one": (0, 0)}


async def test_an_operation_has_the_sum_of_its_inserts_or_nothing() -> None:
    engine = ScriptedEngine(costs=COSTS)
    usage = make_usage(engine)

    async def insert(span: QuerySpan) -> None:
        note_insert(span)

    def operation(name: str) -> Operation:
        return Operation("append", WORKSPACE, "t_1", "events", request_id=name)

    with usage.operation(operation("two inserts")):
        note_insert(SPANS[0])
        await asyncio.create_task(insert(SPANS[1]))  # as imports do, which are not broken off
    with usage.operation(operation("one is not logged")):
        note_insert(SPANS[2])
        note_insert(QuerySpan("writer-9-9", 1, 2))
    with usage.operation(operation("none")):
        pass
    note_insert(SPANS[3])  # of no operation
    await usage.close()
    assert costs_by_id(engine, "operations") == {
        "two inserts": (2.0, 1001),
        "one is not logged": (0, 0),
        "none": (0, 0),
    }
