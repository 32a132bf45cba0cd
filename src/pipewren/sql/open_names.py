"""Names that the engine may take for a table where the statement's reader takes them for another
thing (26.9, all were tried). What runs for a caller must hold none of them.

* Right of IN, a name that is no column and no alias *there* is a table, bare or with a dot:
  `IN vault`, and `IN system.processes` beside `1 AS system`.
* A CTE's name is not the CTE in its own body, nor in what is read from there: the table is,
  in `WITH vault AS (SELECT * FROM a), a AS (SELECT * FROM vault)`, and in the first SELECT of
  `WITH RECURSIVE vault AS (SELECT * FROM vault UNION ALL ...)`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipewren.sql.lifting import Tree
from pipewren.sql.query_tree import IN_FUNCTIONS, Reading, children_of

_NONE: frozenset[str] = frozenset()


def find_names_right_of_in(tree: Tree) -> Iterator[list[Tree]]:
    """The two arguments of every IN with a name on its right side."""
    for node in _walk(tree):
        yield from _names_right_of(node)


def has_names_right_of_in(tree: Tree, reading: Reading, *, dotted: bool) -> bool:
    """Whether names with a dot, or without one, are right of IN, and are no CTEs. `reading` is
    that of `tree`."""
    of_ctes = [id(use.place) for use in reading.ctes_after_in]
    return any(
        ("name_parts" in one[1]) is dotted and id(one) not in of_ctes
        for one in find_names_right_of_in(tree)
    )


def close_dotted_names(tree: Tree) -> None:
    """Make a function's argument, which is never a table, of each name with a dot right of IN."""
    for arguments in list(find_names_right_of_in(tree)):
        if "name_parts" in arguments[1]:
            arguments[1] = {
                "type": "Function",
                "name": "identity",
                "arguments": {"type": "ExpressionList", "children": [arguments[1]]},
            }


def find_reads_of_themselves(tree: Tree, reading: Reading) -> frozenset[str]:
    """The names of CTEs that read themselves other than by recursion, at any distance. `reading`
    is that of `tree`: what it has not found to be a table must be a CTE."""
    tables = {
        id(use.place if isinstance(use.place, list) else use.place["database_and_table_name"])
        for use in reading.uses
    }
    found: set[str] = set()
    for select in _walk(tree):
        if select.get("type") != "SelectQuery" or "with" not in select:
            continue
        reads: dict[str, set[str]] = {}
        for name, body in _ctes_of(select).items():
            own = _free_names(body, _NONE, tables)
            if select.get("recursive_with"):
                first = children_of(body.get("list_of_selects"))[:1]
                if not any(name in _free_names(one, _NONE, tables) for one in first):
                    own.discard(name)
            reads[name] = own
        found.update(name for name in reads if name in _reached_from(reads, name))
    return frozenset(found)


def _reached_from(reads: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = (reads.get(waiting.pop()) or set()) - reached
        reached |= new
        waiting += new
    return reached


def _ctes_of(select: Tree) -> dict[str, Tree]:
    return {
        str(one["name"]): children_of(one["subquery"])[0]
        for one in children_of(select.get("with"))
        if one.get("type") == "WithElement"
    }


def _free_names(node: Tree, inner: frozenset[str], tables: Collection[int]) -> set[str]:
    """Bare names of what is read below `node`, but for `tables` and for CTEs that are declared
    below it, `inner` (query_tree.py says what a WITH covers)."""
    kind = node.get("type")
    names: set[str] = set()
    if kind == "TableIdentifier":
        if "name_parts" not in node and id(node) not in tables:
            names.add(str(node["name"]))
    elif kind == "SelectWithUnionQuery":
        visible = inner
        for arm in children_of(node.get("list_of_selects")):
            if "with" in arm:
                visible = inner.union(_ctes_of(arm))
                for name, body in _ctes_of(arm).items():
                    seen = visible if arm.get("recursive_with") else visible - {name} | inner
                    names |= _free_names(body, seen, tables)
            rest = {key: value for key, value in arm.items() if key != "with"}
            names |= _free_names(rest | {"expressions": _expressions_of(arm)}, visible, tables)
    else:
        if kind == "Function":
            names.update(
                str(one[1]["name"])
                for one in _names_right_of(node)
                if "name_parts" not in one[1] and id(one) not in tables
            )
        for child in _children(node):
            names |= _free_names(child, inner, tables)
    return names - inner


def _expressions_of(select: Tree) -> list[Tree]:
    """What WITH names besides CTEs."""
    return [one for one in children_of(select.get("with")) if one.get("type") != "WithElement"]


def _names_right_of(node: Tree) -> Iterator[list[Tree]]:
    """The two arguments of an IN with a name on its right side."""
    if node.get("type") == "Function" and str(node.get("name")).lower() in IN_FUNCTIONS:
        arguments = children_of(node.get("arguments"))
        if len(arguments) == 2 and arguments[1].get("type") == "Identifier":
            yield arguments


def _children(node: Tree) -> Iterator[Tree]:
    for value in node.values():
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, dict):
                yield child


def _walk(node: Tree) -> Iterator[Tree]:
    yield node
    for child in _children(node):
        yield from _walk(child)
