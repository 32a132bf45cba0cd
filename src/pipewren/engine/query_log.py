"""ClickHouse's query log, where it is switched on: what queries and inserts cost, and nothing else.

The log itself keeps nothing (its table is a Null): a view takes the figures out of it into a table
in memory of the last 20,000. So no SQL, no value and no error text of the log is anywhere to be
read, which matters, since chDB lets every connection read `system` (26.9 ignores
`select_from_system_db_requires_grant`), and where a statement has parameters the log has it with
their values in their places.

A query cannot be given an id, and no mark in its text comes through (a statement with parameters
is written anew). It is known by its connection, which runs one query at a time, and by the time
that it ran in (`QuerySpan`). Both are taken from the same clock as the log's. Where the log has not
exactly one query in a span, nothing is told of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter, time_ns

import msgspec

from pipewren.engine.contract import QueryCost, QuerySpan
from pipewren.sqltext import Sql, trusted_sql

# Nothing else of ClickHouse's system logs is switched on. Rows come to us by FLUSH: the interval is
# for times when nobody asks.
CONFIG = (
    "  <query_log><database>system</database><table>query_log</table>"
    "<engine>ENGINE = Null</engine>"
    "<flush_interval_milliseconds>1000</flush_interval_milliseconds></query_log>\n"
)
# Of a connection whose queries are logged: no text, no settings, and one row a query.
SETTINGS: tuple[tuple[str, str], ...] = (
    ("log_queries", "1"),
    ("log_queries_min_type", "QUERY_FINISH"),
    ("log_queries_cut_to_length", "1"),
    ("log_query_settings", "0"),
)
NO_LOG = ("log_queries", "0")

FLUSH = trusted_sql("SYSTEM FLUSH LOGS query_log")
_COSTS = "system.query_costs"
# To be run at each start, since chDB's `system` is not kept. The first makes ClickHouse make the
# log's own table.
MAKE: tuple[Sql, ...] = (
    FLUSH,
    trusted_sql(
        f"CREATE TABLE IF NOT EXISTS {_COSTS} (connection LowCardinality(String), "
        "began DateTime64(6), ended DateTime64(6), cpu_us UInt64, memory_bytes UInt64) "
        "ENGINE = Memory SETTINGS min_rows_to_keep = 10000, max_rows_to_keep = 20000"
    ),
    trusted_sql(
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {_COSTS}_view TO {_COSTS} AS "
        "SELECT log_comment AS connection, query_start_time_microseconds AS began, "
        "event_time_microseconds AS ended, ProfileEvents['UserTimeMicroseconds'] + "
        "ProfileEvents['SystemTimeMicroseconds'] AS cpu_us, memory_usage AS memory_bytes "
        "FROM system.query_log "
        "WHERE type != 'QueryStart' AND is_initial_query AND log_comment != ''"
    ),
)

_inserts: ContextVar[list[QuerySpan] | None] = ContextVar("inserts", default=None)


class SpanClock:
    """Takes the spans of one connection's queries, one after the other.

    They never overlap: one that begins before the last one has ended, since the clock was set back,
    is None, and so are those that follow until the clock has caught up."""

    __slots__ = ("_began_s", "_began_us", "_last_us", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_us = 0
        self._began_s = 0.0
        self._last_us = 0

    def begin(self) -> None:
        self._began_us = time_ns() // 1000
        self._began_s = perf_counter()

    def end(self) -> QuerySpan | None:
        """The span since `begin`; None also where that was not called."""
        began_us, self._began_us = self._began_us, 0
        if not began_us:
            return None
        elapsed_us = int((perf_counter() - self._began_s) * 1e6)
        # The later one, where the clock was set back meanwhile.
        ended_us = max(time_ns() // 1000, began_us + elapsed_us)
        last_us, self._last_us = self._last_us, max(self._last_us, ended_us)
        return QuerySpan(self._name, began_us, ended_us) if began_us >= last_us else None


@contextmanager
def inserts_noted() -> Iterator[list[QuerySpan]]:
    """The list that the spans of all inserts go to that are made inside, also by its tasks."""
    spans: list[QuerySpan] = []
    before = _inserts.set(spans)
    try:
        yield spans
    finally:
        _inserts.reset(before)


def note_insert(span: QuerySpan | None) -> None:
    """To be called where the insert was asked for."""
    spans = _inserts.get()
    if spans is not None and span is not None:
        spans.append(span)


def costs_query(spans: Collection[QuerySpan]) -> Sql:
    """What was logged since the first of them began, for `match_costs`; after `FLUSH`."""
    since_us = min(span.began_us for span in spans)
    return trusted_sql(
        "SELECT connection, toUnixTimestamp64Micro(began), toUnixTimestamp64Micro(ended), cpu_us, "
        f"memory_bytes FROM {_COSTS} WHERE began >= fromUnixTimestamp64Micro({since_us})"
    )


def match_costs(spans: Collection[QuerySpan], body: bytes) -> dict[QuerySpan, QueryCost]:
    """Of the answer to `costs_query` as JSONCompactEachRow: the cost of each span in which exactly
    one query began, which ended in it and is in no other span."""
    logged: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for line in body.splitlines():
        connection, *numbers = msgspec.json.decode(line)
        began_us, ended_us, cpu_us, memory_bytes = map(int, numbers)
        logged[connection].append((began_us, ended_us, cpu_us, memory_bytes))
    for rows in logged.values():
        rows.sort()
    found: dict[QuerySpan, tuple[int, int, int, int]] = {}
    for span in spans:
        rows = logged.get(span.connection, [])
        first = bisect_left(rows, (span.began_us,))
        after = bisect_left(rows, (span.ended_us + 1,))
        if after - first == 1 and rows[first][1] <= span.ended_us:
            found[span] = rows[first]
    uses = Counter((span.connection, row) for span, row in found.items())
    return {
        span: QueryCost(row[2] / 1e6, row[3])
        for span, row in found.items()
        if uses[span.connection, row] == 1
    }
