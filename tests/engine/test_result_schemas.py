"""Schemas of results against the engine: what DESCRIBE says, and what stands in the JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator

from pipewren.deploy.deployment import ResultColumn
from pipewren.serve.result_schema import row_schema, type_schema

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

INTEGER = {"type": "integer"}
TEXT = {"type": "string"}
FLOAT = {"type": ["number", "null"], "description": "null stands for NaN and infinities"}
DATE_TIME = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$"}

# An expression, its schema, and how its value stands in JSON (None: not compared).
CASES: list[tuple[str, dict[str, Any], object]] = [
    ("toInt8(-1)", {"type": "integer", "format": "int32"}, -1),
    ("toUInt32(7)", {"type": "integer", "format": "int64", "minimum": 0}, 7),
    ("toInt64(-9007199254740993)", {"type": "integer", "format": "int64"}, -9007199254740993),
    ("toUInt64(18446744073709551615)", {"type": "integer", "minimum": 0}, 18446744073709551615),
    ("toInt256(5)", INTEGER, 5),
    ("1.5", FLOAT, 1.5),
    ("nan", FLOAT, None),
    ("toNullable(inf)", FLOAT, None),
    ("toDecimal64(1.5, 2)", {"type": "number"}, 1.5),
    ("toNullable(toDecimal32(1, 0))", {"type": ["number", "null"]}, 1),
    ("'a'", TEXT, "a"),
    ("toFixedString('a', 1)", TEXT, "a"),
    ("toLowCardinality(toNullable('x'))", {"type": ["string", "null"]}, "x"),
    ("true", {"type": "boolean"}, True),
    ("NULL", {"type": "null"}, None),
    ("toDate('2024-05-06')", {"type": "string", "format": "date"}, "2024-05-06"),
    ("toDate32('1950-01-02')", {"type": "string", "format": "date"}, "1950-01-02"),
    ("toDateTime('2024-05-06 01:02:03', 'UTC')", DATE_TIME, "2024-05-06 01:02:03"),
    ("toDateTime('2024-05-06 01:02:03')", DATE_TIME, "2024-05-06 01:02:03"),
    (
        "toDateTime64('2024-05-06 01:02:03.45', 3, 'Asia/Tokyo')",
        {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}$"},
        "2024-05-06 01:02:03.450",
    ),
    ("toDateTime64('2024-05-06 01:02:03', 0)", DATE_TIME, "2024-05-06 01:02:03"),
    ("toIntervalDay(3)", INTEGER, 3),
    (
        "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
        {"type": "string", "format": "uuid"},
        "61f0c404-5cb3-11e7-907b-a6006ad3dba0",
    ),
    ("toIPv4('1.2.3.4')", {"type": "string", "format": "ipv4"}, "1.2.3.4"),
    ("toIPv6('::1')", {"type": "string", "format": "ipv6"}, "::1"),
    (
        r"CAST('a'' = (,b\\' AS Enum8('a'' = (,b\\' = 1, 'c' = 2))",
        {"type": "string", "enum": ["a' = (,b\\", "c"]},
        "a' = (,b\\",
    ),
    (
        "CAST(NULL AS Nullable(Enum16('q' = 1)))",
        {"anyOf": [{"type": "string", "enum": ["q"]}, {"type": "null"}]},
        None,
    ),
    ("[nan]", {"type": "array", "items": FLOAT}, [None]),
    (
        "map(1, [toNullable(true)])",
        {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": ["boolean", "null"]}},
        },
        {"1": [True]},
    ),
    (
        "tuple('x', true)",
        {
            "type": "array",
            "prefixItems": [TEXT, {"type": "boolean"}],
            "items": False,
            "minItems": 2,
        },
        ["x", True],
    ),
    (
        "CAST((true, 'x') AS Tuple(`a (b` Bool, c String))",
        {
            "type": "object",
            "properties": {"a (b": {"type": "boolean"}, "c": TEXT},
            "required": ["a (b", "c"],
        },
        {"a (b": True, "c": "x"},
    ),
    (
        "CAST([(true, 'x')] AS Nested(a Bool, c String))",
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"a": {"type": "boolean"}, "c": TEXT},
                "required": ["a", "c"],
            },
        },
        [{"a": True, "c": "x"}],
    ),
    ("CAST('{\"a\": true}' AS JSON)", {"type": "object"}, {"a": True}),
    ("CAST('{\"a\": true}' AS JSON(a Bool))", {"type": "object"}, {"a": True}),
    ("CAST(true AS Dynamic)", {}, True),
    (
        "CAST('x' AS Variant(String, Bool))",
        {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "null"}]},
        "x",
    ),
    ("sumState(toUInt8(1))", TEXT, None),
    (
        "CAST(1 AS SimpleAggregateFunction(sum, Int64))",
        {"type": "integer", "format": "int64"},
        1,
    ),
]


async def described(workspace: Workspace, sql: str) -> tuple[ResultColumn, ...]:
    body = await workspace.query(f"DESCRIBE TABLE ({sql})", format="JSONCompactEachRow")
    rows = [json.loads(line) for line in body.splitlines()]
    return tuple(ResultColumn(row[0], row[1]) for row in rows)


@pytest.mark.parametrize(("expression", "schema", "value"), CASES, ids=[case[0] for case in CASES])
async def test_a_type_has_the_schema_of_what_stands_in_the_json(
    workspace: Workspace, expression: str, schema: dict[str, Any], value: object
) -> None:
    sql = f"SELECT {expression} AS v"
    (column,) = await described(workspace, sql)
    assert type_schema(column.type) == schema
    (row,) = json.loads(await workspace.query(sql, format="JSON"))["data"]
    OAS31Validator(schema).validate(row["v"])
    if not expression.startswith("sumState"):
        assert row["v"] == value


@pytest.mark.parametrize(
    "expression",
    [
        "CAST((1, 2) AS Point)",
        "CAST([(1, 2), (3, 4)] AS Ring)",
        "CAST([[(1, 2), (3, 4)]] AS Polygon)",
        "CAST([[[(1, 2), (3, 4)]]] AS MultiPolygon)",
    ],
)
async def test_geometry_is_nested_pairs_of_numbers(workspace: Workspace, expression: str) -> None:
    (column,) = await described(workspace, f"SELECT {expression} AS v")
    (row,) = json.loads(await workspace.query(f"SELECT {expression} AS v", format="JSON"))["data"]
    validator = OAS31Validator(type_schema(column.type))
    assert validator.is_valid(row["v"])
    assert not validator.is_valid([1, "x"])


async def test_a_row_needs_all_columns_only_where_they_are_fixed(workspace: Workspace) -> None:
    columns = await described(workspace, "SELECT 'a' AS a, true AS `b c`")
    fixed = row_schema(columns, are_fixed=True)
    assert fixed["properties"] == {"a": TEXT, "b c": {"type": "boolean"}}
    assert fixed["required"] == ["a", "b c"]
    assert "required" not in row_schema(columns, are_fixed=False)
    assert not OAS31Validator(fixed).is_valid({"a": "x"})
