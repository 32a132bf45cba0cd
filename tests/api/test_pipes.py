"""The Pipes API, reading: shapes, rights and the table of routes (pipes-api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipewren import __version__
from pipewren.errors import DOCS
from pipewren.serve.routes import ROUTES
from pipewren.testing.engine import ScriptedEngine
from tests.api.conftest import WORKSPACE, fill_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN, READER, OTHER = "admin token value", "reader token value", "other token value"
FILTERED = "filtered token value"
PIPE_KEYS = (
    *("id", "name", "description", "type", "endpoint", "parent", "path", "content", "url"),
    *("workspace_id", "edited_by", "last_commit", "created_at", "updated_at", "nodes"),
)
NODE_KEYS = (
    *("id", "name", "sql", "description", "node_type", "params", "dependencies", "materialized"),
    *("cluster", "tags", "version", "project", "result", "ignore_sql_errors"),
    *("deployment_suffix", "created_at", "updated_at"),
)
LIST_KEYS = {
    *("id", "name", "description", "endpoint", "created_at", "updated_at", "parent", "type"),
    *("nodes", "url"),
}
NAMES = ["needs", "objects", "top", "unpublished"]


async def read(api: Api, path: str, *, token: str | None = ADMIN) -> Any:
    answer = await api.call(path, token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def listed(api: Api, query: str = "", *, token: str = ADMIN) -> list[dict[str, Any]]:
    body = await read(api, f"/v0/pipes{query}", token=token)
    assert body.keys() == {"pipes"}
    return list(body["pipes"])


async def test_a_pipe_is_described_with_its_nodes(api: Api) -> None:
    pipe = await read(api, "/v0/pipes/top")
    assert tuple(pipe) == PIPE_KEYS
    (node,) = pipe["nodes"]
    assert tuple(node) == NODE_KEYS
    assert pipe["endpoint"] == node["id"] != pipe["id"]
    assert pipe["url"] == "http://localhost/v0/pipes/top.json"
    assert (pipe["type"], node["node_type"]) == ("endpoint", "endpoint")
    assert pipe["path"] == "endpoints/top.pipe"
    assert pipe["content"].startswith("\nNODE endpoint\nSQL >\n    %\n    SELECT page")
    assert node["sql"].startswith("%\n")
    assert node["dependencies"] == ["visits"]
    assert pipe["workspace_id"] == "00000000-0000-0000-0000-000000000001"
    assert pipe["updated_at"] == "2026-01-31 12:34:56.123456"
    assert node["params"] == [
        {
            "name": "pages",
            "type": "Array(String)",
            "default": "a,b",
            "description": None,
            "required": False,
        },
        {
            "name": "without",
            "type": "String",
            "default": "none",
            "description": None,
            "required": False,
        },
        {
            "name": "limit",
            "type": "Int32",
            "default": 10,
            "description": None,
            "required": False,
        },
    ]


async def test_a_pipe_that_is_no_endpoint_has_no_url(api: Api) -> None:
    pipe = await read(api, "/v0/pipes/unpublished")
    assert (pipe["type"], pipe["endpoint"], pipe["url"]) == ("default", None, None)
    assert pipe["nodes"][0]["node_type"] == "standard"
    assert pipe["nodes"][0]["sql"] == "SELECT 1"


async def test_a_pipe_is_found_by_its_id_too(api: Api) -> None:
    pipe = await read(api, "/v0/pipes/top")
    assert await read(api, f"/v0/pipes/{pipe['id']}") == pipe
    for base in ("/v0", "/v1"):
        answer = await api.call(f"{base}/pipes/{pipe['id']}.pipe", token=ADMIN)
        assert answer.text == pipe["content"]


async def test_the_base_of_urls_is_the_host_that_the_caller_named(api: Api) -> None:
    named = await api.call("/v0/pipes/top", headers={"Host": "api.example.org:8443"})
    assert named.json()["url"] == "http://api.example.org:8443/v0/pipes/top.json"
    forged = await api.call("/v0/pipes/top", headers={"Host": 'x"><script>'})
    assert "script" not in forged.json()["url"]


@pytest.mark.parametrize("path", ["/v0/pipes/top.pipe", "/v1/pipes/top.pipe"])
async def test_a_datafile_is_plain_text_without_a_charset(api: Api, path: str) -> None:
    answer = await api.call(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain"
    assert answer.text == (await read(api, "/v0/pipes/top"))["content"]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_list_has_the_pipes_that_the_token_reads(api: Api, slash: str) -> None:
    assert [pipe["name"] for pipe in await listed(api, slash)] == NAMES
    assert [pipe["name"] for pipe in await listed(api, slash, token=READER)] == ["top"]
    assert await listed(api, slash, token=OTHER) == []
    assert await listed(api, slash, token=FILTERED) == []


@pytest.mark.parametrize(
    ("query", "keys", "node_keys"),
    [
        ("", LIST_KEYS, set(NODE_KEYS)),
        ("?attrs=&node_attrs=", set(PIPE_KEYS), set(NODE_KEYS)),
        ("?attrs=id,name", {"id", "name", "url"}, None),
        ("?attrs=id,name&node_attrs=", {"id", "name", "url"}, None),
        ("?attrs=name,nodes", {"name", "url", "nodes"}, set(NODE_KEYS)),
        ("?attrs=name,nodes&node_attrs=", {"name", "url"}, None),
        ("?node_attrs=", LIST_KEYS - {"nodes"}, None),
        ("?node_attrs=id,%20name", LIST_KEYS, {"id", "name"}),
        ("?attrs=name,nonsense&node_attrs=nonsense", {"name", "url", "nodes"}, set()),
        (
            "?dependencies=false&attrs=name,updated_at,endpoint,url&node_attrs=name",
            {"name", "updated_at", "endpoint", "url", "nodes"},
            {"name"},
        ),
        (
            "?attrs=id,name,description,type,endpoint&__tb__client=x",
            {"id", "name", "description", "type", "endpoint", "url"},
            None,
        ),
        ("?dependencies=false", LIST_KEYS, set(NODE_KEYS) - {"dependencies"}),
    ],
)
async def test_attrs_choose_the_keys_of_a_list(
    api: Api, query: str, keys: set[str], node_keys: set[str] | None
) -> None:
    for pipe in await listed(api, query):
        assert pipe.keys() == keys
        for node in pipe.get("nodes", ()):
            assert node.keys() == node_keys


@pytest.mark.parametrize(
    "path",
    [
        "/v0/pipes/top",
        "/v0/pipes/top.pipe",
        "/v1/pipes/top.pipe",
        "/v0/pipes/top/explain",
        "/examples/query.http?pipe=top",
    ],
)
async def test_what_a_token_may_not_read_is_403(api: Api, path: str) -> None:
    for token in (None, "wrong", OTHER, FILTERED):
        answer = await api.call(path, token=token)
        assert answer.status_code == 403
        assert "SELECT" not in answer.text
    assert api.engine.statements == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v0/pipes/nothing", "Pipe 'nothing' not found"),
        ("/v0/pipes/nothing.pipe", "Pipe 'nothing' not found"),
        ("/v0/pipes/nothing/explain", "Pipe 'nothing' not found"),
        ("/v0/pipes/top/nodes/nothing/explain", "Node 'nothing' not found in pipe 'top'"),
        ("/examples/query.http?pipe=nothing", "The pipe 'nothing' does not exist"),
        ("/examples/query.http?pipe=unpublished", "The pipe 'unpublished' does not exist"),
        ("/v0/pipes/top/nodes/endpoint/nothing", "There is no route"),
        ("/v1/pipes/top", "There is no route"),
        ("/docs/NOTICE", "There is no route"),
        ("/docs/..%2findex.html", "There is no route"),
    ],
)
async def test_what_is_not_there_is_404(api: Api, path: str, text: str) -> None:
    answer = await api.call(path, token=ADMIN)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith(text)


WRITES = [
    ("POST", "/v0/pipes?name=new&sql=SELECT+1"),
    ("PUT", "/v0/pipes/top?name=other"),
    ("DELETE", "/v0/pipes/top"),
    ("POST", "/v0/pipes/top/nodes"),
    ("POST", "/v0/pipes/top/append"),
    ("PUT", "/v0/pipes/top/endpoint"),
    ("PUT", "/v0/pipes/top/nodes/endpoint"),
    ("DELETE", "/v0/pipes/top/nodes/endpoint"),
    ("POST", "/v0/pipes/top/nodes/endpoint/endpoint"),
    ("DELETE", "/v0/pipes/top/nodes/endpoint/endpoint"),
    ("POST", "/v0/pipes/top/nodes/endpoint/copy"),
    ("DELETE", "/v0/pipes/top/nodes/endpoint/sink"),
    ("DELETE", "/v0/pipes/top/nodes/endpoint/materialization"),
]


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_a_write_to_a_pipe_is_refused_since_files_are_the_source_of_truth(
    api: Api, method: str, path: str
) -> None:
    refused = await api.call(path, method, token=ADMIN)
    assert refused.status_code == 403
    assert refused.json() == {
        "error": "Adding or modifying pipes to this workspace can only be done via deployments",
        "documentation": f"{DOCS}/api-reference/pipe-api.html",
    }
    unknown = await api.call(path, method, token=None)
    assert unknown.status_code == 403
    assert unknown.json()["error"].startswith("invalid authentication token")


# `/tokens` refuses what a browser's page asks beforehand (test_local_tokens.py).
@pytest.mark.parametrize("pattern", [one.pattern for one in ROUTES if one.pattern != "/tokens"])
async def test_every_route_says_what_it_allows(api: Api, pattern: str) -> None:
    path = fill_path(pattern, pipe="top", node="endpoint", token="t")
    answer = await api.call(path, "PATCH", token=ADMIN)
    assert answer.status_code == 405
    allowed = answer.headers["allow"].split(", ")
    assert isinstance(answer.json()["error"], str)
    preflight = await api.call(path, "OPTIONS", token=None)
    assert (preflight.status_code, preflight.content) == (204, b"")
    for method in ("GET", "POST", "PUT", "DELETE"):
        known = (await api.call(path, method, token=None)).status_code != 405
        # POST of openapi.json is a call of an endpoint of that name.
        assert known is (method in allowed) or (path.endswith("openapi.json") and method == "POST")
    assert ("HEAD" in allowed) is ("GET" in allowed)


async def test_a_head_is_the_length_of_a_get_without_its_body(api: Api) -> None:
    got = await api.call("/v0/pipes/top")
    head = await api.call("/v0/pipes/top", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_browsers_of_other_sites_may_read_endpoints_but_nothing_that_holds_a_token(
    api: Api,
) -> None:
    for path in ("/v0/pipes/top.json", "/v0/pipes/openapi.json", "/v0/pipes/nothing.json"):
        answer = await api.call(path)
        assert answer.headers["access-control-allow-origin"] == "*"
        preflight = await api.call(path, "OPTIONS", token=None)
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
    for path in ("/examples/query.http?pipe=top", "/docs", "/version"):
        for method in ("GET", "OPTIONS"):
            answer = await api.call(path, method)
            assert answer.status_code < 300
            assert not any(name.startswith("access-control") for name in answer.headers)


async def test_an_example_url_has_example_values_and_the_token(api: Api) -> None:
    answer = await api.call(f"/examples/query.http?format=csv&pipe=top&q=&token={READER}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == (
        "http://localhost/v0/pipes/top.csv?pages=a%2Cb&without=none&limit=10"
        "&token=reader+token+value"
    )
    # A parameter without a default gets a value of its type where the call needs one.
    api.server.staged[WORKSPACE.id] = api.server.deployments[WORKSPACE.id]
    answer = await api.call(
        "/examples/query.http?pipe=needs&q=SELECT+1&__tb__deployment=staging", token=ADMIN
    )
    assert answer.text == (
        "http://localhost/v0/pipes/needs.json?n=0&q=SELECT+1"
        "&token=admin+token+value&__tb__deployment=staging"
    )


@pytest.mark.parametrize("query", ["", "?pipe=", "?pipe=top&format=xml"])
async def test_an_example_of_nothing_is_a_bad_request(api: Api, query: str) -> None:
    answer = await api.call(f"/examples/query.http{query}")
    assert answer.status_code == 400


async def test_the_version_is_text_and_asks_for_no_token(api: Api) -> None:
    answer = await api.call("/version", token=None)
    assert (answer.status_code, answer.text) == (200, __version__)
    assert answer.headers["content-type"] == "text/plain"


async def test_explain_is_a_statement_of_the_engine_under_the_limits_of_a_call(
    make_api: MakeApi,
) -> None:
    plan = b"ReadFromMergeTree (w_00000000000000000000000000000001.visits__12)\n"
    api = await make_api(ScriptedEngine({"EXPLAIN": plan}))
    answer = await api.call("/v0/pipes/top/explain?pages=x&pages=y&limit=1&limit=3&from=cli")
    assert answer.status_code == 200
    statement, as_json = api.engine.statements
    body = answer.json()
    assert body == {
        "debug_query": str(statement.sql).removeprefix("EXPLAIN indexes = 1\n"),
        "query_explain": "ReadFromMergeTree (visits)\n",
        "hints": [],
    }
    assert as_json.limits == statement.limits
    assert "page IN ['x','y']" in body["debug_query"]
    assert "LIMIT toInt32('3')" in body["debug_query"]
    assert statement.limits.max_execution_time_s == 10


async def test_a_token_that_narrows_is_told_why_it_cannot_explain(make_api: MakeApi) -> None:
    api = await make_api(ScriptedEngine({"EXPLAIN": b"ReadFromMergeTree"}))
    answer = await api.call("/v0/pipes/top/explain", token="filtered token value")
    assert answer.status_code == 403
    assert "a plan tells of rows that these hide" in answer.json()["error"]
    assert api.engine.statements == []
