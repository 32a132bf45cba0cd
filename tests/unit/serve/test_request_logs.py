"""What the log tells of requests: neither tokens nor values of callers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.engine.contract import Statistics
from pipewren.errors import PipewrenError, TimedOut
from pipewren.serve.logs import FIELDS
from pipewren.serve.request_logs import (
    MAX_SQL_CHARACTERS,
    log_access,
    make_slow_log,
    without_values,
)
from pipewren.serve.request_record import RequestRecord, begin_record, note_failure
from pipewren.serve.request_url import loggable_url

STATISTICS = Statistics(2.5, 1000, 8000, 3, "light-1-1", 0.25)


def scope_of(path: bytes, query: bytes = b"", method: str = "GET") -> dict[str, Any]:
    return {
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": [(b"authorization", b"Bearer needle")],
    }


def finished(query: bytes = b"limit=3&token=needle", **changes: Any) -> RequestRecord:
    record = begin_record("r-1", scope_of(b"/v0/pipes/top.json", query))
    record.status = 200
    record.ended_s = record.began_s + 3.0
    record.name, record.token_name = "top", "reader"
    record.sql = "SELECT a FROM t WHERE b = 'needle' AND c = 42"
    record.statistics = STATISTICS
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def fields_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = caplog.records
    fields: dict[str, Any] = getattr(line, FIELDS)
    return fields


@pytest.mark.parametrize(
    ("path", "query", "url"),
    [
        (b"/v0/pipes/a.json", b"x=1&token=needle&y=2", "/v0/pipes/a.json?x=1&y=2"),
        (b"/v0/pipes/a.json", b"token=needle", "/v0/pipes/a.json"),
        (b"/v0/pipes/a.json", b"%74oken=needle&%74%6f%6B%65%6e=needle", "/v0/pipes/a.json"),
        (b"/v0/pipes/a.json", b"token=a&&token=needle&token", "/v0/pipes/a.json"),
        (b"/v0/pipes/a.json", b"tokens=1&a=token", "/v0/pipes/a.json?tokens=1&a=token"),
        (b"/v0/a", b"a=%65yJh.eyJi.c&b=x%20y&c=p%252eeyJ%252D.d", "/v0/a?a=***&b=x%20y&c=***"),
        (b"/v0/a", b"a=%252525252541&b=%2525", "/v0/a?a=***&b=%2525"),
        (b"/v0/sql", b"q=a%0Ab+c&token=needle", "/v0/sql?q=a%0Ab+c"),
        (b"/v0/tokens/needle", b"", "/v0/tokens/***"),
        (b"/v0/tokens/needle/refresh", b"a=1", "/v0/tokens/***/refresh?a=1"),
        (b"/v0/%74okens/needle/", b"", "/v0/tokens/***"),
        (b"/v0/variables", b"name=n&value=needle", "/v0/variables?name=n"),
        (b"/v0/variables/n", b"valu%65=needle&type=secret", "/v0/variables/n?type=secret"),
        (b"/v0/pipes/\xff.json", b"\xfe=1", r"/v0/pipes/\xff.json?\xfe=1"),
    ],
)
def test_a_url_is_told_without_what_opens_anything(path: bytes, query: bytes, url: str) -> None:
    assert loggable_url(scope_of(path, query)) == url


def test_each_request_is_a_line_with_its_names_and_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pipewren.access")
    log_access(finished())
    assert caplog.messages == ["GET /v0/pipes/top.json?limit=3 200"]
    assert fields_of(caplog) == {
        "method": "GET",
        "url": "/v0/pipes/top.json?limit=3",
        "status": 200,
        "duration_ms": 3000.0,
        "request_id": "r-1",
        "pipe": "top",
        "token_name": "reader",
        "read_rows": 1000,
        "result_rows": 3,
    }


def test_a_slow_query_is_told_without_values(caplog: pytest.LogCaptureFixture) -> None:
    make_slow_log(2.5)(finished())
    assert caplog.messages == ["slow query: 2.50 s, top"]
    assert caplog.records[0].levelno == logging.WARNING
    assert fields_of(caplog) == {
        "pipe": "top",
        "query_ms": 2500.0,
        "status": 200,
        "connection": "light-1-1",
        "request_id": "r-1",
        "read_rows": 1000,
        "read_bytes": 8000,
        "result_rows": 3,
        "sql": "SELECT a FROM t WHERE b = ? AND c = ?",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"statistics": Statistics(2.4, connection="light-1-1")},  # the rest was sending
        {"statistics": None, "failed_on": "light-1-1", "waited_s": 1.0},
        {"statistics": None, "failed_on": "", "waited_s": 3.0},  # it never ran
        {"statistics": None, "sql": ""},
    ],
)
def test_a_request_that_waited_long_is_no_slow_query(
    caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    make_slow_log(2.5)(finished(**changes))
    assert caplog.records == []


def test_a_query_that_was_stopped_is_slow_by_what_the_error_tells(
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = finished(statistics=None, status=408)
    late = TimedOut("over")
    late.connection, late.waited_s = "heavy-1-2", 0.25
    try:
        try:
            raise late
        except PipewrenError:
            raise PipewrenError("withheld") from None
    except PipewrenError as told:
        note_failure(record, told)
    make_slow_log(2.5)(record)
    fields = fields_of(caplog)
    assert (fields["connection"], fields["query_ms"]) == ("heavy-1-2", 2750.0)
    assert "read_rows" not in fields


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT 1, -2.5e3, 'a''b\\'c', x'ff', 0xFF", "SELECT ?, -?, ?, x?, ?"),
        ("SELECT a -- needle\n, b /* needle */ FROM\tt", "SELECT a , b FROM t"),
        ("SELECT $tag$needle$tag$, ‘needle’", "SELECT ?, ?"),
        ("SELECT `a b`.c1 FROM t2", "SELECT `a b`.c1 FROM t2"),
        ("SELECT 'needle that is never closed", "SELECT..."),
        ("SELECT $tag$needle that is never closed", "SELECT..."),
        ("SELECT ‘needle", "SELECT..."),
        ("SELECT {secret: String}", "SELECT {secret: String}"),
    ],
)
def test_values_and_comments_are_left_out_of_sql(sql: str, shown: str) -> None:
    assert without_values(sql) == shown


def test_long_sql_is_cut_and_a_string_that_is_cut_is_left_out() -> None:
    long = "SELECT " + "column_name, " * 1000
    assert len(without_values(long)) == MAX_SQL_CHARACTERS + 3
    for opening in ("'", "$tag$", "‘"):
        assert without_values(f"SELECT {opening}{'needle ' * 5000}") == "SELECT..."
    assert without_values(f"SELECT '{'needle' * 5000}', 1") == "SELECT..."


@given(st.text(alphabet="ab'\\\"`-/*\n ", max_size=30))
def test_no_text_in_quotes_is_ever_shown(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    assert without_values(f"SELECT 'N{escaped}N', 'N' FROM t") == "SELECT ?, ? FROM t"
