"""Results that may be larger than they count: of trees that no parser gives, and by types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import BadRequest
from pipewren.sql.constant_columns import may_be_large
from pipewren.sql.counted_results import count_all
from pipewren.sql.lifting import Tree


def _tree(*items: Tree, **more: object) -> Tree:
    select = {"type": "SelectQuery", "select": {"type": "ExpressionList", "children": [*items]}}
    return {
        "type": "SelectWithUnionQuery",
        "list_of_selects": {"type": "ExpressionList", "children": [select | more]},
    }


def _text(length: int) -> Tree:
    return {"type": "Literal", "value": {"field_type": "String", "value": "x" * length}}


def _name(name: str, **more: str) -> Tree:
    return {"type": "Identifier", "name": name} | more


def test_constants_count_together_and_beyond_a_thousand_bytes_a_row() -> None:
    assert not may_be_large(_tree(_text(500), _text(500)))
    assert may_be_large(_tree(_text(500), _text(501)))
    assert may_be_large(_tree(*[_text(500) | {"alias": "a"}, _name("a"), _name("a")]))
    assert not may_be_large(_tree(_name("a"), _name("b", alias="a")))


def test_columns_are_no_constants_and_names_that_are_expressions_may_be() -> None:
    assert not may_be_large(_tree(*[_name("a")] * 500))
    assert may_be_large(_tree(_name("'abc'")))
    assert may_be_large(_tree(_name("concat(a, b)")))


def test_a_pipes_columns_may_be_constants_of_the_callers() -> None:
    assert not may_be_large(_tree(_name("a"), _name("b")), table_constant_bytes=400)
    assert may_be_large(_tree(_name("a"), _name("a"), _name("a")), table_constant_bytes=400)
    assert not may_be_large(_tree({"type": "Asterisk"}), table_constant_bytes=400)
    assert may_be_large(_tree({"type": "Asterisk"}), table_constant_bytes=600)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"type": "SelectWithUnionQuery"},
        {"type": "SelectQuery", "select": None},
        _tree({"type": "NewKind"}),
        _tree({"type": "Function"}),
        _tree({"type": "Literal"}),
        _tree({"type": "Function", "name": "new", "arguments": {"type": "ExpressionList"}}),
        _tree({"type": "Subquery", "children": []}),
        _tree(_text(1), where={"type": "QueryParameter", "name": "p", "param_type": "String"}),
    ],
)
def test_what_is_not_known_may_be_large(tree: Tree) -> None:
    assert may_be_large(tree)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "select", "children", "arguments", "value", "alias"]),
            inner | st.sampled_from(["Function", "Literal", "Identifier", "SelectQuery", "concat"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_shape_has_an_answer(node: object) -> None:
    assert may_be_large(_tree({"type": "SelectQuery", "select": node})) in (True, False)


def test_deep_trees_have_an_answer() -> None:
    node = _text(1)
    for _ in range(5000):
        arguments = {"type": "ExpressionList", "children": [node]}
        node = {"type": "Function", "name": "concat", "arguments": arguments}
    assert may_be_large(_tree(node))


def test_columns_are_written_again_only_where_their_type_needs_it() -> None:
    plain = count_all("SELECT a", [("a", "LowCardinality(String)"), ("b", "Array(Tuple(x UInt8))")])
    assert plain.sql.startswith(
        "SELECT r.* FROM (\nSELECT a\n) AS r CROSS JOIN (SELECT 1) AS z WHERE NOT throwIf("
    )
    assert plain.divisor == 1

    state = "AggregateFunction(groupArray, LowCardinality(String))"
    low = "Map(LowCardinality(String), Array(LowCardinality(Nullable(FixedString(3)))))"
    counted = count_all("SELECT 1", [("a`b", state), ("c", low)]).sql
    assert counted.startswith(
        "SELECT r.* REPLACE(CAST(r.`a\\`b`, 'String') AS `a\\`b`, "
        "CAST(r.`c`, 'Map(String, Array(Nullable(FixedString(3))))') AS `c`) FROM"
    )


def test_names_in_types_lower_the_limit() -> None:
    enum = f"Enum8('{'x' * 500}' = 1, 'b' = 2)"
    assert count_all("SELECT 1", [("a", enum)]).divisor == 64
    assert count_all("SELECT 1", [("a", f"Tuple(`{'é' * 9}` UInt8)")]).divisor == 4
    assert count_all("SELECT 1", [("a", "Tuple(short LowCardinality(String))")]).divisor == 1
    assert count_all("SELECT 1", [("a", "DateTime('America/Argentina/Buenos_Aires')")]).divisor == 1


@pytest.mark.parametrize(
    "type",
    [
        f"Enum8('{'x' * 5000}' = 1)",
        "Array(Tuple(\n))",
        "Array(AggregateFunction(sum, UInt64))",
        "Map(String, LowCardinality(Unknown(Nested(UInt8))))",
    ],
)
def test_types_that_no_limit_holds_are_refused(type: str) -> None:
    with pytest.raises(BadRequest):
        count_all("SELECT 1", [("a", type)])


def test_wide_results_are_refused() -> None:
    with pytest.raises(BadRequest, match="4,000 columns"):
        count_all("SELECT 1", [("a", "UInt8")] * 4001)
    with pytest.raises(BadRequest, match="too long"):
        count_all("SELECT 1", [("a" * 4000, "UInt8")] * 300)
    assert count_all("SELECT 1", [("abc", "UInt8")] * 2).names_bytes == 22
