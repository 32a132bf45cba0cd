"""What is done to tables while a group of rows waits, since a materialised view refuses it: the
rows are in their source and in the other view's target, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipewren.testing.serving import serving, write_files
from tests.e2e.events.conftest import ask_one, counts, deploy, send, wait_until
from tests.e2e.events.test_views import FAILING, row, view

if TYPE_CHECKING:
    from pathlib import Path

    from pipewren.testing.serving import RunningServer


def send_refused(server: RunningServer) -> None:
    """One row that a view refuses: its group is tried again within some seconds."""
    assert send(server, [row("a", 1, "no number")], "visits").status == 422


def check_once(server: RunningServer) -> None:
    """When the group is over."""
    wait_until(server, "countIf(result = 'error')", 1, "tinybird.datasources_ops_log")
    assert counts(send(server, [row("b", 2)], "visits")) == (200, 1, 0)
    assert ask_one(server, "(count(), sum(n))", "visits") == [2, 3]


# The view that fails is repaired, so that the group would go through; the other is another one now.
CHANGED = {
    "materializations/to_numbers.pipe": view(
        "SELECT toUInt64OrZero(text) AS v FROM visits", "numbers"
    ),
    "materializations/to_other.pipe": view(
        "SELECT kind, n, concat(text, '!') AS text FROM visits", "other"
    ),
}


def test_a_deploy_that_changes_views_doubles_no_row(workspace: RunningServer) -> None:
    deploy(workspace, FAILING)
    send_refused(workspace)
    deploy(workspace, {**FAILING, **CHANGED})
    check_once(workspace)
    assert ask_one(workspace, "(count(), sum(n))", "other") == [2, 3]


def test_a_file_for_what_a_view_fills_doubles_no_row(workspace: RunningServer) -> None:
    """The table is exchanged for another, which knows no tokens."""
    deploy(workspace, FAILING)
    send_refused(workspace)
    answer = workspace.request(
        "/v1/datasources/other/append",
        {"format": "csv"},
        method="POST",
        body=b"kind,n,text\nc,10,x\n",
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status == 200, answer.body
    assert answer.json()["status"] == "done", answer.json()
    check_once(workspace)
    assert ask_one(workspace, "(count(), sum(n))", "other") == [3, 13]


def test_a_truncate_of_what_a_view_fills_brings_no_row_back(workspace: RunningServer) -> None:
    deploy(workspace, FAILING)
    send_refused(workspace)
    truncated = workspace.request("/v0/datasources/other/truncate", method="POST", body=b"")
    assert truncated.status == 205
    check_once(workspace)
    assert ask_one(workspace, "(count(), sum(n))", "other") == [1, 2]


def test_a_start_with_changed_files_doubles_no_row(tmp_path: Path) -> None:
    project = write_files(tmp_path / "project", FAILING)
    with serving(project, tmp_path / "data") as server:
        send_refused(server)
    write_files(project, CHANGED)
    with serving(project, tmp_path / "data") as server:
        assert counts(send(server, [row("b", 2)], "visits")) == (200, 1, 0)
        for source in ("visits", "other"):
            wait_until(server, "(count(), sum(n))", [2, 3], source)
