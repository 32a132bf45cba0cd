"""`q` of an endpoint's call: SQL over its result (endpoints.md section 1, `q`)."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet
import pytest

from tests.engine.queries.conftest import (
    OF_TENANT,
    Served,
    check_error,
    check_not_found,
    read_lines,
    reads,
    value_of,
)

SUM = "SELECT sum(hits) AS n FROM _"


@pytest.mark.parametrize("name", ["_", "by_kind", "shop.by_kind", "`_`", "_ AS r"])
@pytest.mark.parametrize("endpoint", ["by_kind", "p_by_kind"])
@pytest.mark.parametrize("token", ["pipes", "admin"])
async def test_underscore_and_the_pipes_name_are_its_result(
    served: Served, token: str, endpoint: str, name: str
) -> None:
    q = f"SELECT kind FROM {name} WHERE hits > 1 ORDER BY hits DESC"
    answer = await served.call(f"{endpoint}.ndjson", q, token)
    assert read_lines(answer) == [{"kind": "click"}, {"kind": "view"}]


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/v0/pipes/by_kind.ndjson", {"params": {"q": SUM}}),
        ("/v0/pipes/by_kind.ndjson", {"data": {"q": SUM}}),
        ("/v0/pipes/by_kind.ndjson", {"json": {"q": SUM}}),
        ("/v0/pipes/by_kind.ndjson", {"params": {"q": "SELECT 1"}, "json": {"q": SUM}}),
        ("/v0/pipes/by_kind.ndjson", {"params": {"q": f"  {SUM} ; "}}),
        ("/v0/pipes/by_kind.ndjson", {"params": {"q": f"% {SUM}"}}),
    ],
)
async def test_q_comes_in_the_query_or_the_body(
    served: Served, path: str, request_: dict[str, Any]
) -> None:
    method = "GET" if request_.keys() == {"params"} else "POST"
    assert read_lines(await served.send(path, method, **request_)) == [{"n": 6}]


@pytest.mark.parametrize("q", ["", None])
async def test_an_empty_q_is_none(served: Served, q: str | None) -> None:
    answer = await served.send("/v0/pipes/by_kind.ndjson", "POST", json={"q": q})
    assert len(read_lines(answer)) == 3
    check_error(await served.call("by_kind.json", "  "), 400, "DB::Exception: Empty query")


@pytest.mark.parametrize(
    ("extension", "content_type", "body"),
    [
        ("csv", "text/csv; charset=UTF-8; header=present", b'"n"\n6\n'),
        ("csvwithnames", "text/csv; charset=UTF-8; header=present", b'"n"\n6\n'),
        ("ndjson", "application/x-ndjson", b'{"n":6}\n'),
    ],
)
@pytest.mark.parametrize("clause", ["", " FORMAT JSON", " FORMAT TSV;", " FORMAT NoSuchFormat"])
async def test_the_extension_is_the_format_and_a_format_clause_loses(
    served: Served, clause: str, extension: str, content_type: str, body: bytes
) -> None:
    answer = await served.call(f"by_kind.{extension}", SUM + clause)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.content) == (content_type, body)


async def test_json_parquet_and_prometheus(served: Served) -> None:
    document = (await served.call("by_kind.json", f"{SUM} FORMAT CSV")).json()
    assert document["meta"] == [{"name": "n", "type": "UInt64"}]
    assert document["data"] == [{"n": 6}]
    assert document["rows"] == 1
    parquet = await served.call("by_kind.parquet", SUM)
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.content)).to_pylist() == [{"n": 6}]
    q = "SELECT kind AS name, hits AS value FROM _ WHERE kind = 'buy'"
    assert (await served.call("by_kind.prometheus", q)).text == "buy 1\n\n"
    check_error(await served.call("by_kind.xml", SUM), 400, "invalid format xml")


async def test_the_csv_header_and_number_switches_act(served: Served) -> None:
    answer = await served.call("by_kind.csv", SUM, __tb__csv_header=0)
    assert answer.text == "6\n"
    answer = await served.call("by_kind.json", SUM, output_format_json_quote_64bit_integers=1)
    assert answer.json()["data"] == [{"n": "6"}]


async def test_paging(served: Served) -> None:
    pages = []
    for offset in range(0, 6, 2):
        q = f"SELECT * FROM _ LIMIT 2 OFFSET {offset}"
        document = (await served.call("by_kind.json", q, "pipes")).json()
        pages.append([row["kind"] for row in document["data"]])
        assert document["rows_before_limit_at_least"] == 3
    assert pages == [["buy", "click"], ["view"], []]


async def test_parameters_act_inside_and_in_a_template(served: Served) -> None:
    q = "SELECT groupArray(id) AS ids, any(tenant) AS t FROM _"
    for sent, expected in (
        ({}, {"ids": [4, 5, 6], "t": "b"}),
        ({"tenant": "a"}, {"ids": [1, 2, 3], "t": "a"}),
        ({"tenant": ["b", "a"], "least": "20"}, {"ids": [2, 3], "t": "a"}),
    ):
        answer = await served.call("of_tenant.ndjson", q, "pipes", **sent)
        assert read_lines(answer) == [expected]
    answer = await served.call(
        "picked.ndjson", "SELECT count() AS n FROM _", "pipes", kinds=["buy", "view"]
    )
    assert read_lines(answer) == [{"n": 3}]
    q = "% SELECT id FROM _ WHERE id < {{Int32(below, 5)}}"
    assert read_lines(await served.call("of_tenant.ndjson", q, "pipes")) == [{"id": 4}]
    answer = await served.call("of_tenant.ndjson", q, "pipes", tenant="a", below=2)
    assert read_lines(answer) == [{"id": 1}]


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({}, 400, "who is missing"),
        ({"who": "x"}, 400, "Required parameter is not defined. Check the parameters who and"),
        ({"who": "x", "times": "z"}, 400, "Error validating 'z' to type Int32"),
    ],
)
async def test_errors_of_the_endpoints_template_are_its_own(
    served: Served, sent: dict[str, str], status: int, error: str
) -> None:
    for token in ("pipes", "admin"):
        answer = await served.call("needs.json", "SELECT * FROM _", token, **sent)
        check_error(answer, status, error)
    answer = await served.call("needs.ndjson", "SELECT times + 1 AS t FROM _", who="x", times=2)
    assert read_lines(answer) == [{"t": 3}]


async def test_what_else_the_token_reads_can_be_joined(served: Served) -> None:
    q = "SELECT name, kind FROM _ AS r JOIN users AS u ON u.id = r.hits ORDER BY name"
    rows = [{"name": "Ann", "kind": "buy"}, {"name": "Bo", "kind": "view"}]
    for token in ("mixed", "admin"):
        assert read_lines(await served.call("by_kind.ndjson", q, token)) == rows
    check_not_found(await served.call("by_kind.json", q, "pipes"), "users")
    q = "SELECT hits, (SELECT count() FROM of_tenant) AS n FROM _ WHERE kind = 'buy'"
    assert read_lines(await served.call("by_kind.ndjson", q, "mixed")) == [{"hits": 1, "n": 3}]


@pytest.mark.parametrize("name", ["events", "vault", "several", "counts", "inner_rows", "nowhere"])
async def test_nothing_but_the_result_is_there_for_who_reads_the_pipe(
    served: Served, name: str
) -> None:
    for endpoint, token in (("by_kind", "pipes"), ("several", "one_pipe")):
        if name == endpoint:
            continue
        for q in (f"SELECT * FROM {name}", f"SELECT 1 FROM _ WHERE 1 IN (SELECT 1 FROM {name})"):
            check_not_found(await served.call(f"{endpoint}.json", q, token), name)


async def test_an_endpoint_that_is_not_the_tokens_is_refused_before_q_is_read(
    served: Served,
) -> None:
    for q in (SUM, "THIS IS NOT SQL"):
        check_error(await served.call("by_kind.json", q, "one_pipe"), 403, "PIPES:READ:by_kind")
        answer = await served.send(f"/v0/pipes/by_kind.json?q={q}", token=None)
        check_error(answer, 403, "invalid authentication token")
        for name in ("draft", "nowhere"):
            answer = await served.call(f"{name}.json", q)
            check_error(answer, 404, f"The pipe '{name}' does not exist")


@pytest.mark.parametrize(
    ("q", "error"),
    [
        ("THIS IS NOT SQL", "DB::Exception: Syntax error"),
        ("SELECT 1; SELECT 2", "DB::Exception: Syntax error (Multi-statements are not allowed)"),
        ("DROP TABLE _", "Only SELECT or DESCRIBE queries are supported. Got: DropQuery"),
        ("SELECT sleep(1) FROM _", "DB::Exception: Usage of function sleep is restricted"),
        ("SELECT foo(hits) FROM _", "DB::Exception: Unknown function foo"),
        ("SELECT * FROM _ SETTINGS max_threads = 9", "Usage of setting 'max_threads'"),
        ("SELECT * FROM url('http://x')", "Usage of table function url is restricted"),
    ],
)
async def test_errors_before_it_runs(served: Served, q: str, error: str) -> None:
    answer = await served.call("by_kind.json", q, "pipes")
    check_error(answer, 400, error, page="/query/query-parameters.html")


async def test_errors_while_it_runs_have_the_engines_code(served: Served) -> None:
    answer = await served.call("by_kind.json", "SELECT nope FROM _", "pipes")
    check_error(answer, 400, "(UNKNOWN_IDENTIFIER)")
    assert answer.headers["x-db-exception-code"] == "47"
    assert answer.json()["error"].startswith("[Error] ")
    for path, token in (("divided.json", "pipes"), ("divided.ndjson", "pipes")):
        hidden = await served.call(path, "SELECT n FROM _", token)
        check_error(hidden, 400, "[Error] The statement failed. (CANNOT_PARSE_TEXT)")
        assert hidden.headers["x-db-exception-code"] == "6"


async def test_fixed_parameters_win(served: Served) -> None:
    q = "SELECT min(tenant) AS t, count() AS n FROM _"
    for resource in ("of_tenant", "p_of_tenant"):
        token = served.sign(reads(resource, tenant="a"))
        for sent in ({}, {"tenant": "b"}, {"tenant": ["b", "b"]}):
            answer = await served.call("of_tenant.ndjson", q, token, **sent)
            assert read_lines(answer) == [{"t": "a", "n": 3}]
    token = served.sign(reads("over_over", tenant="a"))
    answer = await served.call("over_over.ndjson", "SELECT first FROM _", token, tenant="b")
    assert read_lines(answer) == [{"first": "a"}]


async def test_row_filters_act_inside(served: Served) -> None:
    scopes = [{"type": "DATASOURCES:READ", "resource": "events", "filter": OF_TENANT}]
    for token in ("filtered", served.sign([*reads("by_kind"), *scopes])):
        answer = await served.call("by_kind.json", SUM, token)
        assert answer.json()["data"] == [{"n": 3}]
        assert answer.json()["statistics"]["rows_read"] == 0
        q = "SELECT (SELECT sum(hits) FROM _) AS n, count() AS m FROM events"
        assert read_lines(await served.call("by_kind.ndjson", q, token)) == [{"n": 3, "m": 3}]
    assert read_lines(await served.call("by_kind.ndjson", SUM, "pipes")) == [{"n": 6}]


async def test_author_settings_and_secrets_go_along(served: Served) -> None:
    q = "SELECT name FROM _ WHERE id = 3"
    assert read_lines(await served.call("nullable.ndjson", q, "pipes")) == [{"name": None}]
    q = "SELECT id FROM _"
    assert read_lines(await served.call("secretive.ndjson", q, "pipes")) == [{"id": 2}]
    answer = await served.call("secretive.json", "% SELECT {{tb_secret('user_name')}}", "pipes")
    assert answer.status_code == 400
    assert "Bo" not in answer.text


async def test_q_is_bounded_and_its_parameters_are_not(served: Served) -> None:
    padding = "x" * (8192 - len(f"{SUM} -- "))
    body = {"q": f"{SUM} -- {padding}", "unused": "y" * 6000, "more": "z" * 20_000}
    for form in ({"data": body}, {"json": body}):
        answer = await served.send("/v0/pipes/by_kind.ndjson", "POST", token="pipes", **form)
        assert read_lines(answer) == [{"n": 6}]
    longer = {"q": body["q"] + "x"}
    answer = await served.send("/v0/pipes/by_kind.ndjson", "POST", token="pipes", data=longer)
    check_error(answer, 400, "larger than 8,192 bytes (max_sql_bytes)")


async def test_describing_a_result(served: Served) -> None:
    answer = await served.call("by_kind.json", "DESCRIBE _", "pipes")
    columns = [(row["name"], row["type"]) for row in answer.json()["data"]]
    assert columns == [("kind", "String"), ("hits", "UInt64")]


async def test_the_token_may_stand_in_the_body(served: Served) -> None:
    body = {"q": SUM, "token": value_of("pipes")}
    answer = await served.send("/v0/pipes/by_kind.ndjson", "POST", token=None, json=body)
    assert read_lines(answer) == [{"n": 6}]
    assert json.loads(answer.text) == {"n": 6}
