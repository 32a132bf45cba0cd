"""What ClickHouse's query log costs: two servers of `examples/flights`, with it and without.

    python -m bench.query_log [seconds]

They are asked in turn, and ratios are formed within a round. Printed are medians of seven rounds.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Load, cpu_seconds, drive
from bench.questions import QUESTIONS, keys_of
from pipewren.testing.serving import RunningServer, serving

ROUNDS, CONNECTIONS = 7, (1, 4, 16)
FLIGHTS = Path(__file__).parent.parent / "examples" / "flights"


@dataclass(frozen=True, slots=True)
class Measured:
    load: Load
    cpu_us: float  # of the server, a request


def measure(server: RunningServer, keys: Path, connections: int, seconds: float) -> Measured:
    pid = server.process.pid
    began = cpu_seconds(pid)
    load = drive(server.base_url, keys, connections=connections, seconds=seconds)
    assert load.failed == 0
    return Measured(load, (cpu_seconds(pid) - began) / load.requests * 1e6)


def write_paths(server: RunningServer, file: Path) -> Path:
    question = next(one for one in QUESTIONS if one.name == "point look-up")
    lines = [
        f"/v0/pipes/{question.endpoint}.json?"
        + urllib.parse.urlencode({**key, "token": server.token})
        for key in keys_of(question, FLIGHTS)
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with (
        tempfile.TemporaryDirectory(prefix="pipewren-bench-") as name,
        serving(FLIGHTS, Path(name) / "off") as off,
        serving(FLIGHTS, Path(name) / "on", environ={"PIPEWREN_QUERY_LOG": "1"}) as on,
    ):
        paths_off = write_paths(off, Path(name) / "off.txt")
        paths_on = write_paths(on, Path(name) / "on.txt")
        measure(off, paths_off, 4, seconds)
        measure(on, paths_on, 4, seconds)
        print("point look-up, with the query log over without")
        print(f"{'connections':>11} {'p50':>6} {'p99':>6} {'req/s':>6} {'CPU':>6}")
        for connections in CONNECTIONS:
            rounds = [
                (
                    measure(on, paths_on, connections, seconds),
                    measure(off, paths_off, connections, seconds),
                )
                for _ in range(ROUNDS)
            ]
            ratios = (
                [a.load.p50_ms / b.load.p50_ms for a, b in rounds],
                [a.load.p99_ms / b.load.p99_ms for a, b in rounds],
                [a.load.requests_per_s / b.load.requests_per_s for a, b in rounds],
                [a.cpu_us / b.cpu_us for a, b in rounds],
            )
            print(
                f"{connections:>11} "
                + " ".join(f"{statistics.median(values):6.2f}" for values in ratios)
            )
        sql = (
            "SELECT count() AS calls, countIf(cpu_time = 0) AS without, "
            "round(1000 * avg(cpu_time), 2) AS cpu_ms FROM tinybird.pipe_stats_rt "
            "WHERE status_code = 200 FORMAT JSON"
        )
        print(json.dumps(on.get("/v0/sql", q=sql)[1]["data"]))


if __name__ == "__main__":
    main()
