"""A client of the Tokens API, over the application with a scripted engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import insert

from pipewren.access.startup import open_keyring
from pipewren.errors import Forbidden, PipewrenError
from pipewren.serve.answers import Answer
from pipewren.serve.callers import identify
from pipewren.serve.routes import answer_route
from pipewren.serve.server import Server
from pipewren.sql.row_filters import RowFilters
from pipewren.storage.schema import workspaces
from pipewren.storage.store import now_text
from pipewren.storage.tokens import ADMIN_TOKEN, Scope, create_token
from pipewren.testing.engine import ScriptedEngine
from tests.api.conftest import WORKSPACE

KEY = b"k" * 32
JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
UNKNOWN = "Token has not enough permissions to get information about this token"


class Tokens:
    """A client of the Tokens API over the store's own tokens. It sends the admin token unless told
    otherwise; `body` is a dict for JSON or bytes as they are."""

    def __init__(self, server: Server, **open: Any) -> None:
        self.server = server
        with server.store.begin() as connection:
            connection.execute(
                insert(workspaces).values(
                    id=WORKSPACE.id, name=WORKSPACE.name, created_at=now_text()
                )
            )
            create_token(
                connection,
                WORKSPACE.id,
                "from_files",
                origin="datafile",
                scopes={Scope("PIPES:READ", "top")},
            )
            for name, scope in (("manager", "TOKENS"), ("nobody", "PIPES:CREATE")):
                create_token(connection, WORKSPACE.id, name, origin="api", scopes={Scope(scope)})
        self.reopen(**open)

    def reopen(self, **open: Any) -> None:
        with self.server.store.begin() as connection:
            options = {"secrets_key": KEY, **open}
            self.server.keyring = open_keyring(connection, KEY, [WORKSPACE], **options).keyring

    def value(self, name: str) -> str:
        found = self.server.keyring.value_of(WORKSPACE.id, name)
        assert found is not None
        return found

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | bytes = b"",
        *,
        content_type: bytes = JSON,
        token: str | None = "",
        client: str = "192.0.2.1",
    ) -> Any:
        raw = json.dumps(body).encode() if isinstance(body, Mapping) else body
        headers = [(b"content-type", content_type)] if content_type else []
        if token is not None:
            headers.append(
                (b"authorization", b"Bearer " + (token or self.value(ADMIN_TOKEN)).encode())
            )
        scope = {
            "type": "http",
            "method": method,
            "path": f"/v0/tokens{path}",
            "query_string": urlencode(query or {}, doseq=True).encode(),
            "headers": headers,
            "client": (client, 5000),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        answer = await answer_route(scope, self.server, receive)
        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert (b"cache-control", b"no-store") in answer.headers
        return json.loads(answer.body)

    async def refused(self, *request: Any, **options: Any) -> PipewrenError:
        with pytest.raises(PipewrenError) as raised:
            await self.ask(*request, **options)
        return raised.value

    def opens(self, value: str) -> bool:
        try:
            identify(value, self.server, None)
        except Forbidden:
            return False
        return True


@pytest.fixture(autouse=True)
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted engine parses nothing; tests/e2e/test_filtered_tokens.py checks filters."""

    async def check(filters: RowFilters, datasource: str, text: str) -> None:
        return None

    monkeypatch.setattr(RowFilters, "check", check)


@pytest.fixture
def tokens(make_server: Callable[..., Server]) -> Iterator[Tokens]:
    server = make_server(ScriptedEngine({"SELECT": b'{"data":[]}'}))
    yield Tokens(server)
    server.store.close()
