"""What a change of tokens does to store, keyring, logs and those who guess."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert

from pipewren.access.caller import change_keyring
from pipewren.access.startup import open_keyring
from pipewren.errors import BadRequest, Forbidden, TooManyRequests
from pipewren.storage.schema import workspaces
from pipewren.storage.store import now_text, open_store
from pipewren.storage.tokens import ADMIN_TOKEN
from tests.api.conftest import WORKSPACE, Api
from tests.api.tokens.conftest import Tokens

KEY = b"k" * 32
JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
UNKNOWN = "Token has not enough permissions to get information about this token"


async def test_a_failed_transaction_changes_neither_store_nor_keyring(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tokens.server.keyring

    def fail(*_: Any, **__: Any) -> Any:
        raise BadRequest("the disk is full")

    monkeypatch.setattr("pipewren.serve.tokens.change_keyring", fail)
    await tokens.refused("POST", "", {"name": "n"})
    await tokens.refused("POST", "/nobody/refresh")
    await tokens.refused("DELETE", "/manager")
    assert tokens.server.keyring is before
    monkeypatch.undo()
    values = {name: tokens.value(name) for name in ("nobody", "manager")}
    tokens.reopen()
    assert {name: tokens.value(name) for name in values} == values
    assert tokens.server.keyring.value_of(WORKSPACE.id, "n") is None


async def test_a_kill_after_the_commit_loses_nothing(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tokens.value("nobody")
    stale = tokens.server.keyring
    made = await tokens.ask("POST", "", {"name": "n"})
    new = await tokens.ask("POST", "/nobody/refresh")
    await tokens.ask("DELETE", "/manager")
    tokens.server.keyring = stale  # as if the process had ended before it was replaced
    tokens.reopen()  # and started again
    assert tokens.value("n") == made["token"]
    assert tokens.value("nobody") == new["token"]
    assert not tokens.opens(old)
    assert tokens.server.keyring.value_of(WORKSPACE.id, "manager") is None


async def test_running_requests_keep_the_keyring_that_they_began_with(tokens: Tokens) -> None:
    old, value = tokens.server.keyring, tokens.value("nobody")
    await tokens.ask("DELETE", "/nobody")
    assert old.value_of(WORKSPACE.id, "nobody") == value
    assert change_keyring(tokens.server.keyring).entries == tokens.server.keyring.entries


async def test_no_value_stands_in_the_store_or_in_the_logs(
    tokens: Tokens, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await tokens.ask("POST", "", {"name": "n", "scope": "ADMIN"})
    await tokens.ask("GET", "/n", token=made["token"])
    await tokens.refused("GET", "", token=made["token"][:-2] + "xx")
    await tokens.ask("GET", "", {"token": made["token"]}, token=None)
    signature = made["token"].rsplit(".", 1)[1][:-2]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite*"))
    assert made["id"].encode() in stored
    assert signature.encode() not in stored
    assert signature not in caplog.text


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        json.loads(record.getMessage())
        for record in caplog.records
        if record.name == "pipewren.audit"
    ]


async def test_the_audit_log_tells_who_did_what_when_and_whether_it_was_allowed(
    tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipewren.audit")
    await tokens.ask("POST", "", {}, {"name": "n", "scope": "ADMIN"})
    await tokens.refused("DELETE", "/n", token=tokens.value("nobody"), client="198.51.100.7")
    await tokens.refused("GET", "", token="p.guess.x", client="198.51.100.8")
    created, denied, unknown = audit_lines(caplog)
    assert created["at"].endswith("+00:00")
    assert {key: created[key] for key in ("audit", "allowed", "token", "target", "address")} == {
        "audit": "token.create",
        "allowed": True,
        "token": ADMIN_TOKEN,
        "target": "n",
        "address": "192.0.2.1",
    }
    assert (denied["audit"], denied["allowed"], denied["token"], denied["address"]) == (
        *("token.delete", False, "nobody", "198.51.100.7"),
    )
    assert (unknown["audit"], unknown["allowed"], unknown["address"], "token" in unknown) == (
        *("authenticate", False, "198.51.100.8", False),
    )
    assert "guess" not in caplog.text


async def test_bad_tokens_of_one_address_are_slowed_down_and_others_are_not(
    tokens: Tokens,
) -> None:
    tokens.reopen(max_bad_tokens_per_minute=3)
    for number in range(3):
        assert isinstance(await tokens.refused("GET", "", token=f"p.bad.{number}"), Forbidden)
    error = await tokens.refused("GET", "", token="p.bad.4")
    assert isinstance(error, TooManyRequests)
    assert (error.status, error.limit) == (429, 3)
    assert 0 < error.retry_after_s <= 20
    assert isinstance(await tokens.refused("GET", ""), TooManyRequests)  # a good one, not looked at
    assert (await tokens.ask("GET", "", client="192.0.2.2"))["tokens"]


async def test_who_came_with_a_good_token_before_is_not_shut_out_with_its_neighbours(
    tokens: Tokens,
) -> None:
    tokens.reopen(max_bad_tokens_per_minute=2)
    await tokens.refused("GET", "", token="p.bad.1")
    assert (await tokens.ask("GET", ""))["tokens"]
    await tokens.refused("GET", "", token="p.bad.2")
    assert isinstance(await tokens.refused("GET", "", token="p.bad.3"), TooManyRequests)
    assert (await tokens.ask("GET", ""))["tokens"]


async def test_over_http_bodies_are_read_and_addresses_counted(
    make_api: Callable[..., Awaitable[Api]],
) -> None:
    api = await make_api()
    tokens = Tokens(api.server, max_bad_tokens_per_minute=1)
    admin = tokens.value(ADMIN_TOKEN)
    body = {"name": "n", "scopes": ["PIPES:READ:top"]}
    made = await api.call("/v0/tokens/", "POST", token=admin, json=body)
    assert made.json()["scopes"] == [{"type": "PIPES:READ", "resource": "top", "filter": ""}]
    changed = await api.call("/v0/tokens/n", "PUT", token=admin, data={"scope": "TOKENS"})
    assert changed.json()["scopes"] == [{"type": "TOKENS"}]
    assert (await api.call("/v0/pipes/top.json", token="p.bad.1")).status_code == 403
    slowed = await api.call("/v0/pipes/top.json", token="p.bad.2")
    assert (slowed.status_code, "retry-after" in slowed.headers) == (429, True)


async def test_a_missing_token_is_no_guess(tokens: Tokens) -> None:
    tokens.reopen(max_bad_tokens_per_minute=1)
    for _ in range(5):
        assert isinstance(await tokens.refused("GET", "", token=None), Forbidden)
    assert not tokens.server.keyring.attempts.is_watching


def test_two_stores_keys_give_the_same_tokens_other_values(tmp_path: Any) -> None:
    store = open_store(tmp_path)
    with store.begin() as connection:
        connection.execute(
            insert(workspaces).values(id=WORKSPACE.id, name="w", created_at=now_text())
        )
        first = open_keyring(connection, KEY, [WORKSPACE], secrets_key=KEY)
        second = open_keyring(connection, b"x" * 32, [WORKSPACE], secrets_key=KEY)
    store.close()
    assert not first.keyring.entries.keys() & second.keyring.entries.keys()
