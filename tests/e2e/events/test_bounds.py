"""Events beyond bounds: too large, too many a second, more than memory or the log may hold."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.events.conftest import ask_one, counts, limited, send, wait_until

if TYPE_CHECKING:
    from pipewren.testing.serving import HttpAnswer, RunningServer

LINE = b'{"id": 1, "text": "%s"}\n' % (b"x" * 900)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Room for one body of 50 kB at a time, and twenty requests a second to a data source."""
    with limited(
        tmp_path_factory.mktemp("small"),
        PIPEWREN_MAX_EVENTS_BYTES="100000",
        PIPEWREN_MAX_EVENTS_MEMORY_BYTES="200000",
        PIPEWREN_RATE_LIMIT_EVENTS="20",
    ) as running:
        yield running


def send_at_last(server: RunningServer, body: bytes) -> HttpAnswer:
    """As `send`, as soon as the rate allows it."""
    deadline = time.monotonic() + 60
    while (answer := send(server, body, "flat")).status == 429:
        assert time.monotonic() < deadline
    return answer


def test_a_body_over_the_bound_is_413_and_leaves_no_row(small: RunningServer) -> None:
    truncated = small.request("/v0/datasources/flat/truncate", method="POST", body=b"")
    assert truncated.status == 205  # also rows of other tests that were on their way
    answer = send_at_last(small, 200 * LINE)
    assert answer.status == 413
    assert answer.json()["error"] == "The body is larger than 100,000 bytes (max_events_bytes)"
    answer = send_at_last(small, 80 * LINE)  # three times its size is more than there ever is
    assert answer.status == 413
    assert "max_events_memory_bytes" in answer.json()["error"]
    assert counts(send_at_last(small, 20 * LINE)) == (200, 20, 0)
    assert ask_one(small, "count()", "flat") == 20


def test_more_than_the_memory_holds_is_503_with_a_time_to_wait(small: RunningServer) -> None:
    url = urlsplit(small.base_url)
    head = (
        f"POST /v0/events?name=flat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.token}\r\n"
        f"Content-Length: {60 * len(LINE)}\r\n\r\n"
    )
    send_at_last(small, b"")
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=60) as slow:
        slow.sendall(head.encode() + 50 * LINE)
        deadline = time.monotonic() + 60
        while (answer := send(small, 30 * LINE, "flat", wait=False)).status != 503:
            assert answer.status in (202, 429)
            assert time.monotonic() < deadline
        assert int(answer.headers["retry-after"]) >= 1
        assert "max_events_memory_bytes" in answer.json()["error"]
        slow.sendall(10 * LINE)
        assert slow.recv(1000).startswith(b"HTTP/1.1 202 ")
    while (answer := send(small, 30 * LINE, "flat")).status != 200:
        assert time.monotonic() < deadline


def test_whoever_hangs_up_gives_the_room_back(small: RunningServer) -> None:
    url = urlsplit(small.base_url)
    head = (
        f"POST /v0/events?name=flat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.token}\r\n"
        f"Content-Length: {60 * len(LINE)}\r\n\r\n"
    )
    for _ in range(5):
        send_at_last(small, b"")
        with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=60) as gone:
            gone.sendall(head.encode() + 50 * LINE)
    deadline = time.monotonic() + 60
    while (answer := send(small, 60 * LINE, "flat")).status != 200:
        assert answer.status in (429, 503)
        assert time.monotonic() < deadline


def test_too_many_a_second_are_429_by_data_source(small: RunningServer) -> None:
    send_at_last(small, b"")
    statuses = []
    for _ in range(100):
        answer = send(small, LINE, "flat", wait=False)
        statuses.append(answer.status)
        assert answer.headers["x-ratelimit-limit"] == "20"
        assert {"x-ratelimit-remaining", "x-ratelimit-reset"} <= answer.headers.keys()
        if answer.status == 429:
            break
        assert "retry-after" not in answer.headers
    assert set(statuses) == {202, 429}
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert "the data source 'flat'" in answer.json()["error"]
    assert send(small, b"", "events").status == 200


def test_a_connection_is_good_for_more_after_429_and_413(small: RunningServer) -> None:
    url = urlsplit(small.base_url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    headers = {"Authorization": f"Bearer {small.token}"}
    statuses = set()
    for _ in range(60):
        connection.request("POST", "/v0/events?name=flat", 20 * LINE, headers)
        answer = connection.getresponse()
        answer.read()
        statuses.add(answer.status)
    assert statuses == {202, 429}
    connection.close()


def test_a_large_body_is_taken_where_the_settings_allow_it(tmp_path: Path) -> None:
    """20 MB, more than a group may hold: it becomes several."""
    with limited(
        tmp_path,
        PIPEWREN_MAX_EVENTS_BYTES="40000000",
        PIPEWREN_EVENTS_FLUSH_S="0.2",
    ) as server:
        rows = 22_000
        assert counts(send(server, rows * LINE, "flat")) == (200, rows, 0)
        assert ask_one(server, "count()", "flat") == rows
        assert counts(send(server, rows * LINE, "flat", wait=False)) == (202, rows, 0)
        wait_until(server, "count()", 2 * rows, "flat")


def test_a_log_that_is_full_is_503_until_there_is_room_again(tmp_path: Path) -> None:
    with limited(
        tmp_path,
        PIPEWREN_MAX_EVENT_LOG_BYTES="1000000",
        PIPEWREN_EVENTS_FLUSH_S="2",
    ) as server:
        accepted, refused = 0, threading.Event()

        def send_until_refused(_: int) -> int:
            taken = 0
            while not refused.is_set():
                answer = send(server, 100 * LINE, "flat", wait=False)
                if answer.status == 503:
                    assert "max_event_log_bytes" in answer.json()["error"]
                    assert int(answer.headers["retry-after"]) >= 1
                    refused.set()
                else:
                    assert answer.status == 202
                    taken += 100
            return taken

        with ThreadPoolExecutor(4) as pool:
            accepted = sum(pool.map(send_until_refused, range(4)))
        wait_until(server, "count()", accepted, "flat")
        deadline = time.monotonic() + 60
        while send(server, LINE, "flat").status != 200:
            assert time.monotonic() < deadline
        assert ask_one(server, "count()", "flat") == accepted + 1
