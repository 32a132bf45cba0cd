"""`tb workspace` and `tb branch`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipewren.testing.serving import write_files
from pipewren.testing.tb_command import Tb

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account

TOLD = {"endpoints/told.pipe": "NODE endpoint\nSQL >\n    SELECT 'main' AS answer\nTYPE endpoint\n"}


def test_workspaces_are_made_listed_and_deleted(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    tokens = account.server.request("/tokens", token=None).json()
    folder = write_files(tmp_path / "project", TOLD)
    tb = open_tb(
        account.server, folder, token=tokens["admin_token"], user_token=tokens["user_token"]
    )
    assert "pipewren" in tb("workspace", "current")
    assert "'made_by_tb' has been created" in tb("workspace", "create", "made_by_tb")
    listed = tb("workspace", "ls")
    assert "made_by_tb" in listed
    assert account.workspace in listed
    deleted = tb("workspace", "delete", "made_by_tb", "--yes", "--confirm_hard_delete", "yes")
    assert "'made_by_tb' deleted" in deleted
    assert "made_by_tb" not in tb("workspace", "ls")


def test_a_branch_has_what_its_workspace_has_and_changes_apart(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", TOLD)
    tb = open_tb(account.server, folder, token=account.token, user_token=account.user_token)
    tb("deploy")
    assert "'try_out' from" in tb("branch", "create", "try_out")
    assert "try_out" in tb("branch", "ls")
    assert "main" in tb("--branch=try_out", "endpoint", "data", "told")
    write_files(folder, {"endpoints/told.pipe": TOLD["endpoints/told.pipe"].replace("main", "new")})
    tb("--branch=try_out", "build")
    assert "new" in tb("--branch=try_out", "endpoint", "data", "told")
    assert "main" in tb("--cloud", "endpoint", "data", "told")
    assert "'try_out' deleted" in tb("branch", "rm", "try_out", "--yes")
    assert "try_out" not in tb("branch", "ls")
