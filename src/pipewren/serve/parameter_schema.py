"""An endpoint's parameters as OpenAPI and examples need them (endpoints.md section 5).

Types are those of templating.md section 4; `enum` and `required` are what the author wrote, which
rendering does not enforce.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from pipewren.serve.call import OUTPUT_SWITCHES, RESERVED
from pipewren.serve.pipe_descriptions import as_json
from pipewren.sql.pipes import CompiledPipe
from pipewren.template.discovery import Parameter

Schema = dict[str, Any]

_INTEGER = re.compile(r"(U?)Int(8|16|32|64|128|256)")
_TRUE_IF_NOT = ("0", "false")  # every other text is true (templating.md section 4, Boolean)
# What to send where the author gave neither example nor default.
_SAMPLES: dict[str, Any] = {
    "Date": "2024-01-01",
    "DateTime": "2024-01-01 00:00:00",
    "DateTime64": "2024-01-01 00:00:00.000",
    "JSON": "{}",
    "Boolean": False,
}


def list_parameters(pipe: CompiledPipe) -> list[Parameter]:
    """Those that a caller may send; reserved names never reach a template."""
    return [
        one
        for one in pipe.parameters
        if one.name not in RESERVED and one.name not in OUTPUT_SWITCHES
    ]


def describe_parameter(parameter: Parameter) -> Schema:
    """The parameter object of OpenAPI, in the query."""
    schema = _type_schema(parameter.element_type or parameter.type)
    enum = _read_enum(parameter)
    if enum:
        schema["enum"] = enum
    written = parameter.attributes.get("format")
    if isinstance(written, str) and written:
        schema["format"] = written
    if parameter.element_type is not None:
        schema = {"type": "array", "items": schema}
    default = read_value(parameter, parameter.default)
    if default is not None:
        schema["default"] = default
    described: Schema = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.is_required,
        "schema": schema,
    }
    description = parameter.attributes.get("description")
    if isinstance(description, str) and description:
        described["description"] = description
    example = read_value(parameter, parameter.attributes.get("example"))
    if example is not None:
        described["example"] = example
    return described


def sample_value(parameter: Parameter, *, must: bool) -> Any:
    """A value to show: the example, the default, or where the call `must` have one, one of the
    type. None where nothing needs to be sent: names without a type are asked for by `defined()` or
    a condition, where sending one changes what is done."""
    for written in (parameter.attributes.get("example"), parameter.default):
        value = read_value(parameter, written)
        if value is not None:
            return value
    if parameter.used_in is not None or not (must or parameter.is_required):
        return None
    enum = _read_enum(parameter)
    if enum:
        return enum[0]
    kind = parameter.element_type or parameter.type
    if _INTEGER.fullmatch(kind) or kind.startswith("Float"):
        return 0
    return _SAMPLES.get(kind, "")


def read_value(parameter: Parameter, written: Any) -> Any:
    """What the author wrote as a value of the parameter's JSON type; None where it is none, such
    as an expression."""
    if written is None:
        return None
    if parameter.element_type is None:
        return _convert(parameter.type, written)
    parts = written.split(",") if isinstance(written, str) else written
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    values = [_convert(parameter.element_type, part) for part in parts]
    return None if None in values else values


def _read_enum(parameter: Parameter) -> list[Any]:
    written = parameter.attributes.get("enum")
    if isinstance(written, str):
        written = [part.strip() for part in written.split(",")]
    if not isinstance(written, (list, tuple, set)):
        return []
    values = [_convert(parameter.element_type or parameter.type, one) for one in written]
    return list(dict.fromkeys(value for value in values if value is not None))


def _type_schema(kind: str) -> Schema:
    integer = _INTEGER.fullmatch(kind)
    if integer is not None:
        return _integer_schema(is_signed=not integer[1], bits=int(integer[2]))
    return dict(_TYPES.get(kind, {"type": "string"}))


def _integer_schema(*, is_signed: bool, bits: int) -> Schema:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    schema: Schema = {"type": "integer"}
    if bits < 64 or (bits == 64 and is_signed):
        schema["format"] = "int32" if high < 2**31 else "int64"
    # Bounds beyond 64 bits are no number that JSON readers keep exact.
    if bits <= 32:
        schema |= {"minimum": low, "maximum": high}
    elif not is_signed:
        schema["minimum"] = 0
    return schema


def _convert(kind: str, value: Any) -> Any:
    """A value of the JSON type that stands for `kind`; None where it is none."""
    if _INTEGER.fullmatch(kind):
        return _number(int, value)
    if kind.startswith("Float"):
        return _number(float, value)
    if kind == "Boolean":
        if isinstance(value, (bool, int)):
            return bool(value)
        return str(value).lower() not in _TRUE_IF_NOT if isinstance(value, str) else None
    return value if isinstance(value, str) else str(as_json(value))


def _number(make: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = make(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


_TYPES: dict[str, Schema] = {
    "Float32": {"type": "number", "format": "float"},
    "Float64": {"type": "number", "format": "double"},
    "Boolean": {"type": "boolean"},
    "Date": {"type": "string", "format": "date"},
    "DateTime": {"type": "string", "format": "date-time"},
    "DateTime64": {"type": "string", "format": "date-time"},
}
