"""Statements that want all time, memory or disk: each is refused, or ended by the server's own
limit before the process has grown by much; the next caller is answered (engine-guard.md section
5)."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from pipewren.testing.serving import HttpAnswer
from tests.api.attacks.cases import READABLE, Case, find_faults, load_cases, name_of
from tests.api.attacks.evidence import forget_peak, peak_memory_bytes
from tests.api.attacks.world import MAX_MEMORY_BYTES, World, make_world

CASES = load_cases("costs")
# engine-guard.md section 5 counts with 4 times; constants that are folded take up to 5.
MOST_GROWTH_BYTES = 6 * MAX_MEMORY_BYTES
OF_RESULTS_BYTES = 200_000_000  # where a result alone is large


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server of its own, since a case that fails may end it."""
    with make_world(tmp_path_factory.mktemp("costs"), max_execution_time_s=1) as made:
        yield made


def ask(world: World, sql: str) -> HttpAnswer:
    """A stream that is cut off where a limit is reached has its status only."""
    headers = {"Content-Type": "text/plain"}
    body, token = sql.encode(), world.tokens["reader"]
    try:
        return world.server.request(
            "/v0/sql", method="POST", headers=headers, body=body, token=token
        )
    except http.client.IncompleteRead:
        return HttpAnswer(200, {}, b"")
    except (OSError, http.client.HTTPException):
        return HttpAnswer(500, {}, b"nobody answers")


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_a_statement_costs_is_bounded(world: World, case: Case) -> None:
    pid = world.pid
    before = forget_peak(pid)
    answer = ask(world, case["q"])
    grown = peak_memory_bytes(pid) - before
    assert find_faults(world, case, answer, READABLE["reader"]) == []
    assert grown < (OF_RESULTS_BYTES if case.get("memory") else MOST_GROWTH_BYTES)
