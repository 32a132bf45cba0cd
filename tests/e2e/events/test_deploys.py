"""Events while deployments go live: none is lost, none doubled, and later ones are read anew."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.e2e.events.conftest import ask_one, counts, deploy, send, wait_until

if TYPE_CHECKING:
    from pipewren.testing.serving import RunningServer


def project(path: str, *, has_view: bool = False, factor: int = 1) -> dict[str, str]:
    """`text` is read by `path`; the view, if there is one, multiplies ids."""
    files = {
        "datasources/visits.datasource": (
            "SCHEMA >\n    `id` UInt64 `json:$.id`,\n    `text` String `json:$."
            + path
            + "`\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n"
        ),
        "datasources/copies.datasource": (
            "SCHEMA >\n    `id` UInt64,\n    `factor` UInt64\n\n"
            "ENGINE MergeTree\nENGINE_SORTING_KEY id\n"
        ),
    }
    if has_view:
        files["materializations/to_copies.pipe"] = (
            f"NODE rows\nSQL >\n    SELECT id, toUInt64({factor}) AS factor FROM visits\n\n"
            "TYPE materialized\nDATASOURCE copies\n"
        )
    return files


@dataclass
class Writers:
    """`taken` are the ids of rows that were acknowledged."""

    server: RunningServer
    taken: list[int] = field(default_factory=list)
    ids: Iterator[int] = field(default_factory=itertools.count)
    stopped: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)

    def write(self, number: int) -> None:
        while not self.stopped.is_set():
            ids = [next(self.ids) for _ in range(3)]
            rows = [{"id": id, "old": f"old {id}", "new": f"new {id}"} for id in ids]
            answer = send(self.server, rows, "visits", wait=number % 2 == 0)
            if answer.status in (200, 202) and answer.json()["successful_rows"] == 3:
                self.taken += ids
            else:
                self.failures.append(f"{answer.status} {answer.body!r}")
                return

    def send_one(self) -> int:
        id = next(self.ids)
        row = {"id": id, "old": f"old {id}", "new": f"new {id}"}
        assert counts(send(self.server, [row], "visits")) == (200, 1, 0)
        self.taken.append(id)
        return id


@contextmanager
def writing(server: RunningServer) -> Iterator[Writers]:
    writers = Writers(server)
    threads = [threading.Thread(target=writers.write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.stopped.set()
        for thread in threads:
            thread.join()
    assert not writers.failures


def test_changed_paths_and_new_views_while_events_come(workspace: RunningServer) -> None:
    deploy(workspace, project("old"))
    with writing(workspace) as writers:
        first = writers.send_one()
        deploy(workspace, project("new"))
        second = writers.send_one()
        deploy(workspace, project("new", has_view=True))
        third = writers.send_one()
        deploy(workspace, project("new", has_view=True, factor=2))
        fourth = writers.send_one()
        deploy(workspace, project("old"))
        fifth = writers.send_one()
    taken = len(writers.taken)
    assert taken > 20
    wait_until(workspace, "(count(), uniqExact(id))", [taken, taken], "visits")
    texts = {
        id: ask_one(workspace, f"anyIf(text, id = {id})", "visits")
        for id in (first, second, third, fourth, fifth)
    }
    assert texts == {
        first: f"old {first}",
        second: f"new {second}",
        third: f"new {third}",
        fourth: f"new {fourth}",
        fifth: f"old {fifth}",
    }
    # Each row by one of the deployments, and through its view, if at all, once.
    known = "(concat('old ', toString(id)), concat('new ', toString(id)))"
    assert ask_one(workspace, f"countIf(text NOT IN {known})", "visits") == 0
    assert ask_one(workspace, "count() - uniqExact(id)", "copies") == 0
    seen = f"groupArrayIf((id, factor), id IN ({first}, {second}, {third}, {fourth}, {fifth}))"
    pairs = ask_one(workspace, seen, "(SELECT * FROM copies ORDER BY id)")
    assert [tuple(pair) for pair in pairs] == [(third, 1), (fourth, 2)]


def test_a_view_has_all_rows_that_came_after_it_went_live(workspace: RunningServer) -> None:
    deploy(workspace, project("old"))
    with writing(workspace) as writers:
        writers.send_one()
        deploy(workspace, project("old", has_view=True))
        first = next(writers.ids)
    taken = [id for id in writers.taken if id > first]
    wait_until(workspace, "count()", len(writers.taken), "visits")
    assert ask_one(workspace, f"countIf(id > {first})", "copies") == len(taken)


def test_a_staged_deployment_takes_events_where_it_is_asked_for(workspace: RunningServer) -> None:
    """The table is the same, and the paths are the staged ones'."""
    deploy(workspace, project("old"))
    deploy(workspace, project("new"), auto_promote="false")
    row = {"id": 1, "old": "old", "new": "new"}
    staged: dict[str, Any] = {"__tb__deployment": "staging"}
    assert counts(send(workspace, [row], "visits")) == (200, 1, 0)
    assert counts(send(workspace, [{**row, "id": 2}], "visits", **staged)) == (200, 1, 0)
    texts = "(SELECT text FROM visits ORDER BY id)"
    assert ask_one(workspace, "groupArray(text)", texts) == ["old", "new"]
    assert counts(send(workspace, [{**row, "id": 3}], "visits")) == (200, 1, 0)
    assert ask_one(workspace, "groupArray(text)", texts) == ["old", "new", "old"]


def test_a_data_source_that_was_deleted_takes_no_more_events(workspace: RunningServer) -> None:
    deploy(workspace, project("old"))
    assert send(workspace, [{"id": 1, "old": "x"}], "visits", wait=False).status == 202
    deploy(
        workspace,
        {"datasources/other.datasource": project("old")["datasources/copies.datasource"]},
        allow_destructive_operations="true",
    )
    assert send(workspace, [{"id": 2, "old": "x"}], "visits").status == 404


def test_events_under_way_do_not_hold_up_the_end_of_a_workspace(workspace: RunningServer) -> None:
    deploy(workspace, project("old"))
    row = {"id": 1, "old": "x"}
    assert send(workspace, [row], "visits", wait=False).status == 202
    id = workspace.get("/v1/workspace")[1]["id"]
    user = workspace.request("/tokens", token=None).json()["user_token"]
    gone = workspace.request(f"/v1/workspaces/{id}", method="DELETE", token=user)
    assert gone.status == 200, gone.body
    assert send(workspace, [row], "visits").status == 403
