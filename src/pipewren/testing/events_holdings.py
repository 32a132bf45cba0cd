"""A project that events are sent to, and what its tables hold by request.

`events` is plain, with a view that copies, one that aggregates and one that sums up what the
copying one writes; `visits` has partitions and no view.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pipewren.testing.events_ledger import IDS, Found, Kept, Ledger

ANSWER_S = 60.0  # how long any answer may take, on a busy machine
MODULUS = 9973  # the `n` of a row that fits is its id modulo this

_ROW = """SCHEMA >
    `id` UInt64 `json:$.id`,
    `request` UInt64 `json:$.request`,
    `n` UInt16 `json:$.n`,
    `user` LowCardinality(String) `json:$.user.name`,
    `tags` Array(String) `json:$.user.tags[:]`,
    `source` String `json:$.source` DEFAULT 'web',
    `at` DateTime64(3) `json:$.at`

"""
PROJECT = {
    "datasources/events.datasource": _ROW
    + 'ENGINE "MergeTree"\nENGINE_SORTING_KEY "request, id"\n',
    "datasources/visits.datasource": _ROW
    + 'ENGINE "MergeTree"\nENGINE_PARTITION_KEY "id % 3"\nENGINE_SORTING_KEY "id"\n',
    "datasources/copied.datasource": """SCHEMA >
    `id` UInt64,
    `request` UInt64,
    `n` UInt16

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
""",
    "datasources/aggregated.datasource": """SCHEMA >
    `request` UInt64,
    `rows` AggregateFunction(count),
    `ids` AggregateFunction(uniqExact, UInt64),
    `least` AggregateFunction(min, UInt64),
    `greatest` AggregateFunction(max, UInt64)

ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "request"
""",
    "datasources/summed.datasource": """SCHEMA >
    `request` UInt64,
    `rows` UInt64

ENGINE "SummingMergeTree"
ENGINE_SORTING_KEY "request"
""",
    "materializations/copying.pipe": """NODE each
SQL >
    SELECT id, request, n FROM events

TYPE materialized
DATASOURCE copied
""",
    "materializations/aggregating.pipe": """NODE states
SQL >
    SELECT request, countState() AS rows, uniqExactState(id) AS ids, minState(id) AS least,
        maxState(id) AS greatest
    FROM events GROUP BY request

TYPE materialized
DATASOURCE aggregated
""",
    "materializations/summing.pipe": """NODE sums
SQL >
    SELECT request, count() AS rows FROM copied GROUP BY request

TYPE materialized
DATASOURCE summed
""",
    "endpoints/rows_of.pipe": """NODE counted
SQL >
    %
    SELECT count() AS rows FROM events WHERE request = {{UInt64(request, 0)}}

TYPE endpoint
""",
}
_OF_ROWS = (
    "SELECT request, count(), uniqExact(id), min(id), max(id), countIf(n != id % 9973{odd}) "
    "FROM {table} WHERE request % {pages} = {page} GROUP BY request"
)
_ODD = (
    " OR tags != ['a', toString(id)] OR source != 'web' OR user != 'ü' OR toUnixTimestamp(at) = 0"
)
_OF_QUARANTINE = (
    "SELECT toUInt64OrZero(assumeNotNull(request)) AS r, count(), uniqExact(id), "
    "min(toUInt64OrZero(assumeNotNull(id))), max(toUInt64OrZero(assumeNotNull(id))), "
    "countIf(c__error_column != ['n'] OR length(c__error) != 1) "
    "FROM {table} WHERE r % {pages} = {page} GROUP BY r"
)
_OF_STATES = (
    "SELECT request, countMerge(rows), uniqExactMerge(ids), minMerge(least), maxMerge(greatest), 0 "
    "FROM {table} WHERE request % {pages} = {page} GROUP BY request"
)
# Sums do not tell one id from another, so of these only the number of rows is judged.
_OF_SUMS = (
    f"SELECT request, sum(rows), sum(rows), request * {IDS}, request * {IDS}, 0 "
    "FROM {table} WHERE request % {pages} = {page} GROUP BY request"
)
TABLES: Mapping[Kept, str] = {
    Kept("events", "events"): _OF_ROWS.replace("{odd}", _ODD),
    Kept("events_quarantine", "events", is_quarantine=True): _OF_QUARANTINE,
    Kept("copied", "events"): _OF_ROWS.replace("{odd}", ""),
    Kept("aggregated", "events"): _OF_STATES,
    Kept("summed", "events"): _OF_SUMS,
    Kept("visits", "visits"): _OF_ROWS.replace("{odd}", _ODD),
    Kept("visits_quarantine", "visits", is_quarantine=True): _OF_QUARANTINE,
}
_PAGE = 2000  # requests, so that no answer is a large one


class Server(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...


def read_holdings(server: Server, ledger: Ledger) -> list[tuple[Kept, dict[int, Found]]]:
    """What each table holds by request, by `GET /v0/sql`."""
    pages = 1 + len(ledger.sent) // _PAGE
    holdings = []
    for kept, sql in TABLES.items():
        holding: dict[int, Found] = {}
        for page in range(pages):
            text = sql.format(table=kept.table, pages=pages, page=page)
            for request, *figures in _query(server, text):
                holding[int(request)] = Found(*map(int, figures))
        holdings.append((kept, holding))
    return holdings


def _query(server: Server, sql: str) -> Sequence[Sequence[Any]]:
    parts = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        asked = urllib.parse.urlencode({"q": f"{sql} FORMAT JSONCompact"})
        headers = {"Authorization": f"Bearer {server.token}"}
        connection.request("GET", f"/v0/sql?{asked}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{sql}: {answer.status} {body[:1000]!r}"
        rows: Sequence[Sequence[Any]] = json.loads(body)["data"]
        return rows
    finally:
        connection.close()
