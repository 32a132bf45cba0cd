"""Looks at a tree that need not know what its parts mean."""

from __future__ import annotations

from typing import Any

from pipewren.sql.lifting import Tree


def nodes_of(tree: Tree) -> list[Tree]:
    """Every dict of the tree, parents first, whatever keys they stand under."""
    found: list[Tree] = []
    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found.append(part)
            if part.get("type") == "Literal":
                continue  # its value is data
            part = part.values()
        waiting += [one for one in part if isinstance(one, dict | list)][::-1]
    return found


def text_of(node: Tree) -> str | None:
    """The text of a literal that is one."""
    value: Any = node.get("value") if node.get("type") == "Literal" else None
    text = value.get("value") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None
