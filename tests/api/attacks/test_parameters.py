"""Values of parameters in every place of a template: each stays a value, or is refused."""

from __future__ import annotations

import pytest

from tests.api.attacks.cases import NOTHING, Case, find_faults, load_cases, name_of, send
from tests.api.attacks.world import World

CASES = load_cases("parameters")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_value_stays_a_value_or_is_refused(world: World, case: Case) -> None:
    token = world.tokens[case.get("token", "pipes")]
    path = world.fill(case.get("path") or f"/v0/pipes/{case['pipe']}.json")
    answer = send(world, case, path, token)
    assert find_faults(world, case, answer, NOTHING) == []
