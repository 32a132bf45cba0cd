"""Who reads usage, and whose: rows of the caller's workspace, through endpoints or with a token
that reads everything (service-data-sources.md section 1), whatever stands around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.usage.conftest import OVER_USAGE, PLAIN, SHOP, Neighbours, make_workspace

OWN_CALLS = [{"tenant": "acme", "calls": 4}, {"tenant": "zeta", "calls": 3}]
SOURCES = ["pipe_stats_rt", "pipe_stats", "datasources_ops_log", "jobs_log", "hfi_requests"]
COUNT = "SELECT countIf(pipe_name = 'top_pages') AS n FROM tinybird.pipe_stats_rt"


def reads(pipe: str, **more: Any) -> dict[str, Any]:
    return {"type": "PIPES:READ", "resource": pipe, **more}


def test_an_endpoint_over_usage_is_for_whoever_may_call_it(neighbours: Neighbours) -> None:
    mine = neighbours.mine
    token = mine.find_token("usage_dashboard")
    top = {"pipe": "top_pages"}
    (row,) = mine.call("usage_slowest", token=token, **top)
    assert (row["pipe_name"], row["calls"]) == ("top_pages", 7)
    over = "SELECT pipe_name, calls FROM _ WHERE pipe_name = 'top_pages'"
    expected = [{"pipe_name": "top_pages", "calls": 7}]
    assert mine.call("usage_slowest", token=token, q=over) == expected
    by_sql = "SELECT pipe_name, calls FROM usage_slowest WHERE pipe_name = 'top_pages'"
    assert mine.ask(by_sql, token=token) == expected
    refused = mine.server.request("/v0/pipes/own_calls.json", token=token)
    assert refused.status == 403


@pytest.mark.parametrize("source", SOURCES)
def test_by_statements_usage_is_for_who_reads_everything(
    neighbours: Neighbours, source: str
) -> None:
    mine = neighbours.mine
    mine.ask(f"SELECT count() FROM tinybird.{source}")
    some = [
        mine.find_token("usage_dashboard"),
        mine.make_jwt("page", reads("usage_slowest")),
        mine.make_jwt("rows", {"type": "DATASOURCES:READ", "resource": "visits"}),
    ]
    for token in some:
        for sql in (
            f"SELECT count() FROM tinybird.{source}",
            f"SELECT count() FROM `tinybird.{source}`",
            f"SELECT count() FROM `tinybird`.`{source}`",
            f"DESCRIBE tinybird.{source}",
            f"SELECT 1 IN (SELECT 1 FROM tinybird.{source})",
            f"SELECT * FROM (SELECT count() FROM tinybird.{source})",
        ):
            status, text = mine.refuse(sql, token=token)
            assert status == 403, sql
            assert f"Resource 'tinybird.{source}' not found" in text


def test_all_workspaces_usage_is_no_workspaces(neighbours: Neighbours) -> None:
    for name in ("organization.pipe_stats_rt", "`organization.pipe_stats_rt`"):
        status, text = neighbours.mine.refuse(f"SELECT count() FROM {name}")
        assert status == 403
        assert "Resource 'organization.pipe_stats_rt' not found" in text
    text = PLAIN.format("SELECT count() AS n FROM organization.pipe_stats_rt")
    answer = neighbours.mine.deploy({**SHOP, "endpoints/whole.pipe": text}, check="true")
    assert answer["result"] == "failed"
    assert "organization.pipe_stats_rt" in str(answer["errors"])


def test_rows_are_those_of_the_tokens_workspace(neighbours: Neighbours) -> None:
    """By statement, by endpoint, by pipe of a pipe, by `table()`; both ways."""
    for workspace, calls in ((neighbours.mine, 7), (neighbours.other, 2)):
        assert workspace.ask(COUNT) == [{"n": calls}]
        assert workspace.ask("SELECT n FROM chosen") == [{"n": calls}]
        assert workspace.call("chosen") == [{"n": calls}]
        assert workspace.call("over_own_calls") == [{"calls": calls}]
        (row,) = workspace.call("usage_slowest", pipe="top_pages")
        assert row["calls"] == calls
        ids = "SELECT DISTINCT datasource_id FROM tinybird.datasources_ops_log"
        listed = workspace.server.request("/v0/datasources", token=workspace.token).json()
        assert [row["datasource_id"] for row in workspace.ask(ids)] == [
            one["id"] for one in listed["datasources"]
        ]
    imports = "SELECT count() AS n FROM tinybird.jobs_log WHERE job_type = 'import'"
    assert neighbours.mine.ask(imports) == [{"n": 1}]
    assert neighbours.other.ask(imports) == [{"n": 0}]


@pytest.mark.parametrize(
    "params",
    [
        {"pipewren__workspace": "x"},
        {"param_pipewren__workspace": "x"},
        {"workspace_id": "x"},
        {"pipe": "top_pages' OR 1 = 1 --"},
    ],
)
def test_no_parameter_chooses_another_workspace(
    neighbours: Neighbours, params: dict[str, str]
) -> None:
    mine, other = neighbours.mine, neighbours.other
    workspace = mine.server.request("/v1/workspace", token=mine.token).json()
    sent = {name: value.replace("x", workspace["id"]) for name, value in params.items()}
    rows = other.call("own_calls", **sent)
    assert rows == ([] if "pipe" in params else [{"tenant": "acme", "calls": 2}])


def test_a_jwt_calls_an_endpoint_over_usage_with_what_it_fixes(neighbours: Neighbours) -> None:
    mine = neighbours.mine
    token = mine.make_jwt("page", reads("own_calls"))
    assert mine.call("own_calls", token=token) == OWN_CALLS
    assert mine.call("own_calls", token=token, pipe="nothing") == []
    fixed = mine.make_jwt("one", reads("own_calls", fixed_params={"pipe": "top_pages"}))
    assert mine.call("own_calls", token=fixed, pipe="nothing") == OWN_CALLS
    assert mine.ask("SELECT * FROM own_calls", token=fixed) == OWN_CALLS


def test_row_filters_act_beside_usage(neighbours: Neighbours) -> None:
    """A filter is on what it names. What the endpoint reads of usage is whole."""
    mine = neighbours.mine
    scope = {"type": "DATASOURCES:READ", "resource": "visits", "filter": "page = '/a'"}
    token = mine.make_jwt("narrow", reads("with_visits"), reads("own_calls"), scope)
    assert mine.call("with_visits", token=token) == [{"page": "/a", "calls": 7}]
    assert mine.call("own_calls", token=token) == OWN_CALLS
    assert mine.ask("SELECT * FROM with_visits", token=token) == [{"page": "/a", "calls": 7}]
    over = mine.call("with_visits", token=token, q="SELECT count() AS n FROM _")
    assert over == [{"n": 1}]
    assert len(mine.call("with_visits")) == 4


def test_a_filter_on_an_endpoints_own_rows_acts(neighbours: Neighbours) -> None:
    mine = neighbours.mine
    made = mine.server.request(
        "/v0/tokens",
        {"name": "one tenant", "scope": "PIPES:READ:own_calls:tenant = 'zeta'"},
        method="POST",
        body=b"",
        token=mine.token,
    )
    assert made.status == 200, made.body
    token = made.json()["token"]
    rows = [{"tenant": "zeta", "calls": 3}]
    assert mine.call("own_calls", token=token) == rows
    assert mine.ask("SELECT * FROM own_calls", token=token) == rows


@pytest.mark.parametrize("read", ["tinybird.pipe_stats_rt", "chosen"])
def test_a_materialised_view_over_usage_is_refused(neighbours: Neighbours, read: str) -> None:
    files = {
        **SHOP,
        "endpoints/chosen.pipe": OVER_USAGE["endpoints/chosen.pipe"],
        "datasources/copied.datasource": (
            'SCHEMA >\n    `n` UInt64\nENGINE "MergeTree"\nENGINE_SORTING_KEY "n"\n'
        ),
        "materializations/keep.pipe": (
            f"NODE counted\nSQL >\n    SELECT count() AS n FROM {read}\n"
            "TYPE materialized\nDATASOURCE copied\n"
        ),
    }
    answer = neighbours.mine.deploy(files, check="true")
    assert answer["result"] == "failed"
    assert "a materialised view cannot read service data sources" in str(answer["errors"])


def test_table_chooses_among_those_that_the_template_names(neighbours: Neighbours) -> None:
    mine = neighbours.mine
    assert mine.call("chosen", of="tinybird.endpoint_errors") == [{"n": 1}]
    for name in ("tinybird.datasources_ops_log", "w_usage.requests", "organization.jobs_log"):
        answer = mine.server.request("/v0/pipes/chosen.json", {"of": name}, token=mine.token)
        assert answer.status == 400, answer.body


def test_calls_that_read_usage_leave_no_record(neighbours: Neighbours) -> None:
    mine = make_workspace(neighbours.mine.server, "unrecorded")
    marked = {"endpoints/marked.pipe": PLAIN.format("SELECT 1 AS n")}
    deployed = mine.deploy({**SHOP, **OVER_USAGE, **marked}, auto_promote="true")
    assert deployed["result"] == "success", deployed
    for path in OVER_USAGE:
        pipe = Path(path).stem
        mine.call(pipe)
        mine.call(pipe, q="SELECT count() AS n FROM _")
        mine.ask(f"SELECT count() FROM {pipe}")
    mine.ask("SELECT count() FROM tinybird.pipe_stats_rt")
    mine.refuse("SELECT nothing FROM tinybird.pipe_stats")
    mine.call("marked")
    # Rows are written in order: those of the calls before it would be there.
    mine.wait_for("countIf(pipe_name = 'marked') = 1", "pipe_stats_rt")
    assert mine.ask("SELECT pipe_name FROM tinybird.pipe_stats_rt") == [{"pipe_name": "marked"}]


IMPOSTOR = "SELECT 'top_pages' AS pipe_name, map('tenant_id', 'x') AS parameters"


@pytest.mark.parametrize("pipe", ["own_calls", "over_own_calls"])
@pytest.mark.parametrize(
    "around",
    [
        "WITH requests AS (SELECT 'top_pages' AS pipe_name) SELECT * FROM {}",
        "WITH tinted AS (SELECT 'top_pages' AS pipe_name, 'x' AS tenant) SELECT * FROM {}",
        "WITH 'x' AS pipe_name SELECT * FROM {}",
        "WITH 'x' AS workspace_id, map('tenant_id', 'x') AS parameters SELECT * FROM {}",
        "WITH pipewren__workspace AS (SELECT 'x') SELECT * FROM {}",
        f"WITH `tinybird.pipe_stats_rt` AS ({IMPOSTOR}) SELECT * FROM {{}}",
        f"WITH RECURSIVE `tinybird.pipe_stats_rt` AS ({IMPOSTOR}) SELECT * FROM {{}}",
        f"SELECT * FROM (WITH `tinybird.pipe_stats_rt` AS ({IMPOSTOR}) SELECT * FROM "
        "(SELECT * FROM {}))",
        "SELECT * FROM {} AS `tinybird.pipe_stats_rt`",
        "SELECT * FROM {} AS tinybird",
    ],
)
def test_nothing_around_a_pipe_changes_the_usage_that_it_reads(
    neighbours: Neighbours, around: str, pipe: str
) -> None:
    mine = neighbours.mine
    expected = OWN_CALLS if pipe == "own_calls" else [{"calls": 7}]
    for sql in (around.format(pipe), around.format(f"({around.format(pipe)})")):
        assert mine.ask(sql) == expected, sql
        # Nor does it open the pipe.
        status, text = mine.refuse(sql, token=mine.find_token("usage_dashboard"))
        assert (status, f"Resource '{pipe}' not found" in text) == (403, True), sql


@pytest.mark.parametrize(
    "sql",
    [
        "WITH `w_usage.requests` AS (SELECT 1 AS n) SELECT * FROM {}",
        "SELECT * FROM (WITH `w_usage.requests` AS (SELECT 1 AS n) SELECT * FROM {})",
        "SELECT * FROM {} AS `w_usage.requests`",
        "WITH (1, 2)::Tuple(requests UInt8, n UInt8) AS w_usage SELECT * FROM {}",
        "SELECT * FROM {} AS w_usage",
        "SELECT 1 AS `w_usage.requests` FROM {}",
    ],
)
def test_no_name_around_a_pipe_may_be_that_of_the_tables_behind_usage(
    neighbours: Neighbours, sql: str
) -> None:
    """The engine would read a CTE of that name inside the pipe, too."""
    mine = neighbours.mine
    for token in (mine.token, mine.make_jwt("page", reads("own_calls"))):
        _, text = mine.refuse(sql.format("own_calls"), token=token)
        assert "is kept for the server" in text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM own_calls, w_usage.requests",
        "SELECT * FROM own_calls, `w_usage.requests`",
        "SELECT 1 IN (SELECT 1 FROM w_usage.requests) FROM own_calls",
        "SELECT 1 IN w_usage.requests FROM own_calls",
        "SELECT 1 IN `w_usage.requests` FROM own_calls",
        "SELECT * FROM own_calls, merge('w_usage', '.*')",
        "SELECT * FROM own_calls, view(SELECT * FROM w_usage.requests)",
    ],
)
def test_beside_a_pipe_the_tables_behind_usage_are_not_there(
    neighbours: Neighbours, sql: str
) -> None:
    mine = neighbours.mine
    mine.refuse(sql)
    mine.refuse(sql, token=mine.make_jwt("page", reads("own_calls")))


def test_a_cte_with_a_service_data_sources_name_is_the_callers_own(neighbours: Neighbours) -> None:
    """For who may read the real one, and for who may not."""
    mine = neighbours.mine
    for token in (mine.token, mine.find_token("usage_dashboard"), neighbours.other.token):
        for name in ("`tinybird.pipe_stats_rt`", "tinybird.pipe_stats_rt"):
            sql = f"WITH `tinybird.pipe_stats_rt` AS (SELECT 42 AS n) SELECT n FROM {name}"
            assert mine.ask(sql, token=token) == [{"n": 42}]
    beside = f"WITH `tinybird.jobs_log` AS (SELECT 42 AS n) {COUNT}"
    assert mine.ask(beside) == [{"n": 7}]
