"""A server process that ends is replaced, while clients wait."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.serve.supervisor import (
    FIRST_DELAY_S,
    HEALTHY_AFTER_S,
    LONGEST_DELAY_S,
    next_delay_s,
)

if TYPE_CHECKING:
    from tests.e2e.supervisor.conftest import RunningSupervisor, StartSupervisor

KILLS = 3
ANSWERS_AGAIN_S = 2.0  # the bar, for the quickest of the kills: the machine may be busy


class Clients:
    """Threads that each connect, ask and disconnect in a loop, and keep what went wrong."""

    def __init__(self, supervisor: RunningSupervisor, count: int = 4) -> None:
        self.supervisor = supervisor
        self.url = supervisor.wait_ready()["ready"]
        self.refused = 0
        self.pids: set[int] = set()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for_answers_of(self, servers: int) -> None:
        """Wait until so many server processes have answered, one after the other."""
        self.supervisor.wait_until(
            lambda: len(self.pids) >= servers, f"answers of server process {servers}"
        )

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                self.pids.add(self.supervisor.get(url=self.url)["pid"])
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, http.client.HTTPException):
                continue  # it was being answered when its server was killed


def test_after_a_kill_answers_come_again_and_no_connection_was_refused(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor()
    gaps_s = []
    with Clients(supervisor) as clients:
        for starts in range(1, KILLS + 1):
            pid = supervisor.wait_ready(starts)["pid"]
            clients.wait_for_answers_of(starts)
            os.kill(pid, signal.SIGKILL)
            killed_at_s = time.monotonic()
            clients.wait_for_answers_of(starts + 1)
            gaps_s.append(time.monotonic() - killed_at_s)
    assert clients.refused == 0
    assert len(clients.pids) == KILLS + 1
    assert min(gaps_s) < ANSWERS_AGAIN_S
    assert "The server process was killed by SIGKILL; starting again in 0.05 s" in supervisor.logs()


def test_a_crash_loop_backs_off(start_supervisor: StartSupervisor, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    supervisor = start_supervisor({"crash": str(starts)})
    supervisor.wait_log("again in 0.4 s")
    assert supervisor.logs()[:4] == [
        f"The server process ended with code 9; starting again in {delay} s"
        for delay in ("0.05", "0.1", "0.2", "0.4")
    ]
    assert len(starts.read_text().splitlines()) == 4
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0


@pytest.mark.parametrize(
    ("delay_s", "ready_for_s", "expected"),
    [
        (0.0, 0.0, FIRST_DELAY_S),
        (FIRST_DELAY_S, 0.0, 0.1),
        (FIRST_DELAY_S, HEALTHY_AFTER_S - 1, 0.1),
        (3.2, 0.0, LONGEST_DELAY_S),
        (LONGEST_DELAY_S, 0.0, LONGEST_DELAY_S),
        (LONGEST_DELAY_S, HEALTHY_AFTER_S, FIRST_DELAY_S),
    ],
)
def test_the_delay_doubles_up_to_a_bound_and_a_minute_of_health_resets_it(
    delay_s: float, ready_for_s: float, expected: float
) -> None:
    assert next_delay_s(delay_s, ready_for_s) == expected


def test_an_unhealthy_server_is_replaced(start_supervisor: StartSupervisor) -> None:
    supervisor = start_supervisor()
    first = supervisor.wait_ready()["pid"]
    supervisor.get("/unhealthy")
    second = supervisor.wait_ready(2)["pid"]
    assert second != first
    assert supervisor.get()["pid"] == second
    assert "The server process is unhealthy: the engine is stuck" in supervisor.logs()


def test_an_unhealthy_server_that_does_not_end_is_killed(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor({"deaf": True}, shutdown_grace_s=0.1, closing_s=0.1)
    supervisor.get("/unhealthy")
    supervisor.wait_ready(2)
    assert "The server process does not stop: killing it" in supervisor.logs()


def test_a_server_that_could_start_once_is_tried_again_when_it_no_longer_can(
    start_supervisor: StartSupervisor, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    supervisor = start_supervisor({"start_error_while": str(broken)})
    pid = supervisor.wait_ready()["pid"]
    broken.touch()
    os.kill(pid, signal.SIGKILL)
    supervisor.wait_log("ended with code 3; starting again in")
    broken.unlink()
    supervisor.wait_ready(2)
    assert supervisor.errors.read_text().startswith("error: the project is broken\n")


def test_a_mistake_of_ours_shows_where_it_is_and_is_tried_again(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor({"raise": "a wrong turn"})
    supervisor.wait_log("ended with code 1; starting again in 0.1 s")
    errors = supervisor.errors.read_text()
    assert "RuntimeError: a wrong turn" in errors
    assert "tiny_app.py" in errors


def test_a_hangup_without_a_terminal_leaves_the_server_serving(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor()
    pid = supervisor.wait_ready()["pid"]
    supervisor.signal(signal.SIGHUP)
    os.kill(pid, signal.SIGHUP)
    assert supervisor.get()["pid"] == pid
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert supervisor.facts()[1]["pid"] == pid
    assert not any("starting again" in line for line in supervisor.logs())
