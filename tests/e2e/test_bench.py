"""The benchmark runs, on one short measurement, and prints a line of figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.needs("wrk")
def test_the_benchmark_measures_all_three_and_races_cancels() -> None:
    options = ["--seconds", "1", "--rounds", "1", "--connections", "2", "--cancels", "20"]
    run = subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=ROOT,
        env=os.environ | {"PIPEWREN_DISK_RESERVE_BYTES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    for question in ("trivial", "point look-up", "group-by"):
        line = next(line for line in run.stdout.splitlines() if line.startswith(question))
        figures = [float(figure) for figure in re.findall(r"\d+(?:\.\d+)?", line)]
        assert len(figures) == 11
        assert all(figure > 0 for figure in figures[:4])
    assert re.search(r"[12]\d cancelled by \d+ KILLs, .* 0 hit", run.stdout)


@pytest.mark.slow
def test_the_benchmark_of_events_measures_bulk_small_requests_and_reads() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.events",
            "--rows",
            "100000",
            "--rounds",
            "1",
            "--seconds",
            "2",
        ],
        cwd=ROOT,
        env=os.environ | {"PIPEWREN_DISK_RESERVE_BYTES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert re.search(r"^raw engine, batches of 100,000 +[\d,]+ rows/s$", run.stdout, re.M)
    for name in ("events, 1,000 a request", "the same, 1 % bad rows"):
        assert re.search(rf"^{name} +[\d,]+ rows/s, 0?\.?\d+\S* of it", run.stdout, re.M)
    assert re.search(r"statuses \{202: 2000\}.*\n\.\.\. in the table .*; \d+ parts", run.stdout)
    assert re.search(r"look-ups/s: p99 quiet .* of the quiet one", run.stdout)
