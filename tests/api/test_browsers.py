"""HEAD, OPTIONS and CORS, route by route (client-compat.md section 1, rule 12)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx2
import pytest

from pipewren.errors import TooManyRequests
from pipewren.serve.routes import ROUTES, Route
from pipewren.testing.engine import ScriptedEngine

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN, READER = "admin token value", "reader token value"
CALL = "/v0/pipes/top.json"
ORIGIN = {"Origin": "https://shop.example"}
PREFLIGHT = {
    **ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
NAMES = {"{pipe}": "top", "{node}": "endpoint", "{file}": "page.js"}


def path_of(route: Route) -> str:
    path = route.pattern
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return path


def is_for_browsers(path: str) -> bool:
    return path.startswith(("/v0/pipes/", "/v0/sql", "/v0/events"))


def cors(answer: httpx2.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("extension", ["json", "csv", "ndjson", "parquet", "prometheus"])
async def test_a_preflight_of_an_endpoint_asks_for_no_token_and_allows_what_clients_send(
    api: Api, extension: str, method: str
) -> None:
    headers = {**PREFLIGHT, "Access-Control-Request-Method": method}
    path = f"/v0/pipes/top.{extension}"
    answer = await api.call(path, "OPTIONS", token=None, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-methods"].split(", ")
    assert {"GET", "POST"} <= set(allowed)
    assert not {"PUT", "DELETE", "PATCH"} & set(allowed)
    sent = answer.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type"} <= set(sent)
    assert api.engine.statements == []


async def test_a_preflight_does_not_tell_which_endpoints_there_are(api: Api) -> None:
    known = await api.call(CALL, "OPTIONS", token=None, headers=PREFLIGHT)
    unknown = await api.call("/v0/pipes/nothing.json", "OPTIONS", token=None, headers=PREFLIGHT)
    ignored = {"x-request-id"}
    assert unknown.status_code == known.status_code
    assert {k: v for k, v in unknown.headers.items() if k not in ignored} == {
        k: v for k, v in known.headers.items() if k not in ignored
    }


async def test_an_answer_may_be_read_by_any_origin_but_never_with_its_cookies(api: Api) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = await api.call(CALL, method, headers=ORIGIN)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"X-DB-Exception-Code", "X-Request-Id", "Retry-After"} <= set(exposed)


@pytest.mark.parametrize(
    ("path", "method", "token", "status"),
    [
        (f"{CALL}?limit=x", "GET", READER, 400),
        ("/v0/sql", "GET", READER, 400),
        (f"{CALL}?a=%ff", "GET", READER, 400),
        (CALL, "GET", None, 403),
        (CALL, "GET", "wrong", 403),
        ("/v0/pipes/nothing.json", "GET", READER, 404),
        (CALL, "DELETE", READER, 405),
    ],
)
async def test_errors_of_an_endpoint_may_be_read_by_browsers_too(
    api: Api, path: str, method: str, token: str | None, status: int
) -> None:
    answer = await api.call(path, method, token=token, headers=ORIGIN)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_browser_can_read_when_to_try_again(make_api: MakeApi) -> None:
    busy = TooManyRequests("Too many requests", retry_after_s=7)
    api = await make_api(ScriptedEngine({"SELECT": busy}))
    answer = await api.call(CALL, headers=ORIGIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "route", [one for one in ROUTES if one.pattern != "/tokens"], ids=lambda route: route.pattern
)
async def test_each_route_tells_its_methods_without_a_token(api: Api, route: Route) -> None:
    path = path_of(route)
    answer = await api.call(path, "OPTIONS", token=None, headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(answer.headers["allow"].split(", ")) == {*route.methods, "OPTIONS"}
    assert bool(cors(answer)) is is_for_browsers(path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.pattern)
async def test_only_endpoints_sql_and_events_are_for_scripts_of_other_sites(
    api: Api, route: Route
) -> None:
    path = path_of(route)
    for method in sorted({*route.methods, "PATCH"}):
        for token in (ADMIN, None):
            answer = await api.call(path, method, token=token, headers=ORIGIN)
            assert bool(cors(answer)) is is_for_browsers(path)


@pytest.mark.parametrize("path", ["/v0/health", "/version", "/nothing", "/tokens", "/v0/tokens"])
async def test_other_routes_are_not_for_scripts_of_other_sites(api: Api, path: str) -> None:
    assert cors(await api.call(path, token=ADMIN, headers=ORIGIN)) == set()


READABLE = [path_of(route) for route in ROUTES if "GET" in route.methods]


@pytest.mark.parametrize("path", [CALL, *filter(is_for_browsers, READABLE)])
async def test_nothing_that_scripts_of_other_sites_may_read_hands_out_a_token(
    api: Api, path: str
) -> None:
    answer = await api.call(path, token=ADMIN)
    assert all(token not in answer.text for token in (ADMIN, READER))


async def test_what_repeats_a_token_is_not_for_scripts_of_other_sites(api: Api) -> None:
    answer = await api.call("/examples/query.http?pipe=top", headers=ORIGIN)
    assert READER.replace(" ", "+") in answer.text
    assert cors(answer) == set()
    assert answer.headers["cache-control"] == "no-store"


HEADS = [CALL, "/v0/pipes/top.csv", "/v0/health", "/v0/pipes/nothing.json", f"{CALL}?limit=x"]
HEADS += [path for path in READABLE if not path.endswith("/explain")]


@pytest.mark.parametrize("path", HEADS)
async def test_head_answers_as_get_does_without_a_body(api: Api, path: str) -> None:
    get = await api.call(path, token=ADMIN)
    head = await api.call(path, "HEAD", token=ADMIN)
    assert head.content == b""
    assert head.status_code == get.status_code
    assert "content-length" in head.headers
    varying = {"x-request-id", "date"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


async def test_head_of_an_endpoint_asks_for_the_token_too(api: Api) -> None:
    assert (await api.call(CALL, "HEAD", token=None)).status_code == 403
    assert api.engine.statements == []
