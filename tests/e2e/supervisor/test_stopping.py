"""How a server ends: when it is told to, and when its supervisor is gone."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from pipewren.serve.child_process import close_child, send_order, spawn_child

if TYPE_CHECKING:
    from tests.e2e.supervisor.conftest import RunningSupervisor, StartSupervisor


class SlowRequest:
    """A request that runs until `release` is called."""

    def __init__(self, folder: Path) -> None:
        self.running = folder / "running"
        self.release = folder / "release"
        self.payload = {
            "running": str(self.running),
            "release": str(self.release),
            "stopped": str(folder / "stopped"),
        }
        self.stopped = folder / "stopped"
        self._pool = concurrent.futures.ThreadPoolExecutor(1)

    def ask(self, supervisor: RunningSupervisor) -> concurrent.futures.Future[dict[str, Any]]:
        answer = self._pool.submit(supervisor.get, "/wait")
        supervisor.wait_until(self.running.exists, "the request to run")
        return answer


@pytest.fixture
def slow(tmp_path: Path) -> SlowRequest:
    return SlowRequest(tmp_path)


def connects(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_running_requests_finish_and_takes_no_new_ones(
    start_supervisor: StartSupervisor, slow: SlowRequest, number: int
) -> None:
    supervisor = start_supervisor(slow.payload)
    url = supervisor.wait_ready()["ready"]
    answer = slow.ask(supervisor)
    supervisor.signal(number)
    supervisor.wait_until(lambda: not connects(url), "new connections to be refused")
    assert not slow.stopped.exists()
    slow.release.touch()
    assert answer.result() == {"waited": True}
    assert supervisor.wait_exit() == 0
    assert slow.stopped.exists()
    assert supervisor.errors.read_text() == ""


def test_a_stop_sent_to_both_processes_still_lets_requests_finish(
    start_supervisor: StartSupervisor, slow: SlowRequest
) -> None:
    supervisor = start_supervisor(slow.payload)
    ready = supervisor.wait_ready()
    answer = slow.ask(supervisor)
    os.kill(ready["pid"], signal.SIGTERM)
    supervisor.signal(signal.SIGTERM)
    supervisor.wait_until(lambda: not connects(ready["ready"]), "connections to be refused")
    slow.release.touch()
    assert answer.result() == {"waited": True}
    assert supervisor.wait_exit() == 0


def test_a_second_stop_ends_it_at_once(
    start_supervisor: StartSupervisor, slow: SlowRequest
) -> None:
    supervisor = start_supervisor(slow.payload)
    pid = supervisor.wait_ready()["pid"]
    answer = slow.ask(supervisor)
    supervisor.signal(signal.SIGTERM)
    supervisor.wait_log("Stopping")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 128 + signal.SIGTERM
    supervisor.wait_ended(pid)
    assert isinstance(answer.exception(), Exception)
    assert not slow.stopped.exists()


def test_a_request_beyond_the_grace_is_cut_off_and_the_application_still_closed(
    start_supervisor: StartSupervisor, slow: SlowRequest
) -> None:
    supervisor = start_supervisor(slow.payload, shutdown_grace_s=0.2)
    slow.ask(supervisor)
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert slow.stopped.exists()


def test_a_server_that_does_not_stop_is_killed_and_the_exit_code_says_so(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor({"deaf": True}, shutdown_grace_s=0.1, closing_s=0.1)
    supervisor.wait_ready()
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 1
    assert supervisor.logs()[-2:] == [
        "The server process does not stop: killing it",
        "The server process was killed by SIGKILL while stopping",
    ]


def test_a_stop_during_the_start_gives_the_start_up(
    start_supervisor: StartSupervisor, tmp_path: Path
) -> None:
    starting, given_up = tmp_path / "starting", tmp_path / "given_up"
    supervisor = start_supervisor({"slow_start": str(starting), "given_up": str(given_up)})
    supervisor.wait_until(starting.exists, "the start to begin")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    assert given_up.exists()


def test_the_server_ends_and_the_port_is_free_when_the_supervisor_is_killed(
    start_supervisor: StartSupervisor, slow: SlowRequest
) -> None:
    supervisor = start_supervisor(slow.payload)
    ready = supervisor.wait_ready()
    slow.ask(supervisor)
    supervisor.signal(signal.SIGKILL)
    supervisor.wait_exit()
    supervisor.wait_ended(ready["pid"])
    parts = urlsplit(ready["ready"])
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind((parts.hostname, parts.port))
        free.listen()


def test_a_server_still_starting_ends_when_the_supervisor_is_killed(
    start_supervisor: StartSupervisor, tmp_path: Path
) -> None:
    starting = tmp_path / "starting"
    supervisor = start_supervisor({"slow_start": str(starting), "given_up": str(tmp_path / "no")})
    supervisor.wait_until(lambda: starting.exists() and starting.read_text(), "the start to begin")
    pid = int(starting.read_text())
    supervisor.signal(signal.SIGKILL)
    supervisor.wait_exit()
    supervisor.wait_ended(pid)


def test_a_server_that_runs_no_code_ends_too_when_the_supervisor_is_killed(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor()
    pid = supervisor.wait_ready()["pid"]
    os.kill(pid, signal.SIGSTOP)  # as stuck as can be: the control pipe is watched by nobody
    supervisor.signal(signal.SIGKILL)
    supervisor.wait_exit()
    supervisor.wait_ended(pid)


@pytest.mark.parametrize("ordered", [True, False])
def test_the_end_of_the_control_pipe_alone_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    # This process lives on, so that no signal of the system's can be what ends it.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    starting = tmp_path / "starting"
    order = {
        "app": "tiny_app:create_app",
        "payload": {"slow_start": str(starting), "given_up": str(tmp_path / "given_up")},
        "address_space_bytes": 0,
        "shutdown_grace_s": 1,
        "backlog": 16,
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = spawn_child(order, (listener.fileno(),))
        if ordered:
            send_order(child)
            while not starting.exists():
                assert child.process.poll() is None
        close_child(child)
        assert child.process.wait(30) == 4


def test_closing_the_terminal_ends_a_server_that_was_started_in_it(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor(terminal=True)
    pid = supervisor.wait_ready()["pid"]
    supervisor.close_terminal()
    assert supervisor.wait_exit() == 0
    supervisor.wait_ended(pid)
