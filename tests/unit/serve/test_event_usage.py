"""What is recorded of events: requests by second, and groups as operations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import QuerySpan
from pipewren.ingest.inserter import Fate, Outcome
from pipewren.serve.event_usage import MAX_CALLERS, EventRequests, make_group_observer
from pipewren.serve.request_record import EventFigures, RequestRecord, begin_record
from pipewren.serve.usage import Usage
from pipewren.storage.deployments import TableVersion
from pipewren.testing.engine import ScriptedEngine
from pipewren.usage.recorder import Recorder

WORKSPACE = "ab" * 16
UUID = "abababab-abab-abab-abab-abababababab"
VISITS = TableVersion("visits", 3, "t_1", "")


async def nothing() -> None:
    """Tables that are there."""


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def recorder(engine: ScriptedEngine) -> Recorder:
    return Recorder(engine, nothing)


async def rows_of(
    recorder: Recorder, engine: ScriptedEngine, table: str = "event_requests"
) -> list[dict[str, Any]]:
    await recorder.close()
    return [
        msgspec.json.decode(line)
        for one in engine.inserts
        if one.table == table
        for line in one.body.splitlines()
    ]


def a_request(
    *,
    status: int = 202,
    at_s: float = 1000.5,
    token_id: str = "token",
    address: str | None = "10.0.0.1",
    figures: EventFigures | None = None,
) -> RequestRecord:
    client = None if address is None else (address, 1)
    record = begin_record("r", {"headers": [], "client": client})
    record.workspace_id, record.token_id, record.status = WORKSPACE, token_id, status
    record.started_at_s = at_s
    record.events = figures or EventFigures("t_1", "visits", 3, 2, 1, 50, 100)
    return record


async def test_requests_of_a_second_are_one_row(recorder: Recorder, engine: ScriptedEngine) -> None:
    requests = EventRequests(recorder, ())
    for number in range(10):
        requests.observe(a_request(token_id=f"token {number % 2}", address=f"10.0.0.{number % 3}"))
    requests.observe(a_request(status=503, figures=EventFigures("t_1", "visits", 3, 0, 0, 50, 100)))
    assert recorder.waiting == 1
    (row,) = await rows_of(recorder, engine)
    assert row == {
        "event_time": 1000,
        "workspace_id": UUID,
        "datasource_id": "t_1",
        **{"successful_requests": 10, "error_requests": 1, "rows_total": 33},
        **{"rows_successful": 20, "rows_quarantined": 10},
        **{"bytes_received": 550, "bytes_decompressed": 1100, "rate_limited": 0},
        "ips": ["10.0.0.0", "10.0.0.1", "10.0.0.2"],
        "tokens": ["token", "token 0", "token 1"],
    }


async def test_seconds_data_sources_and_refusals_have_rows_of_their_own(
    recorder: Recorder, engine: ScriptedEngine
) -> None:
    requests = EventRequests(recorder, ())
    other = EventFigures("t_2", "other", 1, 1, 0, 5, 5)
    for record in (
        a_request(),
        a_request(at_s=1001.0),
        a_request(status=429, figures=EventFigures("t_1", "visits")),
        a_request(figures=other),
    ):
        requests.observe(record)
    rows = await rows_of(recorder, engine)
    assert [
        (row["event_time"], row["datasource_id"], row["rate_limited"], row["error_requests"])
        for row in rows
    ] == [(1000, "t_1", 0, 0), (1001, "t_1", 0, 0), (1000, "t_1", 1, 1), (1000, "t_2", 0, 0)]


async def test_what_comes_after_a_row_was_written_makes_another_one(
    recorder: Recorder, engine: ScriptedEngine
) -> None:
    requests = EventRequests(recorder, ())
    requests.observe(a_request())
    await recorder._convert_and_write()
    requests.observe(a_request())
    rows = await rows_of(recorder, engine)
    assert [row["successful_requests"] for row in rows] == [1, 1]


async def test_a_row_has_a_bound_of_callers_and_none_that_is_not_known(
    recorder: Recorder, engine: ScriptedEngine
) -> None:
    requests = EventRequests(recorder, ())
    for number in range(3 * MAX_CALLERS):
        address = f"10.0.{number // 250}.{number % 250}"
        requests.observe(a_request(token_id=str(number), address=address))
    requests.observe(a_request(at_s=2000.0, address=None))
    many, one = await rows_of(recorder, engine)
    assert many["successful_requests"] == 3 * MAX_CALLERS
    assert len(many["ips"]) == len(many["tokens"]) == MAX_CALLERS
    assert one["ips"] == []


async def test_other_requests_and_a_server_without_usage_leave_nothing(
    recorder: Recorder, engine: ScriptedEngine
) -> None:
    record = a_request()
    EventRequests(None, ()).observe(record)
    record.events = None
    EventRequests(recorder, ()).observe(record)
    assert await rows_of(recorder, engine) == []


async def test_records_that_find_no_room_are_not_kept_for_ever(engine: ScriptedEngine) -> None:
    recorder = Recorder(engine, nothing, max_waiting=1)
    requests = EventRequests(recorder, ())
    for second in range(100):
        requests.observe(a_request(at_s=float(second)))
    assert recorder.dropped == 99
    assert len(requests._open) == 1


# Groups


def an_outcome(table: str = "visits__3", **changes: Any) -> Outcome:
    given = {"rows": 5, "written_rows": 12, "bytes": 100, "elapsed_s": 0.25, **changes}
    return Outcome(WORKSPACE, table, **given)


async def operations_of(engine: ScriptedEngine, *outcomes: Outcome) -> list[dict[str, Any]]:
    recorder = Recorder(engine, nothing)
    observe = make_group_observer(
        Usage(recorder), lambda id: [(VISITS, ("web",))] if id == WORKSPACE else []
    )
    for outcome in outcomes:
        observe(outcome)
    return await rows_of(recorder, engine, "operations")


async def test_a_group_is_an_operation_of_its_data_source(engine: ScriptedEngine) -> None:
    (row,) = await operations_of(engine, an_outcome())
    expected = {
        **{"workspace_id": UUID, "event_type": "append-hfi", "result": "ok", "error": None},
        **{"datasource_id": "t_1", "datasource_name": "visits", "resource_tags": ["web"]},
        **{"rows": 5, "rows_quarantine": 0, "written_rows": 12, "written_rows_quarantine": 0},
        **{"elapsed_time": 0.25, "job_id": None, "request_id": ""},
    }
    assert {key: row[key] for key in expected} == expected
    (written,) = [
        msgspec.json.decode(one.body) for one in engine.inserts if one.table == "event_requests"
    ]
    assert written["event_time"] == row["timestamp"]
    assert (written["datasource_id"], written["ch_written_rows"]) == ("t_1", 12)


async def test_rows_of_a_quarantine_count_as_such(engine: ScriptedEngine) -> None:
    (row,) = await operations_of(engine, an_outcome("visits_quarantine__3", written_rows=5))
    assert (row["datasource_name"], row["rows"], row["rows_quarantine"]) == ("visits", 0, 5)
    assert (row["written_rows"], row["written_rows_quarantine"]) == (0, 5)


async def test_only_what_is_over_is_told(engine: ScriptedEngine) -> None:
    failed: dict[str, Any] = {"written_rows": 0, "error": "no"}
    rows = await operations_of(
        engine,
        an_outcome(**failed, fate=Fate.LATER),
        an_outcome(**failed, fate=Fate.DIVIDED),
        an_outcome(**failed, fate=Fate.VIEW_FAILED),
        an_outcome(**failed, fate=Fate.SET_ASIDE),
    )
    assert [(row["result"], row["error"], row["rows"]) for row in rows] == [
        ("error", "no", 5),
        ("error", "no", 0),
    ]
    assert not [one for one in engine.inserts if one.table == "event_requests"]


async def test_tables_that_nobody_knows_leave_nothing(engine: ScriptedEngine) -> None:
    gone = Outcome("cd" * 16, "visits__3", 1, 1, 1, 0.1, inserts=(QuerySpan("c", 1, 2),))
    assert await operations_of(engine, an_outcome("visits__2"), an_outcome("other__3"), gone) == []
