"""Supervisors as real processes, on free ports, ended by their process id."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

HERE = Path(__file__).parent
DEADLINE_S = 30.0
APP = "tiny_app:create_app"


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until `condition` gives something true; fails with `what` after DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {DEADLINE_S:g} s in vain for {what}")


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def wait_ended(pid: int) -> None:
    wait_until(lambda: not is_alive(pid), f"process {pid} to end")


@dataclass
class RunningSupervisor:
    wait_until = staticmethod(wait_until)
    wait_ended = staticmethod(wait_ended)

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    terminal: int | None = None
    children: set[int] = field(default_factory=set)

    @property
    def pid(self) -> int:
        return self.process.pid

    def facts(self) -> list[dict[str, Any]]:
        """What it has told so far; see `start_supervisor.py`."""
        whole, _, _ = self.output.read_text().rpartition("\n")
        facts = [json.loads(line) for line in whole.splitlines()]
        self.children.update(fact["pid"] for fact in facts if "pid" in fact)
        return facts

    def logs(self) -> list[str]:
        return [fact["log"] for fact in self.facts() if "log" in fact]

    def wait_ready(self, starts: int = 1) -> dict[str, Any]:
        """The fact that tells of the start number `starts`, or a later one, being ready."""

        def find() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.errors.read_text()
            return next((fact for fact in self.facts() if fact.get("starts", 0) >= starts), None)

        found: dict[str, Any] = wait_until(find, f"start {starts} to be ready")
        return found

    def get(self, path: str = "/", url: str | None = None) -> dict[str, Any]:
        """The JSON that a GET on a connection of its own gives. Raises OSError or HTTPException."""
        parts = urlsplit(url or self.wait_ready()["ready"])
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=DEADLINE_S
        )
        with contextlib.closing(connection):
            connection.request("GET", path)
            body: dict[str, Any] = json.loads(connection.getresponse().read())
            return body

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_log(self, text: str) -> None:
        wait_until(lambda: any(text in line for line in self.logs()), f"the log line {text!r}")

    def wait_exit(self) -> int:
        return self.process.wait(DEADLINE_S)

    def close_terminal(self) -> None:
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    def end(self) -> None:
        """Kill it; its child ends by itself."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self.facts()
        for pid in self.children:
            wait_ended(pid)
        self.close_terminal()


class StartSupervisor(Protocol):
    def __call__(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        folder: Path | None = None,
        terminal: bool = False,
        **options: Any,
    ) -> RunningSupervisor: ...


@pytest.fixture
def start_supervisor(tmp_path: Path) -> Iterator[StartSupervisor]:
    """Starts supervisors of the tiny application with the given `ServeOptions`."""
    running: list[RunningSupervisor] = []

    def start(
        payload: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        folder: Path | None = None,
        terminal: bool = False,
        **options: Any,
    ) -> RunningSupervisor:
        number = len(running)
        given = {"port": 0, "app": APP, "payload": dict(payload or {}), **options}
        file = tmp_path / f"options{number}.json"
        file.write_text(json.dumps(given))
        output, errors = tmp_path / f"output{number}", tmp_path / f"errors{number}"
        master, stdin = pty.openpty() if terminal else (None, os.open(os.devnull, os.O_RDONLY))
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "start_supervisor.py"), str(file)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(HERE), **(environment or {})},
            )
        os.close(stdin)
        supervisor = RunningSupervisor(process, output, errors, master)
        running.append(supervisor)
        return supervisor

    yield start
    for supervisor in running:
        supervisor.end()
