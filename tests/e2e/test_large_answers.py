"""Answers of tens of megabytes from a real server: whole, bounded in memory, and cut off where
they cannot be completed."""

from __future__ import annotations

import contextlib
import csv
import gzip
import http.client
import io
import json
import os
import socket
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from pipewren.testing.serving import RunningServer, serving, write_files

ROWS = 2_000_000
PIPES = {
    "rows": "SELECT number AS id, toString(number) AS s, number / 3 AS f "
    "FROM numbers({{Int64(n, 10)}})",
    "grows": "SELECT number AS id, toString(number) AS s, number / 3 AS f "
    "FROM numbers({{Int64(n, 10)}})",
    "narrow": "SELECT number AS id FROM numbers({{Int64(n, 10)}})",
    "breaks": "SELECT number AS id, throwIf(number = {{Int64(at)}}, 'broken') AS x "
    "FROM numbers(2000000)",
    "echo": "SELECT {{String(x)}} AS x FROM numbers({{Int64(n, 10000)}})",
    "totals": "SELECT number AS k, count() AS c FROM numbers(20000) GROUP BY k WITH TOTALS",
    "named": 'SELECT number AS `a "name",\\n` FROM numbers({{Int64(n, 10)}})',
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("large")
    files = {
        f"endpoints/{name}.pipe": f"NODE endpoint\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"
        for name, sql in PIPES.items()
    }
    with serving(write_files(folder / "project", files), folder / "data") as running:
        yield running


def memory_bytes(server: RunningServer) -> int:
    """Of the server process' own, without files that it maps."""
    status = Path(f"/proc/{server.child_pid()}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def spool_files(server: RunningServer) -> list[str]:
    """Those that the server process has open; they have no names in their folder."""
    found = []
    for file in Path(f"/proc/{server.child_pid()}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(file))
    return [path for path in found if "/spool/" in path]


@contextlib.contextmanager
def open_answer(
    server: RunningServer, target: str, body: bytes | None = None, **params: object
) -> Iterator[http.client.HTTPResponse]:
    url = urllib.parse.urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.token}"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    path = f"/v0/pipes/{target}?{urllib.parse.urlencode(params)}"
    connection.request("GET" if body is None else "POST", path, body, headers)
    try:
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def read_on(server: RunningServer, answer: http.client.HTTPResponse) -> tuple[bytes, int]:
    """The body, and the most memory that the server had while it came. Raises IncompleteRead or
    ConnectionError for one that is cut off."""
    body, highest = bytearray(), 0
    while part := answer.read(1_000_000):
        body += part
        highest = max(highest, memory_bytes(server))
    return bytes(body), highest


CUT_OFF = (http.client.IncompleteRead, ConnectionError)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "ndjson", "json"])
def test_two_million_rows_arrive_while_they_are_produced(
    server: RunningServer, format: str
) -> None:
    """Valid and complete, with the memory growing by less than 100 MB."""
    pipe = "narrow" if format == "json" else "rows"
    assert server.request(f"/v0/pipes/{pipe}.{format}", {"n": 300_000}).status == 200
    before = memory_bytes(server)
    with open_answer(server, f"{pipe}.{format}", n=ROWS) as answer:
        assert answer.status == 200
        assert answer.headers["transfer-encoding"] == "chunked"
        body, highest = read_on(server, answer)
    assert highest - before < 100_000_000
    if format == "json":
        document = json.loads(body)
        assert document["rows"] == len(document["data"]) == ROWS
        assert document["data"][-1] == {"id": ROWS - 1}
        assert document["meta"] == [{"name": "id", "type": "UInt64"}]
    else:
        lines = body.decode().splitlines()
        if format == "csv":
            assert lines.pop(0) == '"id","s","f"'
        assert len(lines) == ROWS
        last = lines[-1]
        numbers = json.loads(last).values() if format == "ndjson" else last.split(",")
        assert int(next(iter(numbers))) == ROWS - 1


def test_a_streamed_answer_is_the_whole_one_but_for_its_statistics(server: RunningServer) -> None:
    small = server.request("/v0/pipes/grows.json", {"n": 9000})
    assert "content-length" in small.headers
    assert server.request("/v0/pipes/grows.json", {"n": 500_000}).status == 200
    streamed = server.request("/v0/pipes/grows.json", {"n": 9000})
    assert streamed.headers["transfer-encoding"] == "chunked"
    border = b'"statistics":'
    assert streamed.body.split(border)[0] == small.body.split(border)[0]
    assert streamed.json()["statistics"].keys() == small.json()["statistics"].keys()


@pytest.mark.parametrize(("format", "empty"), [("csv", b'"id"\n'), ("ndjson", b""), ("json", None)])
def test_a_large_endpoint_answers_an_empty_result_as_any_other(
    server: RunningServer, format: str, empty: bytes | None
) -> None:
    assert server.request(f"/v0/pipes/narrow.{format}", {"n": 300_000}).status == 200
    answer = server.request(f"/v0/pipes/narrow.{format}", {"n": 0})
    assert answer.status == 200
    if empty is None:
        document = answer.json()
        assert document["data"] == []
        assert document["rows"] == 0
        assert document["meta"][0]["name"] == "id"
    else:
        assert answer.body == empty


def test_a_header_whose_names_hold_quotes_and_line_breaks_stands_once(
    server: RunningServer,
) -> None:
    answer = server.request("/v0/pipes/named.csv", {"n": 30_000})
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert len(rows) == 30_001
    assert rows[0] == ['a "name",\n']
    assert rows[-1] == ["29999"]


@pytest.mark.parametrize("format", ["json", "csv", "ndjson"])
def test_an_error_in_the_middle_ends_the_connection(server: RunningServer, format: str) -> None:
    with open_answer(server, f"breaks.{format}", at=1_900_000) as answer:
        assert answer.status == 200
        with pytest.raises(CUT_OFF):
            answer.read()


def test_an_error_before_the_first_row_has_its_status(server: RunningServer) -> None:
    answer = server.request("/v0/pipes/breaks.json", {"at": 1})
    assert answer.status == 400
    assert answer.headers["x-db-exception-code"] == "395"


def test_an_answer_over_the_limit_never_looks_complete(server: RunningServer) -> None:
    with open_answer(server, "rows.json", n=20_000_000) as answer, pytest.raises(CUT_OFF):
        answer.read()


def test_a_callers_value_in_every_row_does_not_fill_the_memory(server: RunningServer) -> None:
    """A constant column escapes the engine's own bounds on results."""
    before = memory_bytes(server)
    body = urllib.parse.urlencode({"x": "a" * 200_000, "n": 10_000_000}).encode()
    with open_answer(server, "echo.json", body) as answer, pytest.raises(CUT_OFF):
        answer.read()
    assert memory_bytes(server) - before < 300_000_000
    for format in ("parquet", "prometheus"):  # not streamed, and so refused
        with open_answer(server, f"echo.{format}", body) as answer:
            assert answer.status == 400
    assert memory_bytes(server) - before < 300_000_000


def test_an_answer_of_which_nothing_is_read_leaves_nothing(server: RunningServer) -> None:
    """Each would keep a file of the spool, and its share of all that may be on disk."""
    for _ in range(3):
        answer = server.request("/v0/pipes/rows.csv", {"n": 400_000}, method="HEAD")
        assert answer.status == 200
        assert "content-length" not in answer.headers  # it is a stream
    deadline = time.monotonic() + 20
    while files := spool_files(server):
        assert time.monotonic() < deadline, files
        time.sleep(0.05)


def test_totals_are_kept_whatever_the_size(server: RunningServer) -> None:
    document = server.request("/v0/pipes/totals.json").json()
    assert document["rows"] == 20_000
    assert document["totals"] == {"k": 0, "c": 20_000}


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("n", [100, 300_000])
def test_answers_are_compressed_for_those_who_take_it(
    server: RunningServer, coding: str, n: int
) -> None:
    plain = server.request("/v0/pipes/rows.csv", {"n": n})
    coded = server.request("/v0/pipes/rows.csv", {"n": n}, headers={"Accept-Encoding": coding})
    assert coded.headers["content-encoding"] == coding
    assert coded.headers["vary"] == "accept-encoding"
    body = (
        gzip.decompress(coded.body)
        if coding == "gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress(coded.body)
    )
    assert body == plain.body
    assert len(coded.body) < len(plain.body)


def test_readers_who_do_not_read_hold_no_connection_of_the_engine(server: RunningServer) -> None:
    url = urllib.parse.urlsplit(server.base_url)
    readers = []
    for number in range(20):
        reader = socket.create_connection((url.hostname, url.port))
        if number:  # the first reads on at last, which takes long through a small buffer
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        target = f"/v0/pipes/rows.csv?n=600000&token={server.token}"
        reader.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        readers.append(reader)
    try:
        for reader in readers:  # each has its head: its query has begun
            assert reader.recv(15).startswith(b"HTTP/1.1 200 OK")
        large = server.request("/v0/pipes/rows.csv", {"n": 400_000})
        assert large.body.count(b"\n") == 400_001
        assert server.request("/v0/pipes/echo.json", {"x": "a", "n": 1}).status == 200
        got, end = 0, b""
        while not end.endswith(b"\r\n0\r\n\r\n"):
            part = readers[0].recv(1_000_000)
            assert part
            got += len(part)
            end = (end + part)[-7:]
        assert got > 17_000_000
    finally:
        for reader in readers:
            reader.close()
    spool = server.data_dir / "spool"
    assert spool.is_dir()
    assert list(spool.iterdir()) == []
