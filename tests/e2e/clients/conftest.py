"""One empty server for all tests of clients in a process, and a workspace for each test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import RunningServer, serving
from pipewren.testing.tb_command import Tb, tb_environ

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(frozen=True, slots=True)
class Account:
    """An own workspace on the server; `user_token` is that of the whole account."""

    server: RunningServer
    workspace: str
    token: str
    user_token: str

    def run(self, folder: Path, *command: str | Path, **environ: str) -> str:
        """What a client's program prints, run in `folder`; it must end well."""
        ended = subprocess.run(
            command,
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "TINYBIRD_URL": self.server.base_url,
                "TINYBIRD_TOKEN": self.token,
                **environ,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout


@pytest.fixture(scope="session")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "project").mkdir()
    with serving(folder / "project", folder / "data") as server:
        yield server


@pytest.fixture
def account(empty_server: RunningServer, request: pytest.FixtureRequest) -> Account:
    """A workspace with the name of the test."""
    tokens: dict[str, str] = empty_server.request("/tokens", token=None).json()
    name = request.node.name.replace("[", "_").replace("]", "")[:60]
    made = empty_server.request(
        "/v1/workspaces", {"name": name}, method="POST", token=tokens["user_token"], body=b""
    )
    assert made.status == 200, made.body
    workspace: dict[str, Any] = made.json()
    return Account(empty_server, name, workspace["token"], tokens["user_token"])


@pytest.fixture
def open_tb(tmp_path: Path) -> Iterator[Callable[..., Tb]]:
    """`open_tb(server, folder, token=..., user_token=...)`."""
    with contextlib.ExitStack() as stack:

        def make(server: RunningServer, folder: Path, **tokens: str) -> Tb:
            home = tmp_path / "home"
            home.mkdir(exist_ok=True)
            tb = Tb(folder, tb_environ(server, home, **tokens))
            stack.callback(tb.close)
            return tb

        yield make


@pytest.fixture
def web_analytics(tmp_path: Path) -> Path:
    """A copy of the example that a test may change."""
    return shutil.copytree(EXAMPLES / "web_analytics", tmp_path / "web_analytics")
