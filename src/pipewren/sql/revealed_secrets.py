"""Whether a text shows a secret among its columns (pipes-api.md section 3).

`tb_secret()` prints `{name: String}`, a parameter in ClickHouse's tree. One in a select list, or
that a name in a select list stands for, is shown; in a condition it is compared, and stays hidden.
In doubt it counts as shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipewren.sql.lifting import Tree

_PARAMETER = "QueryParameter"
# Clauses whose values are no columns of the result.
_HIDDEN = frozenset(
    {"where", "prewhere", "having", "qualify", "on_expression", "order_by", "settings"}
    | {"limit_length", "limit_offset", "limit_by", "limit_by_length", "limit_by_offset", "group_by"}
)


def find_revealed(tree: Tree) -> str | None:
    """The name of a secret that the statement shows, or None."""
    named = _find_names(tree)
    for columns in _select_lists(tree):
        found = _find_secret(columns, named)
        if found is not None:
            return found
    return None


def _find_names(tree: Tree) -> dict[str, str]:
    """The aliases that stand for something with a secret in it, and the secret."""
    named: dict[str, str] = {}
    aliased = [node for node in _walk(tree) if node.get("alias")]
    while True:
        before = len(named)
        for node in aliased:
            found = _find_secret(node, named) if node["alias"] not in named else None
            if found is not None:
                named[node["alias"]] = found
        if len(named) == before:
            return named


def _find_secret(node: Tree, named: dict[str, str]) -> str | None:
    for one in _walk(node):
        kind = one.get("type")
        if kind == _PARAMETER:
            return str(one.get("name"))
        if kind == "Identifier":
            last = str(one.get("name")).rpartition(".")[2]
            if last in named:
                return named[last]
    return None


def _select_lists(tree: Tree) -> Iterator[Tree]:
    """What becomes columns: select lists and ARRAY JOINs, but for those inside of conditions."""
    for node in _walk(tree, without=_HIDDEN):
        for key in ("select", "array_join"):
            if isinstance(node.get(key), dict):
                yield node[key]


def _walk(node: Any, *, without: frozenset[str] = frozenset()) -> Iterator[Tree]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            waiting += [value for key, value in one.items() if key not in without]
        elif isinstance(one, list):
            waiting += one
