"""Cancels that race completions: no KILL may ever hit the next caller's query.

    python bench/cancel_race.py [CANCELS] [SEED]

Some callers give their query up after a random time around its usual duration, others run quick
queries on the same few connections and want their own answer. An innocent query that fails or gets
another answer is counted as hit. The suite runs a thousand cancels, this program 10,000.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pipewren.engine.contract import Limits, Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions
from pipewren.errors import PipewrenError
from pipewren.sqltext import trusted_sql

LONGEST_WAIT_S = 0.012
CANCELLERS = 5
INNOCENTS = 3


@dataclass(slots=True)
class Race:
    """What became of the queries of one race, and how many it is to see."""

    wanted_cancels: int
    wanted_completions: int
    cancelled: int = 0
    completed: int = 0  # before they could be cancelled
    innocent: int = 0
    hits: int = 0
    kills: int = 0  # KILL statements, each for one query or a few
    first_hit: str = ""

    @property
    def is_over(self) -> bool:
        return self.cancelled >= self.wanted_cancels and self.completed >= self.wanted_completions


async def race_cancels(
    engine: EmbeddedEngine, cancels: int, seed: int, *, completions: int = 0
) -> Race:
    """Run until `cancels` queries were cancelled while they waited, ran or just ended, and
    `completions` ended before they could be: on a slow machine few do."""
    race = Race(cancels, completions)
    choose = random.Random(seed)
    numbers = iter(range(10**9))
    await asyncio.gather(
        *(_cancel(engine, race, choose) for _ in range(CANCELLERS)),
        *(_ask(engine, race, numbers) for _ in range(INNOCENTS)),
    )
    race.kills = engine.health().detail["kills"]
    return race


async def _cancel(engine: EmbeddedEngine, race: Race, choose: random.Random) -> None:
    while not race.is_over:
        rows = int(10 ** choose.uniform(3, 7.5))  # from 0.5 ms to some 20 ms
        query = asyncio.ensure_future(
            engine.run(_statement(f"SELECT sum(number) AS s FROM numbers({rows})"))
        )
        _, waiting = await asyncio.wait([query], timeout=choose.uniform(0, LONGEST_WAIT_S))
        if waiting:
            query.cancel()
            await asyncio.wait([query])
        race.cancelled += query.cancelled()
        race.completed += not query.cancelled()
        if not query.cancelled() and (error := query.exception()) is not None:
            _record_hit(race, f"{rows} rows: {error}")


async def _ask(engine: EmbeddedEngine, race: Race, numbers: Iterator[int]) -> None:
    while not race.is_over:
        number = next(numbers)
        race.innocent += 1
        try:
            # Long enough for a stray KILL of 20 ms before to find it.
            result = await engine.run(
                _statement(f"SELECT {number} AS n, count() AS c FROM numbers({number % 200_000})")
            )
        except PipewrenError as error:
            _record_hit(race, f"{number}: {error}")
        else:
            if result.body != b'{"n":%d,"c":%d}\n' % (number, number % 200_000):
                _record_hit(race, f"{number}: {result.body[:200]!r}")


def _record_hit(race: Race, text: str) -> None:
    race.hits += 1
    race.first_hit = race.first_hit or text


def _statement(sql: str) -> Statement:
    return Statement(trusted_sql(sql), "", format="JSONEachRow", limits=Limits())


async def run_bench(cancels: int, seed: int) -> Race:
    with tempfile.TemporaryDirectory() as folder:
        engine = await EmbeddedEngine.open(EngineOptions(Path(folder), disk_reserve_bytes=1))
        try:
            return await race_cancels(engine, cancels, seed)
        finally:
            await engine.close()


def main() -> int:
    cancels = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    start = perf_counter()
    race = asyncio.run(run_bench(cancels, seed))
    print(
        f"{race.cancelled} cancelled by {race.kills} KILLs, {race.completed} completed first, "
        f"{race.innocent} innocent queries, {race.hits} hit, in {perf_counter() - start:.0f} s"
    )
    if race.hits:
        print(f"The first: {race.first_hit}")
    return 1 if race.hits else 0


if __name__ == "__main__":
    sys.exit(main())
