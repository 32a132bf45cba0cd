"""Whatever comes, each line ends as one good, one bad or one unsure row."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipewren.ingest.row_reader import RowReader, make_row_reader
from pipewren.project.model import Column, Datasource, Position

HERE = Position("x.datasource", 1)
CASES = Path(__file__).parents[2] / "golden" / "rows"


@cache
def definitions() -> tuple[str, ...]:
    found = {
        line.split(" | ")[0]
        for file in sorted(CASES.glob("*.txt"))
        for line in file.read_text().splitlines()
        if line and not line.startswith("#")
    }
    return tuple(sorted(found))


@cache
def values() -> tuple[str, ...]:
    found = {
        line.split(" | ")[1]
        for file in sorted(CASES.glob("*.txt"))
        for line in file.read_text().splitlines()
        if line and not line.startswith("#")
    }
    return tuple(sorted(found - {"-"}))


@cache
def reader_of(definition: str, path: str | None = None) -> RowReader:
    type, _, default = definition.partition(" DEFAULT ")
    column = Column("x", type, HERE, jsonpath=path, default=default or None)
    return make_row_reader(Datasource("rows", (column,), HERE, "", ""))


def without_quick(reader: RowReader) -> RowReader:
    made = copy.copy(reader)
    made._quick = ()
    return made


numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,25})?", fullmatch=True
)
texts = st.one_of(
    st.text(),
    numbers,
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.dates().map(str),
    st.uuids().map(str),
    st.ip_addresses().map(str),
    st.from_regex(r"[0-9]{1,4}[-/][0-9]{1,2}[-/][0-9]{1,2}[T ][0-9:.]{0,12}[Zz+-]?[0-9:]{0,6}"),
)
any_json = st.recursive(
    st.one_of(
        numbers,
        texts.map(json.dumps),
        st.text().map(lambda text: json.dumps(text, ensure_ascii=False)),
        st.sampled_from(["true", "false", "null"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(["a", "b", "1", ""]), inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{json.dumps(key)}:{item}" for key, item in items) + "}"
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_any_json_has_one_outcome_and_both_ways_agree(data: st.DataObject) -> None:
    reader = reader_of(data.draw(st.sampled_from(definitions())))
    given = data.draw(st.lists(any_json | st.sampled_from(values()), min_size=1, max_size=4))
    lines = [f'{{"x":{value}}}'.encode("utf-8", "replace") for value in given]
    body = b"\n".join(lines)
    quick, careful = reader.read(body), without_quick(reader).read(body)
    assert quick.count + len(quick.bad) + len(quick.unsure) == len(lines)
    assert quick.count == careful.count == quick.good.count(b"\n")
    assert (quick.bad, quick.unsure) == (careful.bad, careful.unsure)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(definitions()),
    st.lists(st.binary(max_size=30) | any_json.map(lambda text: text.encode("utf-8", "replace"))),
)
def test_any_bytes_have_one_outcome(definition: str, lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    found = reader_of(definition).read(body)
    there = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    assert found.count + len(found.bad) + len(found.unsure) == len(there)


@pytest.mark.parametrize("definition", definitions())
def test_numbers_and_depths_without_end_are_refused(definition: str) -> None:
    endless = ["1e99999999999999999999", "-1e-99999999999999999999", "0e400", "0e-999999999999"]
    endless += ["9" * 6000, f'"{"9" * 6000}"', f"0.{'9' * 6000}", '"1e99999999999999999999"']
    endless += ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 9000 + "]" * 9000]
    for value in endless:
        for path in (None, "$.x[:]", "$.x[:].a"):
            found = reader_of(definition, path).read(f'{{"x":{value}}}'.encode())
            assert found.count + len(found.bad) + len(found.unsure) == 1
