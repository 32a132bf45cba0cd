"""Materialised views on a real server: fed by appends, changed with the deployment, checked."""

from __future__ import annotations

import time

from pipewren.testing.serving import RunningServer, serving
from tests.e2e.deployments.conftest import (
    EVENTS,
    PROJECT,
    TOTALS,
    VIEW,
    build,
    deploy,
    rows_of,
)

VIEW_PATH = "materializations/sums.pipe"


def append(server: RunningServer, *rows: tuple[str, int]) -> None:
    """Rows of `events`, in when this returns."""
    body = "".join(
        f'{{"at": "2026-01-31 12:00:00", "kind": "{kind}", "n": {n}}}\n' for kind, n in rows
    )
    path = "/v1/datasources/events/append"
    answer = server.request(path, {"format": "ndjson"}, method="POST", body=body.encode())
    assert answer.status == 200, answer.body
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = server.get(f"/v0/jobs/{answer.json()['id']}")[1]
        if job["status"] in ("done", "error"):
            break
    assert job["status"] == "done", job


def totals(server: RunningServer) -> dict[str, int]:
    return {row["kind"]: row["total"] for row in rows_of(server, "by_kind")}


def test_rows_that_are_appended_go_through_the_view_also_after_a_restart(
    own_server: RunningServer,
) -> None:
    """Also where a full disk has cut off the view's definition: there is a copy of it."""
    build(own_server, PROJECT)
    append(own_server, ("a", 1), ("b", 5), ("a", 2))
    assert totals(own_server) == {"a": 3, "b": 5}
    own_server.stop()
    metadata = own_server.data_dir / "engine" / "metadata"
    (definition,) = metadata.glob("w_*/sums*.sql")
    definition.write_text("")
    with serving(own_server.project_dir, own_server.data_dir) as again:
        append(again, ("a", 10))
        assert totals(again) == {"a": 13, "b": 5}
        described = again.get("/v0/pipes/sums")[1]
        target = again.get("/v0/datasources/totals")[1]["id"]
        assert described["type"] == "materialized"
        assert described["nodes"][1]["materialized"] == target


def test_a_changed_view_takes_the_place_of_the_old_one_and_a_removed_one_is_gone(
    server: RunningServer,
) -> None:
    deploy(server, PROJECT)
    append(server, ("a", 1))
    tenfold = {**PROJECT, VIEW_PATH: VIEW.replace("sum(n)", "sum(n) * 10")}
    assert deploy(server, tenfold)["deployment"]["changed_pipe_names"] == ["sums"]
    append(server, ("a", 2))
    assert totals(server) == {"a": 21}
    without = {path: text for path, text in PROJECT.items() if path != VIEW_PATH}
    deploy(server, without)
    append(server, ("a", 100))
    assert totals(server) == {"a": 21}
    answer = deploy(server, PROJECT)["deployment"]
    assert "from now on" in answer["feedback"][0]["message"]
    append(server, ("a", 3))
    assert totals(server) == {"a": 24}


def test_a_staged_view_takes_no_rows_until_it_is_promoted(server: RunningServer) -> None:
    deploy(server, PROJECT)
    tenfold = {**PROJECT, VIEW_PATH: VIEW.replace("sum(n)", "sum(n) * 10")}
    deploy(server, tenfold, auto_promote="false")
    append(server, ("a", 1))
    assert totals(server) == {"a": 1}
    assert server.request("/v1/deployments/2/set-live", method="POST").status == 200
    append(server, ("a", 1))
    assert totals(server) == {"a": 11}


def test_a_view_that_does_not_fit_its_target_is_told_with_its_file(server: RunningServer) -> None:
    deploy(server, PROJECT)
    for text, said in (
        (VIEW.replace("AS total", "AS totl"), "totl"),
        (VIEW.replace("sum(n) AS total", "'many' AS total"), "many"),
        (VIEW.replace("DATASOURCE totals", "DATASOURCE missing"), "missing"),
    ):
        answer = deploy(server, {**PROJECT, VIEW_PATH: text})
        assert answer["result"] == "failed", said
        assert {error["filename"] for error in answer["errors"]} == {VIEW_PATH}
        assert any(said in error["error"] for error in answer["errors"]), answer["errors"]
    append(server, ("a", 1))
    assert totals(server) == {"a": 1}


def test_an_empty_table_changes_its_schema_and_one_with_rows_does_not(
    server: RunningServer,
) -> None:
    deploy(server, PROJECT)
    wider = {
        **PROJECT,
        "datasources/events.datasource": EVENTS.replace(
            "`n` UInt64 `json:$.n`", "`n` UInt64 `json:$.n`,\n    `who` String `json:$.who`"
        ),
    }
    changed = deploy(server, wider)["deployment"]
    assert changed["changed_datasource_names"] == ["events"]
    append(server, ("a", 4))
    assert totals(server) == {"a": 4}
    for send in (deploy, build):
        refused = send(server, PROJECT)
        assert refused["result"] == "failed"
        assert "its table holds 1 rows: column who was removed" in refused["errors"][0]["error"]
    same = {**wider, "datasources/totals.datasource": f"DESCRIPTION totals\n{TOTALS}"}
    assert deploy(server, same)["result"] == "success"
    assert totals(server) == {"a": 4}
