"""What ClickHouse counts of itself, read in one statement: for whoever watches the server.

`system.events` has no row for what has not happened yet, and `system.asynchronous_metrics` does not
exist in chDB (26.9), so resident memory is the process's own matter, and the parts of a partition
are counted here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipewren.sqltext import Sql, quote_literal, trusted_sql

# Counted since the engine was opened.
_EVENTS: Mapping[str, str] = {
    "selects": "SelectQuery",
    "inserts": "InsertQuery",
    "failed_queries": "FailedQuery",
    "failed_inserts": "FailedInsertQuery",
    "selected_rows": "SelectedRows",
    "selected_bytes": "SelectedBytes",
    "inserted_rows": "InsertedRows",
    "inserted_bytes": "InsertedBytes",
    "merges": "Merge",
    "merged_rows": "MergedRows",
    "failed_writes": "WriteBufferFromFileDescriptorWriteFailed",
    "mark_cache_hits": "MarkCacheHits",
    "mark_cache_misses": "MarkCacheMisses",
    "condition_cache_hits": "QueryConditionCacheHits",
    "condition_cache_misses": "QueryConditionCacheMisses",
}
# As they are now.
_METRICS: Mapping[str, str] = {
    "running_queries": "Query",
    "running_merges": "Merge",
    "running_mutations": "PartMutation",
    "memory_bytes": "MemoryTracking",
    "mark_cache_bytes": "MarkCacheBytes",
}
_PARTS = ("parts", "largest_partition_parts", "table_rows", "table_bytes")
FIGURES = frozenset({*_EVENTS, *_METRICS, *_PARTS})


def _select(table: str, column: str, keys: Mapping[str, str]) -> str:
    names = ", ".join(map(quote_literal, keys.values()))
    return (
        f"SELECT '{table}', {column}, toInt64(value) FROM system.{table} "
        f"WHERE {column} IN ({names})"
    )


def _query() -> Sql:
    parts = (
        "SELECT 'parts', figure.1, toInt64(figure.2) FROM (SELECT "
        "[('parts', sum(parts)), ('largest_partition_parts', max(parts)), "
        "('table_rows', sum(rows)), ('table_bytes', sum(bytes))] AS figures FROM ("
        "SELECT count() AS parts, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE active AND startsWith(database, 'w_') GROUP BY database, table, partition_id"
        ")) ARRAY JOIN figures AS figure"
    )
    return trusted_sql(
        " UNION ALL ".join(
            [_select("events", "event", _EVENTS), _select("metrics", "metric", _METRICS), parts]
        )
    )


FIGURES_QUERY = _query()


def read_figures(body: bytes) -> dict[str, int]:
    """The figures by the names of `FIGURES`, of the answer to `FIGURES_QUERY` as
    JSONCompactEachRow. The statement itself is none of the running queries."""
    named = {("events", name): key for key, name in _EVENTS.items()}
    named |= {("metrics", name): key for key, name in _METRICS.items()}
    named |= {("parts", key): key for key in _PARTS}
    figures = dict.fromkeys(FIGURES, 0)
    for line in body.splitlines():
        table, name, value = msgspec.json.decode(line)
        figures[named[table, name]] = int(value)
    figures["running_queries"] = max(0, figures["running_queries"] - 1)
    return figures
