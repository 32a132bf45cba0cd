"""The storm finds what a server does wrong, and nothing where it does nothing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pipewren.testing.events_holdings import read_holdings
from pipewren.testing.events_ledger import find_problems, summarize
from pipewren.testing.events_storm import Storm

if TYPE_CHECKING:
    from tests.e2e.events_durability.conftest import FakeServer

KINDS = {
    "lost in events": ("lost", "events"),
    "lost in visits": ("lost", "visits"),
    "lost in copied": ("lost", "copied"),
    "lost in aggregated": ("lost", "aggregated"),
    "lost in events_quarantine": ("lost", "events_quarantine"),
    "twice in events": ("twice", "events"),
    "twice in aggregated": ("twice", "aggregated"),
    "twice in visits_quarantine": ("twice", "visits_quarantine"),
    "invented in visits": ("invented", "visits"),
    "another id in events": ("invented", "events"),
    "garbled in events": ("garbled", "events"),
    "resurrected in events": ("resurrected", "events"),
    "unseen": ("unseen", "events"),
    "miscounted": ("answer", "events"),
    "failing": ("answer", "events"),
}


def storm_over(fake: FakeServer) -> Storm:
    storm = Storm(fake, seed=1, truncate_every_s=0.05, look_up_share=1.0)
    storm.blow(writers=4, kills=20, longest_s=0.06)
    fake.kill_child()  # once more over all that was sent last
    return storm


def test_a_server_without_mistakes_has_none(start_fake: Callable[[str], FakeServer]) -> None:
    fake = start_fake("")
    ledger = storm_over(fake).ledger
    problems = find_problems(ledger, read_holdings(fake, ledger))
    assert not problems, summarize(problems)
    assert {0, 200, 202} == {sent.status for sent in ledger.sent.values()}
    assert {one.table for one in ledger.truncated} == {"events", "visits", "copied"}
    assert ledger.look_ups


@pytest.mark.parametrize("mistake", KINDS)
def test_a_mistake_is_found(mistake: str, start_fake: Callable[[str], FakeServer]) -> None:
    fake = start_fake(mistake)
    ledger = storm_over(fake).ledger
    problems = find_problems(ledger, read_holdings(fake, ledger))
    assert KINDS[mistake] in {(one.kind, one.table) for one in problems}, ledger.describe()
