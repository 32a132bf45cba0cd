"""The tables of usage records in the database `w_usage`, and how they are made.

A table has the columns of the service data source that it is for, and `workspace_id`. Its
definition is in the store before it is made, with a UUID of ours: one that a full disk cut off can
be written again (engine-chdb.md section 0.6).

| table | rows | kept |
|---|---|---|
| requests | a request of an endpoint or of the Query API | `usage_retention_days` |
| requests_by_day | requests of an endpoint on a day, summed up by a view | for ever |
| operations, storage, blocks | what changes data sources, and their sizes | 400 days, or longer |
| event_requests | requests of the Events API in a second | 400 days, or longer |
| jobs | a job; its latest state counts | for ever |
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from pipewren.engine.contract import Engine, Statement
from pipewren.project.ddl import TABLE_SETTINGS
from pipewren.sqltext import Sql, quote_identifier, quote_literal, trusted_sql
from pipewren.storage.objects import find_object, remember_object
from pipewren.storage.store import Store
from pipewren.usage.service_tables import (
    BLOCKS,
    DATABASE,
    EVENT_REQUESTS,
    JOBS,
    OPERATIONS,
    REQUESTS,
    REQUESTS_BY_DAY,
    SERVICE_TABLES,
    STORAGE,
    Column,
)

LONG_DAYS = 400  # what comes by the minute or less, and is looked at by the year
VIEW = "requests_to_days"

# Groups come once a second, each a part, and are worth no sync of the disk: a power cut may cost
# some, as it may cost requests. A part that was merged stays long enough for queries and for a
# merge on a full disk to be noticed, and no longer, since a busy server makes thousands an hour.
_SETTINGS: Mapping[str, str] = {
    "non_replicated_deduplication_window": TABLE_SETTINGS["non_replicated_deduplication_window"],
    "fsync_after_insert": "0",
    "fsync_part_directory": "0",
    "min_rows_to_fsync_after_merge": "0",
    "min_compressed_bytes_to_fsync_after_merge": "0",
    "old_parts_lifetime": "60",
}
# Names and tags, of which a table that sums keeps one.
_LOOSE_DIMENSIONS = {"allow_dimensions_outside_sorting_key": "1"}
_UUID = re.compile(r"UUID '([0-9a-f-]{36})'")


@dataclass(frozen=True, slots=True)
class Table:
    """`time` is the column that rows are partitioned by (a month each) and go by; `days` None
    keeps them for ever. `order` is the sorting key behind the workspace."""

    name: str
    source: str
    time: str
    order: str
    engine: str = "MergeTree"
    days: int | None = None
    has_loose_dimensions: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        own = SERVICE_TABLES[self.source]
        has_workspace = any(column.name == "workspace_id" for column in own)
        return own if has_workspace else (Column("workspace_id", "String"), *own)

    @property
    def ttl(self) -> str:
        return "" if self.days is None else f"TTL {self.time} + toIntervalDay({self.days})"


def usage_tables(retention_days: int) -> tuple[Table, ...]:
    """All of them, with requests kept so many days."""
    long = max(retention_days, LONG_DAYS)
    return (
        Table(
            REQUESTS,
            "tinybird.pipe_stats_rt",
            "start_datetime",
            "pipe_id, start_datetime",
            days=retention_days,
        ),
        Table(
            REQUESTS_BY_DAY,
            "tinybird.pipe_stats",
            "date",
            "pipe_id, date",
            engine="SummingMergeTree",
            has_loose_dimensions=True,
        ),
        Table(
            OPERATIONS,
            "tinybird.datasources_ops_log",
            "timestamp",
            "datasource_id, timestamp",
            days=long,
        ),
        Table(
            STORAGE,
            "tinybird.datasources_storage",
            "timestamp",
            "datasource_id, timestamp",
            engine="AggregatingMergeTree",
            days=long,
            has_loose_dimensions=True,
        ),
        Table(
            JOBS,
            "tinybird.jobs_log",
            "created_at",
            "created_at, job_id",
            engine="ReplacingMergeTree(updated_at)",
        ),
        Table(BLOCKS, "tinybird.block_log", "timestamp", "timestamp, datasource_id", days=long),
        Table(
            EVENT_REQUESTS,
            "tinybird.hfi_requests",
            "event_time",
            "datasource_id, event_time, rate_limited",
            engine="SummingMergeTree",
            days=long,
        ),
    )


async def make_tables(engine: Engine, store: Store, retention_days: int) -> None:
    """Have all tables in the engine, those that are there with the TTL that is asked for. Raises
    EngineError, and Unavailable where the disk has no room for what is missing."""
    there = await _read_engines(engine)
    wanted: dict[str, str] = {}
    changes: list[Sql] = []
    if not there:
        name = quote_identifier(DATABASE)
        wanted[""] = f"CREATE DATABASE IF NOT EXISTS {name} UUID '{{uuid}}' ENGINE = Atomic"
    tables = usage_tables(retention_days)
    for table in tables:
        if table.name not in there:
            wanted[table.name] = table_ddl(table)
        elif table.ttl and f"{table.ttl} " not in there[table.name]:
            # Old rows go by merges, for which the start does not wait.
            alter = f"ALTER TABLE {_name(table.name)} MODIFY {table.ttl}"
            changes.append(Sql(f"{alter} SETTINGS mutations_sync = 0"))
            _remember(store, {table.name: table_ddl(table)})
    if VIEW not in there:
        wanted[VIEW] = _view_ddl(next(one for one in tables if one.name == REQUESTS_BY_DAY))
    for sql in [*_remember(store, wanted), *changes]:
        await engine.execute(sql)


def table_ddl(table: Table) -> str:
    """CREATE TABLE, with `{uuid}` in the place of its UUID."""
    given = {**_SETTINGS, **(_LOOSE_DIMENSIONS if table.has_loose_dimensions else {})}
    settings = ", ".join(f"{name} = {value}" for name, value in given.items())
    lines = [
        f"CREATE TABLE {_name(table.name)} UUID '{{uuid}}'",
        _columns(table),
        f"ENGINE = {table.engine}",
        f"PARTITION BY toYYYYMM({table.time})",
        f"ORDER BY (workspace_id, {table.order})",
        *([table.ttl] if table.ttl else []),
        f"SETTINGS {settings}",
    ]
    return "\n".join(lines)


def _view_ddl(target: Table) -> str:
    """CREATE of the view. It names its columns, since a definition file that does not cannot be
    read."""
    head = f"CREATE MATERIALIZED VIEW {_name(VIEW)} UUID '{{uuid}}' TO {_name(target.name)}"
    return f"{head}\n{_columns(target)}\nAS {_VIEW}"


def _columns(table: Table) -> str:
    columns = ",\n".join(f"    {quote_identifier(name)} {type}" for name, type in table.columns)
    return f"(\n{columns}\n)"


def _name(table: str) -> str:
    return f"{quote_identifier(DATABASE)}.{quote_identifier(table)}"


# quantilesTiming counts whole numbers: of seconds it would know 0, 1, 2. So it is told
# milliseconds, as it is made for.
_VIEW = f"""\
SELECT
    workspace_id,
    toStartOfDay(start_datetime) AS date,
    pipe_id,
    anyLast(pipe_name) AS pipe_name,
    avgState(duration) AS avg_duration_state,
    countIf(error = 1) AS error_count,
    count() AS view_count,
    quantilesTimingState(0.9, 0.95, 0.99)(toFloat64(duration) * 1000) AS quantile_timing_state,
    sum(read_bytes) AS read_bytes_sum,
    sum(read_rows) AS read_rows_sum,
    toFloat64(sum(cpu_time)) AS cpu_time_sum,
    anyLast(resource_tags) AS resource_tags
FROM {_name(REQUESTS)}
GROUP BY workspace_id, date, pipe_id"""


async def _read_engines(engine: Engine) -> dict[str, str]:
    """Table -> its engine with all clauses; "" stands for the database, where it is there."""
    database = quote_literal(DATABASE)
    sql = trusted_sql(
        f"SELECT '', '' FROM system.databases WHERE name = {database} UNION ALL "
        f"SELECT name, engine_full FROM system.tables WHERE database = {database}"
    )
    result = await engine.run(Statement(sql, "system", format="JSONCompactEachRow"))
    return dict(msgspec.json.Decoder(tuple[str, str]).decode_lines(result.body))


def _remember(store: Store, wanted: Mapping[str, str]) -> list[Sql]:
    """The statements with UUIDs, those that the objects were made with if they were: in the store,
    before anything is made."""
    found = []
    with store.begin() as connection:
        for name, ddl in wanted.items():
            before = find_object(connection, DATABASE, name)
            known = _UUID.search(before) if before is not None else None
            sql = Sql(ddl.replace("{uuid}", known[1] if known else str(uuid.uuid4())))
            remember_object(connection, DATABASE, name, sql)
            found.append(sql)
    return found
