"""What a user sees when a server starts, or cannot."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipewren.serve.child_process import EXIT_START_ERROR

if TYPE_CHECKING:
    from tests.e2e.supervisor.conftest import StartSupervisor


def test_a_ready_server_tells_its_address_and_what_the_application_says(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor()
    ready = supervisor.wait_ready()
    port = int(ready["ready"].rpartition(":")[2])
    assert ready["ready"] == f"http://127.0.0.1:{port}"
    assert port > 0
    assert ready["detail"] == {"pipes": 3}
    assert any(f"Listening on {ready['ready']} (ready in " in line for line in supervisor.logs())
    seen = supervisor.get()
    assert seen["pid"] == ready["pid"] != supervisor.pid
    assert seen["payload"] == {"base_url": ready["ready"]}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_both_loopback_addresses_answer(start_supervisor: StartSupervisor, host: str) -> None:
    supervisor = start_supervisor(host=host)
    url = supervisor.wait_ready()["ready"]
    port = url.rpartition(":")[2]
    addresses = ["127.0.0.1", "localhost"]
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            addresses.append("[::1]")
    except OSError:  # a machine without IPv6: the other two must do
        assert socket.has_dualstack_ipv6() is False
    pids = {supervisor.get(url=f"http://{address}:{port}")["pid"] for address in addresses}
    assert len(pids) == 1


def test_the_wildcard_address_of_ipv6_answers_ipv4_too(start_supervisor: StartSupervisor) -> None:
    supervisor = start_supervisor(host="::" if socket.has_dualstack_ipv6() else "0.0.0.0")
    port = supervisor.wait_ready()["ready"].rpartition(":")[2]
    assert supervisor.get(url=f"http://127.0.0.1:{port}")["pid"]


def test_a_taken_port_is_named_with_what_to_do(start_supervisor: StartSupervisor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        supervisor = start_supervisor(port=port)
        assert supervisor.wait_exit() == EXIT_START_ERROR
    assert supervisor.errors.read_text() == (
        f"error: Port {port} of 127.0.0.1 is in use: stop the program that listens there, or "
        "choose another port with --port (0 takes a free one).\n"
    )
    assert supervisor.logs() == []


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("203.0.113.7", "203.0.113.7 is not an address of this machine. Use 127.0.0.1"),
        ("", "The host is empty: give --host an address. Use 127.0.0.1"),
        ("not..a..host", "Cannot find the host 'not..a..host': "),
    ],
)
def test_a_wrong_host_is_named_with_what_to_do(
    start_supervisor: StartSupervisor, host: str, message: str
) -> None:
    supervisor = start_supervisor(host=host)
    assert supervisor.wait_exit() == EXIT_START_ERROR
    errors = supervisor.errors.read_text()
    assert errors.startswith(f"error: {message}")
    assert "0.0.0.0 for all its addresses" in errors


def test_a_port_out_of_range_is_refused(start_supervisor: StartSupervisor) -> None:
    supervisor = start_supervisor(port=70_000)
    assert supervisor.wait_exit() == EXIT_START_ERROR
    assert "70000 is not a port" in supervisor.errors.read_text()


@pytest.mark.parametrize("way", ["start_error", "refuse"])
def test_an_application_that_cannot_start_says_so_once_and_is_not_tried_again(
    start_supervisor: StartSupervisor, way: str
) -> None:
    supervisor = start_supervisor({way: "The data directory is in use by process 12."})
    assert supervisor.wait_exit() == EXIT_START_ERROR
    assert supervisor.errors.read_text() == ("error: The data directory is in use by process 12.\n")
    assert supervisor.logs() == []


def test_a_server_that_does_not_fit_its_address_space_names_the_setting(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor({"raise_memory": True}, address_space_bytes=4_000_000_000)
    assert supervisor.wait_exit() == EXIT_START_ERROR
    assert supervisor.errors.read_text() == (
        "error: The server does not fit into address_space_bytes=4,000,000,000: raise it, or set "
        "it to 0 for no bound.\n"
    )


def test_an_engine_that_cannot_be_mapped_is_told_like_any_lack_of_memory(
    start_supervisor: StartSupervisor,
) -> None:
    # The engine's library alone takes more address space than this; the supervisor must not care.
    supervisor = start_supervisor(app="engine_app:create_app", address_space_bytes=300_000_000)
    assert supervisor.wait_exit() == EXIT_START_ERROR
    assert "address_space_bytes=300,000,000" in supervisor.errors.read_text()


def test_the_server_process_started_by_hand_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipewren.serve.child"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == ("pipewren.serve.child is started by `pipewren serve`, not by hand\n")
