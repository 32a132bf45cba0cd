"""What a real server records of itself, read back through its own API, also after a kill -9."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from pipewren.testing.serving import RunningServer, serving, write_files
from pipewren.testing.uploads import upload

EVENTS = """
TAGS "web"

SCHEMA >
    `kind` String,
    `n` UInt64

ENGINE MergeTree
ENGINE_SORTING_KEY kind
"""
PROJECT = {
    "datasources/events.datasource": EVENTS,
    "fixtures/events.csv": "a,1\nb,2\n",
    "endpoints/top.pipe": """
TOKEN reader READ
TAGS "shop,public"

NODE endpoint
SQL >
    %
    SELECT kind, n FROM events WHERE n >= {{UInt64(least, 0)}} AND kind != {{String(without, '')}}

TYPE endpoint
""",
    "endpoints/slow.pipe": """
NODE endpoint
SQL >
    SELECT sleepEachRow(1) AS s FROM numbers(5) SETTINGS max_block_size = 1

TYPE endpoint
""",
    "endpoints/own_usage.pipe": """
NODE endpoint
SQL >
    SELECT pipe_name, count() AS calls FROM tinybird.pipe_stats_rt GROUP BY pipe_name

TYPE endpoint
""",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("usage")
    project = write_files(folder / "project", PROJECT)
    environ = {"PIPEWREN_MAX_EXECUTION_TIME_S": "1", "PIPEWREN_USAGE_STORAGE_SAMPLE_S": "1"}
    with serving(project, folder / "data", environ=environ) as running:
        yield running


def rows_of(server: RunningServer, name: str, condition: str = "1") -> list[dict[str, Any]]:
    sql = f"SELECT * FROM tinybird.{name} WHERE {condition} FORMAT JSON"
    status, body = server.get("/v0/sql", q=sql)
    assert status == 200, body
    rows: list[dict[str, Any]] = body["data"]
    return rows


def wait_for(
    server: RunningServer, name: str, condition: str, number: int = 1
) -> list[dict[str, Any]]:
    """At least so many rows; they come within seconds, on a busy machine later."""
    deadline = time.monotonic() + 60
    while len(rows := rows_of(server, name, condition)) < number:
        assert time.monotonic() < deadline, f"{len(rows)} rows of {name} where {condition}"
        time.sleep(0.1)
    return rows


def row_of(server: RunningServer, request_id: str, name: str = "pipe_stats_rt") -> dict[str, Any]:
    (row,) = wait_for(server, name, f"request_id = '{request_id}'")
    return row


def make_jwt(server: RunningServer, **claims: Any) -> str:
    _, workspace = server.get("/v1/workspace")
    payload = {"workspace_id": workspace["id"], "exp": int(time.time()) + 3600, **claims}
    return jwt.encode(payload, server.token, algorithm="HS256")


def test_a_call_is_recorded_with_all_that_was_sent_but_the_token(server: RunningServer) -> None:
    path = f"/v0/pipes/top.json?least=2&tenant_id=acme&%74oken={server.token}&x=1&x=2"
    answer = server.request(path, token=None, headers={"User-Agent": "shop/1.0"})
    assert answer.status == 200
    row = row_of(server, answer.headers["x-request-id"])
    assert row["pipe_name"] == "top"
    assert row["pipe_id"].startswith("t_")
    assert row["parameters"] == {"least": "2", "tenant_id": "acme", "x": '["1","2"]'}
    assert row["url"] == "/v0/pipes/top.json?least=2&tenant_id=acme&x=1&x=2"
    assert (row["error"], row["error_message"], row["status_code"]) == (0, None, 200)
    assert (row["method"], row["user_agent"], row["client_ip"]) == ("GET", "shop/1.0", "127.0.0.1")
    assert (row["token_name"], row["resource_tags"]) == (
        "workspace admin token",
        ["shop", "public"],
    )
    assert row["result_rows"] == 1
    assert row["read_rows"] >= 2
    assert row["read_bytes"] > 0
    assert row["duration"] > 0
    assert (row["cpu_time"], row["memory_usage"], row["release"]) == (0, 0, "")
    assert server.token not in str(rows_of(server, "pipe_stats_rt"))


def test_posts_leave_no_body_and_queries_of_the_query_api_their_name(server: RunningServer) -> None:
    posted = server.request(
        "/v0/pipes/top.json?app=shop",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=b'{"least": 1}',
    )
    asked = server.request("/v0/sql", {"q": "SELECT sum(n) FROM events"})
    row = row_of(server, posted.headers["x-request-id"])
    assert (row["method"], row["parameters"], row["result_rows"]) == ("POST", {"app": "shop"}, 2)
    row = row_of(server, asked.headers["x-request-id"])
    assert (row["pipe_id"], row["pipe_name"]) == ("query_api", "query_api")
    assert row["parameters"] == {"q": "SELECT sum(n) FROM events"}


def test_a_jwt_is_recorded_by_its_name_with_the_values_that_it_fixed(server: RunningServer) -> None:
    scope = {"type": "PIPES:READ", "resource": "top", "fixed_params": {"without": "a"}}
    token = make_jwt(server, name="acme's page", scopes=[scope])
    params = {"without": "zzz", "least": "1", "token": token}
    answer = server.request("/v0/pipes/top.json", params, token=None)
    assert [one["kind"] for one in answer.json()["data"]] == ["b"]
    row = row_of(server, answer.headers["x-request-id"])
    assert row["token_name"] == "acme's page"
    assert row["parameters"] == {"without": "a", "least": "1"}


def test_failed_refused_and_late_calls_are_recorded_with_their_status(
    server: RunningServer,
) -> None:
    scope = {"type": "PIPES:READ", "resource": "top"}
    other = make_jwt(server, name="other", scopes=[scope])
    calls = (
        ("/v0/pipes/top.json?least=x", "", 400),
        ("/v0/pipes/slow.json", "", 408),
        ("/v0/pipes/slow.json", other, 403),
        ("/v0/sql?q=SELECT+nothing+FROM+events", "", 400),
    )
    answers = [server.request(path, token=token) for path, token, _ in calls]
    for (path, _, status), answer in zip(calls, answers, strict=True):
        assert answer.status == status
        row = row_of(server, answer.headers["x-request-id"])
        assert (row["error"], row["status_code"]) == (1, status)
        assert row["error_message"] == answer.json()["error"]
        if path.startswith("/v0/pipes"):
            error = row_of(server, answer.headers["x-request-id"], "endpoint_errors")
            assert (error["status_code"], error["error"]) == (status, answer.json()["error"])


def test_calls_beyond_a_rate_are_recorded_as_such(server: RunningServer) -> None:
    scope = {"type": "PIPES:READ", "resource": "top"}
    token = make_jwt(server, name="eager", scopes=[scope], limits={"rps": 1})
    answers = [server.request("/v0/pipes/top.json", token=token) for _ in range(30)]
    refused = [one for one in answers if one.status == 429]
    assert refused
    wait_for(server, "pipe_stats_rt", "token_name = 'eager'", len(answers))
    rows = rows_of(server, "pipe_stats_rt", "token_name = 'eager' AND status_code = 429")
    assert {row["request_id"] for row in rows} == {one.headers["x-request-id"] for one in refused}


def test_a_client_that_hangs_up_is_recorded(server: RunningServer) -> None:
    port = urlsplit(server.base_url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = "GET /v0/pipes/slow.json?hung=up HTTP/1.1\r\nHost: x\r\n"
        connection.sendall(f"{head}Authorization: Bearer {server.token}\r\n\r\n".encode())
        time.sleep(0.2)  # so that it has begun; a 499 either way
    (row,) = wait_for(server, "pipe_stats_rt", "parameters['hung'] = 'up'")
    assert (row["status_code"], row["error"]) == (499, 1)


def test_what_is_of_no_endpoint_or_reads_usage_is_not_recorded(server: RunningServer) -> None:
    calls = [
        ("/v0/pipes/nothing.json", ""),
        ("/v0/pipes/top.json", "p.eyJ1IjoiMSJ9.wrong"),
        ("/v0/pipes/own_usage.json", ""),
        ("/v0/pipes", ""),
        ("/v0/sql?q=SELECT+count()+FROM+tinybird.pipe_stats", ""),
    ]
    ids = [server.request(path, token=token).headers["x-request-id"] for path, token in calls]
    last = server.request("/v0/pipes/top.json").headers["x-request-id"]
    row_of(server, last)  # groups are written in order
    listed = ", ".join(f"'{one}'" for one in ids)
    assert rows_of(server, "pipe_stats_rt", f"request_id IN ({listed})") == []


def test_days_are_summed_up_as_the_official_client_asks(server: RunningServer) -> None:
    row_of(server, server.request("/v0/pipes/top.json").headers["x-request-id"])
    sql = """
        SELECT pipe_id, sumIf(view_count, date > now() - interval 7 day) AS views,
            sumIf(error_count, date > now() - interval 7 day) AS errors,
            avgMergeIf(avg_duration_state, date > now() - interval 7 day) AS avg_s
        FROM tinybird.pipe_stats WHERE pipe_name = 'top' GROUP BY pipe_id FORMAT JSON
    """
    status, body = server.get("/v0/sql", q=sql)
    assert status == 200, body
    (row,) = body["data"]
    assert row["views"] >= 1
    assert row["avg_s"] > 0


def test_what_is_done_to_data_sources_is_recorded(server: RunningServer) -> None:
    made, loaded = wait_for(server, "datasources_ops_log", "request_id = ''", 2)
    if made["event_type"] != "create":
        made, loaded = loaded, made
    assert (made["event_type"], made["datasource_name"]) == ("create", "events")
    assert (loaded["event_type"], loaded["rows"], loaded["result"]) == ("append", 2, "ok")
    assert made["datasource_id"] == loaded["datasource_id"]

    good = server.request("/v1/datasources/events/append?format=csv", method="POST", body=b"c,0\n")
    bad = server.request("/v1/datasources/events/replace?format=csv", method="POST", body=b"c,x\n")
    row = row_of(server, good.headers["x-request-id"], "datasources_ops_log")
    assert (row["event_type"], row["rows"], row["written_rows"]) == ("append", 1, 1)
    assert (row["job_id"], row["resource_tags"]) == (good.json()["job_id"], ["web"])
    assert (row["rows_quarantine"], row["error"]) == (0, None)
    block = row_of(server, good.headers["x-request-id"], "block_log")
    assert row["blocks_ids"] == [block["block_id"]]
    assert (block["rows"], block["bytes"], block["status"]) == (1, 4, "done")
    row = row_of(server, bad.headers["x-request-id"], "datasources_ops_log")
    assert (row["event_type"], row["result"], row["rows"]) == ("replace", "error", None)
    assert "line 1" in row["error"]
    jobs = wait_for(server, "jobs_log", "status IN ('done', 'error')", 2)
    assert {(job["job_id"], job["status"]) for job in jobs} >= {
        (good.json()["job_id"], "done"),
        (bad.json()["job_id"], "error"),
    }
    assert "request_id" not in good.json()["job"]
    sizes = wait_for(server, "datasources_storage", "rows = 3")
    assert sizes[0]["datasource_name"] == "events"
    assert sizes[0]["bytes"] > 0


def test_the_tables_behind_are_nobodys_to_name(server: RunningServer) -> None:
    for table in ("w_usage.requests", "`w_usage`.`jobs`", "w_usage.requests_by_day"):
        answer = server.request("/v0/sql", {"q": f"SELECT count() FROM {table}"})
        assert answer.status in (400, 403, 404), answer.body
        pipe = f"NODE endpoint\nSQL >\n    SELECT count() AS c FROM {table}\nTYPE endpoint\n"
        files = {**PROJECT, "endpoints/peek.pipe": pipe}
        deployed = upload(server, "/v1/deploy", files, {"check": "true"}).json()
        assert deployed["result"] == "failed"
        assert "peek" in str(deployed["errors"])


def test_what_was_recorded_survives_a_kill_and_a_stop(tmp_path: Path) -> None:
    """And data sources that are made, changed and deleted by deploys leave a row each."""
    project = tmp_path / "project"
    project.mkdir()
    with serving(project, tmp_path / "data") as server:
        deployed = upload(server, "/v1/deploy", PROJECT, {"auto_promote": "true"})
        assert deployed.json()["result"] == "success", deployed.body
        wait_for(server, "datasources_storage", "datasource_name = 'events'")  # of the deploy
        first = server.request("/v0/pipes/top.json", {"call": "first"})
        row_of(server, first.headers["x-request-id"])
        os.kill(server.child_pid(), signal.SIGKILL)
        wait_until_ready(server)
        row_of(server, first.headers["x-request-id"])
        (made,) = wait_for(server, "datasources_ops_log", "event_type = 'create'")
        assert made["request_id"] == deployed.headers["x-request-id"]

        changed = {
            **PROJECT,
            "datasources/events.datasource": EVENTS.replace("UInt64", "Int64"),
            "datasources/more.datasource": EVENTS,
        }
        answer = upload(server, "/v1/deploy", changed, {"auto_promote": "true"})
        assert answer.json()["result"] == "success", answer.body
        less = {
            name: text for name, text in changed.items() if name != "datasources/more.datasource"
        }
        params = {"auto_promote": "true", "allow_destructive_operations": "true"}
        assert upload(server, "/v1/deploy", less, params).json()["result"] == "success"
        table = "/v0/datasources/events/truncate"
        server.request(
            "/v1/datasources/events/append?format=csv", method="POST", body=b"a,1\nb,2\n"
        )
        assert server.request(table, method="POST").status == 205
        last = server.request("/v0/pipes/top.json", {"call": "last"})
        assert server.stop() == 0
    with serving(project, tmp_path / "data") as server:
        for answer in (first, last):
            row_of(server, answer.headers["x-request-id"])
        operations = {
            (row["event_type"], row["datasource_name"], row["rows"])
            for row in rows_of(server, "datasources_ops_log")
        }
        assert operations == {
            ("create", "events", None),
            ("alter", "events", None),
            ("create", "more", None),
            ("delete", "more", None),
            ("append", "events", 2),
            ("truncate", "events", 2),
        }


def wait_until_ready(server: RunningServer) -> None:
    """After a kill: until the supervisor has started the next server process."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if server.request("/v0/health").status == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
