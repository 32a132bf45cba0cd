"""A server with one workspace and its default tokens, over a scripted engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest_asyncio
from sqlalchemy import insert

from pipewren.access.startup import open_keyring
from pipewren.serve.server import Server
from pipewren.storage.schema import workspaces
from pipewren.storage.store import now_text
from pipewren.storage.tokens import ACCOUNT_TOKEN, ADMIN_TOKEN, USER_TOKEN, Scope, create_token
from pipewren.testing.engine import ScriptedEngine
from tests.api.conftest import WORKSPACE, Api

KEY = b"k" * 32


@dataclass(slots=True)
class Account:
    """A client of the account's routes. `user`, `account`, `admin` and `reader` are the values of
    the first workspace's tokens."""

    api: Api
    user: str
    account: str
    admin: str
    reader: str

    @property
    def server(self) -> Server:
        return self.api.server

    @property
    def engine(self) -> ScriptedEngine:
        return self.api.engine

    async def ask(self, method: str, path: str, token: str | None, **sent: Any) -> httpx2.Response:
        return await self.api.call(path, method, token=token, **sent)

    async def make(self, name: str, **more: str) -> dict[str, Any]:
        """A new workspace, as the answer shows it."""
        answer = await self.ask("POST", "/v1/workspaces", self.user, params={"name": name, **more})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def names(self, token: str, **params: str) -> list[str]:
        """Of the workspaces that a token's list shows."""
        answer = await self.ask("GET", "/v1/user/workspaces", token, params=params)
        return [one["name"] for one in answer.json()["workspaces"]]


@pytest_asyncio.fixture(loop_scope="session")
async def account(make_account: Callable[..., Awaitable[Account]]) -> Account:
    return await make_account()


@pytest_asyncio.fixture(loop_scope="session")
async def make_account(
    make_api: Callable[..., Awaitable[Api]],
) -> Callable[..., Awaitable[Account]]:
    async def make(**settings: Any) -> Account:
        replies: dict[str, Any] = {"system.databases": b"", "SELECT": b'{"data":[]}'}
        api = await make_api(ScriptedEngine(replies), workspace=WORKSPACE.name, **settings)
        with api.server.store.begin() as connection:
            row = {"id": WORKSPACE.id, "name": WORKSPACE.name, "created_at": now_text()}
            connection.execute(insert(workspaces).values(row))
            reads = {Scope("PIPES:READ", "top")}
            create_token(connection, WORKSPACE.id, "reader", origin="api", scopes=reads)
            keyring = open_keyring(connection, KEY, [WORKSPACE], secrets_key=KEY).keyring
        api.server.keyring = keyring
        values = [
            str(keyring.value_of(WORKSPACE.id, name))
            for name in (USER_TOKEN, ACCOUNT_TOKEN, ADMIN_TOKEN, "reader")
        ]
        return Account(api, *values)

    return make
