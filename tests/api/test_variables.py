"""`/v0/variables`: secrets come in, and their values never come out."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import insert

from pipewren.serve.variables import MAX_SECRETS, MAX_VALUE_BYTES
from pipewren.storage.schema import workspaces
from pipewren.testing.engine import ScriptedEngine
from tests.api.conftest import ADMIN, CREATED_AT, WORKSPACE, Api

VALUE = "a value to keep"
PATH = "/v0/variables"
FORM = {"name": "key", "value": VALUE, "type": "secret"}
FILES = {
    "endpoints/guarded.pipe": "NODE e\nSQL >\n    %\n    SELECT 1 WHERE {{tb_secret('key')}} = "
    "{{String(given, '')}}\nTYPE endpoint\n",
    "endpoints/plain.pipe": "NODE e\nSQL >\n    SELECT 1\nTYPE endpoint\n",
}


@pytest_asyncio.fixture(loop_scope="session")
async def api(make_api: Callable[..., Awaitable[Api]]) -> Api:
    made = await make_api(ScriptedEngine({"SELECT": b'{"data":[]}'}), files=FILES)
    made.server.secrets_key = bytes(range(32))
    with made.server.store.begin() as connection:
        connection.execute(
            insert(workspaces).values(id=WORKSPACE.id, name=WORKSPACE.name, created_at=CREATED_AT)
        )
    return made


async def ask(api: Api, path: str = "", method: str = "GET", **options: Any) -> httpx2.Response:
    return await api.call(PATH + path, method, **{"token": ADMIN} | options)


def secrets_of(api: Api) -> dict[str, str]:
    return dict(api.server.secrets.get(WORKSPACE.id, {}))


@pytest.mark.parametrize(
    "options",
    [
        {"data": FORM},
        {"json": FORM},
        {"params": FORM},
        {"params": {"name": "key"}, "data": {"value": VALUE}},
    ],
)
async def test_a_secret_is_made_by_query_form_or_json(api: Api, options: dict[str, Any]) -> None:
    made = await ask(api, "", "POST", **options)
    shown = made.json()
    assert made.status_code == 200
    assert shown.keys() == {"name", "type", "created_at", "updated_at", "edited_by"}
    assert (shown["name"], shown["type"]) == ("key", "secret")
    assert shown["edited_by"] == "token: 'admin'"
    assert shown["created_at"] == shown["updated_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", shown["created_at"])
    assert (await ask(api, "/key")).json() == shown
    assert (await ask(api)).json() == {"variables": [shown]}
    assert secrets_of(api) == {"key": VALUE}


async def test_a_secret_is_changed_and_deleted(api: Api) -> None:
    made = (await ask(api, "", "POST", data=FORM)).json()
    changed = await ask(api, "/key", "PUT", data={"value": "other"})
    assert changed.json() | {"updated_at": ""} == made | {"updated_at": ""}
    assert secrets_of(api) == {"key": "other"}
    removed = await ask(api, "/key", "DELETE")
    assert (removed.status_code, removed.json()) == (200, {"ok": True})
    assert secrets_of(api) == {}


async def test_an_empty_value_is_a_value(api: Api) -> None:
    assert (await ask(api, "", "POST", data={"name": "key", "value": ""})).status_code == 200
    assert secrets_of(api) == {"key": ""}


async def test_what_is_not_there_is_404(api: Api) -> None:
    for method, text in (("GET", "Not found"), ("PUT", "Variable not found"), ("DELETE", "Vari")):
        answer = await ask(api, "/nothing", method, data={"value": "1"} if method == "PUT" else {})
        assert answer.status_code == 404
        assert answer.json()["error"].startswith(text)


async def test_a_name_that_is_taken_is_409_and_keeps_its_value(api: Api) -> None:
    await ask(api, "", "POST", data=FORM)
    answer = await ask(api, "", "POST", data={**FORM, "value": "other"})
    assert (answer.status_code, "PUT /v0/variables/key" in answer.text) == (409, True)
    assert secrets_of(api) == {"key": VALUE}


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({"name": ""}, "name is missing"),
        ({"name": "a-b"}, "must begin with a letter"),
        ({"name": "1a"}, "must begin with a letter"),
        ({"name": "a" * 129}, "at most 128"),
        ({"value": None}, "value is missing"),
        ({"value": 7}, "value is missing, or is no text"),
        ({"value": "é" * (MAX_VALUE_BYTES // 2) + "x"}, "8,193 bytes long"),
        ({"value": "a\0b" + VALUE}, "NUL"),
        ({"type": "plain"}, "type must be secret"),
    ],
)
async def test_what_cannot_be_a_secret_is_400_and_is_not_quoted(
    api: Api, sent: dict[str, Any], text: str
) -> None:
    answer = await ask(api, "", "POST", json=FORM | sent)
    assert (answer.status_code, text in answer.json()["error"]) == (400, True)
    assert VALUE not in answer.text
    assert secrets_of(api) == {}


async def test_a_value_may_have_8192_bytes(api: Api) -> None:
    value = "é" * (MAX_VALUE_BYTES // 2)
    assert (await ask(api, "", "POST", data={**FORM, "value": value})).status_code == 200


async def test_a_workspace_has_a_hundred_secrets_at_most(api: Api) -> None:
    for number in range(MAX_SECRETS):
        await ask(api, "", "POST", data={**FORM, "name": f"key_{number}"})
    answer = await ask(api, "", "POST", data=FORM)
    assert (answer.status_code, "100 variables" in answer.text) == (400, True)
    assert (await ask(api, "/key_0", "PUT", data={"value": "new"})).status_code == 200


async def test_only_an_admin_token_manages_secrets(api: Api) -> None:
    await ask(api, "", "POST", data=FORM)
    for path, method in (("", "GET"), ("", "POST"), *(("/key", m) for m in ("GET", "PUT"))):
        for token in ("reader token value", "unknown", None):
            assert (await ask(api, path, method, token=token, json=FORM)).status_code == 403
    assert (await ask(api, "/key", "DELETE", token="reader token value")).status_code == 403
    assert secrets_of(api) == {"key": VALUE}


async def test_every_call_is_in_the_audit_log_without_the_value(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "pipewren.audit")
    monkeypatch.setattr(logging.getLogger("pipewren.audit"), "propagate", True)
    await ask(api, "", "POST", params=FORM)
    await ask(api, "", "POST", data=FORM)
    await ask(api, "/key", "PUT", data={"value": VALUE})
    await ask(api, "/key", "DELETE")
    lines = [json.loads(one.message) for one in caplog.records if one.name == "pipewren.audit"]
    assert [(one["audit"], one["allowed"], one["target"]) for one in lines] == [
        ("variable.create", True, "key"),
        ("variable.create", False, "key"),
        ("variable.update", True, "key"),
        ("variable.delete", True, "key"),
    ]
    assert VALUE not in caplog.text


async def test_a_secret_goes_to_the_engine_beside_the_text_and_the_next_call_has_the_new_one(
    api: Api,
) -> None:
    path = "/v0/pipes/guarded.json"
    missing = await api.call(path, token=ADMIN)
    assert (missing.status_code, "Cannot access secret 'key'" in missing.text) == (400, True)
    await ask(api, "", "POST", data=FORM)
    await api.call(path, token=ADMIN)
    await ask(api, "/key", "PUT", data={"value": "new"})
    await api.call(path, token=ADMIN)
    await api.call("/v0/pipes/plain.json", token=ADMIN)
    first, second, plain = api.engine.statements
    assert first.sql == second.sql
    assert "{key: String}" in first.sql
    assert (first.parameters, first.hidden) == ((("key", VALUE),), (VALUE,))
    assert second.parameters == (("key", "new"),)
    assert (plain.parameters, plain.hidden) == ((), ())


async def test_a_plan_is_made_without_the_value(api: Api) -> None:
    await ask(api, "", "POST", data=FORM)
    answer = await api.call("/v0/pipes/guarded/explain", token=ADMIN)
    assert "{key: String}" in answer.json()["debug_query"]
    assert VALUE not in repr(api.engine.statements)


async def test_no_page_about_a_pipe_shows_a_value(api: Api) -> None:
    await ask(api, "", "POST", data=FORM)
    for name in ("", "/guarded", "/guarded.pipe", "/openapi.json"):
        answer = await api.call("/v0/pipes" + name, token=ADMIN)
        assert (answer.status_code, VALUE in answer.text) == (200, False)
    assert VALUE not in repr(api.server)
