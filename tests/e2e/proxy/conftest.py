"""Debian's nginx with the configuration that docs/proxy.md shows, in front of a real server."""

from __future__ import annotations

import contextlib
import getpass
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, end_process, serving, write_files

PAGE = (Path(__file__).parents[3] / "docs" / "proxy.md").read_text()
HOST = "api.example.com"
WAIT_S = 60.0  # for what must come, on a busy machine
PIPES = {
    "one": "SELECT {{String(x, 'x')}} AS x",
    "rows": "SELECT number AS id, repeat('x', 40) AS s FROM numbers({{UInt64(n, 10)}})",
    "slow": "SELECT count() AS n FROM numbers(100000000000) WHERE sipHash64(number) = 1",
}


@dataclass(slots=True)
class Proxy:
    """nginx on a port of its own, with `folder` for its files."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @contextlib.contextmanager
    def connect(self) -> Iterator[http.client.HTTPSConnection]:
        context = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=WAIT_S, context=context
        )
        try:
            yield connection
        finally:
            connection.close()

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpAnswer:
        with self.connect() as connection:
            connection.request(method, path, body, {"Host": HOST, **(headers or {})})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return HttpAnswer(answer.status, found, answer.read())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old} is not in the example once"
    return text.replace(old, new)


@contextlib.contextmanager
def proxying(folder: Path, upstream: str, *, path: str = "/") -> Iterator[Proxy]:
    """The example of the page in front of `upstream` (host:port), with this folder's files; below
    `path`, as the page's end says."""
    folder.mkdir()
    port = free_port()
    (example,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    for old, new in (
        ("server 127.0.0.1:7181;", f"server {upstream};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("/etc/ssl/certs/api.example.com.pem", str(folder / "certificate.pem")),
        ("/etc/ssl/private/api.example.com.key", str(folder / "key.pem")),
        ("/var/log/nginx/pipewren.access.log", str(folder / "access.log")),
        ("/var/log/nginx/pipewren.error.log", str(folder / "error.log")),
    ):
        example = replaced(example, old, new)
    if path != "/":
        example = replaced(example, "location / {", f"location {path} {{")
        example = replaced(example, "proxy_pass http://pipewren;", "proxy_pass http://pipewren/;")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name}_temp;\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}pid {folder}/nginx.pid;\nworker_processes 1;\nevents {{}}\n"
        f"http {{\n{temporary}{example}}}\n"
    )
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
            *("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    with (folder / "stderr.log").open("wb") as stderr:
        process = subprocess.Popen(
            [
                *("nginx", "-p", folder, "-e", folder / "start.log"),
                *("-c", folder / "nginx.conf", "-g", "daemon off;"),
            ],
            stderr=stderr,
        )
    try:
        wait_for_port(process, port, folder / "stderr.log")
        yield Proxy(process, port, folder)
    finally:
        end_process(process)


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=WAIT_S).close()
            return
    raise AssertionError("nginx does not listen")


def write_project(folder: Path) -> Path:
    return write_files(
        folder,
        {
            f"endpoints/{name}.pipe": f"NODE endpoint\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"
            for name, sql in PIPES.items()
        },
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("proxied")
    environ = {
        "PIPEWREN_TRUSTED_PROXIES": "127.0.0.1",
        "PIPEWREN_MAX_CONNECTIONS_PER_ADDRESS": "4",
        "PIPEWREN_MAX_EXECUTION_TIME_S": "600",
        "PIPEWREN_MAX_WAIT_S": "600",
        "PIPEWREN_MAX_WAITING_REQUESTS": "8",
        "PIPEWREN_LIGHT_CONNECTIONS": "1",
    }
    with serving(write_project(folder / "project"), folder / "data", environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx") / "files"
    with proxying(folder, urlsplit(server.base_url).netloc) as running:
        # What nginx would put aside it could not, and the answer would break.
        shutil.rmtree(folder / "proxy_temp")
        shutil.rmtree(folder / "client_body_temp")
        yield running


@pytest.fixture
def start_proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """nginx in front of `upstream` (host:port), until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda upstream, path="/": stack.enter_context(
            proxying(tmp_path / "files", upstream, path=path)
        )


@pytest.fixture
def bearer(server: RunningServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}
