"""`tb deploy` and `tb deployment`: checked, staged, promoted, discarded, refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipewren.testing.serving import write_files
from pipewren.testing.tb_command import Tb

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account


def _telling(answer: str) -> dict[str, str]:
    sql = f"SELECT {answer} AS answer"
    return {"endpoints/told.pipe": f"NODE endpoint\nSQL >\n    {sql}\nTYPE endpoint\n"}


def _told(account: Account) -> str:
    answer = account.server.request("/v0/pipes/told.json", token=account.token)
    assert answer.status == 200, answer.body
    told: str = answer.json()["data"][0]["answer"]
    return told


def test_a_deployment_goes_live_and_local_and_cloud_commands_meet_in_it(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", _telling("'one'"))
    tb = open_tb(account.server, folder, token=account.token)
    info = tb("info")
    assert info.count(f"workspace_name: {account.workspace}") == 2
    assert "✓ Deployment is valid" in tb("deploy", "--check")
    assert "is live!" in tb("deploy")
    assert _told(account) == "one"
    assert "No changes to be deployed" in tb("--cloud", "deploy")
    write_files(folder, _telling("'two'"))
    checked = tb("deploy", "--check")
    assert "modified" in checked
    assert "endpoints/told.pipe" in checked
    assert _told(account) == "one"
    assert "is live!" in tb("--cloud", "deploy")
    assert _told(account) == "two"


def test_a_failing_deployment_shows_its_errors_by_file_once_and_the_old_one_answers(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", _telling("'one'"))
    tb = open_tb(account.server, folder, token=account.token)
    tb("deploy")
    write_files(folder, _telling("nothing FROM nowhere --"))
    failed = tb("deploy", status=1)
    assert failed.count("nowhere") == 1, failed
    assert "endpoints/told.pipe\n" in failed
    assert "Deployment failed" in failed
    assert _told(account) == "one"
    (folder / "endpoints" / "told.pipe").write_text("NODE endpoint\nSQL >\n    SELECT {{\n")
    assert "endpoints/told.pipe" in tb("--cloud", "deploy", "--check", status=1)
    assert "Live" in tb("deployment", "ls")


def test_a_staged_deployment_is_promoted_or_discarded(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", _telling("'one'"))
    tb = open_tb(account.server, folder, token=account.token)
    tb("deploy")
    write_files(folder, _telling("'two'"))
    assert "Deployment is ready" in tb("deployment", "create", "--wait")
    listed = tb("deployment", "ls")
    assert "Staging" in listed
    assert "Live" in listed
    assert _told(account) == "one"
    assert "two" in tb("--staging", "endpoint", "data", "told")
    assert "is live!" in tb("deployment", "promote", "--wait")
    assert _told(account) == "two"
    write_files(folder, _telling("'three'"))
    tb("deployment", "create", "--wait")
    assert "successfully completed" in tb("deployment", "discard", "--wait")
    assert _told(account) == "two"
    history = tb("deployment", "ls", "--include-deleted")
    assert history.count("Deleted") == 2
    assert history.count("Live") == 1


def test_a_data_source_goes_only_where_destruction_is_allowed(
    account: Account, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(
        tmp_path / "project",
        {**_telling("'one'"), "datasources/kept.datasource": "SCHEMA >\n    `a` Int32\n"},
    )
    tb = open_tb(account.server, folder, token=account.token)
    tb("deploy")
    (folder / "datasources" / "kept.datasource").unlink()
    refused = tb("deploy", status=1)
    assert "the data source kept would be deleted" in refused
    assert "kept" in tb("datasource", "ls")
    assert "is live!" in tb("deploy", "--allow-destructive-operations")
    assert "kept" not in tb("datasource", "ls")
