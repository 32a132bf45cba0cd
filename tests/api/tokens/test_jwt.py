"""JWTs over HTTP: how they are made, where they are taken, and how fixed parameters win."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
import pytest_asyncio

from pipewren.access.startup import ADMIN_TOKEN
from pipewren.errors import BadRequest, Forbidden
from pipewren.serve.routes import ROUTES
from tests.api.conftest import WORKSPACE, Api, fill_path
from tests.api.tokens.conftest import Tokens

READ = {"type": "PIPES:READ", "resource": "top"}
FIXED = {**READ, "fixed_params": {"without": "FIXED"}}
SOON = {"expiration_time": str(int(time.time()) + 3600)}


@pytest_asyncio.fixture(loop_scope="session")
async def jwt_api(make_api: Callable[..., Awaitable[Api]]) -> tuple[Api, Tokens]:
    api = await make_api()
    return api, Tokens(api.server)


async def make_jwt(tokens: Tokens, *scopes: dict[str, Any], **claims: Any) -> str:
    answer = await tokens.ask(
        "POST", "/", {"name": "acme", **SOON}, {"scopes": list(scopes), **claims}, content_type=b""
    )
    return str(answer["token"])


async def test_a_made_jwt_has_its_claims_and_opens_the_endpoint(
    jwt_api: tuple[Api, Tokens],
) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, READ)
    key = tokens.value(ADMIN_TOKEN)
    assert jwt.decode(token, key, algorithms=["HS256"]) == {
        "workspace_id": WORKSPACE.uuid,
        "name": "acme",
        "exp": int(SOON["expiration_time"]),
        "scopes": [READ],
    }
    assert (await api.call("/v0/pipes/top.json", token=token)).status_code == 200
    assert (await api.call(f"/v0/pipes/top.json?token={token}", token=None)).status_code == 200
    body = {"token": token}
    assert (await api.call("/v0/pipes/top.json", "POST", token=None, json=body)).status_code == 200
    refused = await api.call("/v0/pipes/needs.json?n=1", token=token)
    assert (refused.status_code, "PIPES:READ:needs" in refused.text) == (403, True)


async def test_the_sdks_body_with_name_and_limits_makes_a_jwt(jwt_api: tuple[Api, Tokens]) -> None:
    _, tokens = jwt_api
    body = {"name": "sdk", "scopes": [READ], "limits": {"rps": 10}}
    answer = await tokens.ask("POST", "/", SOON, body)
    claims = jwt.decode(answer["token"], options={"verify_signature": False})
    assert (claims["name"], claims["limits"]) == ("sdk", {"rps": 10})
    assert answer.keys() == {"token"}


@pytest.mark.parametrize(
    "sent",
    [
        {"params": {"without": "CALLER"}},
        {"params": {"without": ["CALLER", "CALLER"]}},
        {"params": {"WITHOUT": "CALLER", "Without": "CALLER"}},
        {"params": {"without": "CALLER"}, "method": "POST", "json": {"without": "CALLER"}},
        {"method": "POST", "json": {"without": ["CALLER"]}},
        {"method": "POST", "json": {"without": {"CALLER": 1}}},
        {"method": "POST", "json": {"without": 1}},
        {"method": "POST", "data": {"without": ["CALLER", "CALLER"]}},
        {"params": {"without": ""}},
        {"params": "without=CALLER&%77ithout=CALLER&token=x"},
        {},
    ],
)
async def test_a_fixed_parameter_wins_silently_however_the_caller_sends_it(
    jwt_api: tuple[Api, Tokens], sent: dict[str, Any]
) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, FIXED)
    response = await api.call("/v0/pipes/top.json", token=token, **sent)
    assert response.status_code == 200
    sql = api.engine.statements[-1].sql
    assert "page != 'FIXED'" in sql
    assert "CALLER" not in sql


async def test_other_parameters_stay_the_callers(jwt_api: tuple[Api, Tokens]) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, {**READ, "fixed_params": {"pages": "x,y"}})
    await api.call("/v0/pipes/top.json?limit=3&pages=z", token=token)
    sql = api.engine.statements[-1].sql
    assert "page IN ['x','y']" in sql
    assert "LIMIT toInt32('3')" in sql
    assert "'z'" not in sql


async def test_a_rate_limit_is_applied_and_told(jwt_api: tuple[Api, Tokens]) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, READ, limits={"rps": 2})
    told = []
    for _ in range(3):
        response = await api.call("/v0/pipes/top.json", token=token)
        told.append((response.status_code, response.headers["x-ratelimit-remaining"]))
    assert told == [(200, "1"), (200, "0"), (429, "0")]
    assert "limit of 2 requests per second" in response.json()["error"]
    assert len(api.engine.statements) == 2


PATHS = [
    (method, fill_path(route.pattern, pipe="top", node="endpoint", token="nobody"))
    for route in ROUTES
    for method in route.methods
    if route.pattern not in ("/version", "/docs", "/docs/{file}", "/tokens", "/v0/sql", "/metrics")
    and method != "HEAD"
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_jwt_is_taken_by_no_other_route(
    jwt_api: tuple[Api, Tokens], method: str, path: str
) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, FIXED)
    response = await api.call(path, method, token=token)
    assert response.status_code == 403
    assert "A JWT is not valid" in response.json()["error"]
    assert not api.engine.statements


async def test_a_refreshed_admin_token_voids_every_jwt_at_once(jwt_api: tuple[Api, Tokens]) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, READ)
    assert (await api.call("/v0/pipes/top.json", token=token)).status_code == 200
    await tokens.ask("POST", f"/{ADMIN_TOKEN}/refresh")
    response = await api.call("/v0/pipes/top.json", token=token)
    assert response.status_code == 403
    assert response.json()["error"].startswith("invalid authentication token")
    assert (await api.call("/v0/pipes/top.json", token=await make_jwt(tokens, READ))).is_success


async def test_a_deleted_admin_token_voids_every_jwt_and_makes_no_more(
    jwt_api: tuple[Api, Tokens],
) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, READ)
    await tokens.ask("DELETE", f"/{ADMIN_TOKEN}")
    assert (await api.call("/v0/pipes/top.json", token=token)).status_code == 403
    error = await tokens.refused(
        "POST", "/", {"name": "n", **SOON}, {"scopes": [READ]}, token=tokens.value("manager")
    )
    assert "no workspace admin token" in error.message


@pytest.mark.parametrize(
    ("query", "body", "text"),
    [
        ({"expiration_time": "1"}, {}, "in the past"),
        ({"expiration_time": ""}, {}, "whole number of seconds"),
        ({"expiration_time": "soon"}, {}, "whole number of seconds"),
        ({"expiration_time": "1e12"}, {}, "whole number of seconds"),
        ({"expiration_time": "-5"}, {}, "whole number of seconds"),
        ({"expiration_time": "1790000000000"}, {}, "whole number of seconds"),
        ({}, {"expiration_time": True}, "whole number of seconds"),
        ({}, {"expiration_time": 9999999999.5}, "whole number of seconds"),
        (SOON, {"scopes": ...}, "scopes must be a list"),
        (SOON, {"scopes": []}, "at least one scope"),
        (SOON, {"scopes": [{"type": "ADMIN"}]}, "must be PIPES:READ or DATASOURCES:READ"),
        (SOON, {"scopes": [{**READ, "filter": "a"}]}, "'filter' is unknown"),
        (SOON, {"scopes": [{**READ, "fixed_params": {"a": [1]}}]}, "a text, a number or a boolean"),
        (SOON, {"scopes": ["PIPES:READ:top"]}, "must be an object"),
        (SOON, {"scope": "PIPES:READ:top"}, "send them as scopes"),
        (SOON, {"limits": {"rps": "10"}}, "limits.rps must be a whole number"),
        (SOON, {"limits": 10}, "limits must be an object"),
        (SOON, {"name": 5}, "must be a text"),
        (SOON, {"name": None}, "name is missing"),
        (
            SOON,
            {"scopes": [{**READ, "fixed_params": {"a": "x" * 4000, "b": "y" * 3000}}]},
            "larger",
        ),
    ],
)
async def test_a_jwt_that_would_be_refused_is_not_made(
    jwt_api: tuple[Api, Tokens], query: dict[str, str], body: dict[str, Any], text: str
) -> None:
    _, tokens = jwt_api
    sent = {"name": "n", "scopes": [READ], **body}
    sent = {key: value for key, value in sent.items() if value is not ...}
    error = await tokens.refused("POST", "/", query, sent)
    assert isinstance(error, BadRequest)
    assert text in error.message


async def test_making_a_jwt_warns_of_what_it_names_in_vain(jwt_api: tuple[Api, Tokens]) -> None:
    _, tokens = jwt_api
    scopes = [
        {**READ, "fixed_params": {"tenant": "a", "limit": 5}},
        {"type": "PIPES:READ", "resource": "nowhere"},
        {"type": "DATASOURCES:READ", "resource": "lost", "filter": "a = 1"},
        {"type": "DATASOURCES:READ", "resource": "visits"},
    ]
    answer = await tokens.ask("POST", "/", {"name": "n", **SOON}, {"scopes": scopes})
    assert answer["warnings"] == [
        "The pipe 'top' never reads the fixed parameter 'tenant': it has no effect",
        "There is no data source 'lost': the scope gives nothing",
        "There is no pipe 'nowhere': the scope gives nothing",
    ]


async def test_the_first_use_of_a_jwt_made_elsewhere_logs_what_it_names_in_vain(
    jwt_api: tuple[Api, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    api, tokens = jwt_api
    claims = {
        "workspace_id": WORKSPACE.uuid,
        "name": "acme",
        "exp": int(SOON["expiration_time"]),
        "scopes": [{**READ, "fixed_params": {"tenant": "SECRET"}}],
    }
    token = jwt.encode(claims, tokens.value(ADMIN_TOKEN), algorithm="HS256")
    caplog.set_level(logging.WARNING, "pipewren.serve")
    for _ in range(3):
        assert (await api.call("/v0/pipes/top.json", token=token)).status_code == 200
    told = [record.getMessage() for record in caplog.records if record.name == "pipewren.serve"]
    assert told == [
        "JWT 'acme': The pipe 'top' never reads the fixed parameter 'tenant': it has no effect"
    ]
    assert "SECRET" not in caplog.text


async def test_a_denied_call_is_in_the_audit_log_by_the_jwts_name(
    jwt_api: tuple[Api, Tokens], caplog: pytest.LogCaptureFixture
) -> None:
    api, tokens = jwt_api
    token = await make_jwt(tokens, READ)
    caplog.set_level(logging.WARNING, "pipewren.audit")
    await api.call("/v0/pipes/needs.json?n=1", token=token)
    (line,) = [json.loads(record.getMessage()) for record in caplog.records]
    assert (line["audit"], line["allowed"], line["token"], line["kind"], line["target"]) == (
        *("endpoint.call", False, "acme", "jwt", "needs"),
    )
    assert not re.search(r"ey\w{10}", caplog.text)


async def test_a_jwt_manages_no_tokens(jwt_api: tuple[Api, Tokens]) -> None:
    _, tokens = jwt_api
    token = await make_jwt(tokens, READ)
    for request in (
        ("GET", ""),
        ("GET", "/acme"),
        ("POST", "", {"name": "n"}),
        ("DELETE", "/nobody"),
    ):
        assert isinstance(await tokens.refused(*request, token=token), Forbidden)
