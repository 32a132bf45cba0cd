"""What a row filter costs: the same filtered statement written by hand beside ours, with a value
and a tenant that differ in every call.

    python -m bench.row_filters

Printed are medians of interleaved calls in milliseconds: of putting the filter in, of running the
statement by hand and ours, and of first calls of odd shapes, for which the tree is needed.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from itertools import count
from pathlib import Path
from time import perf_counter

from pipewren.engine.contract import Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions
from pipewren.sql.function_list import load_functions
from pipewren.sql.pipes import CompiledStatement
from pipewren.sql.row_filters import RowFilters, Schema
from pipewren.sqltext import Sql

CALLS = 400
FIRST_CALLS = 40
NODES = (
    "WITH `recent` AS (\nSELECT id, tenant, v FROM {ev} WHERE id BETWEEN toUInt32('{low}') AND "
    "toUInt32('{high}') AND kind IN ('k1', 'k{number}')\n)\nSELECT tenant, count() AS hits, "
    "sum(v) AS total FROM recent WHERE v >= toInt32('{number}') GROUP BY tenant "
    "ORDER BY total DESC LIMIT 10"
)
ODD = (
    "SELECT count() AS hits, sum(v) FROM ev SAMPLE 1/2 PREWHERE id > {low} "
    "WHERE kind != 'k{number}'"
)


async def measure(engine: EmbeddedEngine) -> None:
    for statement in (
        "CREATE DATABASE w_b ENGINE = Atomic",
        "CREATE DATABASE w_b_d1 ENGINE = Atomic",
        "CREATE TABLE w_b.ev__1 (tenant String, id UInt32, kind String, v Int32) ENGINE = MergeTree"
        " ORDER BY (tenant, intHash32(id)) SAMPLE BY intHash32(id)",
        "CREATE TABLE w_b_d1.ev ENGINE = Alias('w_b', 'ev__1')",
        "INSERT INTO w_b.ev__1 SELECT 't' || number % 50, number, 'k' || number % 9, number % 100 "
        "FROM numbers(100000)",
    ):
        await engine.execute(Sql(statement))
    schema = Schema("w_b_d1", {"ev": ("tenant", "id", "kind", "v")}, {})
    functions = load_functions(engine.capabilities.version)
    filters = RowFilters(engine, schema, functions)
    numbers = count(1)

    async def run(sql: str, database: str = "w_b_d1") -> None:
        await engine.run(Statement(Sql(sql), database))

    put_in: list[float] = []
    by_hand: list[float] = []
    ours: list[float] = []
    for call in range(CALLS):
        number = next(numbers)
        values = {"low": number, "high": number + 5000, "number": number % 90}
        text = f"tenant = 't{number % 50}' AND v < {number + 90}"
        began = perf_counter()
        made = await filters.apply(
            CompiledStatement(Sql(NODES.format(ev="ev", **values))), {"ev": [text]}
        )
        half = perf_counter()
        await run(made.statement.sql, made.database)
        done = perf_counter()
        hand = NODES.format(ev=f"(SELECT * FROM ev WHERE {text})", **values)
        before = perf_counter()
        await run(hand)
        after = perf_counter()
        if call > 20:
            put_in.append(half - began)
            ours.append(done - began)
            by_hand.append(after - before)
    _print("nodes: putting the filter in", put_in)
    _print("nodes: by hand", by_hand)
    _print("nodes: ours, whole", ours)

    firsts: list[float] = []
    laters: list[float] = []
    for call in range(FIRST_CALLS):
        fresh = RowFilters(engine, schema, functions)
        await fresh.check("ev", f"tenant = 't{call}'")
        for target in (firsts, laters):
            sql = Sql(ODD.format(low=call, number=call))
            began = perf_counter()
            await fresh.apply(CompiledStatement(sql), {"ev": [f"tenant = 't{call}'"]})
            target.append(perf_counter() - began)
    _print("odd shape: first call", firsts)
    _print("odd shape: later calls", laters)


def _print(label: str, seconds: list[float]) -> None:
    print(f"{label:36} {statistics.median(seconds) * 1000:8.3f} ms")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = await EmbeddedEngine.open(EngineOptions(Path(folder), disk_reserve_bytes=1))
        try:
            await measure(engine)
        finally:
            await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
