"""`GET /tokens` of a real server, asked over sockets as programs, pages and proxies would."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipewren.testing.serving import RunningServer, serving, write_files

FILES = {"endpoints/one.pipe": "NODE n\nSQL >\n    SELECT 1 AS one\nTYPE endpoint\n"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("local_tokens")
    with serving(write_files(folder / "project", FILES), folder / "data") as running:
        yield running


def ask(server: RunningServer, request: str, *, address: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, head and body of a request, its lines as they are sent."""
    port = urlsplit(server.base_url).port
    assert port is not None
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7181", "[::1]:80"])
def test_a_program_gets_three_tokens_that_work(server: RunningServer, host: str) -> None:
    status, head, body = ask(server, f"GET /tokens HTTP/1.1\nHost: {host}\n\n")
    tokens = json.loads(body)
    assert status == 200
    assert list(tokens) == ["user_token", "admin_token", "workspace_admin_token"]
    assert "access-control" not in head
    assert tokens["workspace_admin_token"] == server.token
    for name, is_user in (("user_token", True), ("admin_token", True)):
        auth = server.request("/v0/auth", token=tokens[name]).json()
        assert auth["is_user"] is is_user
    assert server.request("/v0/pipes/one.json", token=tokens["admin_token"]).status == 200


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /tokens HTTP/1.1\nHost: evil.example\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost.evil.example:7181\n\n",
        "GET http://localhost/tokens HTTP/1.1\nHost: evil.example\n\n",
        "GET /tokens HTTP/1.0\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nHost: evil.example\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nHost: localhost\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nOrigin: http://localhost\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nOrigin: null\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nOrigin:\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nVIA: 1.1 proxy\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nForwarded: for=127.0.0.1\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nX-Real-IP: 127.0.0.1\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nx-ForWarded-for: 127.0.0.1\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nX-Forwarded-Whatever: x\n\n",
        "GET /tokens HTTP/1.1\nHost: localhost\nSec-Fetch-Site: cross-site\n\n",
        "HEAD /tokens HTTP/1.1\nHost: evil.example\n\n",
        "OPTIONS /tokens HTTP/1.1\nHost: localhost\nOrigin: http://evil.example\n"
        "Access-Control-Request-Method: GET\n\n",
    ],
)
def test_a_page_and_a_proxy_get_none(server: RunningServer, request_text: str) -> None:
    status, head, body = ask(server, request_text)
    assert status in (400, 403)
    assert "access-control" not in head
    assert "p.ey" not in body


def test_over_ipv6_it_is_the_same(server: RunningServer) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    status, _, _ = ask(server, "GET /tokens HTTP/1.1\nHost: [::1]\n\n", address="::1")
    assert status == 200
    status, _, _ = ask(server, "GET /tokens HTTP/1.1\nHost: evil\n\n", address="::1")
    assert status == 403


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PIPEWREN_HOST", "0.0.0.0", "beyond loopback"),
        ("PIPEWREN_PUBLIC_URL", "https://api.example.com", "public_url"),
    ],
)
def test_a_server_for_others_has_no_such_page(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    project = write_files(tmp_path / "project", FILES)
    with serving(project, tmp_path / "data", environ={name: value}) as server:
        status, _, body = ask(server, "GET /tokens HTTP/1.1\nHost: localhost\n\n")
    assert status == 403
    assert said in body
