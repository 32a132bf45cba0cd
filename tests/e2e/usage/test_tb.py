"""What the real `tb` shows of usage: `endpoint stats`, `logs` and `sql`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.tb_command import Tb, tb_environ
from pipewren.usage.service_tables import SERVICE_TABLES
from tests.e2e.usage.conftest import BAD_LIMIT, MONITORING, Shop, make_workspace

# Those that `tb logs` knows, each with whether the shop has rows of it.
LOGS = {
    "pipe_stats_rt": True,
    "block_log": True,
    "datasources_ops_log": True,
    "endpoint_errors": True,
    "kafka_ops_log": False,
    "sinks_ops_log": False,
    "jobs_log": True,
    "llm_usage": False,
}


@pytest.fixture(scope="module")
def tb(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tb]:
    home = tmp_path_factory.mktemp("home")
    tb = Tb(shop.server.project_dir, tb_environ(shop.server, home, token=shop.token))
    try:
        yield tb
    finally:
        tb.close()


def logs(tb: Tb, *arguments: str) -> list[dict[str, Any]]:
    # The end is a whole second, and not in it: one that is ahead.
    shown = tb("--output", "json", "logs", "--end", "2100-01-01", "-n", "1000", *arguments)
    rows: list[dict[str, Any]] = json.loads(shown)["data"]
    return rows


def test_endpoint_stats_count_calls_and_errors(shop: Shop, tb: Tb) -> None:
    shown = json.loads(tb("endpoint", "stats", "--format", "json"))["pipes"]
    assert {one["name"]: (one["requests"], one["errors"]) for one in shown} == {
        "top_pages": (7, 1),
        "totals": (3 + shop.eager, shop.refused),
    }
    assert all(one["latency"] > 0 for one in shown)
    table = tb("endpoint", "stats", "top_pages")
    assert "top_pages" in table
    assert "totals" not in table


def test_logs_show_calls_operations_and_jobs(shop: Shop, tb: Tb) -> None:
    rows = logs(tb)
    by_source: dict[str, int] = {}
    for row in rows:
        by_source[row["source"]] = by_source.get(row["source"], 0) + 1
    assert by_source == {
        "tinybird.datasources_ops_log": 4,
        "tinybird.pipe_stats_rt": 11 + shop.eager,
        "tinybird.jobs_log": 2,
    }
    failed = next(row["data"] for row in rows if row["data"].get("request_id") == shop.failed)
    assert failed["parameters"] == {"limit": "x", "tenant_id": "zeta"}
    assert (failed["error"], failed["resource_tags"], failed["status_code"]) == (1, [], 400)
    assert BAD_LIMIT in failed["error_message"]
    assert any(row["data"].get("error_message", "") is None for row in rows)
    shown = tb("logs", "--end", "2100-01-01", "--limit", "100", "--verbose", "--expand")
    for text in ("top_pages", "tenant_id", "append", "import", "visits"):
        assert text in shown


@pytest.mark.parametrize("source", LOGS)
def test_logs_of_each_source_are_shown(tb: Tb, source: str) -> None:
    rows = logs(tb, "--source", f"tinybird.{source}")
    assert {row["source"] for row in rows} == ({f"tinybird.{source}"} if LOGS[source] else set())
    known = {column.name for column in SERVICE_TABLES[f"tinybird.{source}"]}
    for row in rows:
        # ClickHouse names a column with its table where an alias beside it has the same name.
        assert {name.removeprefix(f"{source}.") for name in row["data"]} == known


def test_logs_of_all_sources_are_one_statement(tb: Tb) -> None:
    rows = logs(tb, "--source", "*")
    shown = {row["source"] for row in rows}
    assert shown == {f"tinybird.{name}" for name, has_rows in LOGS.items() if has_rows}


def test_usage_is_there_for_statements(shop: Shop, tb: Tb) -> None:
    sql = (
        "SELECT pipe_name, count() AS calls, countIf(error = 1) AS errors "
        "FROM tinybird.pipe_stats_rt WHERE token_name = 'shop' GROUP BY pipe_name"
    )
    answer = json.loads(tb("--output", "json", "sql", sql))
    assert answer["data"] == [{"pipe_name": "top_pages", "calls": 7, "errors": 1}]
    every = "SELECT * FROM tinybird.pipe_stats_rt WHERE token_name = 'shop'"
    answer = json.loads(tb("--output", "json", "sql", every))
    assert len(answer["data"]) == 7
    known = SERVICE_TABLES["tinybird.pipe_stats_rt"]
    assert [(one["name"], one["type"]) for one in answer["meta"]] == [*known]
    assert "url: /v0/pipes/top_pages.json?tenant_id=acme" in tb("sql", every)


def test_the_example_is_built_and_its_tests_pass(shop: Shop, tmp_path: Path) -> None:
    folder = shutil.copytree(MONITORING, tmp_path / "monitoring")
    workspace = make_workspace(shop.server, "built_by_tb")
    (tmp_path / "home").mkdir()
    tb = Tb(folder, tb_environ(shop.server, tmp_path / "home", token=workspace.token))
    try:
        assert "Build completed" in tb("build")
        passed = tb("test", "run")
    finally:
        tb.close()
    files = list((folder / "tests").iterdir())
    assert {file.stem for file in files} == {file.stem for file in (folder / "endpoints").iterdir()}
    assert f"{len(files)}/{len(files)} passed" in passed
    number = sum(file.read_text().count("- name: ") for file in files)
    assert passed.count(" passed\n") == number + 1
