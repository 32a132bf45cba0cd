"""Service data sources: which there are, their columns, and the SELECT that reads one.

Columns and types are in `service_tables.txt`, in order (service-data-sources.md section 3); those
of `bi_stats*`, of which the spec gives no types, are ours. Most read a table of `w_usage`
(`tables.py`); those that nothing is recorded for have no rows.

`tinybird.*` has the rows of one workspace. `organization.*` has those of every workspace of this
server, also of deleted ones: who may read them is the caller's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple
from uuid import UUID

from pipewren.sqltext import Sql, quote_identifier, quote_literal, trusted_sql

DATABASE = "w_usage"  # of the form that readers may read, and no workspace's: their ids are hex
WORKSPACE_PARAMETER = "pipewren__workspace"
QUERY_API = "query_api"  # the pipe of requests to /v0/sql

REQUESTS, REQUESTS_BY_DAY, OPERATIONS = "requests", "requests_by_day", "operations"
STORAGE, JOBS, BLOCKS = "storage", "jobs", "blocks"
EVENT_REQUESTS = "event_requests"

_TINYBIRD, _ORGANIZATION = "tinybird.", "organization."


class Column(NamedTuple):
    """`type` is ClickHouse's, as DESCRIBE shows it."""

    name: str
    type: str


class _Source(NamedTuple):
    """What rows are made of: a table of `DATABASE`, columns that are not its own by name, what
    rows are left out, and GROUP BY."""

    table: str
    columns: Mapping[str, str] = {}
    condition: str = ""
    group_by: str = ""


_ERRORS = _Source(
    REQUESTS,
    {
        "params": "toNullable(toJSONString(parameters))",
        "status_code": "toNullable(status_code)",
        "error": "error_message",
    },
    # `error` would be the column above: ClickHouse reads an alias before a column.
    condition=f"{REQUESTS}.error = 1 AND pipe_id != '{QUERY_API}'",
)
_OPERATIONS_BY_DAY = _Source(
    OPERATIONS,
    {
        "event_date": "toStartOfDay(timestamp)",
        "datasource_name": "anyLast(datasource_name)",
        "event_type": "toLowCardinality(event_type)",
        "pipe_name": "anyLast(pipe_name)",
        "error_count": "countIf(result = 'error')",
        "executions": "count()",
        "avg_elapsed_time_state": "avgState(elapsed_time)",
        "quantiles_state": "quantilesState(0.9, 0.95, 0.99)(toFloat64(elapsed_time))",
        **{
            name: f"sum({OPERATIONS}.{name})"
            for name in (
                *("read_rows", "read_bytes", "written_rows", "written_bytes"),
                *("written_rows_quarantine", "written_bytes_quarantine"),
            )
        },
        "cpu_time": f"toFloat64(sum({OPERATIONS}.cpu_time))",
        "resource_tags": "anyLast(resource_tags)",
    },
    group_by="workspace_id, event_date, datasource_id, event_type, pipe_id",
)


def _figures(column: str, name: str) -> dict[str, str]:
    """Average, maximum and quantiles of a column, as the tables by minute have them."""
    value = f"toFloat64({column})"
    return {
        f"avg_{name}": f"avg({value})",
        f"max_{name}": f"max({value})",
        f"quantiles_05_09_099_{name}": f"quantiles(0.5, 0.9, 0.99)({value})",
    }


_BY_MINUTE = _Source(
    REQUESTS,
    {
        "minute_interval": "toStartOfMinute(start_datetime)",
        "request_count": "count()",
        **_figures("duration", "duration"),
        **_figures("cpu_time", "cpu_time"),
        **_figures("memory_usage", "memory_usage"),
        **{f"total_{name}": f"sum({name})" for name in ("read_rows", "read_bytes", "result_rows")},
        "error_count": "countIf(error = 1)",
        "timeout_count": "countIf(status_code = 408)",
        "rate_limit_count": "countIf(status_code = 429)",
        "error_500_count": "countIf(status_code >= 500)",
    },
    group_by="minute_interval, workspace_id, pipe_name",
)
_OPERATIONS_BY_MINUTE = _Source(
    OPERATIONS,
    {
        "minute_interval": "toStartOfMinute(timestamp)",
        "request_count": "count()",
        "error_count": "countIf(result = 'error')",
        **_figures("elapsed_time", "elapsed_time"),
        **_figures("cpu_time", "cpu_time"),
        **_figures("memory_usage", "memory_usage"),
        **{
            f"total_{name}": f"sum({name})"
            for name in ("read_rows", "read_bytes", "written_rows", "written_bytes")
        },
    },
    group_by="minute_interval, workspace_id, datasource_name, event_type, pipe_name",
)

_SOURCES: Mapping[str, _Source] = {
    "tinybird.pipe_stats_rt": _Source(REQUESTS),
    "tinybird.pipe_stats": _Source(f"{REQUESTS_BY_DAY} FINAL"),
    "tinybird.endpoint_errors": _ERRORS,
    "tinybird.datasources_ops_log": _Source(OPERATIONS),
    "tinybird.datasources_ops_stats": _OPERATIONS_BY_DAY,
    "tinybird.datasources_storage": _Source(STORAGE),
    "tinybird.jobs_log": _Source(f"{JOBS} FINAL"),
    "tinybird.block_log": _Source(BLOCKS),
    "tinybird.hfi_requests": _Source(f"{EVENT_REQUESTS} FINAL"),
    "organization.pipe_stats_rt": _Source(REQUESTS),
    "organization.pipe_stats": _Source(
        f"{REQUESTS_BY_DAY} FINAL", {"date": f"toDate({REQUESTS_BY_DAY}.date)"}
    ),
    "organization.endpoint_errors": _ERRORS,
    "organization.datasources_ops_log": _Source(OPERATIONS),
    "organization.datasources_ops_stats": _OPERATIONS_BY_DAY._replace(
        columns={
            **_OPERATIONS_BY_DAY.columns,
            "cpu_time": f"toFloat32(sum({OPERATIONS}.cpu_time))",
        }
    ),
    "organization.datasources_storage": _Source(STORAGE),
    "organization.jobs_log": _Source(f"{JOBS} FINAL"),
    "organization.pipe_metrics_by_minute": _BY_MINUTE,
    "organization.datasource_metrics_by_minute": _OPERATIONS_BY_MINUTE,
}


def _read_tables() -> dict[str, tuple[Column, ...]]:
    text = files("pipewren.usage").joinpath("service_tables.txt").read_text(encoding="utf-8")
    tables: dict[str, tuple[Column, ...]] = {}
    for block in text.split("\n\n"):
        name, *lines = block.strip().split("\n")
        pairs = (line.strip().split(" ", 1) for line in lines)
        tables[name] = tuple(Column(column, type) for column, type in pairs)
    return tables


SERVICE_TABLES: Mapping[str, tuple[Column, ...]] = _read_tables()
RECORDED = frozenset(_SOURCES)  # those that have rows


def is_of_organization(name: str) -> bool:
    """Whether rows are those of all workspaces."""
    return name.startswith(_ORGANIZATION)


def select_rows(name: str, workspace_id: str | None) -> Sql:
    """The SELECT of a service data source: exactly its columns, and of `tinybird.*` the rows of
    the workspace alone. Tables in it are named with their database. `workspace_id` is None for
    `organization.*`, and only there. Raises KeyError for a name that is none of `SERVICE_TABLES`,
    ValueError where `workspace_id` does not fit, or is no id."""
    if is_of_organization(name) != (workspace_id is None):
        raise ValueError(f"{name} is read for {'all workspaces' if workspace_id else 'one'}")
    if workspace_id is None:
        return trusted_sql("".join(_statement(name)))
    return _select_own(name, quote_literal(workspace_uuid(workspace_id)))


def select_rows_by_parameter(name: str) -> Sql:
    """The same for `tinybird.*` in a statement that is compiled for no workspace yet, which gets
    its id (`workspace_uuid`) as the query parameter `WORKSPACE_PARAMETER`."""
    return _select_own(name, Sql(f"{{{WORKSPACE_PARAMETER}: String}}"))


def _select_own(name: str, workspace: Sql) -> Sql:
    head, tail = _statement(name)
    word = "AND" if " WHERE " in head else "WHERE"
    return trusted_sql(f"{head} {word} workspace_id = {workspace}{tail}")


@lru_cache(1000)
def workspace_uuid(workspace_id: str) -> str:
    """A workspace's id as rows have it: with dashes (service-data-sources.md, `jobs_log`). Raises
    ValueError."""
    return str(UUID(workspace_id))


@cache
def _statement(name: str) -> tuple[str, str]:
    """The SELECT up to where a condition can be added, and what follows."""
    columns = SERVICE_TABLES[name]
    source = _SOURCES.get(name)
    if source is None:
        nothing = ", ".join(
            f"CAST(defaultValueOfTypeName({quote_literal(type)}), {quote_literal(type)}) AS "
            f"{quote_identifier(column)}"
            for column, type in columns
        )
        return f"SELECT {nothing} FROM (SELECT '' AS workspace_id) WHERE 0", ""
    selected = ", ".join(
        f"{source.columns[column]} AS {quote_identifier(column)}"
        if column in source.columns
        else quote_identifier(column)
        for column, _ in columns
    )
    head = f"SELECT {selected} FROM {DATABASE}.{source.table}"
    if source.condition:
        head += f" WHERE {source.condition}"
    return head, f" GROUP BY {source.group_by}" if source.group_by else ""
