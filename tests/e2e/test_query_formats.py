"""Every FORMAT of `/v0/sql` on a real server: large results, and what a row filter keeps back
(query-api.md section 2)."""

from __future__ import annotations

import io
import json
import re
import struct
import time
from collections.abc import Callable, Iterator

import pyarrow.parquet
import pytest

from pipewren.serve.formats import NAMED
from pipewren.testing.serving import RunningServer, serving, write_files

ROWS = 30_000  # more than an answer in one piece has
MINE = 12_000
IDS = range(ROWS)
FILES = {
    "datasources/orders.datasource": (
        'SCHEMA >\n    `id` UInt64,\n    `mine` UInt8\nENGINE "MergeTree"\n'
        'ENGINE_SORTING_KEY "id"\n'
    ),
    "fixtures/orders.csv": "".join(f"{id},{int(id < MINE)}\n" for id in IDS),
}


def decode_native(body: bytes) -> list[int]:
    """Blocks of one UInt64 column `id`."""
    ids: list[int] = []
    place = 0
    while place < len(body):
        assert body[place] == 1
        rows = shift = 0
        while True:
            place += 1
            rows |= (body[place] & 127) << shift
            shift += 7
            if body[place] < 128:
                break
        head = b"\x02id\x06UInt64"
        assert body[place + 1 :].startswith(head)
        place += 1 + len(head)
        ids += struct.unpack_from(f"<{rows}Q", body, place)
        place += 8 * rows
    return ids


def decode_odbc(body: bytes) -> list[int]:
    head = struct.pack("<III4sI2sII4sI6s", 2, 2, 4, b"name", 2, b"id", 2, 4, b"type", 6, b"UInt64")
    assert body.startswith(head)
    ids: list[int] = []
    place = len(head)
    while place < len(body):
        (length,) = struct.unpack_from("<I", body, place)
        ids.append(int(body[place + 4 : place + 4 + length]))
        place += 4 + length
    return ids


def decode_row_binary(body: bytes) -> list[int]:
    head = b"\x01\x02id\x06UInt64"
    assert body.startswith(head)
    return [id for (id,) in struct.iter_unpack("<Q", body[len(head) :])]


def lines(*head: str) -> Callable[[bytes], list[int]]:
    def decode(body: bytes) -> list[int]:
        found = body.decode().split("\n")
        assert found[: len(head)] == list(head)
        assert found.pop() == ""
        return [int(line.strip("[]")) for line in found[len(head) :]]

    return decode


DECODE: dict[str, Callable[[bytes], list[int]]] = {
    "JSON": lambda body: [row["id"] for row in json.loads(body)["data"]],
    "CSV": lines(),
    "CSVWithNames": lines('"id"'),
    "TSV": lines(),
    "TSVWithNames": lines("id"),
    "JSONEachRow": lambda body: [json.loads(line)["id"] for line in body.splitlines()],
    "Parquet": lambda body: pyarrow.parquet.read_table(io.BytesIO(body))["id"].to_pylist(),
    "JSONStrings": lambda body: [int(row["id"]) for row in json.loads(body)["data"]],
    "Native": decode_native,
    "RowBinaryWithNamesAndTypes": decode_row_binary,
    "TabSeparated": lines(),
    "JSONCompactEachRowWithNamesAndTypes": lines('["id"]', '["UInt64"]'),
    "TabSeparatedWithNamesAndTypes": lines("id", "UInt64"),
    "JSONCompactEachRow": lines(),
    "JSONCompact": lambda body: [row[0] for row in json.loads(body)["data"]],
    "JSONStringsEachRowWithProgress": lambda body: [
        int(line["row"]["id"]) for line in map(json.loads, body.splitlines()) if "row" in line
    ],
    "ODBCDriver2": decode_odbc,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("formats")
    with serving(write_files(folder / "project", FILES), folder / "data") as running:
        yield running


@pytest.fixture(scope="module")
def filtered(server: RunningServer) -> str:
    """A token that sees the first `MINE` rows only."""
    scopes = [{"type": "DATASOURCES:READ", "resource": "orders", "filter": "mine = 1"}]
    made = server.request(
        "/v0/tokens",
        {"expiration_time": int(time.time()) + 600},
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"name": "mine", "scopes": scopes}).encode(),
    )
    assert made.status == 200, made.body
    token: str = made.json()["token"]
    return token


@pytest.mark.parametrize("format", DECODE)
def test_a_large_result_is_whole_in_every_format(server: RunningServer, format: str) -> None:
    for limit in (0, 1, ROWS):
        query = f"SELECT id FROM (SELECT id FROM orders LIMIT {limit}) ORDER BY id FORMAT {format}"
        answer = server.request("/v0/sql", {"q": query})
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == NAMED[format].content_type.decode()
        if format == "JSONStringsEachRowWithProgress":
            read = re.findall(rb'"read_rows":"(\d+)"', answer.body)
            assert limit == 0 or int(read[-1]) > 0
        assert DECODE[format](answer.body) == list(range(limit))


@pytest.mark.parametrize("format", DECODE)
def test_no_answer_tells_how_many_rows_a_filter_hides(
    server: RunningServer, filtered: str, format: str
) -> None:
    for limit in (3, MINE + 1):
        query = f"SELECT id FROM orders ORDER BY id LIMIT {limit} FORMAT {format}"
        answer = server.request("/v0/sql", {"q": query}, token=filtered)
        assert answer.status == 200, answer.body
        assert DECODE[format](answer.body) == list(range(min(limit, MINE)))
        if format.startswith("JSON"):
            told = re.findall(
                rb'(?:rows|bytes)_read": (\d+)|read_(?:rows|bytes)":"(\d+)"', answer.body
            )
            assert {number for pair in told for number in pair} <= {b"", b"0"}
            before_limit = re.findall(rb'"rows_before_limit_at_least": ?(\d+)', answer.body)
            assert all(int(number) <= MINE for number in before_limit)


def test_tables_and_metrics(server: RunningServer) -> None:
    pretty = server.request("/v0/sql", {"q": "SELECT id FROM orders LIMIT 1 FORMAT PrettyCompact"})
    assert pretty.headers["content-type"] == "text/plain; charset=UTF-8"
    assert pretty.body.decode() == "   ┌─id─┐\n1. │  0 │\n   └────┘\n"
    metrics = server.request(
        "/v0/sql", {"q": "SELECT 'orders' AS name, count() AS value FROM orders FORMAT Prometheus"}
    )
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert metrics.body == b"orders 30000\n\n"
    wrong = server.request("/v0/sql", {"q": "SELECT 1 AS n FORMAT Prometheus"})
    assert wrong.status == 400
    assert "`name` is missing" in wrong.json()["error"]


@pytest.mark.parametrize(
    ("sender", "content_type"),
    [
        ({}, "text/tab-separated-values; charset=UTF-8"),
        ({"from": "cli"}, "text/tab-separated-values; charset=UTF-8"),
        ({"from": "python-sdk"}, "application/json; charset=UTF-8"),
        ({"from": "ts-sdk"}, "application/json; charset=UTF-8"),
    ],
)
def test_without_a_format_the_sender_decides(
    server: RunningServer, sender: dict[str, str], content_type: str
) -> None:
    answer = server.request("/v0/sql", {"q": "SELECT 1 AS n", **sender})
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.body == b"1\n" or answer.json()["data"] == [{"n": 1}]


@pytest.mark.parametrize("name", ["BogusFormat", "json", "Null", "Arrow"])
def test_other_formats_are_forbidden(server: RunningServer, name: str) -> None:
    answer = server.request("/v0/sql", {"q": f"SELECT 1 FORMAT {name}"})
    assert answer.status == 403
    assert answer.json()["error"] == f"invalid format {name}, available ones: {', '.join(NAMED)}"
    assert answer.json()["documentation"].endswith("/api-reference/overview#authentication")
