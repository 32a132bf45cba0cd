"""SQL over pipes: their insides stay theirs, whatever the caller's statement names or sends; `%`
templates, `pipeline`, `q` of endpoints, and the helper routes."""

from __future__ import annotations

import pytest

from tests.api.attacks.cases import NOTHING, READABLE, Case, find_faults, load_cases, name_of, send
from tests.api.attacks.world import World

CASES = load_cases("sql_over_pipes")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_inside_a_pipe_stays_there(world: World, case: Case) -> None:
    """`after`: a workspace that has just used the engine's connections; `never`: a text that
    would be the answer if the attack had worked; `body_is`: the whole body."""
    if "after" in case:
        for _ in range(3):
            world.server.request("/v0/pipes/health_probe.csv", token=world.tokens[case["after"]])
    answer = send(world, case, case["path"], world.tokens[case["token"]])
    faults = find_faults(world, case, answer, READABLE.get(case["token"], NOTHING))
    text = answer.body.decode("utf-8", "replace")
    if "body_is" in case and text != case["body_is"]:
        faults.append(f"body {text!r}")
    if "never" in case and answer.status == 200 and case["never"] in text.split():
        faults.append(f"body {text!r}")
    if "hides_sql" in case and answer.status == 200 and "AS x" in text:
        faults.append(f"the pipe's SQL is told: {text!r}")
    assert faults == []
