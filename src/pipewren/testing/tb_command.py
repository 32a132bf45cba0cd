"""The real `tb` of one project folder, talking to a server under test."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipewren.testing.clients import install_tb
from pipewren.testing.serving import RunningServer, end_process

DEADLINE_S = 60.0
_FORK_TB = Path(__file__).parent / "fork_tb.py"
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class TbResult:
    """`output` is what a person sees: standard output and error."""

    status: int
    output: str


@dataclass(slots=True)
class Tb:
    """`tb` in `folder`, with nothing of the machine's own environment."""

    folder: Path
    environ: Mapping[str, str]
    _forker: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """The output of a command. AssertionError where it ends with another status."""
        ended = self.run(*arguments)
        assert ended.status == status, f"tb {' '.join(arguments)}:\n{ended.output}"
        return ended.output

    def run(self, *arguments: str) -> TbResult:
        if self._forker is None:
            self._forker = subprocess.Popen(
                [install_tb() / "python", _FORK_TB],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        output = Path(self.environ["HOME"]) / "output"
        order = {"arguments": arguments, "output": str(output)}
        self._forker.stdin.write(json.dumps(order) + "\n")
        self._forker.stdin.flush()
        status = self._forker.stdout.readline()
        assert status, "tb could not be started"
        return TbResult(int(status), output.read_text())

    def close(self) -> None:
        if self._forker is None:
            return
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        self._forker.stdin.close()
        self._forker.wait(30)
        self._forker.stdout.close()


def tb_environ(
    server: RunningServer, home: Path, *, token: str | None = None, user_token: str | None = None
) -> dict[str, str]:
    """What a user sets. Without `token` the local commands make a workspace by the folder's path;
    with it all meet in the token's workspace (client-compat.md section 2)."""
    port = urllib.parse.urlsplit(server.base_url).port
    environ = {
        "PATH": _PATH,
        "HOME": str(home),
        "TB_LOCAL_HOST": "127.0.0.1",
        "TB_LOCAL_PORT": str(port),
        "TB_VERSION_WARNING": "0",
        "TB_CLI_TELEMETRY_OPTOUT": "1",
        "COLUMNS": "200",
        "NO_PROXY": "*",
    }
    if token is not None:
        environ |= {"TB_HOST": server.base_url, "TB_TOKEN": token}
    if user_token is not None:
        environ["TB_USER_TOKEN"] = user_token
    return environ


@contextlib.contextmanager
def tb_dev(tb: Tb, printed: Path) -> Iterator[None]:
    """`tb dev` in the project's folder, from when it says that it watches until the block ends.
    What it prints goes to the file `printed`."""
    with printed.open("w") as output:
        dev = subprocess.Popen(
            [install_tb() / "tb", "dev"],
            cwd=tb.folder,
            env=dict(tb.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: "atching" in printed.read_text(), printed)
        yield
    finally:
        end_process(dev)


def wait_for(is_true: Callable[[], bool], printed: Path, seconds: float = DEADLINE_S) -> None:
    """Raises AssertionError with what was printed when it takes longer."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, printed.read_text()
        time.sleep(0.1)
