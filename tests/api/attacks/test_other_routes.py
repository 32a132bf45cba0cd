"""Names and bodies on the routes beside endpoints and queries: none becomes SQL or a path."""

from __future__ import annotations

import pytest

from tests.api.attacks.cases import NOTHING, Case, find_faults, load_cases, name_of, send
from tests.api.attacks.world import World

CASES = load_cases("other_routes")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_name_stays_a_name(world: World, case: Case) -> None:
    answer = send(world, case, world.fill(case["path"]), world.tokens[case["token"]])
    assert find_faults(world, case, answer, NOTHING) == []
