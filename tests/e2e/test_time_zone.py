"""The engine's tests once more on a host whose clock is not UTC: its zone leaks into results
otherwise (design, decision 13)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What SQL may be is read off its text, and what it costs has no times in it.
NO_TIMES = tuple(
    f"--ignore=tests/engine/{name}"
    for name in (
        *("test_author_sql.py", "test_row_filters.py", "test_counted_results.py", "queries"),
        *("test_caller_rules.py", "test_stream_documents.py", "test_figures.py"),
    )
)


@pytest.mark.slow
def test_the_engine_behaves_the_same_in_new_york() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/engine", *NO_TIMES],
        cwd=ROOT,
        env=os.environ | {"TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 100
    assert "skipped" not in run.stdout
