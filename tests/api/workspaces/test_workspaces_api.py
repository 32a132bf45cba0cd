"""Workspaces made, listed and deleted: who may, the shapes, and what is gone afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import jwt
import pytest

from pipewren.deploy.workspace_databases import drop_databases
from pipewren.errors import EngineError, Unavailable
from pipewren.sqltext import Sql
from pipewren.storage.tokens import MEMBER_TOKEN
from pipewren.storage.workspaces import list_workspaces
from tests.api.conftest import WORKSPACE

if TYPE_CHECKING:
    from tests.api.workspaces.conftest import Account

STRICT = {"from": "python-sdk"}
WITH_VERSION = {"from": "python-sdk", "cli_version": "5.0.3"}
NEEDED = {"id", "name", "role", "plan", "token", "is_branch", "main", "current", "organization"}


async def test_a_new_workspace_is_listed_with_a_token_that_opens_it(account: Account) -> None:
    made = await account.make("second")
    assert made.keys() >= NEEDED
    assert await account.names(account.user) == ["tests", "second"]
    current = await account.ask("GET", "/v1/workspace", made["token"])
    assert (current.json()["id"], current.json()["name"]) == (made["id"], "second")
    pipes = await account.ask("GET", "/v0/pipes", made["token"])
    assert pipes.json()["pipes"] == []
    listed = await account.ask("GET", "/v0/tokens", made["token"])
    assert {one["name"] for one in listed.json()["tokens"]} == {
        "workspace admin token", "admin local_testing@tinybird.co",
    }  # fmt: skip


async def test_its_databases_are_recorded_before_they_are_made(account: Account) -> None:
    made = await account.make("second")
    hex_id = made["id"].replace("-", "")
    names = [sql.split()[2].strip("`") for sql in account.engine.executed]
    assert names == [f"w_{hex_id}", f"w_{hex_id}_d0"]


async def test_the_python_sdk_gets_exactly_its_three_keys(account: Account) -> None:
    made = await account.make("second", **STRICT)
    assert made.keys() == {"id", "name", "token"}
    path = "/v1/user/workspaces/"
    strict = await account.ask(
        "GET", path, account.user, params={**STRICT, "with_organization": "true"}
    )
    assert strict.json()["organization_id"]
    assert {frozenset(one) for one in strict.json()["workspaces"]} == {
        frozenset({"id", "name", "token"})
    }
    with_version = await account.ask("GET", path, account.user, params=WITH_VERSION)
    assert all(one.keys() >= NEEDED for one in with_version.json()["workspaces"])


async def test_the_name_may_come_as_a_form(account: Account) -> None:
    answer = await account.ask(
        "POST",
        "/v1/workspaces",
        account.user,
        data={"name": "second", "assign_to_organization_id": "x", **STRICT},
    )
    assert (answer.status_code, answer.json()["name"]) == (200, "second")
    assert answer.json().keys() == {"id", "name", "token"}


@pytest.mark.parametrize("token", ["account", "user"])
async def test_the_accounts_tokens_list_all_with_the_token_of_each(
    account: Account, token: str
) -> None:
    made = await account.make("second")
    answer = await account.ask("GET", "/v1/user/workspaces", getattr(account, token))
    shown = {one["name"]: one["token"] for one in answer.json()["workspaces"]}
    assert shown == {"tests": account.admin, "second": made["token"]}


async def test_a_workspaces_tokens_see_it_alone(account: Account) -> None:
    made = await account.make("second")
    member = str(account.server.keyring.value_of(WORKSPACE.id, MEMBER_TOKEN))
    for token, name, shown in (
        (account.admin, "tests", account.admin),
        (member, "tests", account.admin),
        (account.reader, "tests", account.reader),
        (made["token"], "second", made["token"]),
    ):
        answer = await account.ask("GET", "/v1/user/workspaces", token)
        (only,) = answer.json()["workspaces"]
        assert (only["name"], only["token"], only["current"]) == (name, shown, True)


async def test_no_token_of_a_workspace_reads_the_accounts(account: Account) -> None:
    listed = await account.ask("GET", "/v0/tokens", account.admin)
    assert account.user not in listed.text
    assert account.account not in listed.text
    for name in ("user token", "account admin token"):
        assert (await account.ask("GET", f"/v0/tokens/{name}", account.admin)).status_code == 403


@pytest.mark.parametrize("token", ["admin", "reader"])
async def test_only_the_account_makes_and_deletes_workspaces(account: Account, token: str) -> None:
    made = await account.make("second")
    value = getattr(account, token)
    create = await account.ask("POST", "/v1/workspaces?name=third", value)
    assert create.status_code == 403
    assert "pipewren token" in create.json()["error"]
    for sent in (value, made["token"]):
        assert (
            await account.ask("DELETE", f"/v1/workspaces/{made['id']}", sent)
        ).status_code == 403
    assert await account.names(account.user) == ["tests", "second"]


@pytest.mark.parametrize("name", ["", "with space", "-x", "a/b", "ä", "n" * 256, "a.b", "x\n"])
async def test_a_name_that_is_none_is_refused(account: Account, name: str) -> None:
    answer = await account.ask("POST", "/v1/workspaces", account.user, params={"name": name})
    assert answer.status_code == 400
    assert "name" in answer.json()["error"]


@pytest.mark.parametrize("name", ["feature_one", "123_fix", "Tinybird_Local_Test_a-b", "n" * 255])
async def test_names_that_clients_make_up_are_taken(account: Account, name: str) -> None:
    assert (await account.make(name))["name"] == name


async def test_a_taken_name_is_a_conflict(account: Account) -> None:
    await account.make("second")
    for name in ("second", "tests"):
        answer = await account.ask("POST", f"/v1/workspaces?name={name}", account.user)
        assert answer.status_code == 409


async def test_two_requests_at_once_make_one_workspace(account: Account) -> None:
    path = "/v1/workspaces?name=second"
    both = await asyncio.gather(*(account.ask("POST", path, account.user) for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [200, 409]


async def test_the_number_of_workspaces_is_bounded(
    make_account: Callable[..., Awaitable[Account]],
) -> None:
    account = await make_account(max_workspaces=2)
    await account.make("second")
    answer = await account.ask("POST", "/v1/workspaces?name=third", account.user)
    assert answer.status_code == 400
    assert "max_workspaces" in answer.json()["error"]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("The disk is full"),
        EngineError("no", engine_code=1, engine_name="X", status=500),
    ],
)
async def test_nothing_is_left_of_a_workspace_that_the_engine_refuses(
    account: Account, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = type(account.engine).execute

    async def refuse(self: object, sql: Sql, **options: object) -> None:
        if sql.startswith("CREATE") and "_d0" in sql:
            raise error
        await execute(account.engine, sql)

    with monkeypatch.context() as patched:
        patched.setattr(type(account.engine), "execute", refuse)
        answer = await account.ask("POST", "/v1/workspaces?name=second", account.user)
    assert answer.status_code in (500, 503)
    assert await account.names(account.user) == ["tests"]
    assert (await account.make("second"))["name"] == "second"


async def test_a_deleted_workspace_is_unknown_at_once_with_all_its_tokens(
    account: Account,
) -> None:
    made = await account.make("second")
    created = await account.ask("POST", "/v0/tokens?name=n&scope=TOKENS", made["token"])
    claims = {
        "workspace_id": made["id"],
        "name": "browser",
        "exp": int(time.time()) + 600,
        "scopes": [{"type": "PIPES:READ", "resource": "top"}],
    }
    browser = jwt.encode(claims, made["token"], algorithm="HS256")
    known = await account.ask("GET", "/v0/pipes/top.json", browser)
    assert known.status_code == 404  # verified, and kept: there is no such pipe
    answer = await account.ask(
        "DELETE", f"/v1/workspaces/{made['id']}?hard_delete_confirmation=yes", account.user
    )
    assert answer.status_code == 200
    for token in (made["token"], created.json()["token"], browser):
        for path in ("/v0/pipes/top.json", "/v1/workspace", "/v0/tokens"):
            refused = await account.ask("GET", path, token)
            assert refused.status_code == 403
            assert refused.json()["error"].startswith("invalid authentication token")
    assert await account.names(account.user) == ["tests"]
    again = await account.ask("DELETE", f"/v1/workspaces/{made['id']}", account.user)
    assert again.status_code == 404
    assert (await account.make("second"))["id"] != made["id"]


@pytest.mark.parametrize("hex_id", ["a" * 32, "d" * 32])  # `w_d...` is no deployment's database
async def test_the_databases_of_a_workspace_are_dropped_those_of_aliases_first(
    account: Account, hex_id: str
) -> None:
    account.engine.replies = {
        f"w_{hex_id}": f"w_{hex_id}\nw_{hex_id}_d0\nw_{hex_id}_d12\n".encode()
    }
    account.engine.executed.clear()
    await drop_databases(account.engine, account.server.store, hex_id)
    dropped = [sql.split()[-1].strip("`") for sql in account.engine.executed]
    assert dropped == [f"w_{hex_id}_d0", f"w_{hex_id}_d12", f"w_{hex_id}"]


async def test_a_deleted_workspace_takes_its_databases_with_it(account: Account) -> None:
    made = await account.make("second")
    database = "w_" + made["id"].replace("-", "")
    account.engine.replies = {database: f"{database}\n".encode()}
    account.engine.executed.clear()
    await account.ask("DELETE", f"/v1/workspaces/{made['id']}", account.user)
    assert [sql.split()[-1].strip("`") for sql in account.engine.executed] == [database]


async def test_the_folders_workspace_is_not_deleted(account: Account) -> None:
    answer = await account.ask("DELETE", f"/v1/workspaces/{WORKSPACE.uuid}", account.user)
    assert answer.status_code == 403
    assert "project folder" in answer.json()["error"]
    with account.server.store.begin() as connection:
        assert [one.name for one in list_workspaces(connection)] == ["tests"]


@pytest.mark.parametrize("wanted", ["00000000-0000-0000-0000-000000000002", "tests", "x"])
async def test_deleting_what_there_is_not_is_404(account: Account, wanted: str) -> None:
    answer = await account.ask("DELETE", f"/v1/workspaces/{wanted}", account.user)
    assert answer.status_code == 404


async def test_one_that_is_being_deployed_to_is_not_deleted(account: Account) -> None:
    made = await account.make("second")
    account.server.deploying.add(made["id"].replace("-", ""))
    answer = await account.ask("DELETE", f"/v1/workspaces/{made['id']}", account.user)
    assert answer.status_code == 409
    assert await account.names(account.user) == ["tests", "second"]
