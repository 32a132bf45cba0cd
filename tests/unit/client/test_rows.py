"""Whole answers: rows by JSON, tables by Parquet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pyarrow
import pyarrow.parquet
import pytest

from pipewren.client import Column, InvalidArgument, Rows, Statistics, UnreadableAnswer

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer


def parquet_bytes(table: Any) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_an_answer_becomes_a_record(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    big = 2**200
    server.answers(
        200,
        rows_json
        | {
            "data": [{"n": big, "t": None}],
            "rows_before_limit_at_least": 40,
            "totals": {"n": 3},
            "of_a_later_version": 1,
        },
    )
    assert caller.query("top") == Rows(
        data=({"n": big, "t": None},),
        meta=(Column("n", "UInt8"),),
        rows=1,
        statistics=Statistics(0.5, 10, 20),
        rows_before_limit_at_least=40,
        totals={"n": 3},
    )


def test_an_answer_is_frozen(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.answers(200, rows_json)
    answer = caller.query("top")
    with pytest.raises(AttributeError):
        answer.rows = 2  # type: ignore[misc]


def test_the_request_says_who_asks_for_what(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.answers(200, rows_json)
    caller.query("top", {"n": 3})
    (received,) = server.received
    assert (received.method, received.target) == ("GET", "/v0/pipes/top.json?n=3")
    assert received.headers["authorization"] == f"Bearer {caller.token}"
    assert received.headers["user-agent"].startswith("pipewren-client/")


def test_parquet_becomes_an_arrow_table(caller: Caller, server: FailingServer) -> None:
    table = pyarrow.table({"page": ["/a", None], "hits": [1, 2]})
    server.answers(503, {"error": "later"}).answers(200, parquet_bytes(table))
    read = caller.query_arrow("top", {"n": 3})
    assert read.equals(table)
    path, _, query = server.received[1].target.partition("?")
    assert path == "/v0/pipes/top.parquet"
    assert sorted(query.split("&")) == ["n=3", "output_format_parquet_string_as_string=1"]


def test_half_a_parquet_file_is_an_error(caller: Caller, server: FailingServer) -> None:
    whole = parquet_bytes(pyarrow.table({"n": list(range(100))}))
    server.answers(200, whole[: len(whole) // 2])
    with pytest.raises(UnreadableAnswer, match="not Parquet"):
        caller.query_arrow("top")


def test_without_pyarrow_the_error_says_what_to_install_and_nothing_is_sent(
    caller: Caller, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidArgument, match=r"pip install 'pipewren\[arrow\]'"):
        caller.query_arrow("top")
    assert server.received == []
