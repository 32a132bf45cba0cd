"""A real server for tests: `pipewren serve` in a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_S = 60.0  # how long a start may take, fixtures included, on a busy machine


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class RunningServer:
    """`token` is the workspace admin token unless another was asked for; `output` are the lines
    that the server has printed, the newest last."""

    process: subprocess.Popen[str]
    base_url: str
    data_dir: Path
    project_dir: Path
    token: str
    output: list[str] = field(default_factory=list)

    def request(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = "",
    ) -> HttpAnswer:
        """`token` "" sends the server's own, None sends none."""
        query = urllib.parse.urlencode(params or {}, doseq=True)
        url = self.base_url + path + ("?" + query if query else "")
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token or self.token}")
        request = urllib.request.Request(url, data=body, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return HttpAnswer(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return HttpAnswer(error.code, _lower(error.headers), error.read())

    def get(self, path: str, **params: Any) -> tuple[int, Any]:
        """Status and decoded JSON of a GET with the server's token."""
        answer = self.request(path, params)
        return answer.status, answer.json()

    def child_pid(self) -> int:
        """The process id of the server process behind the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def pipewren(*arguments: str | Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """The command line of `pipewren` with this interpreter."""
    return [sys.executable, "-m", "pipewren.cli.main", *map(str, arguments)]


@contextlib.contextmanager
def serving(
    project_dir: Path,
    data_dir: Path,
    *,
    flags: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
    token: str = "workspace admin token",
) -> Iterator[RunningServer]:
    """Serve a project until the block ends; the server is then ended by its process id."""
    process = subprocess.Popen(
        pipewren("serve", project_dir, "--data-dir", data_dir, "--port", "0", *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PIPEWREN_DISK_RESERVE_BYTES": "0", **(environ or {})},
    )
    reading: threading.Thread | None = None
    try:
        output, url = _wait_until_listening(process)
        # Read on: a server whose log nobody reads stops when the pipe is full.
        reading = threading.Thread(target=_read_on, args=(process, output), daemon=True)
        reading.start()
        value = subprocess.run(
            pipewren("token", project_dir, token, "--data-dir", data_dir),
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **(environ or {})},
        ).stdout.strip()
        yield RunningServer(process, url, data_dir, project_dir, value, output)
    finally:
        end_process(process)
        if reading is not None:
            reading.join()
        assert process.stdout is not None
        process.stdout.close()


def end_process(process: subprocess.Popen[Any], *, wait_s: float = 30.0) -> None:
    """SIGTERM, and SIGKILL for one that does not end; nothing for one that has."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a project, its paths relative to `folder`, which is returned."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def _read_on(process: subprocess.Popen[str], output: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line.rstrip("\n"))


def _wait_until_listening(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    assert process.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + START_S
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if found := re.search(r"\bListening on (\S+)", line):
            return lines, found[1]
        if time.monotonic() > deadline:
            break
    raise RuntimeError("the server did not start:\n" + "\n".join(lines))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
