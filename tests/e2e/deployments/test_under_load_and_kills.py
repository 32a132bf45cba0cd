"""Deploys while requests run, and deploys that are killed."""

from __future__ import annotations

import random
import signal
import threading
import time
import urllib.error
from collections import Counter

import pytest

from pipewren.testing.serving import RunningServer, serving
from pipewren.testing.uploads import upload
from tests.e2e.deployments.conftest import PROJECT, answering, build, deploy, listed, rows_of

SLOW = """
NODE sleeping
SQL >
    SELECT count() AS rows, 1 AS version FROM events WHERE sleepEachRow(0.1) = 0

TYPE endpoint
"""


def test_no_request_is_lost_or_mixed_while_one_deploy_follows_the_other(
    server: RunningServer,
) -> None:
    deploy(server, {**PROJECT, "a.pipe": answering(0)})
    seen: list[int] = []
    statuses: Counter[int] = Counter()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            status, body = server.get("/v0/pipes/a.json")
            statuses[status] += 1
            seen.append(body["data"][0]["n"])

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(1, 8):
        answer = deploy(server, {**PROJECT, "a.pipe": answering(number)})
        assert answer["result"] == "success"
    is_over.set()
    asking.join()
    assert set(statuses) == {200}
    assert seen == sorted(seen)  # never an older one again
    assert rows_of(server, "a") == [{"n": 7}]


def test_a_request_under_way_ends_on_the_deployment_that_it_began_on(
    server: RunningServer,
) -> None:
    files = {**PROJECT, "slow.pipe": SLOW}
    assert deploy(server, files)["result"] == "success"
    body = b'{"at": "2026-01-31 12:00:00", "kind": "a", "n": 1}\n' * 8
    path = "/v1/datasources/events/append"
    job = server.request(path, {"format": "ndjson"}, method="POST", body=body).json()["id"]
    while server.get(f"/v0/jobs/{job}")[1]["status"] in ("waiting", "working"):
        continue
    found: list[object] = []
    asking = threading.Thread(
        target=lambda: found.append(server.get("/v0/pipes/slow.json")[1]["data"])
    )
    asking.start()
    answer = deploy(server, {**files, "slow.pipe": SLOW.replace("1 AS version", "2 AS version")})
    assert answer["result"] == "success"
    asking.join()
    assert found[0] in ([{"rows": 8, "version": 1}], [{"rows": 8, "version": 2}])
    assert rows_of(server, "slow") == [{"rows": 8, "version": 2}]
    deadline = time.monotonic() + 60  # the old one's database goes when nobody holds it any more
    while server.get("/v1/deployments/1")[1]["deployment"]["status"] != "deleted":
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_killed_deploy_leaves_the_old_one_or_the_new_one_whole(
    own_server: RunningServer,
) -> None:
    choose = random.Random(7)
    build(own_server, {**PROJECT, "a.pipe": answering(0)})
    own_server.stop()
    now = 0
    for number in range(1, 5):
        files = {**PROJECT, f"pipes/new_{number}.pipe": answering(9), "a.pipe": answering(number)}
        with serving(own_server.project_dir, own_server.data_dir) as server:
            sending = threading.Thread(target=_deploy_into_the_void, args=(server, files))
            sending.start()
            time.sleep(choose.uniform(0.0, 0.3))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            sending.join()
        with serving(own_server.project_dir, own_server.data_dir) as server:
            (row,) = rows_of(server, "a")
            assert row["n"] in (now, number)
            is_new = row["n"] == number
            assert server.get(f"/v0/pipes/new_{number}.json")[0] == (200 if is_new else 404)
            assert rows_of(server, "by_kind") == []
            assert [live for _, _, live in listed(server)] == [True]
            if is_new:
                assert build(server, files)["build"]["changed_pipe_names"] == []
            now = row["n"]
            if now != number:  # the next one begins from a known state
                build(server, files)
                now = number


def _deploy_into_the_void(server: RunningServer, files: dict[str, str]) -> None:
    try:
        upload(server, "/v1/deploy", files, {"auto_promote": "true"})
    except (OSError, urllib.error.URLError):
        return  # killed before it answered, which is what is tried
