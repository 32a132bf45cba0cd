"""Who reads usage, and whose: rows of the caller's workspace, through endpoints or with a token
that reads everything (service-data-sources.md section 1), whatever stands around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipewren.testing.uploads import upload
from tests.e2e.usage.conftest import OVER_USAGE, PLAIN, SHOP, Shop

OWN_CALLS = [{"tenant": "acme", "calls": 4}, {"tenant": "zeta", "calls": 3}]
SOURCES = ["pipe_stats_rt", "pipe_stats", "datasources_ops_log", "jobs_log", "hfi_requests"]
COUNT = "SELECT count() AS n FROM tinybird.pipe_stats_rt"


def reads(pipe: str, **more: Any) -> dict[str, Any]:
    return {"type": "PIPES:READ", "resource": pipe, **more}


def number_of_calls(shop: Shop) -> int:
    return 11 + shop.eager


def test_an_endpoint_over_usage_is_for_whoever_may_call_it(shop: Shop) -> None:
    token = shop.find_token("usage_dashboard")
    names = {row["pipe_name"] for row in shop.call("usage_slowest", token=token)}
    assert names == {"top_pages", "totals", "query_api"}
    rows = shop.call("usage_slowest", token=token, q="SELECT pipe_name, calls FROM _ LIMIT 1 BY 1")
    assert len(rows) == 1
    by_sql = "SELECT sum(calls) AS calls FROM usage_slowest"
    assert shop.ask(by_sql, token=token) == [{"calls": number_of_calls(shop)}]
    refused = shop.server.request("/v0/pipes/own_calls.json", token=token)
    assert refused.status == 403


@pytest.mark.parametrize("source", SOURCES)
def test_by_statements_usage_is_for_who_reads_everything(shop: Shop, source: str) -> None:
    shop.ask(f"SELECT count() FROM tinybird.{source}")
    some = [
        shop.find_token("usage_dashboard"),
        shop.make_jwt("page", reads("usage_slowest")),
        shop.make_jwt("rows", {"type": "DATASOURCES:READ", "resource": "visits"}),
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
            answer = shop.server.request("/v0/sql", {"q": sql}, token=token)
            assert answer.status == 403, f"{sql}: {answer.body!r}"
            assert f"Resource 'tinybird.{source}' not found" in answer.json()["error"]


def test_all_workspaces_usage_is_nobodys(shop: Shop) -> None:
    answer = shop.server.request("/v0/sql", {"q": "SELECT count() FROM organization.pipe_stats_rt"})
    assert answer.status == 403
    answer = shop.server.request(
        "/v0/sql", {"q": "SELECT count() FROM `organization.pipe_stats_rt`"}
    )
    assert answer.status == 403
    text = PLAIN.format("SELECT count() AS n FROM organization.pipe_stats_rt")
    answer = upload(shop.server, "/v1/deploy", {"endpoints/all.pipe": text}, {"check": "true"})
    assert answer.json()["result"] == "failed"
    assert "organization.pipe_stats_rt" in str(answer.json()["errors"])


def test_rows_are_those_of_the_tokens_workspace(shop: Shop) -> None:
    """By statement, by endpoint, by pipe of a pipe, by `table()`; both ways."""
    number = number_of_calls(shop)
    for token, calls, of_top in (("", number, 7), (shop.other, 2, 2)):
        assert shop.ask(COUNT, token=token) == [{"n": calls}]
        assert shop.ask("SELECT n FROM chosen", token=token) == [{"n": calls}]
        assert shop.call("chosen", token=token) == [{"n": calls}]
        assert shop.call("over_own_calls", token=token) == [{"calls": of_top}]
        rows = shop.call("usage_slowest", token=token)
        assert sum(row["calls"] for row in rows) == calls
    for source in ("datasources_ops_log", "datasources_storage", "endpoint_errors", "jobs_log"):
        ids = "groupUniqArray(pipe_id)" if source == "endpoint_errors" else "uniq(datasource_id)"
        assert shop.ask(f"SELECT {ids} AS ids FROM tinybird.{source}", token=shop.other)
    ask = "SELECT uniqExact(datasource_id) AS n FROM tinybird.datasources_ops_log"
    assert shop.ask(ask) == shop.ask(ask, token=shop.other) == [{"n": 1}]
    assert shop.ask("SELECT count() AS n FROM tinybird.jobs_log WHERE job_type = 'import'") == [
        {"n": 2}
    ]
    assert shop.ask("SELECT count() AS n FROM tinybird.endpoint_errors", token=shop.other) == [
        {"n": 0}
    ]
    imports = "SELECT count() AS n FROM tinybird.jobs_log WHERE job_type = 'import'"
    assert shop.ask(imports, token=shop.other) == [{"n": 0}]


@pytest.mark.parametrize(
    "params",
    [
        {"pipewren__workspace": "x"},
        {"param_pipewren__workspace": "x"},
        {"workspace_id": "x"},
        {"pipe": "top_pages' OR 1 = 1 --"},
    ],
)
def test_no_parameter_chooses_another_workspace(shop: Shop, params: dict[str, str]) -> None:
    _, workspace = shop.server.get("/v1/workspace")
    sent = {name: value.replace("x", workspace["id"]) for name, value in params.items()}
    rows = shop.call("own_calls", token=shop.other, **sent)
    assert rows == ([] if "pipe" in params else [{"tenant": "acme", "calls": 2}])


def test_a_jwt_calls_an_endpoint_over_usage_with_what_it_fixes(shop: Shop) -> None:
    assert shop.call("own_calls", token=shop.make_jwt("page", reads("own_calls"))) == OWN_CALLS
    scope = reads("own_calls", fixed_params={"pipe": "totals"})
    fixed = shop.make_jwt("totals only", scope)
    calls = 3 + shop.eager
    for params in ({}, {"pipe": "top_pages"}):
        rows = shop.call("own_calls", token=fixed, **params)
        assert rows == [{"tenant": "", "calls": calls}]
    rows = shop.ask("SELECT * FROM own_calls", token=fixed)
    assert rows == [{"tenant": "", "calls": calls}]


def test_row_filters_act_beside_usage(shop: Shop) -> None:
    """A filter is on what it names. What the endpoint reads of usage is whole."""
    scope = {"type": "DATASOURCES:READ", "resource": "visits", "filter": "page = '/a'"}
    token = shop.make_jwt("narrow", reads("with_visits"), reads("own_calls"), scope)
    assert shop.call("with_visits", token=token) == [{"page": "/a", "calls": 7}]
    assert shop.call("own_calls", token=token) == OWN_CALLS
    assert shop.ask("SELECT * FROM with_visits", token=token) == [{"page": "/a", "calls": 7}]
    over = shop.call("with_visits", token=token, q="SELECT count() AS n FROM _")
    assert over == [{"n": 1}]
    assert len(shop.call("with_visits")) == 4


def test_a_materialised_view_over_usage_is_refused(shop: Shop) -> None:
    files = {
        **SHOP,
        "datasources/copied.datasource": (
            'SCHEMA >\n    `n` UInt64\nENGINE "MergeTree"\nENGINE_SORTING_KEY "n"\n'
        ),
        "materializations/keep.pipe": (
            "NODE counted\nSQL >\n    SELECT count() AS n FROM tinybird.pipe_stats_rt\n"
            "TYPE materialized\nDATASOURCE copied\n"
        ),
    }
    answer = upload(shop.server, "/v1/deploy", files, {"check": "true"}).json()
    assert answer["result"] == "failed"
    assert "a materialised view cannot read service data sources" in str(answer["errors"])
    through = {
        **files,
        "materializations/keep.pipe": files["materializations/keep.pipe"].replace(
            "count() AS n FROM tinybird.pipe_stats_rt", "n FROM chosen"
        ),
    }
    answer = upload(shop.server, "/v1/deploy", through, {"check": "true"}).json()
    assert answer["result"] == "failed"


def test_table_chooses_among_those_that_the_template_names(shop: Shop) -> None:
    assert shop.call("chosen", of="tinybird.jobs_log") == shop.ask(
        "SELECT count() AS n FROM tinybird.jobs_log"
    )
    for name in ("tinybird.datasources_ops_log", "w_usage.requests", "organization.jobs_log"):
        answer = shop.server.request("/v0/pipes/chosen.json", {"of": name})
        assert answer.status == 400, answer.body


def test_calls_that_read_usage_leave_no_record(shop: Shop) -> None:
    before = shop.ask(COUNT)
    for pipe in (*(name.split("/")[1][:-5] for name in OVER_USAGE), "usage_calls"):
        shop.call(pipe)
        shop.call(pipe, q="SELECT count() AS n FROM _")
        shop.ask(f"SELECT count() FROM {pipe}")
    answer = shop.server.request("/v0/sql", {"q": "SELECT nothing FROM tinybird.pipe_stats"})
    assert answer.status == 400
    # What is recorded is written in order: when this one is there, those before it would be.
    marked = shop.call("top_pages", token=shop.other, mark="last")
    assert marked
    shop.wait_for("countIf(mapContains(parameters, 'mark')) = 1", "pipe_stats_rt", token=shop.other)
    assert shop.ask(COUNT) == before


@pytest.mark.parametrize("pipe", ["own_calls", "over_own_calls"])
@pytest.mark.parametrize(
    "around",
    [
        "WITH `tinybird.pipe_stats_rt` AS (SELECT 'top_pages' AS pipe_name, map('tenant_id', 'x') "
        "AS parameters) SELECT * FROM {}",
        "WITH requests AS (SELECT 'top_pages' AS pipe_name) SELECT * FROM {}",
        "WITH tinted AS (SELECT 'top_pages' AS pipe_name, 'x' AS tenant) SELECT * FROM {}",
        "WITH `w_usage.requests` AS (SELECT 1 AS n) SELECT * FROM {}",
        "SELECT * FROM {} AS `tinybird.pipe_stats_rt`",
        "SELECT * FROM {} AS tinybird",
        "WITH 'x' AS pipe_name SELECT * FROM {}",
        "WITH 'x' AS workspace_id, map('tenant_id', 'x') AS parameters SELECT * FROM {}",
        "WITH pipewren__workspace AS (SELECT 'x') SELECT * FROM {}",
        "SELECT * FROM (WITH `tinybird.pipe_stats_rt` AS (SELECT 1 AS n) SELECT * FROM "
        "(SELECT * FROM {}))",
        "WITH RECURSIVE `tinybird.pipe_stats_rt` AS (SELECT 'top_pages' AS pipe_name, "
        "map('tenant_id', 'x') AS parameters) SELECT * FROM {}",
    ],
)
def test_nothing_around_a_pipe_changes_the_usage_that_it_reads(
    shop: Shop, around: str, pipe: str
) -> None:
    expected = OWN_CALLS if pipe == "own_calls" else [{"calls": 7}]
    token = shop.find_token("usage_dashboard")  # cannot read it, and may not by this
    for sent in (around.format(pipe), around.format(f"({around.format(pipe)})")):
        answer = shop.server.request("/v0/sql", {"q": f"{sent} FORMAT JSON"})
        if answer.status == 200:
            assert sorted(answer.json()["data"], key=json.dumps) == sorted(
                expected, key=json.dumps
            ), sent
        else:
            assert answer.status in (400, 403), answer.body
        assert shop.server.request("/v0/sql", {"q": sent}, token=token).status in (400, 403)


def test_most_names_around_a_pipe_are_taken(shop: Shop) -> None:
    """So that the test above compares rows."""
    for sql in (
        "WITH requests AS (SELECT 'top_pages' AS pipe_name) SELECT * FROM own_calls",
        "WITH 'x' AS pipe_name SELECT * FROM own_calls",
        "SELECT * FROM own_calls AS tinybird",
    ):
        assert shop.ask(sql) == OWN_CALLS


def test_a_cte_with_a_service_data_sources_name_is_the_callers_own(shop: Shop) -> None:
    """Also for who may read the real one, and where another workspace's rows would be there."""
    sql = "WITH `tinybird.pipe_stats_rt` AS (SELECT 42 AS n) SELECT n FROM {}"
    own = shop.find_token("usage_dashboard")
    for token in ("", own, shop.other):
        for name in ("`tinybird.pipe_stats_rt`", "tinybird.pipe_stats_rt"):
            answer = shop.server.request(
                "/v0/sql", {"q": f"{sql.format(name)} FORMAT JSON"}, token=token
            )
            if answer.status == 200:
                assert answer.json()["data"] == [{"n": 42}]
            else:
                assert answer.status in (400, 403), answer.body
    for token, number in (("", number_of_calls(shop)), (shop.other, 2)):
        beside = f"WITH `tinybird.jobs_log` AS (SELECT 42 AS n) {COUNT}"
        expected = shop.ask(COUNT, token=token)
        assert shop.ask(beside, token=token) == expected
        assert expected[0]["n"] >= number
