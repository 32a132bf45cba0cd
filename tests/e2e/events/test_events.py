"""`POST /v0/events` on a real server: what is sent, what is answered, what is in the tables."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest
import zstandard

from tests.e2e.events.conftest import (
    ask,
    ask_one,
    counts,
    find_token,
    make_token,
    send,
    wait_until,
)

if TYPE_CHECKING:
    from pipewren.testing.serving import RunningServer

ROW = {"kind": "a", "deep": {"n": 7}, "tags": ["x", "y"]}


def test_rows_are_read_by_the_paths_of_the_schema_and_are_there_at_once(
    server: RunningServer,
) -> None:
    rows = [ROW, {"kind": "b", "deep": {"n": 8}, "tags": [], "note": "hm", "level": "warn"}]
    assert counts(send(server, rows)) == (200, 2, 0)
    assert ask(server, "SELECT * FROM events ORDER BY kind") == [
        {"kind": "a", "n": 7, "tags": ["x", "y"], "note": None, "level": "info"},
        {"kind": "b", "n": 8, "tags": [], "note": "hm", "level": "warn"},
    ]


def test_without_wait_they_are_accepted_and_there_soon(server: RunningServer) -> None:
    answer = send(server, [ROW, ROW], wait=False)
    assert counts(answer) == (202, 2, 0)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert len(answer.headers["x-request-id"]) > 10
    wait_until(server, "count()", 2, "events")


@pytest.mark.parametrize("value", ["true", "1", "True", "false", "0", "", "yes"])
def test_wait_is_true_or_1(server: RunningServer, value: str) -> None:
    waits = value.lower() in ("true", "1")
    params = {"name": "events", "wait": value}
    body = json.dumps(ROW).encode()
    answer = server.request("/v0/events", params, method="POST", body=body)
    assert answer.status == (200 if waits else 202)


def test_rows_that_do_not_fit_go_to_quarantine_and_hold_nobody_up(server: RunningServer) -> None:
    bad: list[Any] = [
        {**ROW, "deep": {"n": 70_000}},
        {**ROW, "deep": {}},
        {**ROW, "kind": None},
        {**ROW, "tags": "x"},
    ]
    body = b"\n".join(json.dumps(row).encode() for row in [*bad, ROW]) + b'\n{"kind": "broken'
    assert counts(send(server, body)) == (200, 1, 5)
    rows = ask(server, "SELECT * FROM events_quarantine ORDER BY c__error_column, n")
    assert next(row["c__error_column"] for row in rows if row["c__error_column"]) == ["kind"]
    assert {column for row in rows for column in row["c__error_column"]} >= {"kind", "n", "tags"}
    over = next(row for row in rows if row["n"] == "70000")
    assert over["c__error"] == ["value '70000' on column 'n' is not UInt16"]
    assert (over["kind"], over["c__import_id"]) == ("a", None)
    assert ask_one(server, "count()") == 1


def test_a_request_of_bad_rows_only_is_no_error(server: RunningServer) -> None:
    assert counts(send(server, b"nonsense\n")) == (200, 0, 1)
    assert counts(send(server, b"nonsense\n", wait=False)) == (202, 0, 1)
    wait_until(server, "count()", 2, "events_quarantine")


@pytest.mark.parametrize("body", [b"", b"\n", b"\n\n  \n"])
def test_an_empty_body_is_no_rows(server: RunningServer, body: bytes) -> None:
    assert counts(send(server, body)) == (200, 0, 0)
    assert counts(send(server, body, wait=False)) == (202, 0, 0)
    assert ask_one(server, "count()") == 0


def test_one_object_may_span_lines_as_json(server: RunningServer) -> None:
    body = json.dumps(ROW, indent=2).encode()
    assert counts(send(server, body, format="json")) == (200, 1, 0)
    assert ask_one(server, "groupArray(n)") == [7]


@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"),
        *("multipart/form-data; boundary=x", ""),
    ],
)
def test_the_content_type_does_not_matter(server: RunningServer, content_type: str) -> None:
    answer = send(server, [ROW], headers={"Content-Type": content_type})
    assert counts(answer) == (200, 1, 0)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", " zstd ", "identity"])
def test_bodies_may_be_compressed(server: RunningServer, coding: str) -> None:
    body = 1000 * (json.dumps(ROW).encode() + b"\n")
    packed = {"gzip": gzip.compress(body), "zstd": zstandard.compress(body)}
    body = packed.get(coding.strip().lower(), body)
    assert counts(send(server, body, headers={"Content-Encoding": coding})) == (200, 1000, 0)


def test_compressed_bodies_with_a_mistake_are_refused_whole(server: RunningServer) -> None:
    body = gzip.compress(1000 * (json.dumps(ROW).encode() + b"\n"))
    for sent, coding in ((body[:-5], "gzip"), (body[5:], "gzip"), (b"{}", "zstd"), (body, "br")):
        answer = send(server, sent, headers={"Content-Encoding": coding})
        assert answer.status == 400, answer.body
    assert ask_one(server, "count()") == 0


def test_a_bomb_is_413(server: RunningServer) -> None:
    answer = send(
        server, gzip.compress(bytes(300_000_000), 9), headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 413
    assert "max_events_bytes" in answer.json()["error"]


# Names and rights


def test_a_data_source_is_found_by_its_id(server: RunningServer) -> None:
    id = server.get("/v0/datasources/events")[1]["id"]
    assert counts(send(server, [ROW], name=id)) == (200, 1, 0)
    assert ask_one(server, "count()") == 1


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"name": ""}, 400, "The parameter name is missing"),
        ({"name": "nowhere"}, 404, 'Data Source "nowhere" does not exist'),
        ({"name": "events_quarantine"}, 404, "does not exist"),
        ({"name": "top"}, 404, "does not exist"),
        ({"name": "tinybird.pipe_stats_rt"}, 404, "does not exist"),
        ({"name": "events", "format": "csv"}, 400, "send ndjson or json"),
        ({"name": "events", "__tb__deployment": "staging"}, 404, "No deployment is staged"),
    ],
)
def test_what_cannot_be_done_is_refused(
    server: RunningServer, params: dict[str, str], status: int, text: str
) -> None:
    answer = send(server, [ROW], **params)  # type: ignore[arg-type]
    assert (answer.status, text in answer.json()["error"]) == (status, True), answer.body
    assert ask_one(server, "count()") == 0


def test_who_may_append(server: RunningServer) -> None:
    id = server.get("/v0/datasources/events")[1]["id"]
    may = [
        find_token(server, "writer"),
        make_token(server, "by id", f"DATASOURCES:APPEND:{id}"),
        make_token(server, "creator", "DATASOURCES:CREATE"),
    ]
    for token in may:
        assert counts(send(server, [ROW], token=token)) == (200, 1, 0)
    may_not = [
        find_token(server, "reader"),
        find_token(server, "flat_writer"),
        make_token(server, "reads all", "WORKSPACE:READ_ALL"),
        make_token(server, "deploys", "WORKSPACE:DEPLOY"),
        make_token(server, "manages", "TOKENS"),
        make_token(server, "calls", "PIPES:READ:top"),
    ]
    for token in may_not:
        answer = send(server, [ROW], token=token)
        assert answer.status == 403
        assert "DATASOURCES:APPEND:events" in answer.json()["error"]
        assert token not in answer.body.decode()
    assert ask_one(server, "count()") == len(may)


def test_no_token_and_a_bad_one_are_403(server: RunningServer) -> None:
    for token in (None, "p.bad.token"):
        answer = send(server, [ROW], token=token)
        assert answer.status == 403
        assert answer.json()["error"].startswith("invalid authentication token")


def test_a_token_in_the_url_is_as_good(server: RunningServer) -> None:
    writer = find_token(server, "writer")
    params = {"name": "events", "token": writer, "from": "mockingbird", "wait": "true"}
    body = json.dumps(ROW).encode()
    answer = server.request("/v0/events", params, method="POST", body=body, token=None)
    assert counts(answer) == (200, 1, 0)


def test_jwts_are_refused_whatever_they_claim(server: RunningServer) -> None:
    workspace = server.get("/v1/workspace")[1]["id"]
    payload = {
        "workspace_id": workspace,
        "exp": int(time.time()) + 600,
        "name": "browser",
        "scopes": [{"type": "DATASOURCES:APPEND", "resource": "events"}],
    }
    token = jwt.encode(payload, server.token, "HS256")
    assert send(server, [ROW], token=token).status == 403
    payload["scopes"] = [{"type": "DATASOURCES:READ", "resource": "events"}]
    token = jwt.encode(payload, server.token, "HS256")
    assert send(server, [ROW], token=token).status == 403
    assert ask_one(server, "count()") == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_other_methods_are_405(server: RunningServer, method: str) -> None:
    answer = server.request("/v0/events", {"name": "events"}, method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"


# From browsers


def test_a_browser_may_send_events_also_compressed_ones(server: RunningServer) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-encoding,content-type",
    }
    asked = server.request("/v0/events", method="OPTIONS", headers=headers, token=None)
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = set(asked.headers["access-control-allow-headers"].split(", "))
    assert {"authorization", "content-encoding", "content-type"} <= allowed
    for token in ("", None):
        answer = send(server, [ROW], token=token, headers={"Origin": "https://shop.example"})
        assert answer.status == (200 if token == "" else 403)
        assert answer.headers["access-control-allow-origin"] == "*"


# On the wire


@pytest.fixture
def connection(server: RunningServer) -> Iterator[http.client.HTTPConnection]:
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    yield connection
    connection.close()


def test_a_body_may_come_in_chunks(
    server: RunningServer, connection: http.client.HTTPConnection
) -> None:
    """Cut anywhere, also within a row; the connection is good for more."""
    line = json.dumps(ROW).encode() + b"\n"
    body = 300 * line
    for _ in range(2):
        connection.request(
            "POST",
            "/v0/events?name=events&wait=true",
            body=(body[at : at + 37] for at in range(0, len(body), 37)),
            headers={"Authorization": f"Bearer {server.token}"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["successful_rows"]) == (200, 300)
    assert ask_one(server, "count()") == 600


def test_curl_sends_events_as_it_is(server: RunningServer, tmp_path: Any) -> None:
    """A form's content type, and `Expect: 100-continue` for a larger body."""
    file = tmp_path / "rows"
    file.write_bytes(20_000 * (json.dumps(ROW).encode() + b"\n"))
    command = ["curl", "-sS", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {server.token}"]
    url = f"{server.base_url}/v0/events?name=events&wait=true"
    for extra, rows in (
        (["-d", json.dumps(ROW)], 1),
        (["-H", "Expect: 100-continue", "--data-binary", f"@{file}"], 20_000),
        (["-H", "Transfer-Encoding: chunked", "--data-binary", f"@{file}"], 20_000),
    ):
        ended = subprocess.run([*command, *extra, url], capture_output=True, text=True, timeout=60)
        body, status = ended.stdout.rsplit("\n", 1)
        assert (ended.returncode, status) == (0, "200"), ended
        assert json.loads(body) == {"successful_rows": rows, "quarantined_rows": 0}


def test_a_caller_who_is_refused_before_its_body_is_told_not_to_send_it(
    server: RunningServer,
) -> None:
    url = urlsplit(server.base_url)
    head = (
        "POST /v0/events?name=events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer p.no.token\r\n"
        "Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=60) as client:
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 403 ")


def test_a_body_that_never_ends_leaves_no_row(server: RunningServer) -> None:
    url = urlsplit(server.base_url)
    line = json.dumps(ROW).encode() + b"\n"
    head = (
        f"POST /v0/events?name=events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}"
        f"\r\nContent-Length: {10 * len(line)}\r\n\r\n"
    )
    with socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=60) as client:
        client.sendall(head.encode() + 5 * line)
    # Of a later request on a connection of its own, so that the first one is over.
    assert counts(send(server, [ROW])) == (200, 1, 0)
    assert ask_one(server, "count()") == 1


# Many at once


def test_fifty_who_wait_each_find_their_row_at_once(server: RunningServer) -> None:
    def send_and_look(number: int) -> int:
        row = {"id": number, "text": "x" * number}
        assert counts(send(server, [row], "flat")) == (200, 1, 0)
        return int(ask_one(server, f"countIf(id = {number})", "flat"))

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(send_and_look, range(200))) == 200 * [1]
    assert ask_one(server, "(count(), uniqExact(id))", "flat") == [200, 200]


def test_many_requests_become_few_parts(server: RunningServer) -> None:
    def send_some(number: int) -> None:
        for at in range(50):
            row = {"id": 1000 * number + at, "text": ""}
            assert send(server, [row], "flat", wait=False).status == 202

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_some, range(8)))
    wait_until(server, "(count(), uniqExact(id))", [400, 400], "flat")
    parts = ask_one(server, "uniqExact(_part)", "flat")
    assert parts < 40
