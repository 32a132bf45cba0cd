"""ClickHouse's types -> JSON Schema: how a value of the type stands in an endpoint's JSON.

What ClickHouse writes by default: 64-bit integers and Decimals are numbers, NaN and infinities are
null, named tuples are objects, dates and times are text in ClickHouse's own spelling (not RFC
3339, so they carry a pattern and no `format`). A type that is not known allows any value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pipewren.deploy.deployment import ResultColumn

Schema = dict[str, Any]

_INTEGER = re.compile(r"U?Int(8|16|32|64|128|256)")
_NAMED = re.compile(r"(`(?:[^`\\]|\\.|``)*`|[A-Za-z_]\w*) +(?=\S)")
_ESCAPED = re.compile(r"\\(.)|(['`])\2", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"\d{2}:\d{2}:\d{2}"
_POINT: Schema = {
    "type": "array",
    "prefixItems": [{"type": ["number", "null"]}, {"type": ["number", "null"]}],
    "items": False,
    "minItems": 2,
}


def row_schema(columns: Sequence[ResultColumn], *, are_fixed: bool) -> Schema:
    """One object of `data`. `are_fixed` says that every answer has all these columns."""
    schema: Schema = {
        "type": "object",
        "properties": {column.name: type_schema(column.type) for column in columns},
    }
    if are_fixed and columns:
        schema["required"] = list(schema["properties"])
    return schema


def type_schema(type_text: str) -> Schema:
    """The schema of a value of a type as DESCRIBE writes it: `Array(Nullable(Float64))`."""
    family, arguments = _take_apart(type_text.strip())
    if (integer := _INTEGER.fullmatch(family)) is not None:
        return _integer_schema(family, int(integer[1]))
    make = _OF_ARGUMENTS.get(family)
    if make is not None:
        return make(arguments)
    if family.startswith("Interval"):
        return {"type": "integer"}
    return dict(_SIMPLE.get(family, {}))


def _integer_schema(family: str, bits: int) -> Schema:
    is_signed = family[0] != "U"
    schema: Schema = {"type": "integer"}
    if not is_signed:
        schema["minimum"] = 0
    if bits <= 32:
        schema["format"] = "int64" if bits == 32 and not is_signed else "int32"
    elif bits == 64 and is_signed:
        schema["format"] = "int64"
    return schema


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if not schema or kind == "null" or (isinstance(kind, list) and "null" in kind):
        return schema
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _array(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _tuple(arguments: Sequence[str]) -> Schema:
    names: list[str] = []
    types: list[Schema] = []
    for argument in arguments:
        name = _NAMED.match(argument)
        if name is not None:
            names.append(_unquote(name[1]) if name[1][0] == "`" else name[1])
        types.append(type_schema(argument[name.end() :] if name else argument))
    if names:
        properties = dict(zip(names, types, strict=True))
        return {"type": "object", "properties": properties, "required": names}
    if not types:
        return {"type": "array", "maxItems": 0}
    return {"type": "array", "prefixItems": types, "items": False, "minItems": len(types)}


def _enum(arguments: Sequence[str]) -> Schema:
    # `'a' = 1`: the text stands up to its closing quote, and may hold ` = ` itself.
    return {"type": "string", "enum": [_unquote(one.rpartition("=")[0]) for one in arguments]}


def _date_time_64(arguments: Sequence[str]) -> Schema:
    digits = int(arguments[0]) if arguments else 3
    fraction = rf"\.\d{{{digits}}}" if digits else ""
    return {"type": "string", "pattern": f"^{_DATE} {_TIME}{fraction}$"}


def _fixed_string(arguments: Sequence[str]) -> Schema:
    return {"type": "string"}


def _variant(arguments: Sequence[str]) -> Schema:
    return {"anyOf": [*(type_schema(one) for one in arguments), {"type": "null"}]}


def _take_apart(type_text: str) -> tuple[str, list[str]]:
    """`Map(String, Array(Int8))` -> `Map`, [`String`, `Array(Int8)`]. Quoted names may hold
    brackets and commas."""
    family, bracket, rest = type_text.partition("(")
    if not bracket:
        return family, []
    arguments: list[str] = []
    depth, begin, index = 0, 0, 0
    while index < len(rest):
        character = rest[index]
        if character in "'`":
            index = _end_of_quoted(rest, index)
        elif character == "(":
            depth += 1
        elif character == ")":
            if depth == 0:
                break
            depth -= 1
        elif character == "," and depth == 0:
            arguments.append(rest[begin:index].strip())
            begin = index + 1
        index += 1
    last = rest[begin:index].strip()
    return family.strip(), [*arguments, last] if last else arguments


def _end_of_quoted(text: str, index: int) -> int:
    """The place of the closing quote of what is opened at `index`."""
    quote = text[index]
    index += 1
    while index < len(text):
        if text[index] == "\\":
            index += 1
        elif text[index] == quote:
            if text[index + 1 : index + 2] != quote:
                return index
            index += 1
        index += 1
    return index


def _unquote(text: str) -> str:
    inner = text.strip()[1:-1]
    return _ESCAPED.sub(lambda one: one[2] or _ESCAPES.get(one[1], one[1]), inner)


_NUMBER: Schema = {"type": "number"}
_FLOAT: Schema = {"type": ["number", "null"], "description": "null stands for NaN and infinities"}
_DATE_SCHEMA: Schema = {"type": "string", "format": "date"}
_DATE_TIME: Schema = {"type": "string", "pattern": f"^{_DATE} {_TIME}$"}

_SIMPLE: dict[str, Schema] = {
    "String": {"type": "string"},
    "Bool": {"type": "boolean"},
    "Float32": _FLOAT,
    "Float64": _FLOAT,
    "BFloat16": _FLOAT,
    "Date": _DATE_SCHEMA,
    "Date32": _DATE_SCHEMA,
    "DateTime": _DATE_TIME,
    "Time": {"type": "string"},
    "UUID": {"type": "string", "format": "uuid"},
    "IPv4": {"type": "string", "format": "ipv4"},
    "IPv6": {"type": "string", "format": "ipv6"},
    "Nothing": {"type": "null"},
    "JSON": {"type": "object"},
    "Object": {"type": "object"},
    "Point": _POINT,
    "Ring": _array(_POINT),
    "LineString": _array(_POINT),
    "Polygon": _array(_array(_POINT)),
    "MultiLineString": _array(_array(_POINT)),
    "MultiPolygon": _array(_array(_array(_POINT))),
}
_OF_ARGUMENTS: dict[str, Callable[[Sequence[str]], Schema]] = {
    "Nullable": lambda of: _nullable(type_schema(of[0])),
    "LowCardinality": lambda of: type_schema(of[0]),
    "SimpleAggregateFunction": lambda of: type_schema(of[-1]),
    "AggregateFunction": _fixed_string,
    "FixedString": _fixed_string,
    "Time64": _fixed_string,
    "Array": lambda of: _array(type_schema(of[0])),
    # Keys of an object are text, whatever the Map's are.
    "Map": lambda of: {"type": "object", "additionalProperties": type_schema(of[1])},
    "Tuple": _tuple,
    "Nested": lambda of: _array(_tuple(of)),
    "Variant": _variant,
    "Enum8": _enum,
    "Enum16": _enum,
    "Enum": _enum,
    "Decimal": lambda of: dict(_NUMBER),
    "DateTime": lambda of: dict(_DATE_TIME),
    "DateTime64": _date_time_64,
    "JSON": lambda of: {"type": "object"},
    "Object": lambda of: {"type": "object"},
}
