"""The monitoring guide's queries and the endpoints of `examples/monitoring`, over calls of which
all numbers are known."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.usage.conftest import BAD_LIMIT, OF_USAGE, STATEMENT, Shop

GUIDE = Path(__file__).parents[3] / "docs" / "monitoring.md"
README = Path(__file__).parents[3] / "examples" / "monitoring" / "README.md"
# Title of a chapter -> its statements.
QUERIES = {
    chapter.split("\n", 1)[0]: re.findall(r"```sql\n(.*?)```", chapter, re.DOTALL)
    for chapter in GUIDE.read_text().split("\n## ")
    if "```sql" in chapter
}
Rows = list[dict[str, Any]]


def by(rows: Rows, name: str, *columns: str) -> dict[Any, Any]:
    """Value of the column -> values of the others, of rows that differ in it."""
    found = {row[name]: tuple(row[column] for column in columns) for row in rows}
    assert len(found) == len(rows)
    return found


def check_times(rows: Rows) -> None:
    """Of something that took time."""
    assert rows
    for row in rows:
        values = [row[name] for name in ("p50_ms", "p95_ms", "p99_ms") if name in row]
        assert len(values) >= 2
        assert values == sorted(values)
        assert 0 < values[-1] < 120_000


def check_slowest(shop: Shop, rows: Rows) -> None:
    check_times(rows)
    assert by(rows, "pipe_name", "calls") == {
        "top_pages": (7,),
        "totals": (3 + shop.eager,),
        "query_api": (1,),
    }
    assert all(row["bytes_read"] > 0 for row in rows)
    p95 = [row["p95_ms"] for row in rows]
    assert p95 == sorted(p95, reverse=True)


def check_latency(shop: Shop, rows: Rows) -> None:
    check_times(rows)
    assert sum(row["calls"] for row in rows) == 7


def check_errors(shop: Shop, rows: Rows) -> None:
    calls = 3 + shop.eager
    columns = ("calls", "errors", "error_rate", "timed_out", "rate_limited", "of_server")
    assert by(rows, "pipe_name", *columns) == {
        "top_pages": (7, 1, 0.1429, 0, 0, 0),
        "totals": (calls, shop.refused, round(shop.refused / calls, 4), 0, shop.refused, 0),
        "query_api": (1, 0, 0, 0, 0, 0),
    }


def check_top_errors(shop: Shop, rows: Rows) -> None:
    assert [(row["pipe_name"], row["status_code"], row["times"]) for row in rows] == [
        ("totals", 429, shop.refused),
        ("top_pages", 400, 1),
    ]
    assert BAD_LIMIT in rows[1]["error"]
    assert "limit=x" in (rows[1].get("a_url") or rows[1]["last_url"])


def check_failed_call(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert row["url"] == "/v0/pipes/top_pages.json?limit=x&tenant_id=zeta"
    assert (row["status_code"], row["token_name"]) == (400, "shop")
    assert BAD_LIMIT in row["error_message"]


def check_tenants(shop: Shop, rows: Rows) -> None:
    name = "tenant" if "tenant" in rows[0] else "value"
    assert by(rows, name, "calls", "errors") == {"acme": (4, 0), "zeta": (3, 1)}
    assert rows[0]["bytes_read"] == 2 * rows[1]["bytes_read"] > 0


def check_tokens(shop: Shop, rows: Rows) -> None:
    assert by(rows, "token_name", "calls", "endpoints") == {
        "shop": (7, 1),
        "workspace admin token": (4, 2),
        "eager": (shop.eager, 1),
    }
    read = [row["bytes_read"] for row in rows]
    assert read == sorted(read, reverse=True)


def check_ratio(shop: Shop, rows: Rows) -> None:
    calls = 3 + shop.eager - shop.refused
    assert by(rows, "pipe_name", "rows_read", "rows_returned", "read_per_returned") == {
        "top_pages": (18, 6, 3),
        "totals": (3 * calls, calls, 3),
        "query_api": (3, 1, 3),
    }


def check_refused(shop: Shop, rows: Rows) -> None:
    assert {(row["token_name"], row["pipe_name"]) for row in rows} == {("eager", "totals")}
    assert sum(row["refused"] for row in rows) == shop.refused


def check_statements(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert (row["statement"], row["calls"]) == (f"{STATEMENT} FORMAT JSON", 1)
    assert row.get("tokens", [row.get("a_token")]) == ["workspace admin token"]


def check_weeks(shop: Shop, rows: Rows) -> None:
    calls: dict[str, tuple[int, int]] = {}
    for row in rows:  # it may become Monday meanwhile
        before = calls.get(row["pipe_name"], (0, 0))
        calls[row["pipe_name"]] = (before[0] + row["calls"], before[1] + row["errors"])
        assert row["p90_p95_p99_ms"] == sorted(row["p90_p95_p99_ms"])
    assert calls == {
        "top_pages": (7, 1),
        "totals": (3 + shop.eager, shop.refused),
        "query_api": (1, 0),
    }


def check_growth(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert row["datasource_name"] == "visits"
    assert (row.get("rows_now") or row["rows"], row["rows_more"]) == (5, 2)
    assert (row.get("bytes_now") or row["bytes"]) > row["bytes_more"] > 0


def check_operations(shop: Shop, rows: Rows) -> None:
    done = [(row["event_type"], row["result"], row["rows"]) for row in rows]
    assert sorted(done, key=str) == [
        ("append", "error", None),
        ("append", "ok", 2),
        ("append", "ok", 3),
        ("create", "ok", None),
    ]
    assert "line 1" in next(row["error"] for row in rows if row["error"])


def check_freshness(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert (row["datasource_name"], row["rows_came"]) == ("visits", 5)
    assert row["seconds_ago"] >= 0


def check_failed_jobs(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert (row["job_type"], row["status"]) == ("import", "error")
    assert "line 1" in row["error"]


Check = Callable[[Shop, Rows], None]


def check_no_costs(shop: Shop, rows: Rows) -> None:
    """Without the query log, with which tests/e2e/usage/test_query_costs.py asks the same."""
    assert by(rows, "pipe_name", "calls", "cpu_s", "most_memory") == {
        "top_pages": (7, 0, 0),
        "totals": (3 + shop.eager, 0, 0),
        "query_api": (1, 0, 0),
    }


def check_events(shop: Shop, rows: Rows) -> None:
    names = ("taken", "failed", "rate_limited", "rows_taken", "rows_in_quarantine")
    assert [sum(row[name] for row in rows) for name in names] == [2, 1, 0, 0, 0]
    assert all(row["received"].endswith(" B") for row in rows)


CHECKS_OF_QUERIES: dict[str, Check] = {
    "Slowest endpoints": check_slowest,
    "Response times over time": check_latency,
    "Error rate": check_errors,
    "Top errors": check_top_errors,
    "One request": check_failed_call,
    "Usage by tenant": check_tenants,
    "Most expensive tokens": check_tokens,
    "Rows read for each row returned": check_ratio,
    "Who is rate limited": check_refused,
    "Statements of the Query API": check_statements,
    "By day, for as long as you like": check_weeks,
    "Growth of data sources": check_growth,
    "What was done to data sources": check_operations,
    "How fresh the rows are": check_freshness,
    "Jobs that failed": check_failed_jobs,
    "Events by minute": check_events,
    "CPU time and memory": check_no_costs,
}


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_of_the_guide_gives_the_right_numbers(shop: Shop, title: str) -> None:
    for sql in QUERIES[title]:
        sql = re.sub(r"(request_id = )'\w+'", rf"\1'{shop.failed}'", sql)
        CHECKS_OF_QUERIES[title](shop, shop.ask(sql))


def test_all_queries_of_the_guide_are_tested() -> None:
    assert set(QUERIES) == set(CHECKS_OF_QUERIES)


def check_every_error(shop: Shop, rows: Rows) -> None:
    assert len(rows) == 1 + shop.refused
    assert all(row["status_code"] in (400, 429) for row in rows)


def check_day(shop: Shop, rows: Rows) -> None:
    assert sum(row["calls"] for row in rows) == 7
    assert sum(row["errors"] for row in rows) == 1
    for row in rows:
        assert 0 < row["avg_ms"] < 120_000
        assert row["p90_ms"] <= row["p95_ms"] <= row["p99_ms"]


def check_one_append(shop: Shop, rows: Rows) -> None:
    (row,) = rows
    assert (row["event_type"], row["result"]) == ("append", "error")


def check_nothing(shop: Shop, rows: Rows) -> None:
    assert rows == []


CHECKS_OF_ENDPOINTS: list[tuple[str, dict[str, Any], Check]] = [
    ("slowest", {}, check_slowest),
    ("latency", {"pipe": "top_pages"}, check_latency),
    ("latency", {"pipe": "top_pages", "every": "minute", "days": 1}, check_latency),
    ("latency", {"pipe": "top_pages", "every": "day", "days": 1}, check_latency),
    ("errors", {}, check_errors),
    ("top_errors", {}, check_top_errors),
    ("by_parameter", {}, check_tenants),
    ("by_parameter", {"parameter": "no_such_name"}, check_nothing),
    ("by_token", {}, check_tokens),
    ("read_ratio", {}, check_ratio),
    ("rate_limited", {}, check_refused),
    ("by_day", {"pipe": "top_pages"}, check_day),
    ("calls", {"request_id": ""}, check_failed_call),
    ("calls", {"only_errors": 1}, check_every_error),
    ("calls", {"token_name": "shop", "at_least_ms": 1e9}, check_nothing),
    ("queries", {}, check_statements),
    ("storage", {"datasource": "visits"}, check_growth),
    ("operations", {"datasource": "visits"}, check_operations),
    ("operations", {"event_type": "append", "only_errors": 1}, check_one_append),
    ("jobs", {"status": "error", "job_type": "import"}, check_failed_jobs),
]


@pytest.mark.parametrize(("name", "params", "check"), CHECKS_OF_ENDPOINTS)
def test_an_endpoint_of_the_example_gives_the_right_numbers(
    shop: Shop, name: str, params: dict[str, Any], check: Check
) -> None:
    if "request_id" in params:
        params = {"request_id": shop.failed}
    token = shop.find_token("usage_dashboard")
    check(shop, shop.call(f"usage_{name}", token=token, **params))


def test_all_endpoints_of_the_example_are_tested_and_described() -> None:
    names = {Path(path).stem for path in OF_USAGE}
    assert {f"usage_{name}" for name, _, _ in CHECKS_OF_ENDPOINTS} == names
    assert set(re.findall(r"^\| `(usage_\w+)`", README.read_text(), re.MULTILINE)) == names
    assert all("DESCRIPTION >" in text for text in OF_USAGE.values())
