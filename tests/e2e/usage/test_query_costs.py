"""CPU time and memory of requests on a real server that keeps a query log, and who sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files
from pipewren.testing.uploads import upload
from tests.e2e.usage.test_monitoring import QUERIES

ENDPOINT = "NODE endpoint\nSQL >\n    {}\nTYPE endpoint\n"
BURNS = ENDPOINT.format(
    "%\n    SELECT sum(length(SHA256(concat({{String(salt, 'x')}}, toString(number))))) AS n "
    "FROM numbers(1000000)"
)
PROJECT = {
    "datasources/events.datasource": (
        "SCHEMA >\n    `kind` String,\n    `n` UInt64\n"
        'ENGINE "MergeTree"\nENGINE_SORTING_KEY "kind"\n'
    ),
    "endpoints/burns.pipe": f"TOKEN reader READ\n{BURNS}",
    "endpoints/idles.pipe": f"TOKEN reader READ\n{ENDPOINT.format('SELECT sleep(0.02) AS n')}",
    "endpoints/fails.pipe": ENDPOINT.format(
        "SELECT sum(length(SHA256(toString(number)))) + throwIf(count() > 0) AS n "
        "FROM numbers(1000000)"
    ),
    "endpoints/large.pipe": ENDPOINT.format(
        "SELECT number, hex(SHA256(toString(number))) AS h FROM numbers(300000)"
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("costs")
    project = write_files(folder / "project", PROJECT)
    with serving(project, folder / "data", environ={"PIPEWREN_QUERY_LOG": "1"}) as running:
        yield running


def call(server: RunningServer, pipe: str, **params: str) -> HttpAnswer:
    return server.request(f"/v0/pipes/{pipe}.json", params)


def rows_of(
    server: RunningServer, condition: str, number: int = 1, source: str = "pipe_stats_rt"
) -> list[dict[str, Any]]:
    """At least so many; they come within seconds, on a busy machine later."""
    deadline = time.monotonic() + 60
    while True:
        sql = f"SELECT * FROM tinybird.{source} WHERE {condition} FORMAT JSON"
        status, body = server.get("/v0/sql", q=sql)
        assert status == 200, body
        rows: list[dict[str, Any]] = body["data"]
        if len(rows) >= number:
            return rows
        assert time.monotonic() < deadline, f"{len(rows)} rows where {condition}"
        time.sleep(0.1)


def test_endpoints_that_are_called_beside_each_other_have_their_own_cost(
    server: RunningServer,
) -> None:
    pipes = ["burns", "idles"] * 20
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pipe: call(server, pipe, tag="beside"), pipes))
    assert {answer.status for answer in answers} == {200}
    rows = rows_of(server, "parameters['tag'] = 'beside'", len(pipes))
    assert len(rows) == len(pipes)
    for row in rows:
        assert (row["cpu_time"] > 0.03) == (row["pipe_name"] == "burns"), row
        assert row["memory_usage"] > 0
        # A query of a pool's lane runs on as many cores as there are.
        assert row["cpu_time"] < row["duration"] * 64
    (sql,) = QUERIES["CPU time and memory"]
    params = {"q": f"{sql} FORMAT JSON"}
    by_pipe = {row["pipe_name"]: row for row in server.request("/v0/sql", params).json()["data"]}
    assert by_pipe["burns"]["cpu_s"] > 10 * by_pipe["idles"]["cpu_s"] > 0
    day = "pipe_name = 'burns' AND view_count >= 20"
    assert rows_of(server, day, source="pipe_stats")[0]["cpu_time_sum"] > 0.5


def test_failed_and_large_answers_and_the_query_api_have_their_cost(server: RunningServer) -> None:
    failed = call(server, "fails")
    assert failed.status >= 400
    large = call(server, "large")
    assert large.json()["rows"] == 300_000
    sql = "SELECT sum(length(SHA256(toString(number)))) AS n FROM numbers(1000000)"
    asked = server.request("/v0/sql", {"q": sql})
    assert asked.status == 200
    for answer in (failed, large, asked):
        (row,) = rows_of(server, f"request_id = '{answer.headers['x-request-id']}'")
        assert row["cpu_time"] > 0.01, row
        assert row["memory_usage"] > 1000


def test_a_file_that_is_appended_has_the_cost_of_its_inserts(server: RunningServer) -> None:
    rows = "".join(f"kind{number},{number}\n" for number in range(100_000))
    path = "/v1/datasources/events/append?format=csv"
    answer = server.request(path, method="POST", body=rows.encode())
    assert answer.status == 200, answer.body
    (row,) = rows_of(server, "event_type = 'append'", source="datasources_ops_log")
    assert row["rows"] == 100_000
    assert row["cpu_time"] > 0.003
    assert row["memory_usage"] > 100_000


@pytest.mark.parametrize("table", ["query_log", "user_query_log", "query_costs"])
@pytest.mark.parametrize("token", ["workspace admin token", "reader"])
def test_nobody_reads_the_log(server: RunningServer, table: str, token: str) -> None:
    listed = server.request("/v0/tokens").json()["tokens"]
    value = next(str(one["token"]) for one in listed if one["name"] == token)
    call(server, "burns", salt="a-value-of-a-caller")
    for name in (f"system.{table}", f"`system`.`{table}`", f"system . {table}"):
        for sql in (
            f"SELECT * FROM {name} FORMAT JSON",
            f"SELECT 1 IN (SELECT count() FROM {name}) FORMAT JSON",
            f"SELECT * FROM merge('system', '{table}') FORMAT JSON",
            f"DESCRIBE {name}",
        ):
            answer = server.request("/v0/sql", {"q": sql}, token=value)
            assert answer.status in (400, 403, 404), (sql, answer.body)
            assert b"a-value-of-a-caller" not in answer.body
    answer = server.request(
        "/v0/sql", {"q": "SELECT name FROM system.tables FORMAT JSON"}, token=value
    )
    assert table not in str(answer.body)


@pytest.mark.parametrize("table", ["query_log", "user_query_log", "query_costs"])
def test_no_pipe_reads_the_log(server: RunningServer, table: str) -> None:
    pipe = ENDPOINT.format(f"SELECT * FROM system.{table}")
    files = {**PROJECT, "endpoints/spies.pipe": pipe}
    answer = upload(server, "/v1/deploy", files, {"auto_promote": "true"}, token=server.token)
    described = answer.json()
    assert described["result"] == "failed", described
    assert call(server, "spies").status == 404


def test_nothing_of_callers_statements_is_on_disk(server: RunningServer) -> None:
    salt = "another-value-of-a-caller"
    answer = server.request(
        "/v0/pipes/burns.json",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=f'{{"salt": "{salt}"}}'.encode(),
    )
    assert answer.status == 200
    (row,) = rows_of(server, f"request_id = '{answer.headers['x-request-id']}'")
    assert row["cpu_time"] > 0.03
    files = [file for file in Path(server.data_dir).rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if _has(file, salt.encode())] == []


def _has(file: Path, text: bytes) -> bool:
    try:
        return text in file.read_bytes()
    except FileNotFoundError:  # a part that was merged meanwhile
        return False
