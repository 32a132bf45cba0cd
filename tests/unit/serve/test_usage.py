"""What becomes a usage record: requests of somebody's endpoints, operations, jobs, sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipewren.errors import BadRequest, Unavailable
from pipewren.ingest.fixtures import Loaded
from pipewren.serve.datasource_descriptions import Size
from pipewren.serve.job_runner import Jobs, RunningJob
from pipewren.serve.request_record import begin_record
from pipewren.serve.usage import Operation, Usage, open_usage
from pipewren.settings_sources import read_settings
from pipewren.storage.deployments import TableVersion
from pipewren.storage.jobs import Job, JobStatus
from pipewren.storage.store import Store, open_store
from pipewren.storage.workspaces import create_workspace
from pipewren.testing.engine import ScriptedEngine
from pipewren.usage.recorder import Recorder
from pipewren.usage.service_tables import SERVICE_TABLES

WORKSPACE = "ab" * 16
UUID = "abababab-abab-abab-abab-abababababab"


async def nothing() -> None:
    """Tables that are there."""


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def usage(engine: ScriptedEngine) -> Usage:
    return Usage(Recorder(engine, nothing))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


async def rows_of(usage: Usage, engine: ScriptedEngine, table: str) -> list[dict[str, Any]]:
    """All that was recorded; their columns are those of the table."""
    await usage.close()
    assert usage.recorder is not None
    assert usage.recorder.dropped == 0
    source = {
        "operations": "datasources_ops_log",
        "requests": "pipe_stats_rt",
        "jobs": "jobs_log",
        "blocks": "block_log",
        "storage": "datasources_storage",
    }[table]
    known = {column.name for column in SERVICE_TABLES[f"tinybird.{source}"]} | {"workspace_id"}
    rows = [
        msgspec.json.decode(line)
        for one in engine.inserts
        if one.table == table
        for line in one.body.splitlines()
    ]
    assert all(row.keys() <= known for row in rows)
    return rows


def a_request(**changes: Any) -> Any:
    scope: dict[str, Any] = {
        "path": "/x",
        "method": "GET",
        "query_string": b"",
        "headers": [],
        "client": None,
    }
    record = begin_record("r", scope)
    record.workspace_id, record.status = WORKSPACE, 200
    for name, value in changes.items():
        setattr(record, name, value)
    return record


async def test_requests_of_known_endpoints_are_recorded(
    usage: Usage, engine: ScriptedEngine
) -> None:
    usage.observe(a_request(resource_id="t_1", name="one"))
    usage.observe(a_request(resource_id="query_api", name="query_api"))
    usage.observe(a_request())  # nobody knows what it was
    usage.observe(a_request(resource_id="t_2", name="own_usage", reads_usage=True))
    rows = await rows_of(usage, engine, "requests")
    assert [(row["pipe_name"], row["workspace_id"]) for row in rows] == [
        ("one", UUID),
        ("query_api", UUID),
    ]


async def test_nothing_is_recorded_where_it_is_switched_off() -> None:
    usage = Usage(None)
    usage.observe(a_request(resource_id="t_1"))
    usage.note_job(Job("j", WORKSPACE, "import", JobStatus.WAITING, "", ""))
    usage.note_size(WORKSPACE, TableVersion("events", 1, "t_1", ""), Size(1, 1), Size(), at_s=0.0)
    with usage.operation(Operation("append", WORKSPACE, "t_1", "events")):
        pass

    async def sampling() -> None:
        raise AssertionError("nothing is to be sampled")

    usage.start(sampling())
    await asyncio.sleep(0)
    await usage.close()
    assert usage.recorder is None


async def test_an_operation_tells_how_it_ended(usage: Usage, engine: ScriptedEngine) -> None:
    with usage.operation(
        Operation("append", WORKSPACE, "t_1", "events", request_id="r", job_id="j", tags=("x",))
    ) as operation:
        operation.rows, operation.written_rows = 3, 5
    with (
        pytest.raises(BadRequest),
        usage.operation(Operation("replace", WORKSPACE, "t_1", "events")),
    ):
        raise BadRequest("line 2 is wrong")
    with (
        pytest.raises(asyncio.CancelledError),
        usage.operation(Operation("replace", WORKSPACE, "t_1", "events")),
    ):
        raise asyncio.CancelledError
    with (
        pytest.raises(ZeroDivisionError),
        usage.operation(Operation("replace", WORKSPACE, "t_1", "events")),
    ):
        _ = 1 / 0
    done, refused, cancelled, broken = await rows_of(usage, engine, "operations")
    assert {key: done[key] for key in ("workspace_id", "event_type", "result", "error")} == {
        "workspace_id": UUID,
        "event_type": "append",
        "result": "ok",
        "error": None,
    }
    assert (done["rows"], done["written_rows"], done["rows_quarantine"]) == (3, 5, 0)
    assert (done["request_id"], done["job_id"], done["import_id"]) == ("r", "j", "j")
    assert done["resource_tags"] == ["x"]
    assert done["elapsed_time"] >= 0
    assert (refused["result"], refused["error"]) == ("error", "line 2 is wrong")
    assert (refused["rows"], refused["rows_quarantine"]) == (None, None)
    assert cancelled["error"] == "It was cancelled"
    assert broken["error"] == "Internal error"
    assert len({one["operation_id"] for one in (done, refused, cancelled, broken)}) == 4


async def test_a_deployment_tells_which_data_sources_it_changed(
    usage: Usage, engine: ScriptedEngine
) -> None:
    before = {
        "same": TableVersion("same", 1, "t_1", ""),
        "changed": TableVersion("changed", 1, "t_2", ""),
        "gone": TableVersion("gone", 3, "t_3", ""),
    }
    after = {
        "same": before["same"],
        "changed": TableVersion("changed", 2, "t_2", ""),
        "new": TableVersion("new", 1, "t_4", ""),
    }
    usage.note_tables(WORKSPACE, before, after, elapsed_s=1.5, request_id="r")
    rows = await rows_of(usage, engine, "operations")
    assert [(row["event_type"], row["datasource_name"], row["datasource_id"]) for row in rows] == [
        ("alter", "changed", "t_2"),
        ("delete", "gone", "t_3"),
        ("create", "new", "t_4"),
    ]
    assert {(row["elapsed_time"], row["request_id"]) for row in rows} == {(1.5, "r")}
    assert len({row["operation_id"] for row in rows}) == 1


async def test_fixtures_and_sizes(usage: Usage, engine: ScriptedEngine) -> None:
    table = TableVersion("events", 1, "t_1", "")
    usage.note_fixture(WORKSPACE, Loaded(table, "fixtures/events.csv", 9, None, 0.5))
    usage.note_size(WORKSPACE, table, Size(9, 700), Size(2, 60), at_s=1_790_000_000.5)
    (loaded,) = await rows_of(usage, engine, "operations")
    assert (loaded["event_type"], loaded["rows"], loaded["written_rows"]) == ("append", None, 9)
    assert (loaded["Options.Names"], loaded["Options.Values"]) == (
        ["fixture"],
        ["fixtures/events.csv"],
    )
    (size,) = await rows_of(usage, engine, "storage")
    assert (size["rows"], size["bytes"], size["timestamp"]) == (9, 700, 1_790_000_000)
    assert (size["rows_quarantine"], size["bytes_quarantine"]) == (2, 60)


async def test_a_job_leaves_a_row_in_each_state(
    usage: Usage, engine: ScriptedEngine, store: Store
) -> None:
    with store.begin() as connection:
        workspace_id = create_workspace(connection, "tests").id
    jobs = Jobs(store, usage.note_job)
    block = {
        "block_id": "b0",
        "process_return": [{"lines": 2, "quarantine": 0, "invalid_lines": 0, "bytes": 8}],
        "processing_time": 0.25,
        "processing_error": None,
    }

    async def run(job: RunningJob) -> None:
        job.update(blocks=[block])

    async def fail(job: RunningJob) -> None:
        raise BadRequest("no such row")

    detail = {
        "token_id": "secret id",
        "request_id": "r",
        "mode": "append",
        "format": "csv",
        "datasource": {"id": "t_1", "name": "events"},
    }
    good = jobs.start("import", workspace_id, run, detail=detail)
    await jobs.wait(good.id)
    bad = jobs.start("branch", workspace_id, fail)
    await jobs.wait(bad.id)
    rows = await rows_of(usage, engine, "jobs")
    assert [(row["job_id"], row["job_type"], row["status"]) for row in rows] == [
        (good.id, "import", "waiting"),
        (good.id, "import", "working"),
        (good.id, "import", "done"),
        (bad.id, "branch", "waiting"),
        (bad.id, "branch", "working"),
        (bad.id, "branch", "error"),
    ]
    assert [row["started_at"] is None for row in rows] == [True, False, False] * 2
    assert len({row["created_at"] for row in rows[:3]}) == 1
    done = rows[2]
    assert (done["datasource_id"], done["request_id"], done["error"]) == ("t_1", "r", None)
    assert len(done["updated_at"]) == len("2026-01-01 00:00:00.000")
    assert msgspec.json.decode(done["job_metadata"])["mode"] == "append"
    assert "secret id" not in done["job_metadata"]
    assert rows[5]["error"] == "no such row"
    (imported,) = await rows_of(usage, engine, "blocks")
    assert imported["block_id"] == f"{good.id}:b0"
    assert (imported["rows"], imported["bytes"], imported["parser"]) == (2, 8, "csv")
    assert (imported["import_id"], imported["datasource_name"]) == (good.id, "events")


async def test_a_server_starts_also_where_the_tables_cannot_be_made(
    store: Store, tmp_path: Path
) -> None:
    class FullEngine(ScriptedEngine):
        async def execute(self, sql: Any, *, database: str | None = None) -> None:
            raise Unavailable("The disk is nearly full")

    told: list[str] = []
    engine = FullEngine(replies={"system.databases": b""})
    settings = read_settings({"project_dir": tmp_path}, environ={})
    usage = await open_usage(settings, engine, store, told.append)
    assert told == ["warning: usage is not recorded yet: The disk is nearly full"]
    usage.observe(a_request(resource_id="t_1"))
    assert usage.recorder is not None
    assert usage.recorder.waiting == 1
    off = read_settings({"project_dir": tmp_path, "usage": False}, environ={})
    assert (await open_usage(off, engine, store, told.append)).recorder is None
