"""NDJSON rows become rows of columns by the schema's JSON paths."""

from __future__ import annotations

import json

import pytest

from pipewren.errors import BadRequest
from pipewren.ingest.jsonpaths import compile_rows, is_flat
from pipewren.project.model import Column, Position

HERE = Position("x.datasource", 1)


def columns(**paths: str) -> list[Column]:
    return [Column(name, "String", HERE, jsonpath=path) for name, path in paths.items()]


def converted(row: object, **paths: str) -> object:
    return json.loads(compile_rows(columns(**paths))(json.dumps(row).encode() + b"\n"))


def test_paths_equal_to_the_names_need_no_conversion() -> None:
    assert is_flat([*columns(a="$.a"), Column("b", "Int32", HERE)])
    assert not is_flat(columns(a="$.b"))


def test_nested_objects_are_walked() -> None:
    assert converted({"a": {"b": {"c": 5}}}, x="$.a.b.c") == {"x": 5}


def test_arrays_are_taken_whole_or_member_by_member() -> None:
    row = {"tags": ["p", "q"], "items": [{"id": 1}, {"id": 2}, {}]}
    assert converted(row, t="$.tags[:]", i="$.items[:].id") == {"t": ["p", "q"], "i": [1, 2, None]}


def test_the_whole_row_is_its_text() -> None:
    assert converted({"a": 1}, raw="$") == {"raw": '{"a": 1}'}


def test_a_missing_key_leaves_the_column_to_its_default() -> None:
    assert converted({"a": None}, a="$.a", b="$.b", c="$.a.b") == {"a": None}


def test_a_line_that_is_not_an_object_is_named_by_its_number() -> None:
    with pytest.raises(BadRequest, match="line 2 is not JSON"):
        compile_rows(columns(a="$.a"))(b'{"a":1}\n{oops\n')
    with pytest.raises(BadRequest, match="line 3 is not a JSON object"):
        compile_rows(columns(a="$.a"))(b'{"a":1}\n\n[1]\n')


def test_a_path_that_cannot_be_read_says_where() -> None:
    with pytest.raises(BadRequest, match=r"`\$\.a\[0\]` cannot be read at position 4"):
        compile_rows(columns(a="$.a[0]"))
