"""A `pipewren serve` that is killed and started again, as often as a test likes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipewren.testing.serving import START_S, end_process, pipewren

TOKEN = "p.a-token-of-nobody-for-tests-alone"


@dataclass(slots=True)
class KillableServer:
    """`output` is the file that takes all it prints. `url` is that of the newest start, whose port
    is another one each time; a child that the supervisor starts again has the same."""

    project_dir: Path
    data_dir: Path
    output: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    token: str = TOKEN
    _process: subprocess.Popen[bytes] | None = None
    _read_from: int = 0

    def launch(self) -> None:
        """Start it, without waiting for it to be ready."""
        self._read_from = self.output.stat().st_size if self.output.exists() else 0
        given = {"PIPEWREN_DISK_RESERVE_BYTES": "0", "PIPEWREN_ADMIN_TOKEN": TOKEN, **self.environ}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                pipewren("serve", self.project_dir, "--data-dir", self.data_dir, "--port", "0"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **given},
            )

    def wait_ready(self) -> None:
        """Until it answers. RuntimeError with what it printed where it does not."""
        self._wait(self._is_listening, "the server to listen")
        self._wait(self._is_healthy, "the server to be healthy")

    def kill_child(self) -> None:
        """Kill the server process alone; the supervisor starts another."""
        pid = self._wait(self._child_pid, "a server process")
        os.kill(pid, signal.SIGKILL)
        _wait_ended(pid)

    def kill_all(self) -> None:
        """Kill the supervisor too; the kernel kills its child in the same moment."""
        assert self._process is not None
        pid = self._child_pid()
        self._process.kill()
        self._process.wait()
        if pid:
            _wait_ended(pid)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None:
            end_process(self._process)

    def _is_listening(self) -> bool:
        printed = self.output.read_bytes()[self._read_from :].decode(errors="replace")
        found = re.findall(r"\bListening on (\S+)", printed)
        if found:
            self.url = found[-1]
        return bool(found)

    def _is_healthy(self) -> bool:
        parts = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=START_S)
        try:
            connection.request("GET", "/v0/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _child_pid(self) -> int:
        """0 where there is none at the moment."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(child) for child in children if _is_alive(int(child))), 0)

    def _wait(self, condition: Callable[[], int], what: str) -> int:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while not (found := condition()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                printed = self.output.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"waited in vain for {what}:\n{printed}")
            time.sleep(0.01)
        return found


def _wait_ended(pid: int) -> None:
    deadline = time.monotonic() + START_S
    while _is_alive(pid):
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} was killed and has not ended")
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
