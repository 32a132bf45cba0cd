"""The tables of `system` that a caller of the Query API sees (query-api.md section 3).

None of them is ClickHouse's own as it is: those tell of all workspaces, of files and of other
sessions. `tables` and `columns` tell of the data sources that the caller may read, and of their
quarantines, under the workspace's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pipewren.deploy.deployment import Deployment
from pipewren.project.model import Datasource
from pipewren.project.quarantine import quarantine_of
from pipewren.sqltext import Sql, quote_literal

# Takes a deployment, and whether the caller may read a data source or a quarantine.
MakeTable = Callable[[Deployment, Callable[[str], bool]], Sql]

_TABLES = (
    "database String, name String, engine String, partition_key String, sorting_key String, "
    "primary_key String, sampling_key String, comment String"
)


def _tables(deployment: Deployment, may_read: Callable[[str], bool]) -> Sql:
    rows = []
    for source in _readable(deployment, may_read):
        engine = source.engine
        primary_key = engine.primary_key or engine.sorting_key
        texts = (
            *(deployment.workspace.name, source.name, engine.name, engine.partition_key),
            *(engine.sorting_key, primary_key, engine.sampling_key, source.description),
        )
        rows.append("(" + ", ".join(quote_literal(text or "") for text in texts) + ")")
    if not rows:
        empty = "(" + ", ".join(["''"] * 8) + ")"
        return Sql(f"SELECT * FROM values({quote_literal(_TABLES)}, {empty}) WHERE 0")
    return Sql(f"SELECT * FROM values({quote_literal(_TABLES)}, {', '.join(rows)})")


def _columns(deployment: Deployment, may_read: Callable[[str], bool]) -> Sql:
    """One row a data source, spread by ARRAY JOIN: a statement's size is bounded."""
    rows = []
    for source in _readable(deployment, may_read):
        columns = source.columns
        arrays = (
            _array(column.name for column in columns),
            _array(column.type for column in columns),
            _array(column.default or "" for column in columns),
        )
        rows.append(f"({quote_literal(source.name)}, {', '.join(arrays)})")
    rows = rows or ["('', [], [], [])"]
    return Sql(
        f"SELECT {quote_literal(deployment.workspace.name)} AS database, table, name, type, "
        "position, if(default_expression = '', '', 'DEFAULT') AS default_kind, default_expression "
        "FROM values('table String, names Array(String), types Array(String), "
        f"defaults Array(String)', {', '.join(rows)}) ARRAY JOIN names AS name, types AS type, "
        "defaults AS default_expression, arrayEnumerate(names) AS position"
    )


def _readable(deployment: Deployment, may_read: Callable[[str], bool]) -> Iterator[Datasource]:
    for source in deployment.project.datasources.values():
        yield from (one for one in (source, quarantine_of(source)) if may_read(one.name))


def _array(texts: Iterable[str]) -> str:
    return "[" + ", ".join(map(quote_literal, texts)) + "]"


def _databases(deployment: Deployment, may_read: Callable[[str], bool]) -> Sql:
    return Sql(f"SELECT {quote_literal(deployment.workspace.name)} AS name, 'Atomic' AS engine")


def _constant(sql: str) -> MakeTable:
    return lambda deployment, may_read: Sql(sql)


SYSTEM_TABLES: Mapping[str, MakeTable] = {
    "tables": _tables,
    "columns": _columns,
    "databases": _databases,
    "functions": _constant(
        "SELECT name, is_aggregate, case_insensitive, alias_to, description, syntax, arguments, "
        "returned_value, categories FROM system.functions WHERE origin = 'System'"
    ),
    "one": _constant("SELECT dummy FROM system.one"),
    "numbers": _constant("SELECT number FROM system.numbers"),
    "numbers_mt": _constant("SELECT number FROM system.numbers_mt"),
}
