"""Rows that are made to harm others: what they see, and how long they wait."""

from __future__ import annotations

import json

from pipewren.testing.serving import RunningServer
from tests.e2e.events.conftest import ask, ask_one, counts, deploy, send, wait_until

BY_DAY = """
SCHEMA >
    `n` UInt32 `json:$.n`,
    `day` Date `json:$.day`

ENGINE MergeTree
ENGINE_PARTITION_KEY day
ENGINE_SORTING_KEY n
"""
DYNAMIC = """
SCHEMA >
    `n` UInt32 `json:$.n`,
    `x` Dynamic `json:$.x`,
    `p.a` Array(UInt8) `json:$.a[:]`,
    `p.b` Array(UInt8) `json:$.b[:]`

ENGINE MergeTree
ENGINE_SORTING_KEY n
"""


def test_rows_for_many_partitions_go_in_by_groups_that_do_not_hold_up_others(
    workspace: RunningServer,
) -> None:
    deploy(workspace, {"datasources/by_day.datasource": BY_DAY})
    rows = [{"n": number, "day": 20_000 + number} for number in range(350)]
    assert counts(send(workspace, rows, "by_day")) == (200, 350, 0)
    assert ask_one(workspace, "(count(), uniq(day))", "by_day") == [350, 350]
    log = "tinybird.datasources_ops_log"
    written = "sumIf(rows, event_type = 'append-hfi' AND result = 'ok')"
    wait_until(workspace, written, 350, log)
    (largest,) = ask(
        workspace,
        f"SELECT max(rows) AS n FROM {log} WHERE event_type = 'append-hfi' AND result = 'ok'",
    )
    assert largest["n"] <= 100


def test_values_over_several_lines_stay_whole_when_their_group_is_halved(
    workspace: RunningServer,
) -> None:
    """The engine refuses one row, so that the group is cut at the ends of lines."""
    deploy(workspace, {"datasources/loose.datasource": DYNAMIC})
    rows = [
        {"n": number, "x": {"k": [number, "x"]}, "a": [1], "b": [1] if number != 5 else [1, 2]}
        for number in range(8)
    ]
    answer = send(workspace, json.dumps(rows, indent=1).encode(), "loose", format="json")
    assert counts(answer)[0] == 200
    wait_until(workspace, "count()", 1, "loose_quarantine")
    assert ask_one(workspace, "groupArray(n)", "(SELECT n FROM loose ORDER BY n)") == [
        0, 1, 2, 3, 4, 6, 7,
    ]  # fmt: skip
    assert ask_one(workspace, "n", "loose_quarantine") == "5"
