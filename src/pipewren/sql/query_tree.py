"""A statement's tree: which tables it reads, where, and what no row filter could follow.

Everything is on a list, kinds of nodes, their keys, table functions and functions; what is not is
a hindrance (engine-guard.md section 1). Names are resolved by ClickHouse's scopes: a WITH covers
its SELECT, what is nested in it, the bodies of its own list, and later arms of a UNION up to one
with a WITH of its own; a body does not see its own name, unless it recurs; a `view(...)` sees none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipewren.sql.author_settings import ALLOWED_SETTINGS
from pipewren.sql.function_list import Access, FunctionList
from pipewren.sql.lifting import Tree


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALLOWED: dict[str, frozenset[str]] = {
    "SelectWithUnionQuery": _keys(
        "union_mode list_of_modes list_of_selects is_outfile_append is_outfile_truncate "
        "is_into_outfile_with_stdout"
    ),
    "SelectQuery": _keys(
        "with recursive_with cte_aliases select distinct distinct_on tables prewhere where having "
        "qualify window group_by group_by_all group_by_with_totals group_by_with_rollup "
        "group_by_with_cube group_by_with_grouping_sets order_by order_by_all interpolate "
        "limit_by limit_by_length limit_by_offset limit_length limit_offset limit_with_ties "
        "settings"
    ),
    "TablesInSelectQuery": _keys("children"),
    "TablesInSelectQueryElement": _keys("table_join table_expression array_join"),
    "TableExpression": _keys(
        "database_and_table_name subquery table_function final sample_size sample_offset "
        "column_aliases"
    ),
    "TableIdentifier": _keys("name name_parts alias"),
    "TableJoin": _keys("kind strictness locality on_expression using_expression_list is_natural"),
    "ArrayJoin": _keys("kind expression_list"),
    "SampleRatio": _keys("numerator denominator"),
    "Subquery": _keys("children alias"),
    "WithElement": _keys("name subquery is_materialized aliases"),
    "ExpressionList": _keys("children"),
    "Identifier": _keys("name name_parts alias"),
    "Literal": _keys("value alias"),
    "Function": _keys(
        "name arguments parameters alias is_operator is_lambda_function is_window_function kind "
        "window_name window_definition nulls_action"
    ),
    "WindowDefinition": _keys(
        "parent_window_name partition_by order_by frame_is_default frame_type frame_begin_type "
        "frame_begin_offset frame_begin_preceding frame_end_type frame_end_offset "
        "frame_end_preceding"
    ),
    "WindowListElement": _keys("name definition"),
    "OrderByElement": _keys(
        "expression direction nulls_direction nulls_direction_was_explicitly_specified collation "
        "with_fill fill_from fill_to fill_step fill_staleness"
    ),
    "InterpolateElement": _keys("column expr"),
    "Asterisk": _keys("transformers expression"),
    "QualifiedAsterisk": _keys("qualifier transformers"),
    "ColumnsRegexpMatcher": _keys("pattern transformers"),
    "QualifiedColumnsRegexpMatcher": _keys("pattern qualifier transformers"),
    "ColumnsListMatcher": _keys("column_list transformers"),
    "QualifiedColumnsListMatcher": _keys("qualifier column_list transformers"),
    "ColumnsTransformerList": _keys("children"),
    "ColumnsApplyTransformer": _keys("func_name parameters lambda lambda_arg"),
    "ColumnsExceptTransformer": _keys("children is_strict pattern"),
    "ColumnsReplaceTransformer": _keys("children is_strict"),
    "ColumnsReplaceTransformerReplacement": _keys("name children"),
    "SetQuery": _keys("changes"),
}
_MUST_BE_FALSE = _keys("is_outfile_append is_outfile_truncate is_into_outfile_with_stdout")
_TABLE_FUNCTIONS = _keys("numbers numbers_mt generateseries generate_series values primes")
IN_FUNCTIONS = frozenset(
    f"{scope}{name}{ending}"
    for scope in ("", "global")
    for name in ("in", "notin", "nullin", "notnullin")
    for ending in ("", "ignoreset")
)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a filter could not act. `datasource`: on this one alone; None: on any."""

    datasource: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table in the tree: in `place` of a FROM, with the SELECT around it, or (`place` a list of
    arguments) as the right side of IN."""

    name: str
    place: Any
    select: Tree | None


@dataclass(slots=True)
class Reading:
    """`uses` are the tables that no WITH declares; `names` their names. `declared` are all names
    that the statement gives: CTEs, aliases, parameters of lambdas. `is_odd`: FINAL, SAMPLE,
    PREWHERE or `view(...)` is in it, which a CTE in a table's place would not stand."""

    uses: list[TableUse] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)
    hindrances: list[Hindrance] = field(default_factory=list)
    is_odd: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset(use.name for use in self.uses)


@dataclass(slots=True)
class _Walk:
    functions: FunctionList
    reading: Reading = field(default_factory=Reading)
    lambdas: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)  # functions
    qualified: set[str] = field(default_factory=set)  # first parts, right of IN
    tables: set[str] = field(default_factory=set)


def read_tree(tree: Tree, functions: FunctionList) -> Reading:
    """Read a SELECT's tree. Its `uses` refer into `tree`, so that they can be changed."""
    walk = _Walk(functions)
    if tree.get("type") != "SelectWithUnionQuery":
        _hinder(walk, "it is no SELECT")
        return walk.reading
    _read_union(walk, tree, frozenset())
    for name in sorted(walk.unknown - walk.lambdas):
        _hinder(walk, f"it calls {name[:60]}(), which is not on the list of functions")
    for name in sorted(walk.qualified - walk.reading.declared - walk.tables):
        _hinder(walk, f"it names '{name[:60]}' with a dot right of IN")
    return walk.reading


def _hinder(walk: _Walk, reason: str) -> None:
    one = Hindrance(None, reason)
    if one not in walk.reading.hindrances:
        walk.reading.hindrances.append(one)


def _check_keys(walk: _Walk, node: Tree) -> bool:
    kind = node.get("type")
    allowed = _ALLOWED.get(kind) if isinstance(kind, str) else None
    if allowed is None:
        _hinder(walk, f"it holds a part of an unknown kind ({str(kind)[:40]})")
        return False
    for key, value in node.items():
        if (key not in allowed and key != "type") or (key in _MUST_BE_FALSE and value is not False):
            _hinder(walk, f"it holds a part of an unknown kind ({kind} with {key[:40]})")
            return False
    alias = node.get("alias")
    if alias is not None:
        walk.reading.declared.add(alias)
    return True


def _read_union(walk: _Walk, node: Tree, outside: frozenset[str]) -> None:
    if not _check_keys(walk, node):
        return
    visible = outside
    for arm in children_of(node.get("list_of_selects")):
        if arm.get("type") == "SelectQuery":
            if "with" in arm:
                visible = outside | _declared_by(arm)
            _read_select(walk, arm, outside, visible)
        elif arm.get("type") == "SelectWithUnionQuery":
            _read_union(walk, arm, visible)
        else:
            _hinder(walk, f"it holds a part of an unknown kind ({str(arm.get('type'))[:40]})")


def _declared_by(select: Tree) -> frozenset[str]:
    return frozenset(
        one["name"] for one in children_of(select.get("with")) if one.get("type") == "WithElement"
    )


def _read_select(
    walk: _Walk, select: Tree, outside: frozenset[str], visible: frozenset[str]
) -> None:
    if not _check_keys(walk, select):
        return
    if "prewhere" in select:
        walk.reading.is_odd = True
    for key, value in select.items():
        if key == "with":
            own = _declared_by(select)
            for element in children_of(value):
                if element.get("type") != "WithElement":
                    _read(walk, element, visible, None)
                elif _check_keys(walk, element):
                    name = element["name"]
                    walk.reading.declared.add(name)
                    recurs = bool(select.get("recursive_with")) and _is_union(element["subquery"])
                    inside = visible if recurs else outside | (own - {name})
                    _read(walk, element["subquery"], inside, None)
        elif key == "settings":
            _read_settings(walk, value)
        elif isinstance(value, dict):
            _read(walk, value, visible, select)


def _is_union(subquery: Tree) -> bool:
    selects = subquery["children"][0].get("list_of_selects")
    return len(children_of(selects)) > 1


def _read_settings(walk: _Walk, node: Tree) -> None:
    if _check_keys(walk, node):
        for change in node.get("changes", ()):
            if change.get("name") not in ALLOWED_SETTINGS:
                _hinder(walk, "it has SETTINGS inside")


def children_of(node: Any) -> list[Tree]:
    """The children of an ExpressionList (which has no such key when it is empty)."""
    children: list[Tree] = node.get("children", []) if isinstance(node, dict) else []
    return children


def _nodes_in(node: Tree) -> Iterator[Tree]:
    """What is directly below a node."""
    for key, value in node.items():
        if key in ("value", "changes"):
            continue
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, dict))


def _read(walk: _Walk, node: Tree, visible: frozenset[str], select: Tree | None) -> None:
    """Read any node below a SELECT; `select` is the one whose clause it stands in."""
    kind = node.get("type")
    if kind == "SelectWithUnionQuery":
        _read_union(walk, node, visible)
        return
    if kind == "SelectQuery":
        _read_select(walk, node, visible, visible | _declared_by(node))
        return
    if not _check_keys(walk, node):
        return
    if kind == "TableExpression":
        _read_table(walk, node, visible, select)
        return
    if kind == "Function":
        _read_function(walk, node, visible)
    elif kind == "ColumnsApplyTransformer" and "func_name" in node:
        _check_function(walk, node["func_name"])
    elif kind == "Identifier" and not node["name"]:
        _hinder(walk, "it has a name for which a parameter stands")
    for child in _nodes_in(node):
        _read(walk, child, visible, select)


def _read_table(walk: _Walk, node: Tree, visible: frozenset[str], select: Tree | None) -> None:
    if node.get("final") or "sample_size" in node:
        walk.reading.is_odd = True
    table = node.get("database_and_table_name")
    if table is not None:
        if not _check_keys(walk, table):
            return
        name = table["name"]
        walk.tables.add(name)
        if "name_parts" in table:
            _hinder(walk, f"it names a table with its database ({name[:80]})")
        elif not name:
            _hinder(walk, "it has a name for which a parameter stands")
        elif name not in visible:
            walk.reading.uses.append(TableUse(name, node, select))
    function = node.get("table_function")
    if function is not None:
        _read_table_function(walk, function, visible)
    for key in ("subquery", "sample_size", "sample_offset", "column_aliases"):
        if key in node:
            _read(walk, node[key], visible, None)


def _read_table_function(walk: _Walk, node: Tree, visible: frozenset[str]) -> None:
    if not _check_keys(walk, node):
        return
    name = node.get("name", "")
    if name == "view":
        walk.reading.is_odd = True
        visible = frozenset()
    elif name.lower() not in _TABLE_FUNCTIONS:
        _hinder(walk, f"it reads the table function {name[:60]}()")
    for child in _nodes_in(node):
        if child.get("type") == "ExpressionList" and name != "view":
            # What a table function's arguments see of WITH is not known: nothing in them may read.
            before = len(walk.reading.uses)
            _read(walk, child, frozenset(), None)
            if len(walk.reading.uses) > before:
                _hinder(walk, f"it reads a table in the arguments of {name[:60]}()")
        else:
            _read(walk, child, visible, None)


def _read_function(walk: _Walk, node: Tree, visible: frozenset[str]) -> None:
    name = node["name"]
    arguments = children_of(node.get("arguments"))
    if node.get("is_lambda_function"):
        if "alias" in node:
            walk.lambdas.add(node["alias"])
        for one in children_of(arguments[0].get("arguments")) if arguments else ():
            walk.reading.declared.add(str(one.get("name")))
    _check_function(walk, name)
    function = walk.functions.find(name)
    first = arguments[0] if arguments else {}
    if function is not None and function.takes_functions and first.get("type") == "Identifier":
        passed = walk.functions.find(first["name"])
        if passed is not None and passed.access is Access.NOBODY:
            _hinder(walk, f"it passes {passed.name}() to {name}()")
    if name.lower() in IN_FUNCTIONS and len(arguments) == 2:
        right = arguments[1]
        if right.get("type") == "Identifier":
            if "name_parts" in right:
                walk.qualified.add(right["name_parts"][0])
            elif right["name"] not in visible:
                walk.reading.uses.append(TableUse(right["name"], arguments, None))


def _check_function(walk: _Walk, name: str) -> None:
    function = walk.functions.find(name)
    if function is None:
        walk.unknown.add(name)
    elif function.access is Access.NOBODY:
        _hinder(walk, f"it calls {name}(), which no row filter reaches")
