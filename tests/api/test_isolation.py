"""Three workspaces with the same names of everything in one server: no token of one reaches what is
another's, by any route."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import jwt
import pytest
import pytest_asyncio
from sqlalchemy import insert

from pipewren.access.startup import open_keyring
from pipewren.deploy.deployment import make_deployment
from pipewren.engine.contract import Lane, Limits
from pipewren.project.assembly import parse_project
from pipewren.serve.admission import Admission
from pipewren.serve.app import App
from pipewren.serve.routes import ROUTES
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sql.graph import compile_pipes
from pipewren.storage.deployments import State, StoredDeployment
from pipewren.storage.schema import workspaces
from pipewren.storage.store import now_text, open_store
from pipewren.storage.tokens import ADMIN_TOKEN, MEMBER_TOKEN, Scope, create_token
from pipewren.storage.workspaces import Workspace
from pipewren.testing.engine import ScriptedEngine
from tests.api.conftest import fill_path, no_lifespan

NAMES = ("red", "green", "blue")
API_TOKENS = {
    "reader": {Scope("PIPES:READ", "top")},
    "manager": {Scope("TOKENS")},
    "whole": {Scope("WORKSPACE:READ_ALL")},
}


@dataclass(slots=True)
class Place:
    """A workspace; `mark` stands in all that is its own."""

    workspace: Workspace
    mark: str
    tokens: dict[str, str]
    token_ids: dict[str, str]
    pipe_id: str


@dataclass(slots=True)
class World:
    server: Server
    engine: ScriptedEngine
    client: httpx2.AsyncClient
    places: list[Place]

    async def ask(self, method: str, path: str, token: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.client.request(method, path, headers=headers, **options)


def files_of(mark: str) -> dict[str, bytes]:
    return {
        "datasources/visits.datasource": f"DESCRIPTION >\n    {mark}\n"
        "SCHEMA >\n    `page` String\n".encode(),
        "endpoints/top.pipe": f"DESCRIPTION >\n    {mark}\n"
        f"NODE n\nSQL >\n    SELECT page, '{mark}' AS mark FROM visits\nTYPE endpoint\n".encode(),
        f"endpoints/only_{mark}.pipe": b"NODE n\nSQL >\n    SELECT 1 AS one\nTYPE endpoint\n",
    }


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = open_store(tmp_path)
    spaces = [Workspace(f"{number + 1:032x}", name, None) for number, name in enumerate(NAMES)]
    deployments, ids = {}, {}
    with store.begin() as connection:
        for number, space in enumerate(spaces):
            row = {"id": space.id, "name": space.name, "created_at": now_text()}
            connection.execute(insert(workspaces).values(row))
            for name, scopes in API_TOKENS.items():
                create_token(connection, space.id, name, origin="api", scopes=scopes)
            project = parse_project(files_of(f"mark_{space.name}"))
            pipes = compile_pipes(project)
            ids[space.id] = {name: f"t_{number}{at:031x}" for at, name in enumerate(sorted(pipes))}
            database = f"w_{space.id}_d1"
            stored = StoredDeployment(
                number, space.id, 1, database, State.DATA_READY, True, {}, now_text(), now_text()
            )
            deployments[space.id] = make_deployment(
                space, stored, project, pipes, tables={}, pipe_ids=ids[space.id]
            )
        keyring = open_keyring(connection, b"k" * 32, spaces, secrets_key=b"s" * 32).keyring
    # What an engine answers tells in which database it was asked.
    engine = ScriptedEngine(
        {"SELECT": lambda statement: json.dumps({"data": [statement.database]}).encode()}
    )
    defaults: dict[str, Any] = {}
    server = Server(
        settings=Settings(**defaults),
        engine=engine,
        store=store,
        keyring=keyring,
        deployments=deployments,
        admission=Admission(100),
        limits={Lane.LIGHT: Limits(), Lane.HEAVY: Limits(max_threads=2)},
        spool_room=SpoolRoom(tmp_path / "spool", 10_000_000, 0),
    )
    places = []
    for space in spaces:
        values, token_ids = {}, {}
        for value, caller in keyring.entries.values():
            if caller.workspace_id == space.id:
                values[caller.token_name] = value.decode()
                token_ids[caller.token_name] = caller.token_id
        claims = {
            "workspace_id": space.uuid,
            "name": "browser",
            "exp": int(time.time()) + 600,
            "scopes": [{"type": "PIPES:READ", "resource": "top", "fixed_params": {"a": "b"}}],
        }
        values["jwt"] = jwt.encode(claims, values[ADMIN_TOKEN], algorithm="HS256")
        mark = f"mark_{space.name}"
        places.append(Place(space, mark, values, token_ids, ids[space.id]["top"]))
    app = App(no_lifespan)
    app.server = server
    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield World(server, engine, client, places)
    store.close()


KINDS = (ADMIN_TOKEN, MEMBER_TOKEN, *API_TOKENS, "jwt")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_runs_in_the_callers_own_database(world: World, kind: str) -> None:
    for place in world.places:
        answer = await world.ask("GET", "/v0/pipes/top.json", place.tokens[kind])
        if kind == "manager":
            assert answer.status_code == 403
            continue
        assert answer.json() == {"data": [f"w_{place.workspace.id}_d1"]}
        statement = world.engine.statements[-1]
        assert place.mark in statement.sql
        assert statement.database == f"w_{place.workspace.id}_d1"


def paths_of(other: Place) -> list[str]:
    """Every route's path, with names that both have, and ids and names that are the other's."""
    found = ["/v0/pipes/top.json", f"/v0/pipes/{other.pipe_id}.json"]
    for route in ROUTES:
        for pipe in ("top", f"only_{other.mark}", other.pipe_id):
            for token in ("reader", other.token_ids["reader"], other.tokens["reader"]):
                names = {"pipe": pipe, "node": "n", "token": token}
                names |= dict.fromkeys(("workspace", "branch"), other.workspace.uuid)
                found.append(fill_path(route.pattern, **names))
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_route_shows_what_is_anothers(world: World, kind: str) -> None:
    mine, *others = world.places
    before = json.dumps(sorted(map(repr, world.server.keyring.entries)))
    for other in others:
        secrets = [value for name, value in other.tokens.items()]
        for path in paths_of(other):
            if path.startswith(("/docs", "/tokens")):  # those take no token at all
                continue
            for method in ("GET", "POST", "PUT", "DELETE"):
                if path.startswith("/v0/tokens") and "reader" in path and method != "GET":
                    continue  # of its own, which the next test leaves as it is
                answer = await world.ask(method, path, mine.tokens[kind])
                assert answer.status_code < 500, (method, path)
                shown = answer.text.replace(path, "")
                # What was asked for may be told back; nothing else of the other's may stand there.
                for told in (f"only_{other.mark}", other.pipe_id, *other.token_ids.values()):
                    if told in path:
                        shown = shown.replace(told, "")
                for hidden in (other.mark, f"w_{other.workspace.id}", *secrets):
                    if hidden in path:
                        continue
                    assert hidden not in shown, (method, path)
                if other.pipe_id in path or f"only_{other.mark}" in path:
                    assert answer.status_code in (400, 403, 404, 405), (method, path)
    assert all(
        statement.database == f"w_{mine.workspace.id}_d1" for statement in world.engine.statements
    )
    after = json.dumps(sorted(map(repr, world.server.keyring.entries)))
    assert before == after


@pytest.mark.parametrize("kind", [ADMIN_TOKEN, "manager"])
async def test_tokens_of_another_workspace_are_neither_listed_nor_changed(
    world: World, kind: str
) -> None:
    mine, other, _ = world.places
    listed = await world.ask("GET", "/v0/tokens", mine.tokens[kind])
    names = {token["name"] for token in listed.json()["tokens"]}
    assert "reader" in names
    shown = {token["id"] for token in listed.json()["tokens"]}
    assert shown.isdisjoint(other.token_ids.values())
    for name in ("reader", "whole", ADMIN_TOKEN):
        token_id = other.token_ids[name]
        for method, path in (
            ("GET", f"/v0/tokens/{token_id}"),
            ("PUT", f"/v0/tokens/{token_id}?scope=ADMIN"),
            ("POST", f"/v0/tokens/{token_id}/refresh"),
            ("DELETE", f"/v0/tokens/{token_id}"),
        ):
            answer = await world.ask(method, path, mine.tokens[kind])
            assert answer.status_code in (403, 404), (method, path)
        still = await world.ask("GET", "/v0/tokens", other.tokens[ADMIN_TOKEN])
        assert token_id in {token["id"] for token in still.json()["tokens"]}
    assert (await world.ask("GET", "/v0/pipes/top.json", other.tokens["reader"])).status_code == 200


async def test_a_jwt_is_of_the_workspace_whose_key_signed_it(world: World) -> None:
    mine, other, _ = world.places
    claims = jwt.decode(mine.tokens["jwt"], options={"verify_signature": False})
    for changed, key in (
        ({"workspace_id": other.workspace.uuid}, mine.tokens[ADMIN_TOKEN]),
        ({}, other.tokens[ADMIN_TOKEN]),
        ({}, mine.tokens["reader"]),
        ({}, mine.tokens[MEMBER_TOKEN]),
    ):
        forged = jwt.encode({**claims, **changed}, key, algorithm="HS256")
        answer = await world.ask("GET", "/v0/pipes/top.json", forged)
        assert answer.status_code == 403
    assert not world.engine.statements
