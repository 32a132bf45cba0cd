"""Events into materialised views: targets that merge, chains, sources that keep nothing, and views
that fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.e2e.events.conftest import ask, ask_one, counts, deploy, send, wait_until

if TYPE_CHECKING:
    from pipewren.testing.serving import RunningServer


def datasource(columns: Mapping[str, str], engine: str, key: str, paths: bool = False) -> str:
    lines = [
        f"    `{name}` {type}" + (f" `json:$.{name}`" if paths else "")
        for name, type in columns.items()
    ]
    sorting = f"ENGINE_SORTING_KEY {key}\n" if key else ""
    return "SCHEMA >\n" + ",\n".join(lines) + f"\n\nENGINE {engine}\n{sorting}"


def view(sql: str, target: str) -> str:
    return f"NODE rows\nSQL >\n    {sql}\n\nTYPE materialized\nDATASOURCE {target}\n"


COLUMNS = {"kind": "String", "n": "Int64", "text": "String"}
SOURCE = datasource(COLUMNS, "MergeTree", "kind", paths=True)
TARGETS = {
    "datasources/visits.datasource": SOURCE,
    "datasources/summed.datasource": datasource(
        {"kind": "String", "total": "Int64", "rows": "UInt64"}, "SummingMergeTree", "kind"
    ),
    "datasources/states.datasource": datasource(
        {
            "kind": "String",
            "seen": "AggregateFunction(uniqExact, Int64)",
            "mean": "AggregateFunction(avg, Int64)",
        },
        "AggregatingMergeTree",
        "kind",
    ),
    "datasources/latest.datasource": datasource(
        {"kind": "String", "n": "Int64", "text": "String"}, "ReplacingMergeTree", "kind"
    )
    + "ENGINE_VER n\n",
    "datasources/large.datasource": datasource(COLUMNS, "MergeTree", "kind"),
    "datasources/larger.datasource": datasource({"n": "Int64"}, "MergeTree", "n"),
    "materializations/to_summed.pipe": view(
        "SELECT kind, sum(n) AS total, count() AS rows FROM visits GROUP BY kind", "summed"
    ),
    "materializations/to_states.pipe": view(
        "SELECT kind, uniqExactState(n) AS seen, avgState(n) AS mean FROM visits GROUP BY kind",
        "states",
    ),
    "materializations/to_latest.pipe": view("SELECT kind, n, text FROM visits", "latest"),
    "materializations/to_large.pipe": view(
        "SELECT kind, n, text FROM visits WHERE n > 10", "large"
    ),
    "materializations/to_larger.pipe": view("SELECT n * 10 AS n FROM large", "larger"),
}


def row(kind: str, n: int, text: str = "1") -> dict[str, Any]:
    return {"kind": kind, "n": n, "text": text}


def test_views_with_targets_that_merge_and_a_chain(workspace: RunningServer) -> None:
    deploy(workspace, TARGETS)
    for _ in range(2):
        sent = [row("a", 1), row("a", 20), row("b", 300, "old"), row("b", 400, "new")]
        assert counts(send(workspace, sent, "visits")) == (200, 4, 0)
    summed = ask(workspace, "SELECT kind, sum(total) AS t, sum(rows) AS r FROM summed GROUP BY ALL")
    assert sorted((one["kind"], one["t"], one["r"]) for one in summed) == [
        ("a", 42, 4),
        ("b", 1400, 4),
    ]
    states = ask(
        workspace,
        "SELECT kind, uniqExactMerge(seen) AS s, avgMerge(mean) AS m FROM states GROUP BY kind",
    )
    assert sorted((one["kind"], one["s"], one["m"]) for one in states) == [
        ("a", 2, 10.5),
        ("b", 2, 350),
    ]
    assert ask(workspace, "SELECT kind, text FROM latest FINAL ORDER BY kind") == [
        {"kind": "a", "text": "1"},
        {"kind": "b", "text": "new"},
    ]
    assert ask_one(workspace, "groupArray(n)", "(SELECT n FROM large ORDER BY n)") == [
        *(20, 20, 300, 300, 400, 400)
    ]
    assert ask_one(workspace, "sum(n)", "larger") == 14_400


def test_a_source_that_keeps_no_rows_feeds_views(workspace: RunningServer) -> None:
    """Its quarantine keeps rows."""
    files = {
        "datasources/passing.datasource": datasource(COLUMNS, '"Null"', "", paths=True),
        "datasources/kept.datasource": datasource(COLUMNS, "MergeTree", "kind"),
        "materializations/to_kept.pipe": view("SELECT kind, n, text FROM passing", "kept"),
    }
    deploy(workspace, files)
    bad = {"kind": "a", "n": "many", "text": ""}
    assert counts(send(workspace, [row("a", 1), bad, row("a", 2)], "passing")) == (200, 2, 1)
    assert ask_one(workspace, "(count(), sum(n))", "kept") == [2, 3]
    assert ask_one(workspace, "count()", "passing") == 0
    assert ask_one(workspace, "count()", "passing_quarantine") == 1


FAILING = {
    "datasources/visits.datasource": SOURCE,
    "datasources/numbers.datasource": datasource({"v": "UInt64"}, "MergeTree", "v"),
    "datasources/other.datasource": datasource(COLUMNS, "MergeTree", "kind"),
    "materializations/to_numbers.pipe": view("SELECT toUInt64(text) AS v FROM visits", "numbers"),
    "materializations/to_other.pipe": view("SELECT kind, n, text FROM visits", "other"),
}


def test_a_view_that_fails_is_422_names_its_pipe_and_loses_no_row_of_the_source(
    workspace: RunningServer,
) -> None:
    deploy(workspace, FAILING)
    assert counts(send(workspace, [row("a", 1)], "visits")) == (200, 1, 0)
    answer = send(workspace, [row("a", 2), row("a", 3, "no number")], "visits")
    assert answer.status == 422
    error = answer.json()["error"]
    assert "to_numbers" in error
    assert "__mv" not in error
    assert "Do not send them again" in error
    assert ask_one(workspace, "groupArray(n)", "(SELECT n FROM visits ORDER BY n)") == [1, 2, 3]
    # Nobody is held up by it, now and when it is given up.
    assert counts(send(workspace, [row("b", 4)], "visits")) == (200, 1, 0)
    assert counts(send(workspace, [row("b", 5, "again none")], "visits", wait=False)) == (202, 1, 0)
    source = "tinybird.datasources_ops_log"
    failed = "countIf(event_type = 'append-hfi' AND result = 'error')"
    wait_until(workspace, failed, 2, source)
    assert ask_one(workspace, "(count(), sum(n))", "visits") == [5, 15]
    assert ask_one(workspace, "(count(), sum(n))", "other") == [5, 15]
    assert ask_one(workspace, "count()", "numbers") == 2
    (noted, _) = ask(workspace, f"SELECT * FROM {source} WHERE result = 'error' ORDER BY rows DESC")
    assert (noted["datasource_name"], noted["rows"], noted["rows_quarantine"]) == ("visits", 2, 0)
    assert "no number" in noted["error"] or "parse" in noted["error"].lower()


def test_a_failing_view_does_not_come_back_to_life_with_a_truncate(
    workspace: RunningServer,
) -> None:
    """Rows that are in their table while their group is tried again go with the others."""
    deploy(workspace, FAILING)
    assert send(workspace, [row("a", 1, "none")], "visits").status == 422
    truncated = workspace.request("/v0/datasources/visits/truncate", method="POST", body=b"")
    assert truncated.status == 205
    assert ask_one(workspace, "count()", "visits") == 0
    assert counts(send(workspace, [row("a", 2)], "visits")) == (200, 1, 0)
    assert ask_one(workspace, "groupArray(n)", "visits") == [2]
    assert not list((workspace.data_dir).glob("**/set_aside/*"))


def test_what_was_acknowledged_before_a_truncate_does_not_come_back(
    workspace: RunningServer,
) -> None:
    deploy(workspace, TARGETS)
    for number in range(20):
        sent = [row("a", 1000 + number), {**row("a", 1), "n": "many"}]
        assert counts(send(workspace, sent, "visits", wait=False)) == (202, 1, 1)
        for name in ("visits", "large", "visits_quarantine"):
            path = f"/v0/datasources/{name}/truncate"
            assert workspace.request(path, method="POST", body=b"").status == 205
            assert ask_one(workspace, "count()", name) == 0
    # What is sent later is grouped with what would have come back.
    assert counts(send(workspace, [row("z", 1)], "visits")) == (200, 1, 0)
    assert ask_one(workspace, "groupArray(kind)", "visits") == ["z"]
    assert ask_one(workspace, "count()", "large") == 0
    assert ask_one(workspace, "count()", "visits_quarantine") == 0
    assert ask_one(workspace, "count()", "larger") == 20


def test_truncating_what_a_view_fills_leaves_its_source(workspace: RunningServer) -> None:
    deploy(workspace, TARGETS)
    assert counts(send(workspace, [row("a", 11)], "visits", wait=False)) == (202, 1, 0)
    path = "/v0/datasources/summed/truncate"
    assert workspace.request(path, method="POST", body=b"").status == 205
    assert ask_one(workspace, "count()", "summed") == 0
    assert ask_one(workspace, "count()", "visits") == 1
    assert counts(send(workspace, [row("a", 12)], "visits")) == (200, 1, 0)
    assert ask_one(workspace, "(sum(total), sum(rows))", "summed") == [12, 1]
    assert ask_one(workspace, "sum(n)", "larger") == 230
