"""Each limit of a query broken through a real server: the status and shape that limits.md says, and
the next request is answered as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, serving

MAX_RESULT_BYTES = 200_000
MAX_BODY_BYTES = 2_000
MAX_QUERY_BYTES = 1_000
PIPES = {
    "one": "SELECT 1 AS a",
    "rows": "SELECT number AS id, repeat('x', 100) AS s FROM numbers({{Int64(n, 10)}})",
    "many": "SELECT number FROM numbers({{Int64(n, 10)}})",
    "constant": "SELECT repeat('y', 100000) AS s FROM numbers({{Int64(n, 1)}})",
    "totals": "SELECT number AS k, repeat('z', 100) AS s, count() AS c "
    "FROM numbers({{Int64(n, 10)}}) GROUP BY k WITH TOTALS",
    "keeps": "SELECT length(groupArray(number)) AS n FROM numbers({{UInt64(n, 10)}})",
    "groups": "SELECT uniqExact(number) AS n FROM numbers({{UInt64(n, 10)}})",
    "repeats": "SELECT length(repeat('x', {{UInt64(n, 10)}})) AS n",
    "counts": "SELECT count() AS n FROM numbers({{UInt64(n, 10)}}) WHERE number % 7 = 3",
    "crosses": "SELECT count() AS n FROM numbers({{UInt64(n, 10)}}) a, "
    "numbers({{UInt64(n, 10)}}) b "
    "WHERE a.number * b.number % 7 = 3",
    "sleeps": "SELECT sleepEachRow({{Float64(s, 0)}}) AS s FROM numbers(5) "
    "SETTINGS max_block_size = 1",
    "naps": "SELECT sleep({{Float64(s, 0)}}) AS s",
    "echo": "SELECT {{String(x, '')}} AS x",
}


def write_project(folder: Path) -> Path:
    endpoints = folder / "endpoints"
    endpoints.mkdir(parents=True)
    for name, sql in PIPES.items():
        text = f"NODE endpoint\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"
        (endpoints / f"{name}.pipe").write_text(text)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("limits")
    limits = {
        "PIPEWREN_MAX_RESULT_BYTES": str(MAX_RESULT_BYTES),
        "PIPEWREN_MAX_MEMORY_BYTES": "50000000",
        "PIPEWREN_MAX_EXECUTION_TIME_S": "0.5",
        "PIPEWREN_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "PIPEWREN_MAX_QUERY_BYTES": str(MAX_QUERY_BYTES),
    }
    with serving(write_project(folder / "project"), folder / "data", environ=limits) as running:
        yield running


def assert_still_answers(server: RunningServer) -> None:
    """More often than there are connections, so that every one of them is seen."""
    for _ in range(12):
        answer = server.request("/v0/pipes/one.csv")
        assert (answer.status, answer.body) == (200, b'"a"\n1\n')


def assert_error(answer: HttpAnswer, status: int, code: str | None, *fragments: str) -> None:
    """The JSON shape of endpoints.md section 4, and the code of an engine's error."""
    assert answer.status == status
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers.get("x-db-exception-code") == code
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert body.keys() <= {"error", "documentation"}
    for fragment in fragments:
        assert fragment in body["error"]


@pytest.mark.parametrize("extension", ["json", "csv", "ndjson", "csvwithnames"])
def test_a_result_over_its_limit_is_refused_while_nothing_is_sent(
    server: RunningServer, extension: str
) -> None:
    answer = server.request(f"/v0/pipes/rows.{extension}", {"n": 100_000})

    assert answer.status == 400
    assert_error(answer, 400, answer.headers.get("x-db-exception-code"))
    assert "data" not in answer.json()
    assert_still_answers(server)


def test_a_result_that_comes_in_one_piece_is_refused_with_the_engines_code(
    server: RunningServer,
) -> None:
    answer = server.request("/v0/pipes/rows.parquet", {"n": 100_000})

    assert_error(answer, 400, "396", "[Error] Limit for result exceeded", "TOO_MANY_ROWS_OR_BYTES")
    assert_still_answers(server)


def test_a_result_below_its_limit_is_answered_whole(server: RunningServer) -> None:
    answer = server.request("/v0/pipes/rows.json", {"n": 1000})

    assert answer.status == 200
    assert len(answer.json()["data"]) == 1000
    assert MAX_RESULT_BYTES // 2 < len(answer.body) < MAX_RESULT_BYTES


@pytest.mark.parametrize(
    ("pipe", "n"), [("keeps", 100_000_000), ("groups", 100_000_000), ("repeats", 1_000_000_000)]
)
def test_a_query_over_its_memory_limit_is_the_callers_400(
    server: RunningServer, pipe: str, n: int
) -> None:
    answer = server.request(f"/v0/pipes/{pipe}.json", {"n": n})

    assert_error(answer, 400, "241", "[Error] Query memory limit exceeded", "47.68 MiB")
    assert "AggregatingTransform" not in answer.json()["error"]
    assert_still_answers(server)


@pytest.mark.parametrize(
    ("pipe", "value"),
    [
        ("counts", {"n": 10**15}),
        ("crosses", {"n": 10**6}),
        ("sleeps", {"s": 1}),
        ("naps", {"s": 2}),
    ],
)
def test_a_query_over_its_time_limit_is_408_also_where_the_engine_does_not_look_at_the_clock(
    server: RunningServer, pipe: str, value: dict[str, float]
) -> None:
    answer = server.request(f"/v0/pipes/{pipe}.json", value)

    assert_error(answer, 408, None, "[Error] The query ran over its time limit", "was stopped")
    assert_still_answers(server)


def test_a_body_over_its_limit_is_413_and_one_below_is_read(server: RunningServer) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    def send(size: int) -> HttpAnswer:
        body = b"n=1&unused=".ljust(size, b"y")
        return server.request("/v0/pipes/many.csv", method="POST", headers=headers, body=body)

    assert_error(send(MAX_BODY_BYTES + 1), 413, None, "2,000 bytes", "max_body_bytes")
    assert send(MAX_BODY_BYTES).body == b'"number"\n0\n'
    assert_still_answers(server)


def test_a_statement_over_its_limit_is_refused_before_it_reaches_the_engine(
    server: RunningServer,
) -> None:
    answer = server.request("/v0/pipes/echo.json", {"x": "y" * (MAX_QUERY_BYTES + 1)})

    assert_error(answer, 400, None, "1000 bytes", "shorter values")
    assert "yyy" not in answer.json()["error"]
    assert server.request("/v0/pipes/echo.csv", {"x": "y" * 500}).status == 200
    assert_still_answers(server)


def test_queries_that_want_all_memory_at_once_fail_as_the_table_says_and_the_server_goes_on(
    tmp_path: Path,
) -> None:
    """Each may have 600 MB, all together 900 MB."""
    limits = {
        "PIPEWREN_MAX_MEMORY_BYTES": "600000000",
        "PIPEWREN_MAX_SERVER_MEMORY_BYTES": "900000000",
        "PIPEWREN_LIGHT_CONNECTIONS": "8",
    }
    with serving(write_project(tmp_path / "project"), tmp_path / "data", environ=limits) as server:
        before = server.child_pid()

        def hog(_: int) -> HttpAnswer:
            return server.request("/v0/pipes/keeps.json", {"n": 30_000_000})

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(hog, range(16)))

        told = {answer.status for answer in answers}
        assert told <= {200, 500}
        assert 500 in told
        for answer in answers:
            if answer.status == 500:
                assert_error(answer, 500, "241", "The server has no memory left", "Try again")
            else:
                assert answer.json()["data"] == [{"n": 30_000_000}]
        assert_still_answers(server)
        alone = hog(0)
        assert (alone.status, alone.json().get("data")) == (200, [{"n": 30_000_000}])
        assert server.child_pid() == before


def test_a_query_that_reads_more_rows_than_it_may_is_the_callers_400(tmp_path: Path) -> None:
    limits = {"PIPEWREN_MAX_ROWS_TO_READ": "1000"}
    with serving(write_project(tmp_path / "project"), tmp_path / "data", environ=limits) as server:
        answer = server.request("/v0/pipes/counts.json", {"n": 100_000})

        assert_error(answer, 400, "158", "Limit for rows", "max_rows_to_read", "TOO_MANY_ROWS")
        assert server.request("/v0/pipes/counts.csv", {"n": 1000}).status == 200
        assert_still_answers(server)
