"""What the guard costs a statement of the Query API, beside the same statement on the engine.

    python -m bench.queries

A server's own chain without HTTP, one caller, statements of 500 bytes; medians of interleaved
calls in milliseconds: of the engine alone, of a text that was never seen and of one that was, each
for a token that reads everything (its own text runs), for one that reads the data source (the
table is replaced in the tree) and over a pipe.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from time import perf_counter

from pipewren.engine.contract import Lane, Statement
from pipewren.serve.query import call_query_api
from pipewren.serve.query_call import QueryCall
from pipewren.serve.query_settings import CALLER_BOUNDS
from pipewren.serve.server import Server
from pipewren.serve.start import start_server, stop_server
from pipewren.settings_sources import read_settings
from pipewren.sqltext import Sql

CALLS = 300
ADMIN = "bench admin token of the query api"
DATASOURCE = """TOKEN reader READ

SCHEMA >
    `id` UInt32 `json:$.id`,
    `kind` String `json:$.kind`,
    `tenant` String `json:$.tenant`,
    `v` Int32 `json:$.v`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "tenant, id"
"""
PIPE = """TOKEN reader READ

NODE recent
SQL >
    SELECT * FROM ev WHERE id < 900

NODE out
SQL >
    %
    SELECT id, kind, tenant, v FROM recent WHERE v >= {{Int32(low, 0)}}

TYPE endpoint
"""
STATEMENT = (
    "SELECT kind, tenant, count() AS hits, sum(v) AS total, avg(v) AS mean, "
    "quantile(0.95)(v) AS p95, uniqExact(id) AS ids, countIf(v > {n}) AS big, min(id) AS first_id, "
    "max(id) AS last_id, if(total > 100, 'high', 'low') AS level, "
    "round(100 * hits / sum(hits) OVER (), 2) AS share FROM {table} "
    "WHERE id BETWEEN 10 AND 90000 AND kind IN ('k1', 'k2', 'k3') AND tenant != 't{n}' "
    "AND toString(id) LIKE '%1%' GROUP BY kind, tenant HAVING hits > 10 "
    "ORDER BY total DESC, kind ASC LIMIT 20"
)


def write_project(folder: Path) -> None:
    for kind in ("datasources", "pipes", "fixtures"):
        (folder / kind).mkdir(parents=True)
    (folder / "datasources" / "ev.datasource").write_text(DATASOURCE)
    (folder / "pipes" / "p.pipe").write_text(PIPE)
    rows = "".join(
        f'{{"id": {n}, "kind": "k{n % 9}", "tenant": "t{n % 50}", "v": {n % 100}}}\n'
        for n in range(1000)
    )
    (folder / "fixtures" / "ev.ndjson").write_text(rows)


async def measure(server: Server) -> None:
    deployment = next(iter(server.deployments.values()))
    workspace_id = deployment.workspace.id
    reader = str(server.keyring.value_of(workspace_id, "reader"))
    limits = server.limits[Lane.LIGHT]

    async def bare(sql: str) -> None:
        statement = Statement(Sql(sql), deployment.database, "TSV", limits, settings=CALLER_BOUNDS)
        await server.engine.run(statement)

    async def call(sql: str, token: str) -> None:
        await call_query_api(QueryCall(sql, token, {}), server)

    numbers = count(1)
    runs: dict[str, Callable[[int], Awaitable[None]]] = {
        "the engine alone": lambda n: bare(STATEMENT.format(n=n, table="ev")),
        "own text, never seen": lambda n: call(STATEMENT.format(n=n, table="ev"), ADMIN),
        "own text, seen": lambda n: call(STATEMENT.format(n=0, table="ev"), ADMIN),
        "table replaced, never seen": lambda n: call(STATEMENT.format(n=n, table="ev"), reader),
        "table replaced, seen": lambda n: call(STATEMENT.format(n=0, table="ev"), reader),
        "over a pipe, never seen": lambda n: call(STATEMENT.format(n=n, table="p"), reader),
        "over a pipe, seen": lambda n: call(STATEMENT.format(n=0, table="p"), reader),
        "its statement on the engine": lambda n: bare(
            STATEMENT.format(
                n=n,
                table="(WITH recent AS (SELECT * FROM ev WHERE id < 900) "
                "SELECT id, kind, tenant, v "
                "FROM recent WHERE v >= toInt32('0')) AS p",
            )
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(CALLS + 20):
        for name, run in runs.items():
            number = next(numbers) % 2_000_000_000
            began = perf_counter()
            await run(number)
            if turn >= 20:
                times[name].append(perf_counter() - began)
    found = {name: 1000 * statistics.median(values) for name, values in times.items()}
    for name, value in found.items():
        base = "its statement on the engine" if "pipe" in name else "the engine alone"
        print(f"{name:<30} {value:7.2f} ms   {value - found[base]:+.2f}")


async def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        write_project(project)
        flags = {"project_dir": project, "data_dir": Path(folder) / "data", "admin_token": ADMIN}
        settings = read_settings(flags)
        started = await start_server(settings, lambda line: None)
        try:
            await measure(started.server)
        finally:
            await stop_server(started.server)


if __name__ == "__main__":
    asyncio.run(run())
