"""Which results of callers' statements ClickHouse counts too small for `max_result_bytes`.

A constant column counts once for all rows of a block, a LowCardinality's value once for all that
have it, an aggregate state as a pointer, an Enum's or a Tuple's names not at all (26.9, tried). So
`SELECT repeat('x', 1000000) FROM numbers(1000)` passes a limit of 10 MB with a gigabyte. Where that
is possible, a statement runs as `counted_results.py` writes it, which costs 0.5 ms; where it is
not, as it is. In doubt it is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipewren.sql.lifting import Tree
from pipewren.sql.query_tree import children_of
from pipewren.sql.value_sizes import (
    BY_NUMBER,
    COMBINATORS,
    FIXED_SIZE,
    LINEAR,
    NUMBER_BYTES,
    ODD,
    OF_TYPES,
    PRODUCT,
    longest_name,
)

# Uncounted bytes of one row: 10,000 rows of a small result are 10 MB then, as its other limit.
MAX_UNCOUNTED_BYTES = 1000
# `SELECT *, *, * FROM (SELECT *, *, * ...)` multiplies names and constants with every level.
_MAX_MATCHERS = 3
_MAX_NAME = 200  # of an alias, which JSON repeats in every row
_MAX_TYPE = 1000  # of a type that is written out
_COLUMN = 4  # for a table's column: functions make many of one value, which may be LowCardinality
_UNLISTED = 8  # bytes made of one, by functions that are on no list
_MAX_NAME_IN_TYPE = 16  # each value of one byte may print it

_MATCHERS = frozenset(
    {"Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "QualifiedColumnsRegexpMatcher"}
    | {"ColumnsListMatcher", "QualifiedColumnsListMatcher"}
)
_OPENING = frozenset(kind for kind in _MATCHERS if kind.startswith("Qualified"))
_PLAIN_KINDS = frozenset(
    {"ExpressionList", "Identifier", "Literal", "Subquery", "TableJoin", "ArrayJoin"}
    | {"TablesInSelectQuery", "TablesInSelectQueryElement", "SampleRatio", "TableIdentifier"}
    | {"WindowDefinition", "WindowListElement", "OrderByElement", "InterpolateElement"}
    | {"ColumnsTransformerList", "ColumnsExceptTransformer", "ColumnsReplaceTransformer"}
    | {"ColumnsReplaceTransformerReplacement", "SetQuery"}
)
# The name of an unnamed expression, as a column of a subquery, is its text.
_PLAIN_NAME = re.compile(r"[^\W\d]\w*").fullmatch
_ODD_TYPE = re.compile(
    r"lowcardinality|aggregatefunction|json|object|fixedstring\s*\(\s*\d{3}|tuple\s*\(\s*\)", re.I
)


class _LargeError(Exception):
    """A constant of any size is possible."""


@dataclass(slots=True)
class _Statement:
    """What is in a tree, whatever the place. `named` are its aliases, `items` what any of its
    SELECTs has for columns."""

    named: dict[str, list[Tree]] = field(default_factory=dict)
    items: list[Tree] = field(default_factory=list)
    matchers: int = 0
    identifiers: int = 0
    has_unions: bool = False
    cycles: int = 0
    column: int = _COLUMN
    sizes: dict[str, int | None] = field(default_factory=dict)


def may_be_large(tree: Tree, *, has_states: bool = False, table_constant_bytes: int = 0) -> bool:
    """Whether rows of the statement may be larger than the engine counts, by more than
    MAX_UNCOUNTED_BYTES each. `has_states`: a table that it reads has columns of aggregate states.
    `table_constant_bytes`: so many may be in a constant column of a table that is a pipe, whose
    text has values of the caller's.

    Total: True for what is unknown or nested too deeply. LowCardinality columns of tables count as
    short values do.
    """
    if has_states:
        return True
    statement = _Statement(column=max(_COLUMN, table_constant_bytes))
    try:
        if tree["type"] != "SelectWithUnionQuery":
            return True
        _scan(tree, statement)
        total = statement.matchers * table_constant_bytes
        for item in statement.items:
            size = _size(item, statement)
            if size != _COLUMN or item["type"] != "Identifier":  # a bare column is a full one
                total += size
    except (_LargeError, RecursionError):
        return True
    except (LookupError, TypeError, ValueError, AttributeError):
        return True  # it has not the parser's shape
    # A UNION gives its first part's names to the constants of all.
    factor = 1 + statement.matchers + (statement.identifiers if statement.has_unions else 0)
    # `concat(a, a) AS a` doubles with every level of subqueries that has it.
    return total * factor << statement.cycles > MAX_UNCOUNTED_BYTES


def _scan(tree: Tree, statement: _Statement) -> None:
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        kind = node["type"]
        if kind == "ExpressionList":
            stack += node.get("children", ())
            continue
        alias = node.get("alias")
        if alias is not None:
            if len(alias) > _MAX_NAME:
                raise _LargeError
            statement.named.setdefault(alias, []).append(node)
        if kind == "Identifier":
            statement.identifiers += 1
            continue
        if kind == "Literal":
            continue
        if kind == "Function":
            _check_function(node)
        elif kind == "SelectQuery":
            statement.items += children_of(node["select"])
            if "cte_aliases" in node:
                raise _LargeError  # renamed: what stands behind a name is not seen here
        elif kind == "SelectWithUnionQuery":
            if len(children_of(node["list_of_selects"])) > 1:
                statement.has_unions = True
        elif kind == "TableExpression":
            stack += _below_table(node)
            continue
        elif kind in _MATCHERS:
            statement.matchers += 1
            if statement.matchers > _MAX_MATCHERS:
                raise _LargeError
        elif kind == "ColumnsApplyTransformer":
            _check_apply(node)
        elif kind == "WithElement":
            if "aliases" in node:
                raise _LargeError
        elif kind not in _PLAIN_KINDS:
            raise _LargeError
        if kind == "ColumnsReplaceTransformerReplacement":
            statement.items += node["children"]
        for value in node.values():
            shape = type(value)
            if shape is dict:
                if "type" in value:
                    stack.append(value)
            elif shape is list:
                stack += (one for one in value if type(one) is dict and "type" in one)


def _below_table(node: Tree) -> Iterable[Tree]:
    """Without the table itself, whose alias is no column's."""
    if "column_aliases" in node:
        raise _LargeError
    if "subquery" in node:
        return children_of(node["subquery"])
    function = node.get("table_function")
    if function is None:
        return ()
    _check_function(function)
    return children_of(function.get("arguments"))


def _check_function(node: Tree) -> None:
    """What is large, or counts nothing, wherever it stands."""
    name = node["name"].lower()
    if name in ODD or "state" in name.replace("simplestate", ""):
        raise _LargeError
    if name.startswith("numericindexedvector"):
        raise _LargeError
    if name in OF_TYPES:
        _check_types(name, children_of(node.get("arguments")))
    elif name == "tuple":
        # Of no columns it prints two or more bytes, and counts none. Matchers may match none.
        arguments = children_of(node.get("arguments"))
        if not arguments or any(one["type"] in _MATCHERS for one in arguments):
            raise _LargeError


def _check_types(name: str, arguments: list[Tree]) -> None:
    """The type must be written out, and hold no long names."""
    text = _type_of(name, arguments)
    if name == "values" and not isinstance(text, str):
        return  # rows without names and types of their own
    if not isinstance(text, str) or len(text) > _MAX_TYPE or _ODD_TYPE.search(text):
        raise _LargeError
    if longest_name(text) > _MAX_NAME_IN_TYPE:
        raise _LargeError
    if name.startswith("arrayreduce") and "state" in text.lower():
        raise _LargeError


def _type_of(name: str, arguments: list[Tree]) -> Any:
    """The text of the type that one of OF_TYPES is called with; None for one that is computed."""
    if name in ("values", "arrayreduce", "arrayreduceinranges", "defaultvalueoftypename"):
        place = 0
    elif name.startswith("jsonextract"):
        place = len(arguments) - 1
    else:
        place = 1
    argument = arguments[place]
    return argument["value"].get("value") if argument["type"] == "Literal" else None


def computes_names(tree: Tree) -> bool:
    """Whether columns may get names that the statement computes: the elements of a tuple become
    columns, and there is a type that is not written out. With now() in it, their names are others
    than were described (counted_results.py)."""
    is_computed = is_opened = False
    stack: list[Any] = [tree]
    while stack and not (is_computed and is_opened):
        node = stack.pop()
        if type(node) is list:
            stack += node
        elif type(node) is dict:
            stack += node.values()
            kind = node.get("type")
            if kind == "Function":
                name = str(node.get("name")).lower()
                is_opened = is_opened or name == "untuple"
                is_computed = is_computed or name == "nested"
                arguments = children_of(node.get("arguments"))
                if name in OF_TYPES and name not in ("values", "arrayreduce"):
                    try:
                        text = _type_of(name, arguments)
                    except (LookupError, TypeError, AttributeError):
                        text = None
                    is_computed = is_computed or not isinstance(text, str)
            elif kind in _OPENING or (kind == "Asterisk" and "expression" in node):
                is_opened = True
    return is_computed and is_opened


def _check_apply(node: Tree) -> None:
    """A function over any number of columns."""
    name = node.get("func_name")
    if name is None:
        return  # its lambda is a node of its own, checked as functions are; see _size
    if COMBINATORS.sub("", name).lower() not in FIXED_SIZE and name.lower() not in LINEAR:
        raise _LargeError


def _size(node: Tree, statement: _Statement) -> int:
    """An upper bound of a constant's bytes. What is no constant counts as if it were one of a few
    bytes: `concat(column, 'x')` is LowCardinality where the column is, and counts once too."""
    kind = node["type"]
    if kind == "Identifier":
        return _size_of_name(node, statement)
    if kind == "Literal":
        return _size_of_literal(node["value"])
    if kind == "Function":
        return _size_of_call(node, statement)
    if kind == "Subquery":
        return _size_of_scalar(node)
    if kind in _MATCHERS:
        transformers = children_of(node.get("transformers"))
        for one in transformers:
            if "lambda" in one and _size(one["lambda"], statement) > NUMBER_BYTES:
                raise _LargeError
        return 0
    raise _LargeError


def _size_of_name(node: Tree, statement: _Statement) -> int:
    parts = node.get("name_parts") or (node["name"],)
    size = 0
    for part in parts:
        known = statement.sizes.get(part, -1)
        if known is None:  # it is being computed: a name that is defined by itself
            statement.cycles += 1
            known = statement.column
        if known == -1:
            known = statement.column
            if part in statement.named:
                statement.sizes[part] = None
                for one in statement.named[part]:
                    if one is not node:
                        known = max(known, _size(one, statement))
            elif len(part) > _MAX_NAME or not _PLAIN_NAME(part):
                raise _LargeError
            statement.sizes[part] = known
        size = max(size, known)
    return size


def _size_of_literal(value: Any) -> int:
    if type(value) is dict:
        value = value.get("value")
    if type(value) is str:
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    if type(value) is list:
        return NUMBER_BYTES + sum(map(_size_of_literal, value))
    return NUMBER_BYTES


def _size_of_call(node: Tree, statement: _Statement) -> int:
    name = node["name"]
    folded = name.lower()
    if folded in FIXED_SIZE:
        return NUMBER_BYTES
    plain = COMBINATORS.sub("", name).lower()
    if plain in FIXED_SIZE:
        return NUMBER_BYTES
    arguments = children_of(node.get("arguments"))
    if folded in BY_NUMBER:
        return _size_by_number(folded, arguments, statement)
    sizes = [_size(one, statement) for one in arguments]
    if plain in LINEAR:
        return sum(sizes)
    if folded in PRODUCT:
        product = 1
        for size in sizes:
            product *= 1 + size
        return product
    if not _has_column(arguments, statement, 0):
        raise _LargeError
    return _UNLISTED * sum(sizes)


def _size_by_number(name: str, arguments: list[Tree], statement: _Statement) -> int:
    place, each = BY_NUMBER[name]
    if name == "range":
        numbers = [_number_of(one) for one in arguments]
        return max(numbers) * each
    count = _number_of(arguments[place]) if place < len(arguments) else 100
    others = arguments[:place] + arguments[place + 1 :]
    sizes = sum(_size(one, statement) for one in others) if name != "bar" else 0
    if name in ("repeat", "arraywithconstant", "arrayresize", "replicate"):
        return count * max(each, sizes)
    return count * each + sizes


def _number_of(node: Tree) -> int:
    if node["type"] == "Literal":
        number = node["value"].get("value")
        if type(number) is int:
            return abs(number)
    raise _LargeError


def _size_of_scalar(node: Tree) -> int:
    """A scalar subquery is a constant of what its columns hold."""
    (union,) = node["children"]
    for select in children_of(union["list_of_selects"]):
        for item in children_of(select["select"]):
            if item["type"] != "Function":
                raise _LargeError
            if COMBINATORS.sub("", item["name"]).lower() not in FIXED_SIZE:
                raise _LargeError
    return NUMBER_BYTES


def _has_column(nodes: Iterable[Tree], statement: _Statement, depth: int) -> bool:
    """Whether a table's column goes into any of them."""
    if depth > 20:
        return False
    for node in nodes:
        if node["type"] == "Identifier":
            named = statement.named.get(node["name"])
            if named is None or _has_column(
                (one for one in named if one is not node), statement, depth + 1
            ):
                return True
        elif (
            node["type"] == "Function"
            and not node.get("is_lambda_function")
            and _has_column(children_of(node.get("arguments")), statement, depth + 1)
        ):
            return True
    return False
