"""Rows that are made to harm: they take no time, break no line, and end no request."""

from __future__ import annotations

from time import process_time

import pytest

from pipewren.ingest.row_reader import RowReader, make_row_reader, split_json
from pipewren.project.model import Column, Datasource, Position

HERE = Position("x.datasource", 1)


def reader_of(type: str, path: str = "$.x") -> RowReader:
    column = Column("x", type, HERE, jsonpath=path)
    return make_row_reader(Datasource("rows", (column,), HERE, "", ""))


@pytest.mark.parametrize("type", ["Float32", "Float64", "Decimal(38, 9)"])
def test_the_time_for_a_long_number_grows_with_its_length_only(type: str) -> None:
    read = reader_of(type)

    def time_of(digits: int) -> float:
        lines = b'{"x":"%sx"}\n' % (b"1" * digits)
        times = []
        for _ in range(5):
            began_s = process_time()
            assert len(read.read(lines).bad) == 1
            times.append(process_time() - began_s)
        return min(times)

    # Twenty times the digits were 400 times the time: most of a second for one value.
    assert time_of(4900) < 100 * time_of(245)


@pytest.mark.parametrize("type", ["Dynamic", "Variant(Int8, String)", "JSON", "Array(Dynamic)"])
def test_a_value_over_several_lines_becomes_one_line(type: str) -> None:
    value = b'{"a.b":\n[1,\n2]}' if type == "JSON" else b"[\n1,\r\n[2,\n3]\n]"
    read = reader_of(type)
    found = read.read_each([bytes(row) for row in split_json(b'{"x":\n%s\n}' % value)])
    (row,) = found.unsure
    assert read.encode([row.values]).count(b"\n") == 1


@pytest.mark.parametrize("path", ["$.a.x", "$.l[:].x"])
def test_a_key_that_is_no_utf8_on_the_way_to_a_value_makes_a_bad_row(path: str) -> None:
    type = "Array(Date)" if "[" in path else "Date"
    row = b'{%s"x":"2026/1/1"}'  # a date that is read with care
    odd, well = row % b'"\xff":1,', row % b""
    lines = b"".join(b'{"a":%s,"l":[%s]}\n' % (one, one) for one in (odd, well))
    found = reader_of(type, path).read(lines)
    assert found.count == 1
    (bad,) = found.bad
    assert bad.columns == ("x",)
    assert "is not" in bad.reasons[0]
