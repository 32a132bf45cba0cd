"""`make bench`: Pipewren over loopback, the raw engine, and a FastAPI program, in the same run.

Each round measures the three in turn, and ratios are formed within a round, since machines are
shared and noisy; printed are medians of the rounds. The three have a copy each of the same data.
See `bench/README.md` for what the columns mean.

    python -m bench [--seconds 3] [--rounds 3] [--connections 1,4,16] [--cancels 10000]
                    [--only NAME]
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from bench.processes import (
    Load,
    RawEngine,
    cpu_seconds,
    drive,
    fetch,
    free_port,
    started,
)
from bench.questions import QUESTIONS, Question, final_statements, keys_of
from pipewren.testing.serving import RunningServer, serving

HERE = Path(__file__).parent
FLIGHTS = HERE.parent / "examples" / "flights"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one question at one number of connections."""

    engine: Load
    pipewren: Load
    fastapi: Load
    pipewren_cpu_us: float  # CPU time of the server per request
    fastapi_cpu_us: float
    engine_cpu_us: float


@click.command(help=__doc__)
@click.option("--seconds", default=3.0, help="Length of one measurement.")
@click.option("--rounds", default=3, help="Rounds of each measurement.")
@click.option("--connections", default="1,4,16", help="Numbers of connections.")
@click.option("--cancels", default=10_000, help="Queries to cancel in the race; 0 leaves it out.")
@click.option("--only", help="One question instead of all: the begin of its name.")
def main(seconds: float, rounds: int, connections: str, cancels: int, only: str | None) -> None:
    if shutil.which("wrk") is None:
        raise click.ClickException("wrk is missing: on Debian, apt-get install wrk")
    counts = [int(count) for count in connections.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="pipewren-bench-") as folder,
        three_servers(Path(folder)) as (server, engine, fastapi_url, fastapi_pid),
    ):
        run = Run(server, engine, fastapi_url, fastapi_pid, seconds, Path(folder))
        click.echo(HEAD)
        for question in QUESTIONS:
            if only is not None and not question.name.startswith(only):
                continue
            for count in counts:
                click.echo(run.row(question, count, rounds))
    if cancels:
        race = [sys.executable, "-m", "bench.cancel_race", str(cancels)]
        raise SystemExit(subprocess.run(race, check=False).returncode)


HEAD = (
    "                     | Pipewren, ms      |  p50 over     | req/s over      | CPU, us\n"
    "question       conns |  p50    p99  req/s|engine    bar  | engine  FastAPI | (engine, FastAPI)"
)


@dataclass(slots=True)
class Run:
    server: RunningServer
    engine: RawEngine
    fastapi_url: str
    fastapi_pid: int
    seconds: float
    folder: Path

    def row(self, question: Question, connections: int, rounds: int) -> str:
        """The line of one measurement."""
        keys = keys_of(question, FLIGHTS)
        mine = self._write_paths(question, keys, f"/v0/pipes/{question.endpoint}.json", True)
        theirs = self._write_paths(question, keys, f"/{question.endpoint}", False)
        database, statements = final_statements(question, keys, FLIGHTS, self.server.data_dir)
        self._check_same_answer(mine, theirs)
        results = [
            self._round(database, statements, mine, theirs, connections) for _ in range(rounds)
        ]
        failed = sum(item.pipewren.failed + item.fastapi.failed for item in results)
        if failed:
            raise click.ClickException(f"{failed} requests failed in {question.name}")

        def median(values: Iterator[float]) -> float:
            return statistics.median(values)

        p50 = median(item.pipewren.p50_ms for item in results)
        p99 = median(item.pipewren.p99_ms for item in results)
        rate = median(item.pipewren.requests_per_s for item in results)
        ratio = median(item.pipewren.p50_ms / item.engine.p50_ms for item in results)
        # The bar of a single caller: 1.25 times the engine plus 0.3 ms.
        over = median(item.pipewren.p50_ms / (1.25 * item.engine.p50_ms + 0.3) for item in results)
        to_engine = median(
            item.pipewren.requests_per_s / item.engine.requests_per_s for item in results
        )
        to_fastapi = median(
            item.pipewren.requests_per_s / item.fastapi.requests_per_s for item in results
        )
        cpu = median(item.pipewren_cpu_us for item in results)
        engine_cpu = median(item.engine_cpu_us for item in results)
        fastapi_cpu = median(item.fastapi_cpu_us for item in results)
        return (
            f"{question.name:<14} {connections:>5} |{p50:>5.2f} {p99:>6.2f} {rate:>6.0f}"
            f"| {ratio:>5.2f}  {over:>5.2f}  | {to_engine:>5.2f}   {to_fastapi:>5.2f}  "
            f"| {cpu:>5.0f} ({engine_cpu:.0f}, {fastapi_cpu:.0f})"
        )

    def _round(
        self,
        database: str,
        statements: list[str],
        mine: Path,
        theirs: Path,
        connections: int,
    ) -> Round:
        threads = min(connections, 2 * len(os.sched_getaffinity(0)))
        engine, engine_cpu = self._with_cpu(
            self.engine.pid,
            lambda: self.engine.measure(
                statements, database, threads=threads, seconds=self.seconds
            ),
        )
        pipewren, pipewren_cpu = self._with_cpu(
            self.server.child_pid(),
            lambda: drive(
                self.server.base_url, mine, connections=connections, seconds=self.seconds
            ),
        )
        fastapi, fastapi_cpu = self._with_cpu(
            self.fastapi_pid,
            lambda: drive(self.fastapi_url, theirs, connections=connections, seconds=self.seconds),
        )
        return Round(engine, pipewren, fastapi, pipewren_cpu, fastapi_cpu, engine_cpu)

    def _with_cpu(self, process_id: int, measure: Callable[[], Load]) -> tuple[Load, float]:
        before = cpu_seconds(process_id)
        load = measure()
        used = cpu_seconds(process_id) - before
        return load, used / load.requests * 1e6

    def _write_paths(
        self, question: Question, keys: list[dict[str, str]], path: str, with_token: bool
    ) -> Path:
        file = self.folder / f"{question.endpoint}-{'mine' if with_token else 'theirs'}.txt"
        token = {"token": self.server.token} if with_token else {}
        lines = [path + "?" + urllib.parse.urlencode({**key, **token}) for key in keys]
        file.write_text("\n".join(lines) + "\n")
        return file

    def _check_same_answer(self, mine: Path, theirs: Path) -> None:
        first = [path.read_text().split("\n", 1)[0] for path in (mine, theirs)]
        rows = [
            json.loads(fetch(base + path))["data"]
            for base, path in zip((self.server.base_url, self.fastapi_url), first, strict=True)
        ]
        if rows[0] != rows[1]:
            raise click.ClickException(f"the two servers answer {first[0]} differently")


@contextlib.contextmanager
def three_servers(folder: Path) -> Iterator[tuple[RunningServer, RawEngine, str, int]]:
    """Pipewren, and the raw engine and FastAPI on copies of its data."""
    data_dir = folder / "pipewren"
    click.echo("loading the data", err=True)
    with serving(FLIGHTS, data_dir):
        pass
    for name in ("engine", "fastapi"):
        shutil.copytree(data_dir / "engine", folder / name, symlinks=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(FLIGHTS, data_dir, token="flights_read") as server:
        database, _ = final_statements(QUESTIONS[0], [{}], FLIGHTS, data_dir)
        program = [str(HERE / "fastapi_chdb.py"), str(folder / "fastapi"), database, str(port)]
        with started(program, f"{url}/ping", {}) as pid:
            engine = RawEngine(folder / "engine")
            try:
                yield server, engine, url, pid
            finally:
                engine.close()


if __name__ == "__main__":
    sys.exit(main())
