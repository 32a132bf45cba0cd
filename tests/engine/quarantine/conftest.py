"""A workspace that is deployed to as a server does it, on the session's engine, and called over the
application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest_asyncio

from pipewren.access.caller import build_keyring
from pipewren.deploy.candidate import read_candidate
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.inventory import list_tables
from pipewren.deploy.live import finish_deletion, go_live
from pipewren.deploy.prepare import prepare
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.workspace_databases import make_databases
from pipewren.engine.contract import Insert, Lane, Limits
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.serve.admission import Admission
from pipewren.serve.app import App
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sqltext import trusted_sql
from pipewren.storage.deployments import find_live, list_deployments
from pipewren.storage.objects import list_objects
from pipewren.storage.quarantine import quarantine_table
from pipewren.storage.store import open_store
from pipewren.storage.tokens import ADMIN_TOKEN, Scope, StoredToken
from pipewren.storage.workspaces import create_workspace
from pipewren.template.limits import TemplateLimits

EVENTS = "SCHEMA >\n    `tenant` String `json:$.tenant`,\n    `n` UInt8 `json:$.n`\n"
BAD_ROWS = "SELECT tenant, n, c__error AS error FROM events_quarantine ORDER BY tenant"
# Scopes by the token's name.
TOKENS: Mapping[str, tuple[Scope, ...]] = {
    ADMIN_TOKEN: (Scope("ADMIN"),),
    "reader": (Scope("DATASOURCES:READ", "events"),),
    "appender": (Scope("DATASOURCES:APPEND", "events"),),
    "filtered": (
        Scope("DATASOURCES:READ", "events", "tenant = 'a'"),
        *(Scope("PIPES:READ", name) for name in ("bad", "over_bad", "chosen", "good")),
    ),
    "of_quarantine": (
        Scope("DATASOURCES:READ", "events_quarantine"),
        Scope("DATASOURCES:READ", "other"),
        Scope("PIPES:READ", "chosen"),
    ),
    "pipes": (Scope("PIPES:READ", "bad"), Scope("PIPES:READ", "chosen")),
    "creator": (Scope("DATASOURCES:CREATE"),),
}


def endpoint(sql: str) -> str:
    """A pipe of one template."""
    return f"NODE n\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"


def value_of(name: str) -> str:
    """The value of a token of TOKENS."""
    return f"{name} token, as long as the key of a JWT"


class Flushed:
    """Ingestion that has nothing to flush."""

    @contextlib.asynccontextmanager
    async def flushed(self, *given: Any, **options: Any) -> AsyncIterator[None]:
        yield


@dataclass(slots=True)
class Place:
    """`live` is what was deployed last."""

    target: DeployTarget
    server: Server
    client: httpx2.AsyncClient
    live: Deployment | None = None
    others: list[Deployment] = field(default_factory=list)

    async def deploy(self, files: Mapping[str, str], *, keep_removed: bool = False) -> Deployment:
        """Make files live, and let what was live before go."""
        deployment = await self.prepare(files)
        went = await go_live(self.target, deployment, keep_removed=keep_removed)
        self.live = went.deployment
        if went.before is not None:
            await finish_deletion(self.target, went.before)
        self.server.deployments = {self.target.workspace.id: self.live}
        return self.live

    async def prepare(self, files: Mapping[str, str]) -> Deployment:
        """A deployment that is not live. Raises ProjectErrors."""
        sent = {path: text.encode() for path, text in files.items()}
        candidate = await read_candidate(sent, secrets={}, limits=TemplateLimits())
        return await prepare(self.target, candidate, before=self.live)

    async def tables(self) -> set[str]:
        """Physical tables of the workspace."""
        return await list_tables(self.target.engine, self.target.workspace.database)

    async def aliases(self) -> set[str]:
        """What is in the live deployment's database."""
        assert self.live is not None
        return await list_tables(self.target.engine, self.live.database)

    def remembered(self) -> set[str]:
        """Objects of the workspace whose definitions the store has."""
        with self.target.store.begin() as connection:
            return {
                name
                for database, name in list_objects(connection)
                if name and database == self.target.workspace.database
            }

    async def add_bad_rows(self, rows: Iterable[tuple[str, str]], name: str = "events") -> None:
        """Rows (tenant, n) in the quarantine of a data source of EVENTS."""
        assert self.live is not None
        lines = [
            f'[["n"],["value {n!r} on column n is not UInt8"],null,"{tenant}","{n}",1700000000]\n'
            for tenant, n in rows
        ]
        await self.target.engine.insert(
            Insert(
                database=self.target.workspace.database,
                table=quarantine_table(self.live.tables[name]),
                columns=(
                    *("c__error_column", "c__error", "c__import_id"),
                    *("tenant", "n", "insertion_date"),
                ),
                format="JSONCompactEachRow",
                body="".join(lines).encode(),
                token=f"{name}:{lines}",
            )
        )

    async def send(
        self, path: str, method: str = "GET", *, token: str = ADMIN_TOKEN, **params: Any
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {value_of(token)}"}
        return await self.client.request(method, path, headers=headers, params=params)

    async def ask(self, sql: str, token: str = ADMIN_TOKEN) -> httpx2.Response:
        """The Query API's answer."""
        return await self.send("/v0/sql", token=token, q=f"{sql} FORMAT JSONCompact")


@pytest_asyncio.fixture(loop_scope="session")
async def place(engine: EmbeddedEngine, tmp_path: Path) -> AsyncIterator[Place]:
    store = open_store(tmp_path)
    with store.begin() as connection:
        workspace = create_workspace(connection, "shop")
        empty = find_live(list_deployments(connection, workspace.id))
    assert empty is not None
    await make_databases(engine, store, workspace, empty)
    tokens = [
        StoredToken(f"{number}", workspace.id, name, "api", 1, frozenset(scopes))
        for number, (name, scopes) in enumerate(TOKENS.items())
    ]
    defaults: dict[str, Any] = {}
    server = Server(
        settings=Settings(**defaults),
        engine=engine,
        store=store,
        keyring=build_keyring(
            b"key",
            tokens,
            workspace_uuids={workspace.id: workspace.uuid},
            given={one.id: value_of(one.name) for one in tokens},
        ),
        deployments={},
        admission=Admission(2),
        limits={Lane.LIGHT: Limits(max_memory_bytes=1_000_000_000), Lane.HEAVY: Limits()},
        spool_room=SpoolRoom(tmp_path / "spool", 10_000_000, 0),
    )
    server.ingestion = cast(Any, Flushed())
    app = App(_no_lifespan)
    app.server = server
    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Place(DeployTarget(engine, store, workspace), server, client)
    with store.begin() as connection:
        numbers = [one.number for one in list_deployments(connection, workspace.id)]
    for database in (*(f"{workspace.database}_d{n}" for n in numbers), workspace.database):
        await engine.execute(trusted_sql(f"DROP DATABASE IF EXISTS {database}"))
    store.close()


async def _no_lifespan(app: App, receive: Any, send: Any) -> None:
    raise AssertionError("no lifespan in these tests")
