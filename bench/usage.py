"""What recording costs: the request's own time, and what it takes beside requests.

    python -m bench.usage

`observe` is all that happens in a request. Making the row and writing it happen later, in slices.
Printed are medians of rounds, in microseconds of CPU a request.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from time import process_time
from typing import Any

from pipewren.engine.contract import Statistics
from pipewren.serve.request_record import RequestRecord, begin_record
from pipewren.serve.usage import Usage
from pipewren.testing.engine import ScriptedEngine
from pipewren.usage.recorder import Recorder

ROUNDS, CALLS = 15, 5000
QUERIES = {
    "no parameter": b"",
    "a token": b"token=p.eyJ1IjoiMTIzNCJ9.c2lnbmF0dXJl&limit=10",
    "six parameters": b"since=2026-01-01+00%3A00%3A00&until=2026-02-01&country=de&page=2"
    b"&page_size=50&tenant_id=acme",
}


def make_record(query: bytes) -> RequestRecord:
    scope: dict[str, Any] = {
        "method": "GET",
        "path": "/v0/pipes/busiest_routes.json",
        "query_string": query,
        "headers": [
            (b"host", b"api.example.com"),
            (b"user-agent", b"python-httpx/0.28"),
            (b"accept", b"*/*"),
            (b"authorization", b"Bearer p.eyJ1IjoiMTIzNCJ9.c2lnbmF0dXJl"),
        ],
        "client": ("203.0.113.9", 40_000),
    }
    record = begin_record("0123456789abcdef01234567", scope)
    record.workspace_id, record.resource_id = "ab" * 16, "t_0123456789abcdef"
    record.name, record.token_id, record.token_name = "busiest_routes", "id", "reader"
    record.status, record.statistics = 200, Statistics(0.001, 1000, 10_000, 10)
    return record


async def nothing() -> None:
    """Tables that are there."""


async def measure(query: bytes) -> tuple[float, float]:
    """Microseconds a request: in `observe`, and until it is in a group of rows."""
    observed, made = [], []
    for _ in range(ROUNDS):
        recorder = Recorder(ScriptedEngine(), nothing)
        usage = Usage(recorder)
        records = [make_record(query) for _ in range(CALLS)]
        observed.append(_time(usage.observe, records))
        sources = list(recorder._sources)
        recorder._sources.clear()
        began_s = process_time()
        for source in sources:
            recorder._add(*source)
        made.append((process_time() - began_s) / CALLS * 1e6)
        assert recorder.waiting == CALLS
        await recorder.close()
    return statistics.median(observed), statistics.median(made)


def _time(call: Callable[[RequestRecord], None], records: list[RequestRecord]) -> float:
    began_s = process_time()
    for record in records:
        call(record)
    return (process_time() - began_s) / len(records) * 1e6


def main() -> None:
    print(f"{'':16}{'in the request':>16}{'beside it':>12}   microseconds a request")
    for name, query in QUERIES.items():
        observed, made = asyncio.run(measure(query))
        print(f"{name:16}{observed:16.2f}{made:12.1f}")


if __name__ == "__main__":
    main()
