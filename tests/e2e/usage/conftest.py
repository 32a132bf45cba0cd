"""Workspaces of one server with calls of which all numbers are known: a shop that has the endpoints
of `examples/monitoring` beside its own, and two for tests of rights, whose refused calls count
nowhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
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
        "%\n    SELECT countIf(pipe_name = 'top_pages') AS n FROM "
        "{{table(String(of, 'tinybird.pipe_stats_rt', "
        "enum=['tinybird.pipe_stats_rt', 'tinybird.endpoint_errors']))}}"
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
}
FIXTURE = {"fixtures/visits.csv": "/a,3\n/b,5\n/b,1\n"}
STATEMENT = "SELECT max(hits) AS most FROM visits"
BAD_LIMIT = "The parameter limit takes a whole number from 0 to 65535."


@dataclass(slots=True)
class Workspace:
    """Asks with its admin token where no other is given."""

    server: RunningServer
    token: str

    def ask(self, sql: str, *, token: str = "") -> list[dict[str, Any]]:
        """The rows of a statement of the Query API."""
        params = {"q": f"{sql} FORMAT JSON"}
        answer = self.server.request("/v0/sql", params, token=token or self.token)
        assert answer.status == 200, f"{sql}\n{answer.body!r}"
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def call(self, pipe: str, /, *, token: str = "", **params: Any) -> list[dict[str, Any]]:
        """The rows of an endpoint."""
        path = f"/v0/pipes/{pipe}.json"
        answer = self.server.request(path, params, token=token or self.token)
        assert answer.status == 200, f"{pipe}\n{answer.body!r}"
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows

    def refuse(self, sql: str, *, token: str = "") -> tuple[int, str]:
        """Status and text of a statement that fails."""
        answer = self.server.request("/v0/sql", {"q": sql}, token=token or self.token)
        assert answer.status in (400, 403), f"{sql}\n{answer.body!r}"
        return answer.status, str(answer.json()["error"])

    def wait_for(self, condition: str, source: str) -> None:
        """Until an expression over all rows of a service data source is true: seconds."""
        deadline = time.monotonic() + 60
        sql = f"SELECT {condition} AS done FROM tinybird.{source}"
        while not self.ask(sql)[0]["done"]:
            assert time.monotonic() < deadline, f"{condition}, of {source}"
            time.sleep(0.1)

    def deploy(self, files: Mapping[str, str], **params: str) -> dict[str, Any]:
        """What the server says of it."""
        answer = upload(self.server, "/v1/deploy", files, params, token=self.token)
        described: dict[str, Any] = answer.json()
        return described

    def append(self, rows: str) -> None:
        path = "/v1/datasources/visits/append?format=csv"
        answer = self.server.request(path, method="POST", body=rows.encode(), token=self.token)
        assert answer.status == 200, answer.body

    def make_jwt(self, name: str, *scopes: dict[str, Any], **claims: Any) -> str:
        workspace = self.server.request("/v1/workspace", token=self.token).json()
        payload = {"workspace_id": workspace["id"], "exp": int(time.time()) + 3600, "name": name}
        return jwt.encode(payload | {"scopes": scopes} | claims, self.token, "HS256")

    def find_token(self, name: str) -> str:
        listed = self.server.request("/v0/tokens", token=self.token).json()
        return next(str(one["token"]) for one in listed["tokens"] if one["name"] == name)


@dataclass(slots=True)
class Shop(Workspace):
    """What was done: by the token `shop` four calls of `top_pages` for acme and three for zeta, of
    which the last failed (its id is `failed`); by the admin three of `totals` and one STATEMENT; by
    the JWT `eager` `eager` calls of `totals`, of which `refused` were 429. Two rows were appended
    to three, then a file with a mistake. Two requests of events had no rows, one was no gzip."""

    failed: str = ""
    eager: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Two workspaces of one project, which has OVER_USAGE and five rows. In `mine` there were seven
    calls of `top_pages` as in the shop, in `other` two, for acme. There may be calls of others."""

    mine: Workspace
    other: Workspace


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Serves the shop."""
    folder = tmp_path_factory.mktemp("shop")
    project = write_files(folder / "project", {**SHOP, **OF_USAGE, **FIXTURE})
    environ = {"PIPEWREN_USAGE_STORAGE_SAMPLE_S": "1"}
    with serving(project, folder / "data", environ=environ) as running:
        yield running


@pytest.fixture(scope="session")
def shop(server: RunningServer) -> Shop:
    shop = Shop(server, server.token)
    # Before rows are appended, so that growth is seen.
    shop.wait_for("countIf(rows = 3) > 0", "datasources_storage")
    shop.failed = _call_top_pages(shop)
    for _ in range(3):
        shop.call("totals")
    assert shop.ask(STATEMENT) == [{"most": 5}]
    eager = shop.make_jwt("eager", {"type": "PIPES:READ", "resource": "totals"}, limits={"rps": 1})
    while shop.refused < 2:
        status = server.request("/v0/pipes/totals.json", token=eager).status
        assert status in (200, 429)
        shop.eager += 1
        shop.refused += status == 429
    for rows in ("/c,1\n/d,1\n", "/c,x\n"):
        shop.append(rows)
    for coding, status in (("identity", 202), ("identity", 202), ("gzip", 400)):
        answer = server.request(
            "/v0/events?name=visits",
            method="POST",
            headers={"Content-Encoding": coding},
            body=b"\n",
            token=shop.token,
        )
        assert answer.status == status
    shop.wait_for(f"count() = {7 + 3 + 1 + shop.eager}", "pipe_stats_rt")
    shop.wait_for("count() = 4", "datasources_ops_log")
    shop.wait_for("sum(successful_requests) = 2 AND sum(error_requests) = 1", "hfi_requests")
    shop.wait_for("countIf(status IN ('done', 'error')) = 2", "jobs_log")
    shop.wait_for("countIf(rows = 5) > 0", "datasources_storage")
    return shop


@pytest.fixture(scope="session")
def neighbours(server: RunningServer) -> Neighbours:
    mine, other = make_workspace(server, "mine"), make_workspace(server, "other")
    slowest = "endpoints/usage_slowest.pipe"
    for one in (mine, other):
        files = {**SHOP, **OVER_USAGE, slowest: OF_USAGE[slowest]}
        deployed = one.deploy(files, auto_promote="true")
        assert deployed["result"] == "success", deployed
    mine.append("/a,3\n/b,5\n/b,1\n/c,1\n/d,1\n")
    _call_top_pages(mine)
    for _ in range(2):
        other.call("top_pages", tenant_id="acme")
    mine.wait_for("countIf(pipe_name = 'top_pages') = 7", "pipe_stats_rt")
    mine.wait_for("countIf(status = 'done') > 0", "jobs_log")
    other.wait_for("countIf(pipe_name = 'top_pages') = 2", "pipe_stats_rt")
    return Neighbours(mine, other)


def make_workspace(server: RunningServer, name: str) -> Workspace:
    """An empty one."""
    user = server.request("/tokens", token=None).json()["user_token"]
    params = {"name": name}
    made = server.request("/v1/workspaces", params, method="POST", token=user, body=b"").json()
    return Workspace(server, made["token"])


def _call_top_pages(workspace: Workspace) -> str:
    """Seven times. The id of the last call, which failed."""
    token = workspace.find_token("shop")
    for tenant, params in 4 * [("acme", {})] + 2 * [("zeta", {})] + [("zeta", {"limit": "x"})]:
        params = {**params, "tenant_id": tenant}
        answer = workspace.server.request("/v0/pipes/top_pages.json", params, token=token)
        assert answer.status == (400 if "limit" in params else 200)
    return answer.headers["x-request-id"]
