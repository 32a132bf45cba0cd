"""Behind Debian's nginx, with the configuration that docs/proxy.md shows."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urlsplit

import pytest

from pipewren.serve.forwarded import client_address
from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files

if TYPE_CHECKING:
    from tests.e2e.proxy.conftest import Proxy

    StartProxy = Callable[..., Proxy]

pytestmark = [
    pytest.mark.needs("nginx"),
    pytest.mark.needs("openssl"),
    pytest.mark.slow,
]

T = TypeVar("T")
PAGE = (Path(__file__).parents[3] / "docs" / "proxy.md").read_text()
HOST = "api.example.com"
ROWS = 400_000
WAIT_S = 60.0  # for what must come, on a busy machine


def until(attempt: Callable[[], T | None]) -> T:
    """The first result that is not None."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        result = attempt()
        if result is not None:
            return result
    raise AssertionError("it did not come about")


def test_an_endpoint_is_called_over_tls(proxy: Proxy, server: RunningServer) -> None:
    query = urlencode({"x": "ñ &'", "token": server.token})
    answer = proxy.request(f"/v0/pipes/one.json?{query}")
    assert (answer.status, answer.json()["data"]) == (200, [{"x": "ñ &'"}])
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert len(answer.headers["x-request-id"]) == 24
    for method, status in (("HEAD", 200), ("OPTIONS", 204), ("DELETE", 405)):
        assert proxy.request(f"/v0/pipes/one.json?{query}", method=method).status == status


def test_errors_pass_as_they_are(proxy: Proxy, bearer: dict[str, str]) -> None:
    for path, status in (
        ("/v0/pipes/nothing.json", 404),
        ("/v0/pipes/one.json?x=%ff", 400),
        ("/v0/pipes/rows.json?n=x", 400),
    ):
        answer = proxy.request(path, headers=bearer)
        assert answer.status == status
        assert answer.json()["error"]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "x-request-id" in answer.headers


def test_a_large_answer_is_whole_and_never_on_the_proxys_disk(
    proxy: Proxy, bearer: dict[str, str]
) -> None:
    with proxy.connect() as connection:
        connection.request(
            "GET", f"/v0/pipes/rows.ndjson?n={ROWS}", headers={"Host": HOST, **bearer}
        )
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("transfer-encoding")) == (200, "chunked")
        body = bytearray(answer.read(1_000_000))
        # Others are answered while this one waits for its reader.
        for _ in range(3):
            assert proxy.request("/v0/pipes/one.json", headers=bearer).status == 200
        while part := answer.read(1_000_000):
            body += part
    lines = body.splitlines()
    assert len(lines) == ROWS
    assert [json.loads(lines[n])["id"] for n in (0, ROWS // 2, ROWS - 1)] == [
        0, ROWS // 2, ROWS - 1,
    ]  # fmt: skip


def test_a_large_answer_may_be_compressed_on_its_way(proxy: Proxy, bearer: dict[str, str]) -> None:
    headers = {**bearer, "Accept-Encoding": "zstd"}
    answer = proxy.request(f"/v0/pipes/rows.csv?n={ROWS // 4}", headers=headers)
    assert (answer.status, answer.headers["content-encoding"]) == (200, "zstd")
    assert len(answer.body) < 1_000_000


def test_a_large_body_is_taken_and_one_that_is_too_large_is_told_so(
    proxy: Proxy, bearer: dict[str, str]
) -> None:
    form = {**bearer, "Content-Type": "application/x-www-form-urlencoded"}
    sizes = {200_000: 200, 1_000_500: 413, 2_500_000: 413}
    for size, status in sizes.items():
        answer = proxy.request(
            "/v0/pipes/one.json", method="POST", headers=form, body=b"x=" + b"y" * (size - 2)
        )
        assert answer.status == status
        assert answer.headers["content-type"].startswith("application/json")
        if status == 413:
            assert "body" in answer.json()["error"]
        else:
            assert answer.json()["data"] == [{"x": "y" * (size - 2)}]


@pytest.mark.parametrize(
    ("size", "teller"), [(7_000, None), (10_000, "pipewren"), (20_000, "nginx")]
)
def test_a_url_that_is_too_long_is_told_so_in_json(
    proxy: Proxy, bearer: dict[str, str], size: int, teller: str | None
) -> None:
    answer = proxy.request(f"/v0/pipes/one.json?x={'y' * size}", headers=bearer)
    if teller is None:
        assert answer.status == 200
        return
    assert answer.status == 414
    assert answer.headers["content-type"].startswith("application/json")
    if teller == "nginx":
        assert answer.headers["access-control-allow-origin"] == "*"
    assert "send the parameters in the body of a POST request" in answer.json()["error"]
    assert ("max_url_bytes" in answer.json()["error"]) is (teller == "pipewren")


def test_headers_that_are_too_large_are_told_so_in_json(
    proxy: Proxy, bearer: dict[str, str]
) -> None:
    answer = proxy.request("/v0/pipes/one.json", headers={**bearer, "X-Large": "y" * 20_000})
    assert answer.status == 431
    assert answer.json()["error"] == "The headers are too large"


def test_links_name_what_the_proxy_was_asked_for(
    proxy: Proxy, server: RunningServer, bearer: dict[str, str]
) -> None:
    claimed = {**bearer, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    document = proxy.request("/v0/pipes/openapi.json", headers=claimed).json()
    assert document["servers"] == [{"url": f"https://{HOST}/v0"}]
    url = proxy.request("/examples/query.http?pipe=one", headers=claimed).body.decode()
    assert url.startswith(f"https://{HOST}/v0/pipes/one.json?")
    assert proxy.request("/v0/pipes/one", headers=claimed).json()["url"] == (
        f"https://{HOST}/v0/pipes/one.json"
    )


def test_the_proxys_connections_do_not_count_by_address(
    proxy: Proxy, bearer: dict[str, str]
) -> None:
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(proxy.connect()) for _ in range(7)]
        for connection in streams:  # one upstream connection each, all open at a time
            connection.request(
                "GET", f"/v0/pipes/rows.ndjson?n={ROWS}", headers={"Host": HOST, **bearer}
            )
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.read(1000)
        assert proxy.request("/v0/pipes/one.json", headers=bearer).status == 200


def test_a_query_ends_with_its_client_and_429_passes_with_its_headers(
    proxy: Proxy, server: RunningServer, bearer: dict[str, str]
) -> None:
    def call(name: str) -> HttpAnswer:
        return proxy.request(f"/v0/pipes/{name}.json", headers=bearer)

    with contextlib.ExitStack() as stack:
        for _ in range(8):  # the first runs and the others wait for it
            connection = stack.enter_context(proxy.connect())
            connection.request("GET", "/v0/pipes/slow.json", headers={"Host": HOST, **bearer})
        refused = until(lambda: answer if (answer := call("one")).status == 429 else None)
        assert int(refused.headers["retry-after"]) >= 1
        assert "max_waiting_requests" in refused.json()["error"]
        assert refused.headers["access-control-allow-origin"] == "*"
    # All have hung up: there is room again, and the only light connection is free, long before
    # the time limit of the queries.
    answered = until(lambda: answer if (answer := call("one")).status == 200 else None)
    assert answered.json()["data"] == [{"x": "x"}]


def test_tokens_of_urls_are_in_no_log_of_the_proxy(proxy: Proxy, server: RunningServer) -> None:
    proxy.request(f"/v0/pipes/one.json?token={server.token}")
    proxy.request(f"/v0/pipes/one.json?token={server.token}&x={'y' * 20_000}")
    with proxy.connect() as connection:  # gone before it is answered
        connection.request("GET", f"/v0/pipes/rows.ndjson?n={ROWS}&token={server.token}")
    log = proxy.folder / "access.log"
    until(lambda: True if "/v0/pipes/rows.ndjson" in log.read_text().splitlines()[-1] else None)
    logs = {file.name: file.read_text() for file in proxy.folder.glob("*.log")}
    assert '"GET /v0/pipes/one.json" 200' in logs["access.log"]
    for text in logs.values():
        assert server.token not in text


def test_without_a_server_the_proxy_says_so_in_json(start_proxy: StartProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    proxy = start_proxy(f"127.0.0.1:{port}")
    answer = proxy.request("/v0/pipes/one.json")
    assert (answer.status, answer.headers["retry-after"]) == (502, "1")
    assert "try again" in answer.json()["error"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_server_may_be_below_a_path(
    server: RunningServer, bearer: dict[str, str], start_proxy: StartProxy
) -> None:
    assert "location /data/ { proxy_pass http://pipewren/; ... }" in PAGE
    upstream = urlsplit(server.base_url).netloc
    proxy = start_proxy(upstream, path="/data/")
    answer = proxy.request("/data/v0/pipes/one.json?x=%2F%C3%B1", headers=bearer)
    assert (answer.status, answer.json()["data"]) == (200, [{"x": "/ñ"}])
    assert proxy.request("/v0/pipes/one.json", headers=bearer).status == 404


class _Recorder(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    def do_GET(self) -> None:
        body = json.dumps(self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    "claim", [None, "203.0.113.9", "203.0.113.9, 10.0.0.1", "garbage", "127.0.0.1, , x" * 50]
)
def test_the_client_is_who_called_the_proxy_whatever_it_claims(
    start_proxy: StartProxy, claim: str | None
) -> None:
    recorder = ThreadingHTTPServer(("127.0.0.1", 0), _Recorder)
    thread = threading.Thread(target=recorder.serve_forever)
    thread.start()
    try:
        proxy = start_proxy(f"127.0.0.1:{recorder.server_port}")
        headers = {} if claim is None else {"X-Forwarded-For": claim}
        seen = proxy.request("/", headers=headers).json()
    finally:
        recorder.shutdown()
        recorder.server_close()
        thread.join()
    scope = {
        "client": ("10.1.2.3", 1),  # as if the proxy ran elsewhere than its client
        "headers": [(name.lower().encode(), value.encode()) for name, value in seen],
    }
    assert client_address(scope, [ip_network("10.0.0.0/8")]) == "127.0.0.1"
    assert ("X-Forwarded-Proto", "https") in map(tuple, seen)
    assert ("X-Forwarded-Host", HOST) in map(tuple, seen)


def test_a_wrong_public_url_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="PIPEWREN_PUBLIC_URL"),
        serving(
            tmp_path,
            tmp_path / "data",
            environ={"PIPEWREN_PUBLIC_URL": "https://api.example.com/?a=1"},
        ),
    ):
        pass


@pytest.mark.parametrize("path", ["/tokens", "/tokens/", "//tokens", "/%74okens", "/./tokens?x=1"])
def test_the_page_of_admin_tokens_is_denied(proxy: Proxy, path: str) -> None:
    answer = proxy.request(path)
    assert (answer.status, answer.json()["error"]) == (
        *(403, "GET /tokens is for programs on the server only"),
    )


def test_a_server_behind_a_proxy_has_no_page_of_admin_tokens(server: RunningServer) -> None:
    answer = server.request("/tokens", token=None)
    assert answer.status == 403
    assert "trusted_proxies" in answer.json()["error"]


def test_a_proxy_that_lets_the_page_through_gets_no_tokens_either(
    tmp_path: Path, start_proxy: StartProxy
) -> None:
    pipe = {"endpoints/one.pipe": "NODE n\nSQL >\n    SELECT 1 AS one\nTYPE endpoint\n"}
    project = write_files(tmp_path / "project", pipe)
    with serving(project, tmp_path / "data", environ={"PIPEWREN_LOCAL_TOKENS": "true"}) as running:
        assert running.request("/tokens", token=None).status == 200
        careless = start_proxy(urlsplit(running.base_url).netloc, "/data/")
        for path in ("/data/tokens", "/data/tokens/"):
            answer = careless.request(path, headers={"Host": "localhost"})
            assert answer.status == 403
            assert "refused" in answer.json()["error"]
