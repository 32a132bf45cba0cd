"""Branches: who may make, see and delete them, and their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipewren.storage.workspaces import list_workspaces
from tests.api.conftest import WORKSPACE

if TYPE_CHECKING:
    import httpx2

    from tests.api.workspaces.conftest import Account

STRICT = {"from": "python-sdk"}


async def branch(account: Account, name: str, token: str | None = None) -> dict[str, Any]:
    """A new branch, by default of the first workspace, as the answer shows it."""
    answer = await account.ask("POST", f"/v1/environments?name={name}", token or account.admin)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    await account.server.jobs.wait(shown["job"]["id"])
    return shown


async def listed(account: Account, token: str, **params: str) -> httpx2.Response:
    return await account.ask("GET", "/v1/environments", token, params=params)


async def test_a_branch_is_a_workspace_with_a_main_and_a_job_that_fills_it(
    account: Account,
) -> None:
    made = await branch(account, "feature")
    job = made["job"]
    assert job["id"] == job["job_id"]
    assert job["job_url"] == f"http://localhost/v0/jobs/{job['id']}"
    done = (await account.ask("GET", f"/v0/jobs/{job['id']}", account.admin)).json()
    assert (done["kind"], done["status"]) == ("branch", "done")
    (shown,) = (await listed(account, account.admin)).json()["environments"]
    assert shown.keys() >= {"id", "name", "created_at", "owner", "members", "main", "token"}
    assert (shown["name"], shown["main"]) == ("feature", WORKSPACE.uuid)
    current = (await account.ask("GET", "/v1/workspace", shown["token"])).json()
    assert (current["id"], current["main"]) == (made["id"], WORKSPACE.uuid)


async def test_lists_of_workspaces_have_branches_unless_told_otherwise(account: Account) -> None:
    made = await branch(account, "feature")
    names = account.names
    assert await names(account.admin) == ["tests", "feature"]
    assert await names(account.admin, with_environments="true") == ["tests", "feature"]
    assert await names(account.admin, with_environments="false") == ["tests"]
    assert await names(account.admin, only_environments="true") == ["feature"]
    answer = await account.ask("GET", "/v1/user/workspaces", account.admin)
    _, shown = answer.json()["workspaces"]
    assert (shown["is_branch"], shown["main"]) == (True, WORKSPACE.uuid)
    assert shown["token"] == made["token"]


async def test_the_python_sdk_gets_exactly_its_keys(account: Account) -> None:
    await branch(account, "feature")
    (shown,) = (await listed(account, account.admin, **STRICT)).json()["environments"]
    assert shown.keys() == {"id", "name", "created_at", "token"}
    path = "/v0/environments/feature"
    with_token = await account.ask(
        "GET", path, account.admin, params={**STRICT, "with_token": "true"}
    )
    assert with_token.json().keys() == {"id", "name", "created_at", "token"}
    without = await account.ask("GET", path, account.admin, params=STRICT)
    assert without.json().keys() == {"id", "name", "created_at"}


async def test_a_branchs_token_reaches_neither_main_nor_its_other_branches(
    account: Account,
) -> None:
    made = await branch(account, "feature")
    other = await branch(account, "other")
    seen = await account.ask("GET", "/v1/user/workspaces", made["token"])
    assert [one["name"] for one in seen.json()["workspaces"]] == ["feature"]
    assert account.admin not in seen.text
    assert other["token"] not in (await listed(account, made["token"])).text
    for method in ("GET", "DELETE"):
        path = f"/v0/environments/{other['id']}"
        assert (await account.ask(method, path, made["token"])).status_code == 404
    job = f"/v0/jobs/{made['job']['id']}"
    assert (await account.ask("GET", job, made["token"])).status_code == 404
    nested = await account.ask("POST", "/v1/environments?name=nested", made["token"])
    assert nested.status_code == 400


async def test_another_workspaces_token_reaches_no_branch(account: Account) -> None:
    stranger = (await account.make("second"))["token"]
    made = await branch(account, "feature")
    assert (await listed(account, stranger)).json() == {"environments": []}
    for wanted in ("feature", made["id"]):
        for method in ("GET", "DELETE"):
            answer = await account.ask(method, f"/v0/environments/{wanted}", stranger)
            assert answer.status_code == 404
    assert await account.names(account.admin, only_environments="true") == ["feature"]


async def test_who_is_no_admin_makes_no_branch_and_sees_none(account: Account) -> None:
    made = await branch(account, "feature")
    assert (await listed(account, account.reader)).json() == {"environments": []}
    create = await account.ask("POST", "/v1/environments?name=x", account.reader)
    delete = await account.ask("DELETE", f"/v0/environments/{made['id']}", account.reader)
    assert (create.status_code, delete.status_code) == (403, 403)


async def test_a_taken_name_is_a_conflict_and_a_missing_branch_404(account: Account) -> None:
    await branch(account, "feature")
    for name in ("feature", "tests"):
        answer = await account.ask("POST", f"/v1/environments?name={name}", account.admin)
        assert answer.status_code == 409
    missing = await account.ask("GET", "/v0/environments/x?with_token=true", account.admin)
    assert missing.status_code == 404
    main = await account.ask("DELETE", f"/v0/environments/{WORKSPACE.uuid}", account.account)
    assert main.status_code == 404


@pytest.mark.parametrize("data", ["all_partitions", "x"])
async def test_other_rows_than_the_last_partition_are_refused(account: Account, data: str) -> None:
    path = f"/v1/environments?name=feature&data={data}"
    answer = await account.ask("POST", path, account.admin)
    assert answer.status_code == 400
    assert await account.names(account.admin) == ["tests"]


async def test_a_deleted_branch_is_unknown(account: Account) -> None:
    made = await branch(account, "feature")
    answer = await account.ask("DELETE", f"/v0/environments/{made['id']}", account.admin)
    assert answer.status_code == 200
    assert (await account.ask("GET", "/v1/workspace", made["token"])).status_code == 403
    assert (await listed(account, account.admin)).json() == {"environments": []}


async def test_branches_go_with_their_main(account: Account) -> None:
    second = await account.make("second")
    made = await branch(account, "feature", second["token"])
    await account.ask("DELETE", f"/v1/workspaces/{second['id']}", account.user)
    for token in (second["token"], made["token"]):
        assert (await account.ask("GET", "/v1/workspace", token)).status_code == 403
    with account.server.store.begin() as connection:
        assert [one.name for one in list_workspaces(connection)] == ["tests"]
