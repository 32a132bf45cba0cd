"""No value of a caller can leave its place, by ClickHouse's own parser: the tree of a statement has
the same shape and reads the same tables whatever is sent."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipewren.errors import TemplateError
from pipewren.template.template import compile_template

if TYPE_CHECKING:
    from tests.engine.conftest import BareChdb

# (template, a harmless value): every place that the functions are meant for.
PLACES: tuple[tuple[str, Any], ...] = (
    ("SELECT a FROM t WHERE b = {{x}}", "v"),
    ("SELECT a FROM t WHERE b = {{String(x)}} AND c = 1", "v"),
    ("SELECT a FROM t WHERE b LIKE {{sql_unescape('%' + String(x) + '%', '%')}}", "v"),
    ("SELECT a FROM t WHERE b = {{x.replace('a', 'b') + 'z'}}", "v"),
    ("SELECT a FROM t WHERE {{sql_and(b=x, c__in=Array(x, 'String'))}} AND d = 1", "v"),
    ("SELECT a FROM t WHERE b IN {{Array(x, 'String')}} AND c = 1", "v"),
    ("SELECT a FROM t WHERE b IN {{split_to_array(x)}} AND c = 1", "v"),
    ("SELECT a FROM t WHERE b = {{JSON('{\"k\": 1}').get('z', x)}}", "v"),
    ("SELECT a FROM t WHERE b > {{DateTime(x)}} AND c = 1", "2024-05-06 10:11:12"),
    ("SELECT a FROM t WHERE b > {{DateTime64(x)}} AND c = 1", "2024-05-06 10:11:12.345"),
    ("SELECT a FROM t WHERE b > {{Date(x)}} AND c = 1", "2024-05-06"),
    ("SELECT a FROM t WHERE b > {{Int32(x)}} LIMIT {{Int32(x) * 2}}", "1"),
    ("SELECT a FROM t WHERE b > {{Float64(x)}}", "1"),
    ("SELECT a FROM t WHERE b = {{Boolean(x)}} AND c IN {{Array(x, 'Boolean')}}", "1"),
    ("SELECT a FROM t WHERE b IN {{Array(x, 'Int32')}} AND c IN {{Array(x, 'Float64')}}", "1"),
    ("SELECT {{column(x)}} FROM t ORDER BY {{column(x)}}", "v"),
    ("SELECT {{columns(x)}} FROM t", "v"),
    ("SELECT {{columns(x, fn='sum')}} FROM t", "v"),
    ("SELECT {{symbol(x)}} AS {{symbol(x, '\"')}} FROM t", "v"),
    ("{{backend_hint(x)}}SELECT a FROM t", "v"),
    ("SELECT a FROM t {% for y in split_to_array(x) %}, (SELECT {{y}}) AS s{% end %}", "v"),
)
ATTACKS = (
    *("' OR 1=1 --", "\\' OR 1=1 --", "\\", "'", "''", "\\\\'", "`", "``, 1 FROM secret --", '"'),
    *(
        "); DROP TABLE t; --",
        "*/ x /*",
        "{x:String}",
        "\n-- ",
        "\r",
        "\u2028",
        "\u0000",
        "%",
        "\\%",
    ),
    *("a` FROM secret --", "a.b.c", "1,2);", "2024-05-06 10:11:12' OR 1=1 --", "$$", "$a$", "‘’“”"),
    *("1e400", "nan", "-1", "٣", "1\n", "0x10", "a, sum(b) FROM secret", "ſ", "é" * 50, " ' "),
)


def shape_of(node: Any, counts: Counter[str]) -> Counter[str]:
    """How many nodes of each kind a tree has; functions and tables by name. Literals and columns
    count by kind, since their values are the caller's."""
    if isinstance(node, dict):
        kind = node.get("type")
        if kind in ("Function", "TableIdentifier"):
            counts[f"{kind} {node.get('name')}"] += 1
        elif kind == "Literal":
            counts["Literal"] += 1
            return counts
        elif kind is not None:
            counts[kind] += 1
        for value in node.values():
            shape_of(value, counts)
    elif isinstance(node, list):
        for value in node:
            shape_of(value, counts)
    return counts


def parsed_shape(bare_chdb: BareChdb, sql: str) -> Counter[str]:
    answer = bare_chdb.query(
        "SELECT parseQueryToJSON({q:String})", "RawBLOB", params={"q": sql.translate(ESCAPES)}
    )
    return shape_of(json.loads(answer.bytes()), Counter())


# What several columns or parts may add: one more of these for each comma that the caller sends.
GROWING = frozenset(
    {"Identifier", "Literal", "Function sum", "Subquery", "SelectWithUnionQuery", "TableJoin"}
    | {"ExpressionList", "SelectQuery", "TablesInSelectQueryElement", "TableExpression"}
)
# How chDB reads a parameter's text.
ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"})


@pytest.mark.parametrize(("template", "harmless"), PLACES)
def test_a_value_changes_nothing_but_itself(
    bare_chdb: BareChdb, template: str, harmless: str
) -> None:
    compiled = compile_template(template)

    def shape(value: str) -> Counter[str]:
        return parsed_shape(bare_chdb, compiled.render({"x": value}).sql)

    expected = shape(harmless)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.sampled_from(ATTACKS), st.text(max_size=30)))
    @example(harmless)
    def check(value: str) -> None:
        for sent in (value, harmless + value):
            try:
                found = shape(sent)
            except TemplateError:
                continue
            except RuntimeError as refused:
                # An empty name, `a..b` or one that is NUL: no statement at all.
                assert "Syntax error" in str(refused)  # noqa: PT017
                assert "column" in template or "symbol" in template
                continue
            tables = {kind for kind in found if kind.startswith("TableIdentifier")}
            assert tables == {"TableIdentifier t"}
            assert found.keys() == expected.keys()
            if "," not in sent:
                assert found == expected
            else:
                for kind in found.keys() - GROWING:
                    assert found[kind] == expected[kind], kind

    check()
