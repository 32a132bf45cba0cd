"""A shop's project with the endpoints of `examples/monitoring` beside its own, and calls of which
all numbers are known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from pipewren.testing.serving import RunningServer, serving, write_files
from pipewren.testing.uploads import upload

MONITORING = Path(__file__).parents[3] / "examples" / "monitoring"
OF_USAGE = {
    f"endpoints/{file.name}": file.read_text() for file in (MONITORING / "endpoints").iterdir()
}
PLAIN = "NODE endpoint\nSQL >\n    {}\nTYPE endpoint\n"
# Author's pipes over service data sources, each in another way.
OVER_USAGE = {
    "endpoints/own_calls.pipe": """
NODE tinted
SQL >
    SELECT pipe_name, parameters['tenant_id'] AS tenant FROM tinybird.pipe_stats_rt
NODE endpoint
SQL >
    %
    SELECT tenant, count() AS calls FROM tinted
    WHERE pipe_name = {{String(pipe, 'top_pages')}} GROUP BY tenant ORDER BY tenant
TYPE endpoint
""",
    "endpoints/over_own_calls.pipe": PLAIN.format("SELECT sum(calls) AS calls FROM own_calls"),
    "endpoints/chosen.pipe": PLAIN.format(
        "%\n    SELECT count() AS n FROM {{table(String(of, 'tinybird.pipe_stats_rt', "
        "enum=['tinybird.pipe_stats_rt', 'tinybird.jobs_log']))}}"
    ),
    "endpoints/with_visits.pipe": PLAIN.format(
        "SELECT page, (SELECT countIf(pipe_name = 'top_pages') FROM tinybird.pipe_stats_rt) AS "
        "calls FROM visits GROUP BY page ORDER BY page"
    ),
}
SHOP = {
    "datasources/visits.datasource": (
        "SCHEMA >\n    `page` String,\n    `hits` UInt32\n"
        'ENGINE "MergeTree"\nENGINE_SORTING_KEY "page"\n'
    ),
    "endpoints/top_pages.pipe": """
TOKEN shop READ
NODE endpoint
SQL >
    %
    SELECT page, sum(hits) AS hits FROM visits GROUP BY page
    ORDER BY hits DESC LIMIT {{UInt16(limit, 1)}}
TYPE endpoint
""",
    "endpoints/totals.pipe": PLAIN.format("SELECT sum(hits) AS hits FROM visits"),
    **OVER_USAGE,
}
FIXTURE = {"fixtures/visits.csv": "/a,3\n/b,5\n/b,1\n"}
STATEMENT = "SELECT max(hits) AS most FROM visits"
BAD_LIMIT = "The parameter limit takes a whole number from 0 to 65535."


@dataclass(slots=True)
class Shop:
    """What was done: by the token `shop` four calls of `top_pages` for acme and three for zeta, of
    which the last failed (its id is `failed`); by the admin three of `totals` and one STATEMENT; by
    the JWT `eager` `eager` calls of `totals`, of which `refused` were 429. Two rows were appended,
    then a file with a mistake. In the workspace `other`, of that token, two calls of `top_pages`
    for acme."""

    server: RunningServer
    other: str = ""
    failed: str = ""
    eager: int = 0
    refused: int = 0

    def ask(self, sql: str, *, token: str = "") -> list[dict[str, Any]]:
        """The rows of a statement of the Query API."""
        answer = self.server.request("/v0/sql", {"q": f"{sql} FORMAT JSON"}, token=token)
        assert answer.status == 200, f"{sql}\n{answer.body!r}"
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def call(self, pipe: str, /, *, token: str = "", **params: Any) -> list[dict[str, Any]]:
        """The rows of an endpoint."""
        answer = self.server.request(f"/v0/pipes/{pipe}.json", params, token=token)
        assert answer.status == 200, f"{pipe}\n{answer.body!r}"
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def wait_for(self, condition: str, source: str, *, token: str = "") -> None:
        """Until an expression over all rows of a service data source is true; seconds."""
        deadline = time.monotonic() + 60
        while not self.ask(f"SELECT {condition} AS done FROM tinybird.{source}", token=token)[0][
            "done"
        ]:
            assert time.monotonic() < deadline, f"{condition}, of {source}"
            time.sleep(0.1)

    def make_jwt(self, name: str, *scopes: dict[str, Any], **claims: Any) -> str:
        _, workspace = self.server.get("/v1/workspace")
        payload = {"workspace_id": workspace["id"], "exp": int(time.time()) + 3600, "name": name}
        return jwt.encode(payload | {"scopes": scopes} | claims, self.server.token, "HS256")

    def find_token(self, name: str) -> str:
        _, listed = self.server.get("/v0/tokens")
        return next(str(one["token"]) for one in listed["tokens"] if one["name"] == name)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    project = write_files(folder / "project", {**SHOP, **OF_USAGE, **FIXTURE})
    environ = {"PIPEWREN_USAGE_STORAGE_SAMPLE_S": "1"}
    with serving(project, folder / "data", environ=environ) as server:
        shop = Shop(server)
        # Before rows are appended, so that growth is seen.
        shop.wait_for("countIf(rows = 3) > 0", "datasources_storage")
        _fill_other(shop)
        _call(shop)
        calls = 7 + 3 + 1 + shop.eager
        shop.wait_for(f"count() = {calls}", "pipe_stats_rt")
        shop.wait_for("count() = 4", "datasources_ops_log")
        shop.wait_for("countIf(status IN ('done', 'error')) = 2", "jobs_log")
        shop.wait_for("countIf(rows = 5) > 0", "datasources_storage")
        shop.wait_for("count() = 2", "pipe_stats_rt", token=shop.other)
        yield shop


def _call(shop: Shop) -> None:
    server, token = shop.server, shop.find_token("shop")
    for tenant, params in 4 * [("acme", {})] + 2 * [("zeta", {})] + [("zeta", {"limit": "x"})]:
        params = {**params, "tenant_id": tenant}
        answer = server.request("/v0/pipes/top_pages.json", params, token=token)
        assert answer.status == (400 if "limit" in params else 200)
    shop.failed = answer.headers["x-request-id"]
    for _ in range(3):
        shop.call("totals")
    assert shop.ask(STATEMENT) == [{"most": 5}]
    scope = {"type": "PIPES:READ", "resource": "totals"}
    eager = shop.make_jwt("eager", scope, limits={"rps": 1})
    while shop.refused < 2:
        status = server.request("/v0/pipes/totals.json", token=eager).status
        assert status in (200, 429)
        shop.eager += 1
        shop.refused += status == 429
    path = "/v1/datasources/visits/append?format=csv"
    for body in (b"/c,1\n/d,1\n", b"/c,x\n"):
        assert server.request(path, method="POST", body=body).status == 200


def _fill_other(shop: Shop) -> None:
    """A workspace with the same project."""
    server = shop.server
    user = server.request("/tokens", token=None).json()["user_token"]
    made = server.request(
        "/v1/workspaces", {"name": "other"}, method="POST", token=user, body=b""
    ).json()
    shop.other = made["token"]
    files = {**SHOP, "endpoints/usage_slowest.pipe": OF_USAGE["endpoints/usage_slowest.pipe"]}
    deployed = upload(
        server, "/v1/deploy", files, {"auto_promote": "true"}, token=shop.other
    ).json()
    assert deployed["result"] == "success", deployed
    for _ in range(2):
        shop.call("top_pages", token=shop.other, tenant_id="acme")
