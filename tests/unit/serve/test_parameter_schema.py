"""What an author writes about a parameter -> OpenAPI (endpoints.md section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from pipewren.serve.parameter_schema import describe_parameter, sample_value
from pipewren.template.template import compile_template


def described(expression: str) -> dict[str, Any]:
    (parameter,) = compile_template(f"SELECT {{{{{expression}}}}}").parameters
    entry = describe_parameter(parameter)
    assert (entry["name"], entry["in"]) == ("p", "query")
    return entry


@pytest.mark.parametrize(
    ("expression", "schema"),
    [
        ("p", {"type": "string"}),
        ("String(p, 'a')", {"type": "string", "default": "a"}),
        (
            "UInt8(p, 5)",
            {"type": "integer", "format": "int32", "minimum": 0, "maximum": 255, "default": 5},
        ),
        (
            "Int16(p, '-5')",
            {
                "type": "integer",
                "format": "int32",
                "minimum": -32768,
                "maximum": 32767,
                "default": -5,
            },
        ),
        (
            "UInt32(p)",
            {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1},
        ),
        ("Int64(p)", {"type": "integer", "format": "int64"}),
        ("UInt64(p)", {"type": "integer", "minimum": 0}),
        ("Int256(p)", {"type": "integer"}),
        ("Float32(p, 1.5)", {"type": "number", "format": "float", "default": 1.5}),
        ("Float64(p, 'nan')", {"type": "number", "format": "double"}),
        ("Boolean(p, 'false')", {"type": "boolean", "default": False}),
        ("Boolean(p, 1)", {"type": "boolean", "default": True}),
        ("Date(p, '2024-01-01')", {"type": "string", "format": "date", "default": "2024-01-01"}),
        ("DateTime(p)", {"type": "string", "format": "date-time"}),
        ("DateTime64(p)", {"type": "string", "format": "date-time"}),
        ("DateTime(p, format='epoch')", {"type": "string", "format": "epoch"}),
        ("String(p, enum=['a', 'b', 'a'])", {"type": "string", "enum": ["a", "b"]}),
        ("String(p, enum='a, b')", {"type": "string", "enum": ["a", "b"]}),
        (
            "UInt64(p, enum=['1', 2, 'x'])",
            {"type": "integer", "minimum": 0, "enum": [1, 2]},
        ),
        ("Array(p)", {"type": "array", "items": {"type": "string"}}),
        (
            "Array(p, 'Int64', '1,2')",
            {
                "type": "array",
                "items": {"type": "integer", "format": "int64"},
                "default": [1, 2],
            },
        ),
        (
            "Array(p, 'String', enum=['a'])",
            {"type": "array", "items": {"type": "string", "enum": ["a"]}},
        ),
        # An expression is no value that could be shown.
        ("Int64(p, 1 + 1)", {"type": "integer", "format": "int64"}),
    ],
)
def test_a_parameters_schema_is_that_of_its_type(expression: str, schema: dict[str, Any]) -> None:
    assert described(expression)["schema"] == schema


def test_what_the_author_says_stands_beside_the_schema() -> None:
    entry = described("Int64(p, required=True, description='How many', example='7')")
    assert entry["required"] is True
    assert entry["description"] == "How many"
    assert entry["example"] == 7
    assert described("Int64(p)")["required"] is False


@pytest.mark.parametrize(
    ("expression", "must", "sample"),
    [
        ("String(p, 'a', example='b')", False, "b"),
        ("String(p, 'a')", False, "a"),
        ("String(p)", False, None),
        ("String(p)", True, ""),
        ("Int32(p, required=True)", False, 0),
        ("String(p, enum=['x', 'y'])", True, "x"),
        ("Date(p)", True, "2024-01-01"),
        ("Array(p, 'Int32', '1,2')", True, [1, 2]),
        ("Boolean(p)", True, False),
    ],
)
def test_a_sample_is_the_example_the_default_or_what_the_type_takes(
    expression: str, must: bool, sample: object
) -> None:
    (parameter,) = compile_template(f"SELECT {{{{{expression}}}}}").parameters
    assert sample_value(parameter, must=must) == sample
