"""Rows of NDJSON -> rows of columns, by the schema's JSON paths (datafiles.md section 3).

`$.a.b` walks objects, `$.a[:]` takes an array, `$.a[:].b` a member of each element, `$` the whole
row as text. A key that is not there leaves the column out, so that its DEFAULT applies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pipewren.errors import BadRequest
from pipewren.project.model import Column

_STEP = re.compile(r"\.(?:([^.\[\]]+)|\[?'([^']+)'\]?)|\[:\]|\['([^']+)'\]")
_MISSING = object()


def is_flat(columns: Sequence[Column]) -> bool:
    """Whether every path is the column's own name: then the bytes can go to the engine as is."""
    return all(column.jsonpath in (None, f"$.{column.name}") for column in columns)


def compile_rows(columns: Sequence[Column]) -> Callable[[bytes], bytes]:
    """A function from lines of NDJSON to lines for JSONEachRow. It raises BadRequest with the
    number of the line (from 1) that is not a JSON object."""
    paths = [(column.name, _steps(column.jsonpath or f"$.{column.name}")) for column in columns]
    decode, encode = msgspec.json.decode, msgspec.json.encode

    def convert(lines: bytes) -> bytes:
        rows = []
        for number, line in enumerate(lines.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                source = decode(line)
            except msgspec.DecodeError as error:
                raise BadRequest(f"line {number} is not JSON: {error}") from None
            if not isinstance(source, dict):
                raise BadRequest(f"line {number} is not a JSON object")
            row = {}
            for name, steps in paths:
                value = line.decode() if not steps else _walk(source, steps)
                if value is not _MISSING:
                    row[name] = value
            rows.append(encode(row))
        return b"\n".join(rows) + b"\n" if rows else b""

    return convert


def _steps(path: str) -> tuple[str | None, ...]:
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


def _walk(value: Any, steps: tuple[str | None, ...]) -> Any:
    for index, step in enumerate(steps):
        if step is None:
            if not isinstance(value, list):
                return _MISSING
            rest = steps[index + 1 :]
            found = (_walk(item, rest) for item in value)
            return [None if item is _MISSING else item for item in found]
        if not isinstance(value, dict) or step not in value:
            return _MISSING
        value = value[step]
    return value
