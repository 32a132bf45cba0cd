"""Quarantines on a real server: over restarts and kills, deploys and uploads."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import Any

from pipewren.testing.serving import RunningServer, serving
from tests.e2e.deployments.conftest import PROJECT, answering, deploy, rows_of

BAD = """
NODE endpoint
SQL >
    SELECT kind, n, length(c__error) AS problems FROM events_quarantine ORDER BY kind

TYPE endpoint
"""
FILES = {**PROJECT, "endpoints/bad.pipe": BAD}
WAIT_S = 30.0


def send(server: RunningServer, *rows: dict[str, Any]) -> Any:
    """The answer of the Events API to rows of `events`, when they are in their tables."""
    body = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    answer = server.request(
        "/v0/events", {"name": "events", "wait": "true"}, method="POST", body=body
    )
    assert answer.status == 200, answer.body
    return answer.json()


def event(kind: str, n: Any) -> dict[str, Any]:
    return {"at": "2026-01-01 00:00:00", "kind": kind, "n": n}


def wait_for_another_process(server: RunningServer, pid: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError):  # between two processes
            if server.child_pid() != pid and server.request("/v0/health").status == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not come back")


def test_bad_rows_outlive_deploys_kills_and_restarts(own_server: RunningServer) -> None:
    deploy(own_server, FILES)
    assert send(own_server, event("a", 1), event("b", "many")) == {
        "successful_rows": 1,
        "quarantined_rows": 1,
    }
    expected = [{"kind": "b", "n": "many", "problems": 1}]
    assert rows_of(own_server, "bad") == expected
    assert own_server.get("/v0/datasources/events")[1]["quarantine_rows"] == 1

    deploy(own_server, {**FILES, "endpoints/one.pipe": answering(1)})
    assert rows_of(own_server, "bad") == expected

    pid = own_server.child_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for_another_process(own_server, pid)
    assert rows_of(own_server, "bad") == expected

    own_server.stop()
    with serving(own_server.project_dir, own_server.data_dir) as again:
        assert rows_of(again, "bad") == expected
        send(again, event("c", -1))
        assert len(rows_of(again, "bad")) == 2
        truncated = again.request("/v0/datasources/events_quarantine/truncate", method="POST")
        assert truncated.status == 205
        assert rows_of(again, "bad") == []
        assert again.get("/v0/datasources/events")[1]["statistics"]["row_count"] == 1
        send(again, event("c", -1))
        assert len(rows_of(again, "bad")) == 1


def test_a_staged_data_source_has_a_quarantine_and_a_discarded_one_leaves_none(
    server: RunningServer,
) -> None:
    staged = deploy(server, FILES, auto_promote="false")
    status, _ = server.get("/v0/pipes/bad.json", __tb__deployment="staging")
    assert status == 200
    assert server.get("/v0/sql", q="SELECT count() FROM events_quarantine FORMAT JSON")[0] == 403
    number = staged["deployment"]["id"]
    assert server.request(f"/v1/deployments/{number}", method="DELETE").status == 200
    deploy(server, FILES)
    assert rows_of(server, "bad") == []


def test_a_name_that_is_taken_by_a_quarantine_is_told_with_its_file(server: RunningServer) -> None:
    deploy(server, PROJECT)
    files = {**PROJECT, "endpoints/events_quarantine.pipe": answering(1)}
    refused = deploy(server, files)
    assert refused["result"] == "failed"
    (error,) = refused["deployment"]["errors"]
    assert error["filename"] == "endpoints/events_quarantine.pipe"
    assert "quarantine of the data source in datasources/events.datasource" in error["error"]
    assert "(line 1)" in error["error"]
