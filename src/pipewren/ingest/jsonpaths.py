"""Rows of NDJSON -> rows of columns, by the schema's JSON paths (datafiles.md section 3).

`$.a.b` walks objects, `$.a[:]` takes an array, `$.a[:].b` a member of each element, `$` the whole
row as text. A key that is not there leaves the column out, so that its DEFAULT applies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from pipewren.errors import BadRequest
from pipewren.project.model import Column

_STEP = re.compile(r"\.(?:([^.\[\]]+)|\[?'([^']+)'\]?)|\[:\]|\['([^']+)'\]")

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

_MAX_SHOWN = 100

Steps = tuple[str | None, ...]
Members = TypeVar("Members")


def is_flat(columns: Sequence[Column]) -> bool:
    """Whether every path is the column's own name: then the bytes can go to the engine as is."""
    return all(column.jsonpath in (None, f"$.{column.name}") for column in columns)


def compile_rows(columns: Sequence[Column]) -> Callable[[bytes], bytes]:
    """A function from lines of NDJSON to lines for JSONEachRow. It raises BadRequest with the
    number of the line (from 1) that is not a JSON object, or that a path does not fit."""
    paths = [(column, column_steps(column)) for column in columns]
    encode = msgspec.json.encode

    def convert(lines: bytes) -> bytes:
        rows = []
        for number, line in enumerate(lines.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                source = _decode_object(line)
            except msgspec.ValidationError:
                raise BadRequest(f"line {number} is not a JSON object") from None
            except (msgspec.DecodeError, RecursionError) as error:
                raise BadRequest(f"line {number} is not JSON: {error}") from None
            row: dict[str, Any] = {}
            for column, steps in paths:
                try:
                    value = find_value(line, source, steps)
                except WrongShape as wrong:
                    text = wrong.value.decode("utf-8", "replace")[:_MAX_SHOWN]
                    raise BadRequest(
                        f"line {number} has value '{text}' on column '{column.name}', which is not "
                        f"{column.type}"
                    ) from None
                if value is not None:
                    row[column.name] = msgspec.Raw(value) if steps else value.decode()
            rows.append(encode(row))
        return b"\n".join(rows) + b"\n" if rows else b""

    return convert


def column_steps(column: Column) -> Steps:
    """Without a path it is the key of the column's own name, in which a point is a point."""
    return (column.name,) if column.jsonpath is None else split_path(column.jsonpath)


def split_path(path: str) -> Steps:
    """The keys of a path; None stands for `[:]`. Raises BadRequest."""
    if not path.startswith("$"):
        raise BadRequest(f"JSON path `{path}` does not begin with `$`")
    steps: list[str | None] = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise BadRequest(f"JSON path `{path}` cannot be read at position {position + 1}")
        steps.append(match[1] or match[2] or match[3])
        position = match.end()
    return tuple(steps)


class WrongShape(Exception):
    """A path leads into `value` (JSON), which is no object, or no array, as it would have it."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self.value = value


def find_value(line: bytes, source: dict[str, msgspec.Raw], steps: Steps) -> bytes | None:
    """The JSON of the value that `steps` lead to in the row `source`, whose text is `line`. None
    for a key that is not there, or whose object is null. In an array each element has a value,
    null for none. Raises WrongShape."""
    if not steps:
        return line
    if steps[0] is None:
        raise WrongShape(line)
    value = source.get(steps[0])
    return None if value is None else _find(bytes(value), steps[1:])


def _find(value: bytes, steps: Steps) -> bytes | None:
    for index, step in enumerate(steps):
        if value == b"null":
            return None
        if step is None:
            if value[:1] != b"[":
                raise WrongShape(value)
            rest = steps[index + 1 :]
            if not rest:
                return value
            found = [_find(bytes(item), rest) for item in _members(_decode_list, value)]
            return b"[%s]" % b",".join([b"null" if item is None else item for item in found])
        if value[:1] != b"{":
            raise WrongShape(value)
        member = _members(_decode_object, value).get(step)
        if member is None:
            return None
        value = bytes(member)
    return value


def _members(decode: Callable[[bytes], Members], value: bytes) -> Members:
    """What the decoder of a whole row passes over is looked at here: keys that are no UTF-8."""
    try:
        return decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WrongShape(value) from None
