"""The Pipes API of a live server, where the engine has a say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipewren.testing.serving import RunningServer, serving

FILES = {
    "datasources/visits.datasource": "SCHEMA >\n    `page` String,\n    `at` DateTime64(3)\n",
    "fixtures/visits.csv": "page,at\n/a,2024-05-06 01:02:03.004\n",
    "endpoints/by_page.pipe": """
NODE recent
SQL >
    SELECT page, at FROM visits ORDER BY at DESC LIMIT 10

NODE endpoint
SQL >
    %
    SELECT page, count() AS hits, max(at) AS last_at, quantile(0.5)(length(page)) AS middle
    FROM recent WHERE page = {{String(page)}} GROUP BY page SETTINGS max_threads = 1
TYPE endpoint
""",
    "endpoints/bracketed.pipe": """
NODE endpoint
SQL >
    (SELECT page FROM visits) UNION ALL (SELECT 'x')
TYPE endpoint
""",
    "endpoints/chosen.pipe": """
NODE endpoint
SQL >
    %
    SELECT {{columns(fields, 'page')}} FROM visits
TYPE endpoint
""",
    "endpoints/openapi.pipe": "NODE endpoint\nSQL >\n    SELECT 1 AS one\nTYPE endpoint\n",
    "pipes/nested.pipe": "NODE last\nSQL >\n    SELECT page FROM visits\n",
    "datasources/hits.datasource": """
SCHEMA >
    `tenant` LowCardinality(String),
    `at` DateTime,
    `user` UInt32
ENGINE_SORTING_KEY "tenant, at"
""",
    "fixtures/hits.csv": "tenant,at,user\n"
    + "".join(f"t{n % 50},{1_700_000_000 + n},{n % 977}\n" for n in range(120_000)),
    "pipes/hits_of.pipe": """
NODE by_user
SQL >
    %
    SELECT count() AS hits FROM hits WHERE user = {{UInt32(user, 5)}}

NODE by_tenant
SQL >
    %
    SELECT count() AS hits FROM hits WHERE tenant = {{String(tenant, 't3')}}

NODE by_time
SQL >
    SELECT max(at) AS last FROM hits WHERE at > '2023-11-14 22:13:21' GROUP BY user

NODE by_function
SQL >
    SELECT count() AS hits FROM hits WHERE upper(tenant) != 'T3'

NODE by_nothing
SQL >
    SELECT user, count() AS hits FROM hits GROUP BY user HAVING hits > 3

NODE by_joined
SQL >
    SELECT count() AS hits FROM hits
    JOIN (SELECT user FROM hits WHERE tenant = 't3') AS some USING user
    WHERE hits.user > 3 AND hits.tenant != 't9'
""",
}
ENDPOINTS = ["bracketed", "by_page", "chosen", "openapi"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with serving(folder, tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.mark.parametrize(
    "path",
    ["by_page/explain", "by_page/nodes/endpoint/explain", "bracketed/explain", "nested/explain"],
)
def test_explain_gives_the_statement_and_a_plan_without_physical_names(
    server: RunningServer, path: str
) -> None:
    status, body = server.get(f"/v0/pipes/{path}", page="/a'b")
    assert status == 200
    assert body.keys() == {"debug_query", "query_explain", "hints"}
    assert body["hints"] == []
    assert "SELECT page" in body["debug_query"]
    assert "ReadFromMergeTree (visits)" in body["query_explain"]
    assert not re.search(r"\bw_[0-9a-f]{6}|visits__", str(body))
    if path.startswith("by_page"):
        assert r"page = '/a\'b'" in body["debug_query"]


@pytest.mark.parametrize(
    ("node", "what", "advice"),
    [
        ("by_user", "The filter is on user, and the sorting key is tenant, at", "filter by tenant"),
        ("by_time", "in which at comes behind tenant", "filter by tenant too, or put at first"),
        ("by_function", "cannot go by the condition on tenant", "compare tenant itself"),
        ("by_joined", "the condition on tenant keeps most rows", "begins with user"),
    ],
)
def test_a_filter_that_misses_the_sorting_key_is_hinted_at(
    server: RunningServer, node: str, what: str, advice: str
) -> None:
    status, body = server.get(f"/v0/pipes/hits_of/nodes/{node}/explain")
    assert status == 200
    (hint,) = body["hints"]
    assert re.match(r"'hits' is read nearly whole: \S+(?: of \d+)? granules, about 1\d\d,\d", hint)
    assert what in hint
    assert advice in hint


@pytest.mark.parametrize("node", ["by_tenant", "by_nothing"])
def test_there_is_no_hint_without_a_filter_or_with_one_that_the_index_goes_by(
    server: RunningServer, node: str
) -> None:
    status, body = server.get(f"/v0/pipes/hits_of/nodes/{node}/explain")
    assert (status, body["hints"]) == (200, [])
    assert "PrimaryKey" in body["query_explain"]


def test_explain_without_a_required_parameter_is_the_callers_mistake(
    server: RunningServer,
) -> None:
    status, body = server.get("/v0/pipes/by_page/explain")
    assert status == 400
    assert "page" in body["error"]


def test_response_schemas_are_what_the_engine_described(server: RunningServer) -> None:
    _, document = server.get("/v0/pipes/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    rows = {}
    for name in ENDPOINTS:
        operation = document["paths"][f"/pipes/{name}.{{format}}"]["get"]
        content = operation["responses"]["200"]["content"]
        rows[name] = content["application/json"]["schema"]["properties"]["data"]["items"]
    text = {"type": "string"}
    assert rows["by_page"]["required"] == ["page", "hits", "last_at", "middle"]
    assert rows["by_page"]["properties"] == {
        "page": text,
        "hits": {"type": "integer", "minimum": 0},
        "last_at": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}$"},
        "middle": {
            "type": ["number", "null"],
            "description": "null stands for NaN and infinities",
        },
    }
    assert rows["bracketed"] == {
        "type": "object",
        "properties": {"page": text},
        "required": ["page"],
    }
    # The caller chooses the columns, so none is sure to be there.
    assert rows["chosen"] == {"type": "object", "properties": {"page": text}}


def test_an_endpoint_called_openapi_is_told_from_the_description(server: RunningServer) -> None:
    _, document = server.get("/v0/pipes/openapi.json")
    formats = document["paths"]["/pipes/openapi.{format}"]["get"]["parameters"][0]["schema"]
    assert "json" not in formats["enum"]
    posted = server.request("/v0/pipes/openapi.json", method="POST", body=b"")
    assert posted.json()["data"] == [{"one": 1}]
    assert server.request("/v0/pipes/openapi.csv").body == b'"one"\n1\n'
    _, pipe = server.get("/v0/pipes/openapi")
    assert server.get(f"/v0/pipes/{pipe['id']}.json")[1]["data"] == [{"one": 1}]


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_the_example_url_of_every_endpoint_works(
    server: RunningServer, name: str, format: str
) -> None:
    query = {"pipe": name, "format": format, "q": "", "token": server.token}
    answer = server.request("/examples/query.http", query, token=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
    url = urlsplit(answer.body.decode())
    assert f"{url.scheme}://{url.netloc}" == server.base_url
    assert server.request(f"{url.path}?{url.query}", token=None).status == 200


def test_ids_and_creation_times_outlive_a_restart(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("again")
    seen = []
    for _ in range(2):
        with serving(server.project_dir, data_dir) as running:
            _, listed = running.get("/v0/pipes", attrs="", node_attrs="")
        for pipe in listed["pipes"]:
            del pipe["url"]  # the port is another one
        seen.append(listed["pipes"])
    assert seen[0] == seen[1]
    assert [pipe["name"] for pipe in seen[0]] == [*ENDPOINTS, "hits_of", "nested"]
    ids = [pipe["id"] for pipe in seen[0]] + [
        node["id"] for pipe in seen[0] for node in pipe["nodes"]
    ]
    assert len(ids) == len(set(ids)) == 18
    assert all(re.fullmatch(r"t_[0-9a-f]{32}", one) for one in ids)
    assert all(re.fullmatch(r"[\d-]{10} [\d:]{8}\.\d{6}", pipe["created_at"]) for pipe in seen[0])
