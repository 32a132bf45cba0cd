"""What is acknowledged is there once, whenever the server is killed.

`PIPEWREN_STORM_SEED` repeats a run's choices; moments differ from run to run all the same.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from pipewren.testing.events_holdings import PROJECT, Server, read_holdings
from pipewren.testing.events_ledger import Ledger, Problem, find_problems, summarize
from pipewren.testing.events_storm import TRUNCATED, Storm
from pipewren.testing.killable import KillableServer
from pipewren.testing.serving import write_files

WRITERS = 8
KILLS = 30
LONGEST_S = 1.2  # between a start and the next kill
SETTLES_S = 60.0
FASTER = {"PIPEWREN_EVENTS_FLUSH_S": "0.2"}  # more groups for kills to fall into


@pytest.mark.slow
def test_after_30_kills_every_acknowledged_row_is_there_once_and_truncated_ones_stay_away(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("PIPEWREN_STORM_SEED") or random.randrange(1_000_000))
    print(f"PIPEWREN_STORM_SEED={seed}")  # noqa: T201 - shown where the test fails
    project = write_files(tmp_path / "project", PROJECT)
    server = KillableServer(project, tmp_path / "data", tmp_path / "output", FASTER)
    storm = Storm(server, seed, truncate_every_s=2.0)
    try:
        server.launch()
        server.wait_ready()
        storm.blow(writers=WRITERS, kills=KILLS, longest_s=LONGEST_S)
        print(storm.ledger.describe())  # noqa: T201
        problems = wait_until_settled(server, storm.ledger)
        assert not problems, summarize(problems)
        server.stop()
        server.launch()
        server.wait_ready()
        problems = find_problems(storm.ledger, read_holdings(server, storm.ledger))
        assert not problems, f"after one more start: {summarize(problems)}"
    finally:
        server.stop()
    # Neither of rows that may be lost nor of mistakes of its own.
    errors = [line for line in server.output.read_text().splitlines() if " ERROR " in line]
    assert not errors
    assert {one.table for one in storm.ledger.truncated} == set(TRUNCATED)
    waited = {(one.source, one.wait, one.status) for one in storm.ledger.sent.values()}
    for source in ("events", "visits"):
        assert {(source, False, 202), (source, True, 200), (source, False, 0)} <= waited


def wait_until_settled(server: Server, ledger: Ledger) -> list[Problem]:
    """What is wrong once it is no longer only that rows are not there yet."""
    deadline = time.monotonic() + SETTLES_S
    while True:
        problems = find_problems(ledger, read_holdings(server, ledger))
        if {one.kind for one in problems} != {"lost"} or time.monotonic() > deadline:
            return problems
        time.sleep(0.2)
