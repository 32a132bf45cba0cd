"""The processes that are measured: started, waited for, asked over loopback, ended by their id."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipewren.testing.serving import end_process

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk reports of one run."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int = 0

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(arguments: list[str], ready_url: str, environ: dict[str, str]) -> Iterator[int]:
    """A process whose `ready_url` answers; yields its process id, ends it at the end."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not _answers(ready_url):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                assert process.stderr is not None
                raise SystemExit(f"{' '.join(arguments)} did not start:\n{process.stderr.read()}")
            time.sleep(0.05)
        yield process.pid
    finally:
        end_process(process, wait_s=20)
        assert process.stderr is not None
        process.stderr.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def drive(base_url: str, keys: Path, *, connections: int, seconds: float) -> Load:
    """Ask for the paths in `keys` in turn, over kept connections."""
    command = shlex.split(f"wrk -t {min(connections, 2)} -c {connections} -d {seconds:.0f}s")
    run = subprocess.run(
        [*command, "--timeout", "20s", "-s", str(HERE / "keys.lua"), base_url, "--", str(keys)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Load(**json.loads(run.stdout.strip().splitlines()[-1]))


def cpu_seconds(process_id: int) -> float:
    """CPU time that a process has used, its children that are alive included."""
    ticks = 0.0
    for pid in [process_id, *_children(process_id)]:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += float(fields[11]) + float(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _children(process_id: int) -> list[int]:
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    direct = [int(pid) for pid in path.read_text().split()]
    return direct + [pid for child in direct for pid in _children(child)]


class RawEngine:
    """`bench/raw_engine.py` on a copy of the data, asked over its standard input."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "raw_engine.py"), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(
        self, statements: list[str], database: str, *, threads: int, seconds: float
    ) -> Load:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {
            "statements": statements,
            "database": database,
            "threads": threads,
            "seconds": seconds,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Load(**json.loads(self._process.stdout.readline()))

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
