"""The small routes by which clients learn where they are (client-compat.md sections 5 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.conftest import WORKSPACE

if TYPE_CHECKING:
    from tests.api.workspaces.conftest import Account


@pytest.mark.parametrize("token", ["user", "account", "admin", "reader"])
async def test_the_current_workspace_has_exactly_the_keys_that_clients_take(
    account: Account, token: str
) -> None:
    answer = await account.ask("GET", "/v1/workspace", getattr(account, token))
    shown = answer.json()
    assert shown.keys() == {"id", "name", "user_id", "user_email", "scope"}
    assert (shown["id"], shown["name"]) == (WORKSPACE.uuid, "tests")


@pytest.mark.parametrize(("token", "is_user"), [("user", True), ("admin", False)])
async def test_auth_tells_whether_a_token_is_a_users(
    account: Account, token: str, is_user: bool
) -> None:
    answer = await account.ask("GET", "/v0/auth", getattr(account, token))
    assert answer.json() == {"is_valid": True, "is_user": is_user}


async def test_regions_name_this_server(account: Account) -> None:
    answer = await account.ask("GET", "/v0/regions", account.reader)
    (region,) = answer.json()["regions"]
    assert region["api_host"] == region["host"] == "http://localhost"


async def test_the_organization_is_found_by_the_id_that_the_list_tells(account: Account) -> None:
    listed = (await account.ask("GET", "/v1/user/workspaces", account.admin)).json()
    found = await account.ask(
        "GET", f"/v0/organizations/{listed['organization_id']}", account.admin
    )
    assert found.json() == listed["workspaces"][0]["organization"]
    unknown = await account.ask("GET", "/v0/organizations/x", account.admin)
    assert unknown.status_code == 404


async def test_the_older_current_workspace_has_members(account: Account) -> None:
    shown = (await account.ask("GET", "/v0/workspace", account.admin)).json()
    assert shown["members"][0].keys() == {"id", "email", "role"}
    assert shown["main"] is None


@pytest.mark.parametrize(
    "path",
    ["/v1/workspace", "/v0/workspace", "/v0/auth", "/v0/regions", "/v1/user/workspaces"],
)
@pytest.mark.parametrize("token", [None, "p.e30.x", "unknown"])
async def test_a_token_that_is_none_is_403(account: Account, path: str, token: str | None) -> None:
    answer = await account.ask("GET", path, token)
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("invalid authentication token")


async def test_lists_with_tokens_are_kept_by_no_cache_and_read_by_no_page(
    account: Account,
) -> None:
    answer = await account.ask("GET", "/v1/user/workspaces", account.user)
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
