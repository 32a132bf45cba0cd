"""A statement's tree: which tables it reads, where, and what no row filter could follow.

Everything is on a list, kinds of nodes, their keys, table functions and functions; what is not is
a hindrance (engine-guard.md section 1). Names are resolved by ClickHouse's scopes: a WITH covers
its SELECT, what is nested in it, the bodies of its own list, and later arms of a UNION up to one
with a WITH of its own; a body does not see its own name, unless it recurs; a `view(...)` sees none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pipewren.sql.author_settings import ALLOWED_SETTINGS
from pipewren.sql.evaluated_texts import (
    OF_AGGREGATES,
    is_plain_aggregate,
    is_plain_table_function,
)
from pipewren.sql.function_list import Access, FunctionList
from pipewren.sql.lifting import Tree
from pipewren.sql.tree_kinds import load_tree_kinds
from pipewren.usage.service_tables import DATABASE as USAGE

_TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "generateseries", "generate_series", "values", "primes"}
    | {"sqlstandardvalues"}  # FROM (VALUES (1, 'a'), ...)
)
_MATCHERS = frozenset(
    {"Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "QualifiedColumnsRegexpMatcher"}
    | {"ColumnsListMatcher", "QualifiedColumnsListMatcher"}
)
_OF_THE_SERVER = frozenset({"system", "default", "information_schema", "INFORMATION_SCHEMA"})
IN_FUNCTIONS = frozenset(
    f"{scope}{name}{ending}"
    for scope in ("", "global")
    for name in ("in", "notin", "nullin", "notnullin")
    for ending in ("", "ignoreset")
)


class Part(Enum):
    """What a hindrance is about."""

    UNKNOWN = "unknown"  # a kind or key that is on no list: nothing can be said of what it does
    FUNCTION = "function"
    UNKNOWN_FUNCTION = "unknown function"
    TABLE_FUNCTION = "table function"
    TABLE = "table"
    SETTINGS = "settings"
    LAMBDA = "lambda"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a filter could not act. `datasource`: on this one alone; None: on any. `name` is that of
    the function, table or setting, where there is one."""

    datasource: str | None
    reason: str
    part: Part = Part.UNKNOWN
    name: str = ""


@dataclass(frozen=True, slots=True)
class TableUse:
    """A table in the tree: in `place` of a FROM, with the SELECT around it, or (`place` a list of
    arguments) as the right side of IN. `database` is what the statement names it with."""

    name: str
    place: Any
    select: Tree | None
    database: str = ""


@dataclass(slots=True)
class Reading:
    """`uses` are the tables that no WITH declares; `names` their names; `tables` the number of all
    tables, subqueries and table functions. `declared` are all names
    that the statement gives: CTEs, aliases, parameters of lambdas. `calls` are the names of the
    functions that it calls or passes, `bare` its identifiers without a dot,
    `columns` the last parts of all, `parameters` those of
    its `{name:Type}`, `settings` the SELECTs with SETTINGS, `matchers` the number of its asterisks
    and COLUMNS; `ctes_after_in` the CTEs right of IN,
    by their places. `is_odd`: FINAL, SAMPLE, PREWHERE or `view(...)` is in it, which a CTE in a
    table's place would not stand."""

    uses: list[TableUse] = field(default_factory=list)
    tables: int = 0
    declared: set[str] = field(default_factory=set)
    hindrances: list[Hindrance] = field(default_factory=list)
    calls: dict[str, None] = field(default_factory=dict)
    bare: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    settings: list[Tree] = field(default_factory=list)
    matchers: int = 0
    ctes_after_in: list[TableUse] = field(default_factory=list)
    is_odd: bool = False

    @property
    def names(self) -> frozenset[str]:
        return frozenset(use.name for use in self.uses)


@dataclass(slots=True)
class _Walk:
    functions: FunctionList
    kinds: Mapping[str, frozenset[str]]
    takes_databases: bool = False
    reading: Reading = field(default_factory=Reading)
    lambdas: set[str] = field(default_factory=set)
    renamed: dict[str, set[str]] = field(default_factory=dict)  # identifier -> its aliases
    unknown: set[str] = field(default_factory=set)  # functions
    qualified: set[str] = field(default_factory=set)  # first parts, right of IN
    tables: set[str] = field(default_factory=set)


def read_tree(tree: Tree, functions: FunctionList, *, takes_databases: bool = False) -> Reading:
    """Read a SELECT's tree. Its `uses` refer into `tree`, so that they can be changed.
    `takes_databases`: a table may be named with its database, which is its reader's to judge."""
    walk = _Walk(functions, load_tree_kinds(functions.version), takes_databases)
    if tree.get("type") != "SelectWithUnionQuery":
        _hinder(walk, "it is no SELECT")
        return walk.reading
    _read_union(walk, tree, frozenset())
    _check_lambdas(walk)
    for name in sorted(walk.unknown - walk.lambdas):
        reason = f"it calls {name[:60]}(), which is not on the list of functions"
        _hinder(walk, reason, Part.UNKNOWN_FUNCTION, name)
    known = (walk.reading.declared | walk.tables) - _OF_THE_SERVER
    for name in sorted(walk.qualified - known):
        _hinder(walk, f"it names '{name[:60]}' with a dot right of IN", Part.TABLE, name)
    return walk.reading


def _check_lambdas(walk: _Walk) -> None:
    """A lambda with a function's name is called in its place, by all that is nested in the
    statement: a filter's own `equals` too (26.9, tried, also through `f AS equals`)."""
    names = list(walk.lambdas)
    for name in names:
        names += walk.renamed.pop(name, ())
    walk.lambdas.update(names)
    for name in sorted(walk.lambdas):
        if walk.functions.find(name) is not None:
            reason = f"it gives a lambda the name of the function {name[:60]}()"
            _hinder(walk, reason, Part.LAMBDA, name)


def _hinder(walk: _Walk, reason: str, part: Part = Part.UNKNOWN, name: str = "") -> None:
    one = Hindrance(None, reason, part, name)
    if one not in walk.reading.hindrances:
        walk.reading.hindrances.append(one)


def _check_keys(walk: _Walk, node: Tree) -> bool:
    kind = node.get("type")
    allowed = walk.kinds.get(kind) if isinstance(kind, str) else None
    if allowed is None:
        _hinder(walk, f"it holds a part of an unknown kind ({str(kind)[:40]})")
        return False
    for key, value in node.items():
        if not (key in allowed or key == "type" or (value is False and f"!{key}" in allowed)):
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
            walk.reading.settings.append(select)
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
                _hinder(walk, "it has SETTINGS inside", Part.SETTINGS, str(change.get("name")))


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
    elif kind == "Identifier":
        _read_identifier(walk, node)
    elif kind in _MATCHERS:
        walk.reading.matchers += 1
    elif kind == "QueryParameter":
        walk.reading.parameters.add(str(node.get("name")))
        if node.get("param_type") != "String":  # `{t:Identifier}` stands for a name
            _hinder(walk, "it has a parameter that is no String")
    for child in _nodes_in(node):
        _read(walk, child, visible, select)


def _read_identifier(walk: _Walk, node: Tree) -> None:
    walk.reading.columns.add((node.get("name_parts") or [node["name"]])[-1])
    if not node["name"]:
        _hinder(walk, "it has a name for which a parameter stands")
    elif "name_parts" not in node:
        walk.reading.bare.add(node["name"])
        if "alias" in node:
            walk.renamed.setdefault(node["name"], set()).add(node["alias"])


def _read_table(walk: _Walk, node: Tree, visible: frozenset[str], select: Tree | None) -> None:
    walk.reading.tables += 1
    if node.get("final") or "sample_size" in node:
        walk.reading.is_odd = True
    table = node.get("database_and_table_name")
    if table is not None:
        if not _check_keys(walk, table):
            return
        name = table["name"]
        walk.tables.add(name)
        parts = table.get("name_parts")
        if parts and (name in visible or (parts[0] == USAGE and not walk.takes_databases)):
            pass  # a service data source: the CTE of that name, and what it reads (compile.py)
        elif parts and walk.takes_databases and len(parts) == 2:
            walk.reading.uses.append(TableUse(parts[1], node, select, database=parts[0]))
        elif parts:
            reason = f"it names a table with its database ({name[:80]})"
            _hinder(walk, reason, Part.TABLE, name)
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
        reason = f"it reads the table function {name[:60]}()"
        _hinder(walk, reason, Part.TABLE_FUNCTION, name)
    if not is_plain_table_function(name, children_of(node.get("arguments"))):
        _hinder(walk, f"the columns of {name[:60]}() are more than names and types")
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
    if node.get("is_lambda_function") or name == "lambda":  # `lambda((x, y), 1)` is one too
        if "alias" in node:
            walk.lambdas.add(node["alias"])
        for one in children_of(arguments[0].get("arguments")) if arguments else ():
            walk.reading.declared.add(str(one.get("name")))
    _check_function(walk, name, arguments)
    function = walk.functions.find(name)
    first = arguments[0] if arguments else {}
    if function is not None and function.takes_functions and first.get("type") == "Identifier":
        passed = walk.functions.find(first["name"])
        if passed is not None:
            walk.reading.calls[first["name"]] = None
            _check_text(walk, first["name"], None)
        if passed is not None and passed.access is Access.NOBODY:
            reason = f"it passes {passed.name}() to {name}()"
            _hinder(walk, reason, Part.FUNCTION, passed.name)
    if name.lower() in IN_FUNCTIONS and len(arguments) == 2:
        right = arguments[1]
        if right.get("type") == "Identifier":
            if "name_parts" in right:
                walk.qualified.add(right["name_parts"][0])
            else:
                uses = walk.reading.uses
                if right["name"] in visible:
                    uses = walk.reading.ctes_after_in
                uses.append(TableUse(right["name"], arguments, None))


def _check_text(walk: _Walk, name: str, arguments: list[Tree] | None) -> None:
    if name.lower() in OF_AGGREGATES and not is_plain_aggregate(arguments):
        reason = f"the aggregate function of {name[:60]}() is no plain text"
        _hinder(walk, reason)


def _check_function(walk: _Walk, name: str, arguments: list[Tree] | None = None) -> None:
    walk.reading.calls[name] = None
    _check_text(walk, name, arguments)
    function = walk.functions.find(name)
    if function is None:
        walk.unknown.add(name)
    elif function.access is Access.NOBODY:
        reason = f"it calls {name}(), which no row filter reaches"
        _hinder(walk, reason, Part.FUNCTION, name)
