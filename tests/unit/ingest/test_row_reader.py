"""Rows of JSON are read line by line, and what does not fit is kept apart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipewren.ingest.quarantine_rows import quarantine_batch
from pipewren.ingest.row_reader import (
    ReadRows,
    RowReader,
    make_row_reader,
    slice_end,
    split_json,
)
from pipewren.project.model import Column, Datasource, Position

HERE = Position("x.datasource", 1)


def datasource(**columns: str) -> Datasource:
    """`name="Type DEFAULT 1 @ $.path"`, of which the last two may be left out."""
    made = []
    for name, text in columns.items():
        definition, _, path = text.partition(" @ ")
        type, _, default = definition.partition(" DEFAULT ")
        made.append(Column(name, type, HERE, jsonpath=path or None, default=default or None))
    return Datasource("rows", tuple(made), HERE, "", "")


def reader(**columns: str) -> RowReader:
    return make_row_reader(datasource(**columns))


def good(read: RowReader, lines: bytes) -> list[Any]:
    found = read.read(lines)
    rows = [json.loads(line) for line in found.good.splitlines()]
    assert len(rows) == found.count
    return rows


def reasons(read: RowReader, lines: bytes) -> list[tuple[str, ...]]:
    return [row.reasons for row in read.read(lines).bad]


@pytest.mark.parametrize(
    "lines",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}\n{"a":2}',
        b'{"a":1}\r\n{"a":2}\r\n',
        b'\n\n {"a":1} \n\n\t{"a":2}\n \n',
        b'{"a":1,"zz":[1,{"b":null}]}\n{"zz":"\\u0000","a":2}\n',
        b'{"a":7,"a":1}\n{"\\u0061":2}\n',
    ],
    ids=["plain", "no-last-newline", "crlf", "blanks", "unknown-keys", "a-key-twice"],
)
def test_each_line_is_a_row(lines: bytes) -> None:
    assert good(reader(a="Int32"), lines) == [[1], [2]]


@pytest.mark.parametrize("lines", [b"", b"\n", b" \r\n\t\n"])
def test_nothing_is_read_from_blank_lines(lines: bytes) -> None:
    found = reader(a="Int32").read(lines)
    assert (found.good, found.count, found.bad, found.unsure) == (b"", 0, (), ())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"oops", "value 'oops' is not JSON: invalid character (byte 0)"),
        (b'{"a":1}{"a":2}', "is not JSON: trailing characters"),
        (b'{"a":1', "is not JSON"),
        (b'{"a":01}', "is not JSON: invalid number"),
        (b'{"a":NaN}', "is not JSON"),
        (b"[1]", "value '[1]' is not a JSON object"),
        (b"null", "value 'null' is not a JSON object"),
        (b'"x"', "is not a JSON object"),
        (b'{"a":"\\ud800"}', "is not JSON"),
        (b"\x00", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "is nested too deeply"),
    ],
)
def test_a_line_that_is_no_object_is_one_bad_row_and_the_others_go_on(
    line: bytes, reason: str
) -> None:
    read = reader(a="Int32", raw="String DEFAULT '' @ $")
    found = read.read(b'{"a":1}\n' + line + b'\n{"a":2}\n')
    assert found.count == 2
    (bad,) = found.bad
    assert reason in bad.reasons[0]
    assert bad.columns == ()
    assert bad.values == (None, line.decode("utf-8", "replace"))


def test_no_line_takes_part_in_another() -> None:
    read = reader(a="Int32 DEFAULT 0", b="Int32 DEFAULT 0")
    # As many values as lines, and a decoder of lines reads all of it.
    found = read.read(b'{"a":\n1}{"b":2}\n')
    assert (found.count, len(found.bad)) == (0, 2)
    found = read.read(b'{"a":1,\n"b":2}\n{"a":3}{"b":4}\n{"a":5}\n')
    assert (found.good, len(found.bad)) == (b"[5,null]\n", 3)


@pytest.mark.parametrize(
    "value",
    [b'"\xff"', b'{"x":"\xff"}', b"1e999", b"9" * 400, b"9" * 5000, b'"' + b"9" * 5000 + b'"'],
)
def test_bytes_that_are_no_text_and_endless_numbers_do_not_fit(value: bytes) -> None:
    read = reader(a="Int32", s="String DEFAULT 'x'")
    found = read.read(b'{"a":' + value + b'}\n{"a":1}\n')
    assert (found.good, len(found.bad)) == (b"[1,null]\n", 1)
    assert found.bad[0].columns == ("a",)


def test_text_that_is_no_utf8_is_refused_for_its_column_only_where_it_is_taken() -> None:
    found = reader(s="String").read(b'{"s":"a\xffb"}\n{"s":"c","zz":"\xff"}\n')
    assert found.good == b'["c"]\n'
    assert found.bad[0].reasons == ("value 'a\ufffdb' on column 's' is not String",)
    assert reader(s="String @ $").read(b'{"s":"a\xffb"}\n').count == 0


def test_paths_lead_to_values() -> None:
    read = reader(
        id="UInt64 @ $.user.id",
        name="String DEFAULT '' @ $.user.name",
        tags="Array(String) @ $.tags[:]",
        prices="Array(Float64) @ $.items[:].price",
        notes="Array(Nullable(String)) @ $.items[:].note",
        odd="Nullable(Int8) @ $['a key']",
        row="String @ $",
    )
    line = (
        b'{"user":{"id":5},"tags":["x"],"items":[{"price":1.5,"note":"n"},{"price":2}],"a key":3}'
    )
    assert good(read, line) == [[5, None, ["x"], [1.5, 2.0], ["n", None], 3, line.decode()]]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b'{"user":"x","items":[]}', ("id",)),
        (b'{"user":[],"items":[]}', ("id",)),
        (b'{"items":[]}', ("id",)),
        (b'{"user":null,"items":[]}', ("id",)),
        (b'{"user":{"id":1},"items":{}}', ("prices",)),
        (b'{"user":{"id":1},"items":[1]}', ("prices",)),
        (b'{"user":{"id":1},"items":[{}]}', ("prices",)),
        (b'{"user":{"id":1},"items":[{"price":null}]}', ("prices",)),
        (b'{"user":{"id":1},"items":null}', ("prices",)),
    ],
)
def test_a_row_of_another_shape_does_not_fit(line: bytes, columns: tuple[str, ...]) -> None:
    read = reader(id="UInt64 @ $.user.id", prices="Array(Float64) @ $.items[:].price")
    assert [row.columns for row in read.read(line).bad] == [columns]


def test_paths_may_cross() -> None:
    read = reader(
        whole="String @ $.a", part="Int8 DEFAULT 3 @ $.a.b", again="Int64 DEFAULT 4 @ $.a.b"
    )
    assert good(read, b'{"a":{"b":1}}\n{"a":{}}\n') == [['{"b":1}', 1, 1], ["{}", None, None]]


def test_a_name_with_a_point_is_a_key_with_a_point() -> None:
    columns = (Column("a.b", "Int8", HERE),)
    read = make_row_reader(Datasource("rows", columns, HERE, "", ""))
    assert good(read, b'{"a.b":1}') == [[1]]


def test_null_stays_null_where_the_default_is_another_value() -> None:
    read = reader(a="Nullable(Int8) DEFAULT 7", b="Int8 DEFAULT 8", c="Nullable(Int8)")
    assert read.format == "JSONEachRow"
    lines = b'{}\n{"a":null,"b":null,"c":null}\n{"a":"1","b":2,"c":3}\n'
    first, second, third = good(read, lines)
    assert (first, third) == ({}, {"a": 1, "b": 2, "c": 3})
    assert second["a"] is None
    assert "a" in second
    assert second.get("b") is None


def test_all_faults_of_a_row_are_told_and_its_texts_kept() -> None:
    found = reader(a="Int8", b="Date", c="String", d="Array(Int8)").read(
        b'{"a":300,"b":"","c":"text","d":[1, "x"]}'
    )
    (row,) = found.bad
    assert row.values == ("300", "", "text", '[1, "x"]')
    assert row.columns == ("a", "b", "d")
    assert row.reasons == (
        "value '300' on column 'a' is not Int8",
        "value '' on column 'b' is not Date",
        "value '[1, \"x\"]' on column 'd' is not Array(Int8)",
    )


def test_a_long_value_is_shown_with_its_beginning_and_kept() -> None:
    (row,) = reader(a="Int8").read(b'{"a":"%s"}' % (b"x" * 5000)).bad
    assert row.values == ("x" * 5000,)
    assert row.reasons[0].startswith(f"value '{'x' * 200}...' on")


def read_json(reader: RowReader, body: bytes) -> ReadRows:
    return reader.read_each([bytes(row) for row in split_json(body)])


def test_json_over_several_lines_is_one_row() -> None:
    found = read_json(reader(a="Int32", raw="String @ $"), b' {\n"a":\n1}\n')
    assert json.loads(found.good) == [1, '{\n"a":\n1}']


def test_an_array_of_objects_is_rows() -> None:
    found = read_json(reader(a="Int32"), b'[{"a":1},\n{"a":"x"}, 5, {"a":2}]')
    assert found.good == b"[1]\n[2]\n"
    assert [row.values for row in found.bad] == [("x",), (None,)]


@pytest.mark.parametrize("body", [b"{", b"[", b"x", b"[" * 5000])
def test_json_that_is_none_is_one_bad_row(body: bytes) -> None:
    found = read_json(reader(a="Int32"), body)
    assert (found.count, len(found.bad)) == (0, 1)


def test_slices_end_with_lines_and_lose_nothing() -> None:
    body = b"".join(b"x" * (number % 50) + b"\n" for number in range(1000)) + b"end"
    start = 0
    while start < len(body):
        end = slice_end(body, start, 100)
        assert start < end <= start + 100
        assert end == len(body) or body[end - 1 : end] == b"\n"
        start = end
    assert slice_end(b"a" * 250 + b"\nb\n", 0, 100) == 251
    assert slice_end(b"a" * 250, 0, 100) == 250


def test_a_column_of_a_default_only_takes_the_type_that_is_given() -> None:
    source = datasource(a=" DEFAULT now()")
    assert make_row_reader(source, {"a": "DateTime"}).read(b'{"a":5}').good == b"[5]\n"
    (row,) = make_row_reader(source).read(b'{"a":5}').unsure
    assert row.doubts == (0,)


def test_bad_rows_become_rows_of_the_quarantine() -> None:
    source = datasource(a="Int8", insertion_date="String DEFAULT ''")
    bad = make_row_reader(source).read(b'{"a":300,"insertion_date":"x"}\noops').bad
    batch = quarantine_batch(source, "rows_quarantine__1", bad, datetime(2024, 1, 2, tzinfo=UTC))
    assert batch.columns == (
        *("c__error_column", "c__error", "c__import_id", "a", "insertion_date_", "insertion_date"),
    )
    assert (batch.table, batch.count, batch.format) == (
        "rows_quarantine__1",
        2,
        "JSONCompactEachRow",
    )
    first, second = map(json.loads, batch.rows.splitlines())
    reason = "value '300' on column 'a' is not Int8"
    assert first == [["a"], [reason], None, "300", "x", "2024-01-02 00:00:00"]
    assert second[:2] == [[], ["value 'oops' is not JSON: invalid character (byte 0)"]]


def test_the_text_of_an_import_is_kept_in_its_rows() -> None:
    source = datasource(a="Int8")
    bad = make_row_reader(source).read(b"{}").bad
    batch = quarantine_batch(source, "q", bad, datetime(2024, 1, 2, tzinfo=UTC), "job-1")
    assert json.loads(batch.rows)[2:4] == ["job-1", None]
