"""The tables of usage records: each service data source has the spec's columns and types, and shows
a workspace its own rows; definitions can be written again; the TTL follows the setting."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from pipewren.engine.contract import Insert, Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.sql.service_datasources import SERVICE_DATASOURCES
from pipewren.sqltext import Sql, trusted_sql
from pipewren.storage.store import open_store
from pipewren.usage.service_tables import (
    RECORDED,
    SERVICE_TABLES,
    WORKSPACE_PARAMETER,
    is_of_organization,
    select_rows,
    select_rows_by_parameter,
    workspace_uuid,
)
from pipewren.usage.tables import make_tables, usage_tables

from .conftest import Program

ONE, OTHER = "1" * 32, "2" * 32
NOW = int(time.time())

# One row of each table for each workspace, and what tells them apart.
ROWS: Mapping[str, Mapping[str, Any]] = {
    "requests": {"start_datetime": NOW, "pipe_id": "t_1", "error": 1, "status_code": 500},
    "operations": {"timestamp": NOW, "event_type": "append", "datasource_id": "t_2"},
    "storage": {"timestamp": NOW, "datasource_id": "t_2", "rows": 3, "bytes": 30},
    "jobs": {"created_at": NOW, "updated_at": NOW, "job_id": "j", "status": "waiting"},
    "blocks": {"timestamp": NOW, "block_id": "b"},
    "event_requests": {"event_time": NOW, "successful_requests": 1, "ips": ["10.0.0.1"]},
}
NAMED = {
    "requests": "pipe_name",
    "operations": "datasource_name",
    "storage": "datasource_name",
    "jobs": "job_type",
    "blocks": "datasource_name",
    "event_requests": "datasource_id",
}


class Usage:
    """The tables, and a way to write and read them."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self.engine = engine

    async def insert(self, table: str, row: Mapping[str, Any], token: str) -> None:
        body = msgspec.json.encode(row) + b"\n"
        await self.engine.insert(Insert("w_usage", table, (), "JSONEachRow", body, token))

    async def query(self, sql: str, **changes: Any) -> list[Any]:
        """Rows as lists, read as callers' statements are: by the role that only reads."""
        statement = Statement(trusted_sql(sql), "", format="JSONCompactEachRow", **changes)
        result = await self.engine.run(statement)
        return [msgspec.json.decode(line) for line in result.body.splitlines()]

    async def clauses(self) -> dict[str, str]:
        """Table -> its engine with keys, TTL and settings."""
        sql = "SELECT name, engine_full FROM system.tables WHERE database = 'w_usage'"
        return dict(await self.query(sql))

    async def read(self, name: str, workspace_id: str | None, columns: str = "*") -> list[Any]:
        return await self.query(f"SELECT {columns} FROM ({select_rows(name, workspace_id)})")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def usage(
    engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Usage]:
    store = open_store(tmp_path_factory.mktemp("usage_store"))
    await make_tables(engine, store, 90)
    made = Usage(engine)
    for table, row in ROWS.items():
        for workspace_id in (ONE, OTHER):
            uuid = workspace_uuid(workspace_id)
            own = {"workspace_id": uuid, NAMED[table]: f"of {workspace_id}"}
            await made.insert(table, {**row, **own}, f"{table} {workspace_id}")
    yield made
    await engine.execute(trusted_sql("DROP DATABASE w_usage SYNC"))
    store.close()


def statement_of(name: str) -> Sql:
    return select_rows(name, None if is_of_organization(name) else ONE)


def test_the_names_are_those_that_statements_know() -> None:
    own = {name for name in SERVICE_TABLES if not is_of_organization(name)}
    assert own == SERVICE_DATASOURCES
    assert {
        f"tinybird.{name}"
        for name in (
            *("pipe_stats_rt", "pipe_stats", "endpoint_errors", "bi_stats_rt", "bi_stats"),
            *("datasources_ops_log", "datasources_ops_stats", "datasources_storage", "jobs_log"),
            *("block_log", "hfi_requests", "sinks_ops_log", "cluster_control_log"),
            *("kafka_ops_log", "data_transfer", "estimated_shared_infra_cpu_time"),
            *("releases_log", "hook_log", "data_guess", "llm_usage", "query_validator_log"),
            "realtime_ingestion_mv",
        )
    } == own
    assert len(SERVICE_TABLES) == 44


@pytest.mark.parametrize("name", SERVICE_TABLES)
async def test_columns_and_types(usage: Usage, name: str) -> None:
    described = await usage.query(f"DESCRIBE TABLE ({statement_of(name)})")
    assert [tuple(row[:2]) for row in described] == [tuple(one) for one in SERVICE_TABLES[name]]


def test_the_columns_that_official_clients_read() -> None:
    """Taken from the client's queries, not from our file (service-data-sources.md section 4)."""
    columns = {name: dict(columns) for name, columns in SERVICE_TABLES.items()}
    stats = columns["tinybird.pipe_stats"]
    assert stats["avg_duration_state"] == "AggregateFunction(avg, Float32)"
    assert stats["quantile_timing_state"] == (
        "AggregateFunction(quantilesTiming(0.9, 0.95, 0.99), Float64)"
    )
    assert columns["tinybird.pipe_stats_rt"]["parameters"] == "Map(String, String)"
    assert columns["tinybird.jobs_log"]["created_at"] == "DateTime64(3)"
    assert columns["organization.pipe_stats"]["date"] == "Date"
    assert "client_ip" not in columns["organization.pipe_stats_rt"]
    assert "release" not in columns["organization.datasources_ops_log"]


@pytest.mark.parametrize("name", sorted(SERVICE_TABLES.keys() - RECORDED))
async def test_what_nothing_is_recorded_for_has_no_rows(usage: Usage, name: str) -> None:
    assert await usage.query(f"SELECT count() FROM ({statement_of(name)})") == [[0]]


@pytest.mark.parametrize("name", sorted(RECORDED))
async def test_a_workspace_sees_its_own_rows_and_no_other(usage: Usage, name: str) -> None:
    if is_of_organization(name):
        found = [value for row in await usage.read(name, None) for value in row]
        assert found.count(f"of {ONE}") == found.count(f"of {OTHER}") == 1
        return
    (own,) = await usage.read(name, ONE)
    (other,) = await usage.read(name, OTHER)
    assert f"of {ONE}" in own
    assert f"of {OTHER}" in other
    assert await usage.read(name, "3" * 32) == []
    by_parameter = await usage.query(
        f"SELECT * FROM ({select_rows_by_parameter(name)})",
        parameters=((WORKSPACE_PARAMETER, workspace_uuid(OTHER)),),
    )
    assert by_parameter == [other]


def test_who_asks_for_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ValueError):
        select_rows("tinybird.pipe_stats_rt", None)
    with pytest.raises(ValueError):
        select_rows("organization.pipe_stats_rt", ONE)
    with pytest.raises(ValueError):
        select_rows("tinybird.pipe_stats_rt", "' OR 1 = 1 --")
    with pytest.raises(KeyError):
        select_rows("tinybird.nothing", ONE)


async def test_days_are_summed_up_once(usage: Usage) -> None:
    """Two groups of requests of one day, the second sent twice, as after an error."""
    workspace_id = "4" * 32
    row = {
        "workspace_id": workspace_uuid(workspace_id),
        "start_datetime": NOW,
        "pipe_id": "t_1",
        "pipe_name": "top",
        "duration": 0.012,
        "read_rows": 10,
        "resource_tags": ["a"],
    }
    await usage.insert("requests", row, "day 1")
    failed = {**row, "error": 1, "status_code": 400, "duration": 0.5}
    await usage.insert("requests", failed, "day 2")
    await usage.insert("requests", failed, "day 2")
    columns = (
        "pipe_name, view_count, error_count, read_rows_sum, resource_tags, "
        "round(finalizeAggregation(avg_duration_state), 3), "
        "finalizeAggregation(quantile_timing_state), date = toStartOfDay(now())"
    )
    (day,) = await usage.read("tinybird.pipe_stats", workspace_id, columns)
    assert day[:6] == ["top", 2, 1, 20, ["a"], 0.256]
    assert day[6][2] == pytest.approx(500, abs=10)  # milliseconds
    assert len(await usage.read("tinybird.pipe_stats_rt", workspace_id)) == 2
    (error,) = await usage.read("tinybird.endpoint_errors", workspace_id, "status_code, params")
    assert error == [400, "{}"]


async def test_requests_of_the_query_api_are_no_endpoint_errors(usage: Usage) -> None:
    workspace_id = "5" * 32
    row = {
        "workspace_id": workspace_uuid(workspace_id),
        "start_datetime": NOW,
        "pipe_id": "query_api",
        "error": 1,
    }
    await usage.insert("requests", row, "query api")
    assert await usage.read("tinybird.endpoint_errors", workspace_id) == []
    assert len(await usage.read("tinybird.pipe_stats_rt", workspace_id)) == 1


async def test_the_latest_state_of_a_job_counts(usage: Usage) -> None:
    workspace_id = "6" * 32
    row = {
        "workspace_id": workspace_uuid(workspace_id),
        "job_id": "j",
        "created_at": "2026-11-30 10:00:00.123",
    }
    for number, status in enumerate(("waiting", "working", "done")):
        state = {**row, "status": status, "updated_at": f"2026-11-30 10:00:0{number}.000"}
        await usage.insert("jobs", state, status)
    assert await usage.read("tinybird.jobs_log", workspace_id, "status") == [["done"]]


async def test_operations_of_a_day(usage: Usage) -> None:
    workspace_id = "7" * 32
    row = {
        "workspace_id": workspace_uuid(workspace_id),
        "timestamp": "2026-11-30 10:00:00",
        "event_type": "append",
        "datasource_id": "t_1",
        "datasource_name": "events",
        "elapsed_time": 0.5,
        "written_rows": 3,
        "result": "ok",
    }
    await usage.insert("operations", row, "op 1")
    await usage.insert("operations", {**row, "result": "error", "elapsed_time": 1.5}, "op 2")
    columns = (
        "event_date, executions, error_count, written_rows, "
        "avgMerge(avg_elapsed_time_state), quantilesMerge(0.9, 0.95, 0.99)(quantiles_state)[3]"
    )
    sql = select_rows("tinybird.datasources_ops_stats", workspace_id)
    (day,) = await usage.query(
        f"SELECT {columns} FROM ({sql}) GROUP BY event_date, executions, error_count, written_rows"
    )
    assert day[:5] == ["2026-11-30 00:00:00", 2, 1, 6, 1.0]
    assert day[5] == pytest.approx(1.5, abs=0.02)


async def test_requests_of_events_in_a_second_are_one_row(usage: Usage) -> None:
    """Those that were refused are another one: `rate_limited` is no number to be summed up."""
    workspace_id = "9" * 32
    row = {
        "workspace_id": workspace_uuid(workspace_id),
        "event_time": "2026-11-30 10:00:00",
        "datasource_id": "t_1",
        "successful_requests": 200,
        "rows_total": 300,
        "ips": ["10.0.0.1"],
        "tokens": ["a", "b"],
    }
    limited = {**row, "successful_requests": 0, "error_requests": 7, "rate_limited": 1}
    for number in range(3):
        await usage.insert("event_requests", row, f"second {number}")
        await usage.insert("event_requests", limited, f"limited {number}")
    await usage.insert("event_requests", {**row, "ips": ["10.0.0.2"], "tokens": ["c"]}, "another")
    await usage.insert("event_requests", {**row, "datasource_id": "t_2"}, "elsewhere")
    columns = (
        "datasource_id, rate_limited, successful_requests, error_requests, rows_total, "
        "arraySort(ips), arraySort(tokens)"
    )
    assert sorted(await usage.read("tinybird.hfi_requests", workspace_id, columns)) == [
        ["t_1", 0, 800, 0, 1200, ["10.0.0.1", "10.0.0.2"], ["a", "b", "c"]],
        ["t_1", 1, 0, 21, 900, ["10.0.0.1"], ["a", "b"]],
        ["t_2", 0, 200, 0, 300, ["10.0.0.1"], ["a", "b"]],
    ]


async def test_tables_that_are_there_are_left_alone_but_for_a_changed_ttl(
    usage: Usage, tmp_path: Path
) -> None:
    old = {**ROWS["requests"], "workspace_id": workspace_uuid("8" * 32)}
    await usage.insert("requests", {**old, "start_datetime": NOW - 50 * 86_400}, "old")
    store = open_store(tmp_path)
    try:
        for days in (90, 30, 500, 90):
            await make_tables(usage.engine, store, days)
            clauses = await usage.clauses()
            for table in usage_tables(days):
                assert table.ttl in clauses[table.name]
            assert f"toIntervalDay({days})" in clauses["requests"]
            assert "TTL" not in clauses["jobs"] + clauses["requests_by_day"]
    finally:
        store.close()


def test_a_definition_that_a_full_disk_cut_off_is_written_again(
    program: Program, tmp_path: Path
) -> None:
    """Each in turn, from what the store has of it; rows and view are as before."""
    head = """
        from pipewren.engine.definitions import definition_file, restore_definitions
        from pipewren.storage.objects import list_objects
        from pipewren.storage.store import open_store
        from pipewren.usage.tables import make_tables

        async def insert(engine, token):
            row = b'{"workspace_id": "w", "start_datetime": 1790000000, "pipe_id": "t_1"}\\n'
            await engine.insert(Insert("w_usage", "requests", (), "JSONEachRow", row, token))
    """
    program.run(
        head
        + """
        async def main():
            engine = await open_engine()
            store = open_store(DATA_DIR)
            await make_tables(engine, store, 3650)
            await insert(engine, "one")
            await engine.close()
            store.close()

        asyncio.run(main())
        """
    )
    lines = program.run(
        head
        + """
        async def main():
            store = open_store(DATA_DIR)
            with store.begin() as connection:
                copies = list_objects(connection)
            names = [name for database, name in copies if name]
            assert len(names) == 8, names
            for name in names:
                definition_file(DATA_DIR, "w_usage", name).write_text("")
            assert len(restore_definitions(DATA_DIR, copies)) == 8
            engine = await open_engine()
            await make_tables(engine, store, 3650)
            await insert(engine, "two")
            days = "(SELECT sum(view_count) FROM w_usage.requests_by_day)"
            both = sql(f"SELECT count(), {days} FROM w_usage.requests")
            result = await engine.run(Statement(both, "", format="TSV"))
            print(result.body.decode().strip())
            await engine.close()
            store.close()

        asyncio.run(main())
        """
    )
    assert lines[-1].split("\t") == ["2", "2"]
