"""Data sources as clients read them (client-compat.md section 5, data-apis.md section 2)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipewren.deploy.deployment import Deployment
from pipewren.deploy.table_objects import physical_tables
from pipewren.engine.contract import Engine, Statement
from pipewren.errors import NotFound
from pipewren.project.engines import ENGINES
from pipewren.project.model import Column, Datasource, NodeType, TableEngine
from pipewren.project.quarantine import quarantine_of
from pipewren.sqltext import Sql, quote_literal
from pipewren.storage.deployments import TableVersion
from pipewren.storage.quarantine import quarantine_version

Description = dict[str, Any]

# What mcp-tinybird builds its objects of, a key more or less being an error.
_STRICT_COLUMN = (
    *("name", "type", "codec", "default_value", "jsonpath", "nullable", "normalized_name"),
)
_STRICT_ENGINE = ("engine_sorting_key", "engine_partition_key", "engine_primary_key")
_ALWAYS = frozenset({"id", "name"})
_WITH_COLUMNS = frozenset({"indexes", "new_columns_detected", "quarantine_rows", "engine"})


@dataclass(frozen=True, slots=True)
class Size:
    """What a table holds, as it is now; `bytes` on disk."""

    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """A data source with its table, or a quarantine with its own; rights are those of `owner`, the
    table of the data source."""

    datasource: Datasource
    table: TableVersion
    owner: TableVersion

    @property
    def is_quarantine(self) -> bool:
        return self.table is not self.owner


def find_described(deployment: Deployment, name: str) -> Described:
    """A data source or a quarantine by its name or id. Raises NotFound."""
    owner = deployment.tables.get(deployment.quarantines.get(name, ""))
    if owner is None:
        with contextlib.suppress(NotFound):
            datasource, table = find_datasource(deployment, name)
            return Described(datasource, table, table)
        owners = deployment.tables.values()
        owner = next((one for one in owners if quarantine_version(one).resource_id == name), None)
    if owner is None:
        raise _not_found(name)
    datasource = deployment.project.datasources[owner.datasource]
    return Described(quarantine_of(datasource), quarantine_version(owner), owner)


def find_datasource(deployment: Deployment, name: str) -> tuple[Datasource, TableVersion]:
    """A data source by its name or id, and its table. A quarantine is none: nobody appends to one,
    or names one in a scope. Raises NotFound."""
    table = deployment.tables.get(name)
    if table is None:
        table = next((one for one in deployment.tables.values() if one.resource_id == name), None)
    datasource = deployment.project.datasources.get(table.datasource) if table else None
    if table is None or datasource is None:
        raise _not_found(name)
    return datasource, table


def _not_found(name: str) -> NotFound:
    return NotFound(f'Data Source "{name}" does not exist')


async def read_sizes(deployment: Deployment, engine: Engine) -> dict[str, Size]:
    """By data source and by quarantine. The engine keeps these figures with the parts, so that they
    are right as soon as an insert has returned; rows that a merge will drop count until then."""
    sql = Sql(
        "SELECT name, ifNull(total_rows, 0), ifNull(total_bytes, 0) FROM system.tables "
        f"WHERE database = {quote_literal(deployment.workspace.database)}"
    )
    result = await engine.run(Statement(sql, "system", format="JSONCompactEachRow"))
    sizes = {
        name: Size(int(rows), int(size))
        for name, rows, size in map(msgspec.json.decode, result.body.splitlines())
    }
    tables = physical_tables(deployment.tables)
    return {name: sizes.get(table, Size()) for name, table in tables.items()}


def find_users(deployment: Deployment) -> dict[str, list[str]]:
    """Names of the pipes that read each data source or quarantine, by any branch of their
    templates."""
    users: dict[str, list[str]] = {}
    tables = deployment.tables.keys() | deployment.quarantines.keys()
    for pipe in deployment.pipes.values():
        read = {name for node in pipe.nodes.values() for name in node.reads.names}
        for name in read & tables:
            users.setdefault(name, []).append(pipe.name)
    return users


def describe_datasource(
    deployment: Deployment,
    datasource: Datasource,
    table: TableVersion,
    *,
    size: Size | None,
    quarantine_rows: int | None,
    used_by: Iterable[str],
    created_at: str | None,
) -> Description:
    """One data source, whole. `size` and `quarantine_rows` None leave the figures out: null. `type`
    is how its rows come."""
    columns = [describe_column(column) for column in datasource.columns]
    updated_at = deployment.stored.created_at
    return {
        "id": table.resource_id,
        "name": datasource.name,
        "description": datasource.description,
        "type": _type(deployment, datasource),
        "cluster": "pipewren",
        "created_at": min(created_at or updated_at, updated_at),
        "updated_at": updated_at,
        "engine": describe_engine(datasource.engine),
        "schema": {"sql_schema": _sql_schema(datasource), "columns": columns},
        "columns": [{key: column[key] for key in _STRICT_COLUMN} for column in columns],
        "statistics": {
            "bytes": size.bytes if size else None,
            "row_count": size.rows if size else None,
        },
        "used_by": [{"id": deployment.pipe_ids[name], "name": name} for name in used_by],
        "indexes": [
            {
                "name": index.name,
                "expr": index.expression,
                "type": index.type,
                "granularity": index.granularity,
            }
            for index in datasource.indexes
        ],
        "new_columns_detected": {},
        "quarantine_rows": quarantine_rows,
        "shared_with": list(datasource.shared_with),
        "tags": dict(datasource.tags.values),
        "headers": {},
        "version": 0,
        "project": None,
        "replicated": False,
        "errors_discarded_at": None,
        "last_commit": {"content_sha": "", "path": "", "status": "ok"},
    }


def describe_column(column: Column) -> Description:
    return {
        "name": column.name,
        "type": column.type,
        "jsonpath": column.jsonpath,
        "nullable": column.is_nullable,
        "normalized_name": column.name,
        "default_value": column.default,
        "codec": column.codec,
        "auto": False,
    }


def describe_engine(engine: TableEngine) -> Mapping[str, str]:
    """Both spellings of its keys: older clients read those with the prefix."""
    is_stored = ENGINES[engine.name].is_stored
    keys = {
        "sorting_key": engine.sorting_key or ("tuple()" if is_stored else ""),
        "partition_key": engine.partition_key or "",
        "primary_key": engine.primary_key or engine.sorting_key or "",
    }
    full = [engine.name]
    if engine.partition_key:
        full.append(f"PARTITION BY {engine.partition_key}")
    if engine.primary_key:
        full.append(f"PRIMARY KEY {engine.primary_key}")
    if is_stored:
        full.append(f"ORDER BY {keys['sorting_key']}")
    if engine.ttl:
        full.append(f"TTL {engine.ttl}")
    return {
        "engine": engine.name,
        "engine_full": " ".join(full),
        **keys,
        **{f"engine_{name}": value for name, value in keys.items()},
    }


def cut_description(described: Description, keys: Iterable[str] | None) -> Description:
    """Those keys and the few that always stand; None keeps all. With `columns` come those, and
    with exactly the keys, that mcp-tinybird asks for so."""
    if keys is None:
        return described
    wanted = {*keys, *_ALWAYS}
    if "columns" not in wanted:
        return {key: value for key, value in described.items() if key in wanted}
    wanted |= _WITH_COLUMNS
    cut = {key: value for key, value in described.items() if key in wanted}
    engine = described["engine"]
    cut["engine"] = {key: engine[key] for key in ("engine", *_STRICT_ENGINE)}
    return cut


def _type(deployment: Deployment, datasource: Datasource) -> str:
    for pipe in deployment.project.pipes.values():
        output = pipe.output
        if output is None:
            continue
        attributes = output.attributes
        if output.type is NodeType.MATERIALIZED and attributes.get("datasource") == datasource.name:
            return "materialized"
        if output.type is NodeType.COPY and attributes.get("target_datasource") == datasource.name:
            return "copy"
    if "kafka_connection_name" in datasource.attributes:
        return "kafka"
    connection = deployment.project.connections.get(
        datasource.attributes.get("import_connection_name", "")
    )
    if connection is not None:
        return connection.type
    return "ndjson" if any(column.jsonpath for column in datasource.columns) else "csv"


def _sql_schema(datasource: Datasource) -> str:
    parts = []
    for column in datasource.columns:
        words = [f"`{column.name}`", column.type]
        if column.jsonpath:
            words.append(f"`json:{column.jsonpath}`")
        if column.default is not None:
            words.append(f"DEFAULT {column.default}")
        if column.codec is not None:
            words.append(f"CODEC({column.codec})")
        parts.append(" ".join(word for word in words if word))
    return ", ".join(parts)
