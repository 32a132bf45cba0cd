"""The syntax tree of a template. Expressions are Python's trees, checked against the whitelist
when they are compiled."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Text:
    text: str


@dataclass(slots=True)
class Output:
    """`{{ expression }}`; `source` is shown when it is null."""

    expression: ast.expr
    source: str


@dataclass(slots=True)
class Statement:
    """`{% set ... %}`: one assignment, or an expression whose value is dropped."""

    statement: ast.stmt


@dataclass(slots=True)
class If:
    """`branches` in order; the last one has None for `else`."""

    branches: list[tuple[ast.expr | None, list[Node]]]


@dataclass(slots=True)
class For:
    target: ast.expr
    iterable: ast.expr
    body: list[Node]
    orelse: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class While:
    condition: ast.expr
    body: list[Node]
    orelse: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Handler:
    """`{% except type as name %}`; `types` is empty for all."""

    types: tuple[str, ...]
    name: str | None
    body: list[Node]


@dataclass(slots=True)
class Try:
    body: list[Node]
    handlers: list[Handler] = field(default_factory=list)
    orelse: list[Node] = field(default_factory=list)
    final: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Jump:
    """`break` or `continue`."""

    statement: ast.Break | ast.Continue


Node = Text | Output | Statement | If | For | While | Try | Jump


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one of Python's trees that have a place or parts, in any order; several times
    as quick as `ast.walk`, of which compiling took a third."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += children(node)


# Fields that hold texts, or nodes without a place and parts of their own.
_PLAIN = frozenset(
    ("arg", "attr", "conversion", "ctx", "id", "kind", "level", "op", "ops", "type_comment")
)
_PARTS: Mapping[type[ast.AST], tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _PLAIN)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST) and kind is not ast.Constant
}


def children(node: ast.AST) -> list[ast.AST]:
    """The direct parts of a node."""
    found: list[ast.AST] = []
    for name in _PARTS.get(type(node), ()):
        part = getattr(node, name, None)
        if type(part) is list:
            found += [one for one in part if isinstance(one, ast.AST)]
        elif isinstance(part, ast.AST) and (part._fields or part._attributes):
            found.append(part)
    return found
