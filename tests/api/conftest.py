"""A served project without ClickHouse and without a socket: routes over ASGI, a scripted engine."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio

from pipewren.access.caller import build_keyring
from pipewren.deploy.deployment import make_deployment
from pipewren.engine.contract import Lane, Limits
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.log import open_log
from pipewren.project.assembly import parse_project
from pipewren.serve.admission import Admission
from pipewren.serve.app import App
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sql.graph import compile_pipes
from pipewren.storage.deployments import State, StoredDeployment
from pipewren.storage.store import open_store
from pipewren.storage.tokens import Scope, StoredToken
from pipewren.storage.workspaces import Workspace
from pipewren.testing.engine import ScriptedEngine

CREATED_AT = "2026-01-31 12:34:56.123456"
WORKSPACE = Workspace("0" * 31 + "1", "tests", None)
ADMIN, READER, OTHER = "admin token value", "reader token value", "other token value"
SCOPES: Mapping[str, tuple[str, frozenset[Scope]]] = {
    "admin": (ADMIN, frozenset({Scope("ADMIN")})),
    "reader": (READER, frozenset({Scope("PIPES:READ", "top")})),
    "other": (OTHER, frozenset({Scope("PIPES:READ", "elsewhere")})),
    "filtered": ("filtered token value", frozenset({Scope("PIPES:READ", "top", "tenant = 'a'")})),
}
FILES = {
    "datasources/visits.datasource": "SCHEMA >\n    `page` String,\n    `at` DateTime\n",
    "endpoints/top.pipe": """
NODE endpoint
SQL >
    %
    SELECT page FROM visits WHERE page IN {{Array(pages, 'String', 'a,b')}}
    AND page != {{String(without, 'none')}} LIMIT {{Int32(limit, 10)}}
TYPE endpoint
""",
    "endpoints/needs.pipe": """
NODE endpoint
SQL >
    %
    {% if defined(fail) %}{{custom_error({'error': 'not you', 'why': fail}, 418)}}{% end %}
    SELECT {{Int32(n, description='How many')}} AS n
TYPE endpoint
""",
    "endpoints/objects.pipe": """
NODE endpoint
SQL >
    %
    SELECT {{JSON(rows)[0]['k']}} AS first
TYPE endpoint
""",
    "pipes/unpublished.pipe": "NODE n\nSQL >\n    SELECT 1\n",
}


def fill_path(pattern: str, **names: str) -> str:
    """A route's path; parts that are not given are `unknown`."""
    return re.sub(r"\{(\w+)\}", lambda part: names.get(part[1], "unknown"), pattern)


async def no_lifespan(app: App, receive: Any, send: Any) -> None:
    raise AssertionError("no lifespan in these tests")


@dataclass(slots=True)
class Api:
    """A client of the application; `reader` is the token that it sends unless told otherwise."""

    app: App
    server: Server
    engine: ScriptedEngine
    client: httpx2.AsyncClient

    async def call(
        self, path: str, method: str = "GET", *, token: str | None = READER, **options: Any
    ) -> httpx2.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = b"Bearer " + token.encode()
        return await self.client.request(method, path, headers=headers, **options)


@pytest.fixture
def make_server(tmp_path: Path) -> Callable[..., Server]:
    """A `Server` over a project's files, FILES by default, and a scripted engine."""

    def make(
        engine: ScriptedEngine, files: Mapping[str, str] | None = None, **settings: Any
    ) -> Server:
        project = parse_project({name: text.encode() for name, text in (files or FILES).items()})
        pipes = compile_pipes(project)
        stored = StoredDeployment(
            1, WORKSPACE.id, 1, "", State.DATA_READY, True, {}, CREATED_AT, CREATED_AT
        )
        ids = {name: f"t_{number:032x}" for number, name in enumerate(sorted(pipes))}
        deployment = make_deployment(WORKSPACE, stored, project, pipes, tables={}, pipe_ids=ids)
        tokens = [
            StoredToken(name, WORKSPACE.id, name, "datafile", 1, scopes)
            for name, (_, scopes) in SCOPES.items()
        ]
        keyring = build_keyring(
            b"key",
            tokens,
            workspace_uuids={WORKSPACE.id: WORKSPACE.uuid},
            given={name: value for name, (value, _) in SCOPES.items()},
        )
        return Server(
            settings=Settings(**settings),
            engine=engine,
            store=open_store(tmp_path),
            keyring=keyring,
            deployments={WORKSPACE.id: deployment},
            admission=Admission(2),
            limits={Lane.LIGHT: Limits(), Lane.HEAVY: Limits(max_threads=2)},
            spool_room=SpoolRoom(tmp_path / "spool", 10_000_000, 0),
        )

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def make_api(
    make_server: Callable[..., Server], tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Api]]]:
    made: list[Api] = []

    async def make(engine: ScriptedEngine | None = None, **settings: Any) -> Api:
        engine = engine or ScriptedEngine({"SELECT": b'{"data":[]}'})
        server = make_server(engine, **settings)
        log = open_log(tmp_path, fsync=False, require_room=engine.require_room)
        server.ingestion = Ingestion(
            engine, log, server.writes, tmp_path, max_log_bytes=10_000_000, flush_s=0.01
        )
        app = App(no_lifespan)
        app.server = server
        transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
        made.append(Api(app, server, engine, client))
        return made[-1]

    yield make
    for api in made:
        await api.client.aclose()
        await api.server.ingestion.close()
        api.server.store.close()


@pytest_asyncio.fixture(loop_scope="session")
async def api(make_api: Callable[..., Awaitable[Api]]) -> Api:
    return await make_api()
