"""What the server process is given, and what it is not."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.supervisor.conftest import StartSupervisor

SECRET = "p.a-value-that-nobody-else-may-see"


def test_the_server_runs_in_utc_whatever_the_zone_of_the_supervisor(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor(environment={"TZ": "America/New_York"})
    seen = supervisor.get()
    assert (seen["tz"], seen["utc_offset_s"]) == ("UTC", 0)


def test_the_address_space_of_the_server_is_bounded(start_supervisor: StartSupervisor) -> None:
    bound = 6_000_000_000
    supervisor = start_supervisor(address_space_bytes=bound)
    assert supervisor.get()["address_space"] == [bound, bound]
    limits = Path(f"/proc/{supervisor.pid}/limits").read_text()
    own = next(line for line in limits.splitlines() if line.startswith("Max address space"))
    assert str(bound) not in own


def test_secrets_of_the_payload_show_in_no_command_line_and_no_environment(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor({"admin_token": SECRET})
    seen = supervisor.get()
    assert seen["payload"]["admin_token"] == SECRET
    for pid in (supervisor.pid, seen["pid"]):
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert b"PATH=" in text or name == "cmdline"
            assert SECRET.encode() not in text


def test_a_payload_larger_than_a_pipe_arrives_whole(start_supervisor: StartSupervisor) -> None:
    large = "é" * 500_000
    assert start_supervisor({"large": large}).get()["payload"]["large"] == large


def test_the_server_inherits_only_what_it_needs_and_hands_on_none_of_it(
    start_supervisor: StartSupervisor,
) -> None:
    read_end, write_end = os.pipe()
    try:
        supervisor = start_supervisor(host="0.0.0.0", pass_fds=(read_end, write_end))
        seen = supervisor.get(url=supervisor.wait_ready()["ready"].replace("0.0.0.0", "127.0.0.1"))
    finally:
        os.close(read_end)
        os.close(write_end)
    beyond = [kind for number, kind in seen["descriptors"].items() if int(number) > 2]
    assert sorted(beyond) == ["pipe", "pipe", "socket"]  # control, status, the listener
    assert seen["inheritable"] == [0, 1, 2]


def test_answers_are_sent_without_delay(start_supervisor: StartSupervisor) -> None:
    assert start_supervisor().get()["no_delay"] == [True]


def test_modules_in_the_working_folder_do_not_take_the_place_of_ours(
    start_supervisor: StartSupervisor, tmp_path: Path
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('the wrong uvicorn')")
    supervisor = start_supervisor(folder=tmp_path)
    assert supervisor.get()["pid"]


def test_the_supervisor_never_imports_the_engine_nor_anything_heavy(
    start_supervisor: StartSupervisor,
) -> None:
    supervisor = start_supervisor()
    supervisor.wait_ready()
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait_exit() == 0
    modules = supervisor.facts()[-1]["modules"]
    assert "pipewren.serve.supervisor" in modules
    heavy = {"chdb", "uvicorn", "uvloop", "asyncio", "ssl", "pydantic", "sqlalchemy", "numpy"}
    assert heavy.isdisjoint(modules)
