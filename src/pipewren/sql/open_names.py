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


def find_names_right_of_in(tree: Tree) -> Iterator[list[Tree]]:
    """The two arguments of every IN with a name on its right side."""
    for node in _walk(tree):
        if node.get("type") == "Function" and str(node.get("name")).lower() in IN_FUNCTIONS:
            arguments = children_of(node.get("arguments"))
            if len(arguments) == 2 and arguments[1].get("type") == "Identifier":
                yield arguments


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
    """The names of CTEs that read themselves other than by recursion; CTEs of one name count as
    one. `reading` is that of `tree`: what it has not found to be a table must be a CTE."""
    tables = {
        id(use.place if isinstance(use.place, list) else use.place["database_and_table_name"])
        for use in reading.uses
    }
    reads: dict[str, set[str]] = {}
    found: set[str] = set()
    for name, body, is_recursive in _find_ctes(tree):
        selects = children_of(body.get("list_of_selects"))
        if any(name in _ctes_in(one, tables) for one in (selects[:1] if is_recursive else selects)):
            found.add(name)
        reads.setdefault(name, set()).update(_ctes_in(body, tables) - {name})
    return frozenset(found.union(name for name in reads if name in _reached_from(reads, name)))


def _reached_from(reads: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = (reads.get(waiting.pop()) or set()) - reached
        reached |= new
        waiting += new
    return reached


def _find_ctes(tree: Tree) -> Iterator[tuple[str, Tree, bool]]:
    """Name, body and whether it may recur."""
    for node in _walk(tree):
        if node.get("type") == "SelectQuery":
            for element in children_of(node.get("with")):
                if element.get("type") == "WithElement":
                    body = children_of(element["subquery"])[0]
                    yield str(element["name"]), body, bool(node.get("recursive_with"))


def _ctes_in(tree: Tree, tables: Collection[int]) -> set[str]:
    """Names without a dot of what is read and is none of `tables`."""
    names = {
        str(node["name"])
        for node in _walk(tree)
        if node.get("type") == "TableIdentifier"
        and "name_parts" not in node
        and id(node) not in tables
    }
    names.update(
        str(one[1]["name"])
        for one in find_names_right_of_in(tree)
        if "name_parts" not in one[1] and id(one) not in tables
    )
    return names


def _walk(node: Tree) -> Iterator[Tree]:
    yield node
    for value in node.values():
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, dict):
                yield from _walk(child)
