"""One application over the session's engine, with two workspaces, for all tests of callers' SQL."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import jwt
import pytest
import pytest_asyncio

from pipewren.access.caller import build_keyring
from pipewren.deploy.deployment import (
    Deployment,
    ResultColumn,
    make_deployment,
    with_columns,
)
from pipewren.engine.contract import Lane, Limits
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.project.assembly import parse_project
from pipewren.serve.admission import Admission
from pipewren.serve.app import App
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sql.graph import compile_pipes
from pipewren.sqltext import trusted_sql
from pipewren.storage.deployments import State, StoredDeployment, TableVersion
from pipewren.storage.store import open_store
from pipewren.storage.tokens import ADMIN_TOKEN, Scope, StoredToken
from pipewren.storage.workspaces import Workspace
from tests.engine.queries import project

CREATED_AT = "2026-01-31 12:34:56.123456"
SECRETS = {"user_name": "Bo", "unused": "never told"}
OF_TENANT = "tenant = 'a'"
# Scopes by the token's name; its value is the name and ` token`.
TOKENS: Mapping[str, tuple[str, ...]] = {
    "admin": ("ADMIN",),
    "all_readers": ("WORKSPACE:READ_ALL",),
    "reader": ("DATASOURCES:READ:events", "DATASOURCES:READ:users", "DATASOURCES:READ:allowed"),
    "by_id": ("DATASOURCES:READ:t_events", "PIPES:READ:p_several"),
    "one_pipe": ("PIPES:READ:several",),
    "pipes": (
        *("PIPES:READ:by_kind", "PIPES:READ:of_tenant", "PIPES:READ:over_tenant"),
        *("PIPES:READ:over_over", "PIPES:READ:picked", "PIPES:READ:needs", "PIPES:READ:nullable"),
        *("PIPES:READ:secretive", "PIPES:READ:in_node", "PIPES:READ:in_source"),
        *("PIPES:READ:dated", "PIPES:READ:equal", "PIPES:READ:mapped", "PIPES:READ:draft"),
        *("PIPES:READ:divided", "PIPES:READ:screened", "PIPES:READ:rolled"),
        *("PIPES:READ:most", "PIPES:READ:stamped"),
    ),
    "mixed": ("PIPES:READ:by_kind", "PIPES:READ:of_tenant", "DATASOURCES:READ:users"),
    "filtered": (
        *(f"DATASOURCES:READ:events:{OF_TENANT}", "DATASOURCES:READ:users"),
        *("PIPES:READ:by_kind", "PIPES:READ:over_over", "PIPES:READ:in_source"),
        *("PIPES:READ:growing", "PIPES:READ:circular"),
    ),
    "narrowed_pipe": ("PIPES:READ:by_kind:hits > 1", "PIPES:READ:over_tenant:hits > 1"),
    "chooser": ("PIPES:READ:chosen",),
    "choosing_reader": ("PIPES:READ:chosen", "DATASOURCES:READ:t_users", "PIPES:READ:p_by_kind"),
    "none_of_pipe": ("PIPES:READ:by_kind:kind = 'no such kind'",),
    "appender": ("DATASOURCES:APPEND:events", "DATASOURCES:CREATE"),
    "token_keeper": ("TOKENS",),
}
JSON = "application/json; charset=UTF-8"


def value_of(name: str) -> str:
    """The value of a token of TOKENS."""
    return f"{name} token, as long as the key of a JWT"


@dataclass(slots=True)
class Served:
    """The application; `deployment` is that of the workspace `shop`, which all tokens are of but
    `foreign`."""

    server: Server
    deployment: Deployment
    client: httpx2.AsyncClient
    engine: EmbeddedEngine
    jwt_key: str

    async def send(
        self, path: str, method: str = "GET", *, token: str | None = "admin", **options: Any
    ) -> httpx2.Response:
        """`token` names one of TOKENS, or is a JWT; None sends none."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            value = value_of(token) if token in TOKENS or token == "foreign" else token
            headers["Authorization"] = f"Bearer {value}"
        return await self.client.request(method, path, headers=headers, **options)

    async def ask(self, sql: str, token: str = "admin", **parameters: Any) -> httpx2.Response:
        """The Query API's answer to a text in the body."""
        return await self.send(
            "/v0/sql",
            "POST",
            token=token,
            params=parameters,
            content=sql.encode(),
            headers={"Content-Type": "text/plain"},
        )

    async def rows(self, sql: str, token: str = "admin", **parameters: Any) -> list[list[Any]]:
        """The rows of a text without FORMAT; it must be answered."""
        answer = await self.ask(f"{sql}\nFORMAT JSONCompact", token, **parameters)
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["data"]
        return rows

    async def call(
        self, endpoint: str, q: str, token: str = "admin", **parameters: Any
    ) -> httpx2.Response:
        """A call of an endpoint, `by_kind.json`, with `q`."""
        return await self.send(f"/v0/pipes/{endpoint}", token=token, params={"q": q, **parameters})

    def sign(self, scopes: Iterable[Mapping[str, Any]], **claims: Any) -> str:
        """A JWT."""
        made = {"name": "visitor", "exp": int(time.time()) + 600, "scopes": list(scopes)}
        made |= {"workspace_id": self.deployment.workspace.uuid, **claims}
        return jwt.encode(made, self.jwt_key, algorithm="HS256")


def reads(*pipes: str, **fixed: str) -> list[dict[str, Any]]:
    """Scopes of a JWT that reads pipes, each with the same fixed parameters."""
    return [{"type": "PIPES:READ", "resource": name, "fixed_params": fixed} for name in pipes]


def check_error(
    answer: httpx2.Response, status: int, text: str, *, page: str | None = None
) -> None:
    """The answer is an error of that status, with the text in it, and the page as documentation."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert text in document["error"], document
    if page is not None:
        assert document["documentation"] == f"https://docs.tinybird.co{page}"


def check_not_found(answer: httpx2.Response, name: str) -> None:
    """The answer is that of a table that there is not, or that the token may not read."""
    assert answer.status_code == 403, answer.text
    assert answer.json() == {
        "error": f"Resource '{name}' not found",
        "documentation": "https://docs.tinybird.co/api-reference/query-api.html",
    }


async def make_tables(
    engine: EmbeddedEngine, store: str, files: Mapping[str, str], rows: Mapping[str, str]
) -> None:
    """Make a workspace's database, its data sources with their rows, and the aliases."""
    aliases = f"{store}_d1"
    for database in (store, aliases):
        await engine.execute(trusted_sql(f"CREATE DATABASE {database} ENGINE = Atomic"))
    for name, values in rows.items():
        columns = files[f"datasources/{name}.datasource"].removeprefix("SCHEMA >\n")
        table = f"{store}.{name}__1"
        for sql in (
            f"CREATE TABLE {table} ({columns}) ENGINE = MergeTree ORDER BY tuple()",
            f"INSERT INTO {table} VALUES {values}",
            f"CREATE TABLE {aliases}.{name} ENGINE = Alias('{store}', '{name}__1')",
        ):
            await engine.execute(trusted_sql(sql))


def deploy(workspace: Workspace, files: Mapping[str, str], number: int = 1) -> Deployment:
    """The files as a deployment over the tables of `make_tables`. `t_<name>` and `p_<name>` are
    the ids of data sources and pipes."""
    parsed = parse_project({path: text.encode() for path, text in files.items()})
    pipes = compile_pipes(parsed)
    sources = list(parsed.datasources)
    stored = StoredDeployment(
        *(number, workspace.id, 1, "", State.DATA_READY, True),
        *(dict.fromkeys(sources, 1), CREATED_AT, CREATED_AT),
    )
    made = make_deployment(
        workspace,
        stored,
        parsed,
        pipes,
        tables={name: TableVersion(name, 1, f"t_{name}", "") for name in sources},
        pipe_ids={name: f"p_{name}" for name in pipes},
    )
    # Of the others nothing is known, as of pipes that cannot be described without values.
    described = (ResultColumn("kind", "String"), ResultColumn("hits", "UInt64"))
    return with_columns(made, {"by_kind": described})


def read_scope(text: str) -> Scope:
    """`TYPE:resource:filter`, where the TYPE may have a colon."""
    parts = text.split(":", 3)
    if len(parts) == 1:
        return Scope(text)
    return Scope(":".join(parts[:2]), *parts[2:])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(
    engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("queries")
    shop = Workspace(uuid.uuid4().hex, "shop", None)
    foreign = Workspace(uuid.uuid4().hex, "foreign", None)
    files = project.make_files()
    foreign_files = project.make_files(project.FOREIGN_SCHEMAS)
    await make_tables(engine, f"w_{shop.id}", files, project.ROWS)
    await make_tables(engine, f"w_{foreign.id}", foreign_files, project.FOREIGN_ROWS)
    tokens = [
        StoredToken(name, shop.id, name, "api", 1, frozenset(map(read_scope, scopes)))
        for name, scopes in TOKENS.items()
    ]
    admin = frozenset({Scope("ADMIN")})
    tokens += [
        StoredToken("key", shop.id, ADMIN_TOKEN, "default", 1, admin),
        StoredToken("foreign", foreign.id, "foreign", "api", 1, admin),
    ]
    defaults: dict[str, Any] = {}
    server = Server(
        settings=Settings(**defaults),
        engine=engine,
        store=open_store(folder),
        keyring=build_keyring(
            b"key",
            tokens,
            workspace_uuids={one.id: one.uuid for one in (shop, foreign)},
            given={one.id: value_of(one.id) for one in tokens},
        ),
        deployments={shop.id: deploy(shop, files), foreign.id: deploy(foreign, foreign_files)},
        admission=Admission(2),
        limits={Lane.LIGHT: Limits(max_memory_bytes=1_000_000_000), Lane.HEAVY: Limits()},
        spool_room=SpoolRoom(folder / "spool", 10_000_000, 0),
        secrets={shop.id: SECRETS},
    )
    app = App(_no_lifespan)
    app.server = server
    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Served(server, server.deployments[shop.id], client, engine, value_of("key"))
    server.store.close()
    for workspace in (shop, foreign):
        for database in (f"w_{workspace.id}_d1", f"w_{workspace.id}"):
            await engine.execute(trusted_sql(f"DROP DATABASE {database}"))


async def _no_lifespan(app: App, receive: Any, send: Any) -> None:
    raise AssertionError("no lifespan in these tests")


def read_lines(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The rows of an NDJSON body; it must be answered."""
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]
