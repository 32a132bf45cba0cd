"""Where the values come from that a template prints: from `table()`, from a function that prints
names (`symbol`, `column`, `columns`), or from anything else, which prints as a literal.

In doubt a value counts as a name. Names that a template sets are followed through all that is
ever assigned to them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipewren.template.compiler import blocks_of
from pipewren.template.discovery import Parameter
from pipewren.template.names import target_names
from pipewren.template.nodes import For, If, Node, Output, Statement, While, walk

TABLE_FUNCTIONS = frozenset(("table", "TABLE"))
_NAMES = frozenset(("symbol", "column", "columns"))
_SECRETS = frozenset(("tb_secret", "tb_var"))
_MAX_CHOICES = 1_000
_APPENDED = ""  # no variable is called so


@dataclass(frozen=True, slots=True)
class Origin:
    """`function` prints the value: `table`, `symbol`, `column`, `columns`, or "" for a literal.
    `choices` are all the names that a `table()` can print, None: any of the deployment."""

    function: str
    choices: frozenset[str] | None = None

    @property
    def is_value(self) -> bool:
        return self.function == ""

    @property
    def is_table(self) -> bool:
        return self.function == "table"


_VALUE = Origin("")


class Origins:
    """The origins of the expressions of one template. `parameters` are all that it declares."""

    def __init__(self, nodes: Sequence[Node], parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        self._assigned: dict[str, list[tuple[ast.expr, bool]]] = {}
        for name, value, is_whole in _assignments(nodes):
            self._assigned.setdefault(name, []).append((value, is_whole))
        self._printers = _find_printers(self._assigned, nodes)
        self._appended = _appended_in(nodes)
        self._holders: Mapping[str, str] | None = None
        # Filled in the order of the assignments, so that chains of them are not walked deep.
        self._origins: dict[str, Origin | None] = {}
        self._chosen: dict[str, frozenset[str] | None] = {}
        for name in self._assigned:
            self._of_name(name)
            self._choices_of_name(name)

    def of(self, expression: ast.expr) -> Origin:
        """Where the value of an expression comes from."""
        match expression:
            case ast.Call(func=ast.Name(id=name)) if name in TABLE_FUNCTIONS:
                arguments = [*expression.args, *(one.value for one in expression.keywords)]
                return Origin("table", self._choices(arguments[0]) if arguments else None)
            case ast.IfExp(body=body, orelse=orelse):
                return _join([self.of(body), self.of(orelse)])
            case ast.Name(id=name) if name in self._assigned:
                return self._of_name(name)
        return self._of_part(expression)

    def secret_in(self, expression: ast.expr) -> str | None:
        """The secret that an expression may hold: its name, or where that is not written down
        `tb_secret`."""
        if self._holders is None:
            self._holders = self._find_holders()
        return _secret_in(expression, self._holders)

    def _find_holders(self) -> Mapping[str, str]:
        """The variables that may hold a secret. What is put into a list may be in any."""
        holders: dict[str, str] = {}
        while True:
            before = len(holders)
            for name, values in self._assigned.items():
                for value, _ in values:
                    found = _secret_in(value, holders)
                    if found is not None:
                        holders.setdefault(name, found)
            for value in self._appended:
                found = _secret_in(value, holders)
                if found is not None:
                    holders |= {name: found for name in self._assigned if name not in holders}
            if len(holders) == before:
                return holders

    def parts_of(self, expression: ast.expr) -> Iterator[ast.expr | str]:
        """The expression; `sql_and` as the conditions that it prints and their values."""
        if not (isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name)):
            yield expression
            return
        if expression.func.id != "sql_and" or not expression.keywords:
            yield expression
            return
        for number, keyword in enumerate(expression.keywords):
            column, _, word = str(keyword.arg).rpartition("__")
            operator = "IN" if word in ("in", "not_in") and column else "="
            yield f"{' AND ' if number else ''}{column or word} {operator} "
            yield keyword.value

    def _of_name(self, name: str) -> Origin:
        if name not in self._origins:
            self._origins[name] = None
            found = [
                self.of(value) if is_whole else self._of_part(value)
                for value, is_whole in self._assigned[name]
            ]
            if _APPENDED in self._printers:
                found.append(Origin(self._printers[_APPENDED]))
            self._origins[name] = _join(found)
        return self._origins[name] or Origin("symbol")  # made of itself

    def _of_part(self, expression: ast.expr) -> Origin:
        printer = _printer_in(expression, self._printers)
        return Origin(printer) if printer else _VALUE

    def _choices(self, expression: ast.expr) -> frozenset[str] | None:
        """All texts that the expression can be, where they are written in the template."""
        match expression:
            case ast.Constant(value=str(text)):
                return frozenset((text,))
            case ast.IfExp(body=body, orelse=orelse):
                return _union([self._choices(body), self._choices(orelse)])
            case ast.Call(func=ast.Name(), args=[ast.Name(id=name), *_]):
                return self._enum(name) if name not in self._assigned else None
            case ast.Name(id=name) if name not in self._assigned:
                return self._enum(name)
            case ast.Name(id=name):
                return self._choices_of_name(name)
        return None

    def _choices_of_name(self, name: str) -> frozenset[str] | None:
        if name not in self._chosen:
            self._chosen[name] = None  # what is made of itself may be anything
            self._chosen[name] = _union(
                [
                    self._choices(value) if is_whole else self._items(value)
                    for value, is_whole in self._assigned[name]
                ]
            )
        return self._chosen[name]

    def _items(self, expression: ast.expr) -> frozenset[str] | None:
        if isinstance(expression, ast.List | ast.Tuple):
            return _union([self._choices(item) for item in expression.elts])
        return None

    def _enum(self, name: str) -> frozenset[str] | None:
        """What a parameter may be, where each of its declarations says it."""
        declared = [one for one in self._parameters if one.name == name and one.used_in is None]
        values: list[Any] = []
        for one in declared:
            enum = one.attributes.get("enum")
            if not isinstance(enum, list | tuple) or not enum:
                return None
            values += [*enum, *([one.default] if one.default is not None else [])]
        return frozenset(map(str, values)) if declared else None


def expressions_of(nodes: Sequence[Node]) -> Iterator[ast.expr]:
    """Every expression of a tree."""
    for node in nodes:
        match node:
            case Output(expression):
                yield expression
            case Statement(statement):
                yield statement.value  # type: ignore[attr-defined]
            case If(branches):
                yield from (condition for condition, _ in branches if condition is not None)
            case For():
                yield node.iterable
            case While():
                yield node.condition
        for block in blocks_of(node):
            yield from expressions_of(block)


def _assignments(nodes: Sequence[Node]) -> Iterator[tuple[str, ast.expr, bool]]:
    """Name, value, and whether the value is the name's whole or something with it inside."""
    for node in nodes:
        match node:
            case Statement(ast.Assign(targets=targets, value=value)):
                for target in targets:
                    for name in target_names(target):
                        yield name, value, isinstance(target, ast.Name)
            case Statement(ast.AugAssign(target=target, value=value)):
                for name in target_names(target):
                    yield name, ast.List([value], ast.Load()), True
            case For():
                for name in target_names(node.target):
                    yield name, node.iterable, False
        for block in blocks_of(node):
            yield from _assignments(block)


def _find_printers(
    assigned: Mapping[str, list[tuple[ast.expr, bool]]], nodes: Sequence[Node]
) -> Mapping[str, str]:
    """The variables that may hold what prints names, each with a function that made it. What a
    method puts into a list may come out of any of them."""
    appended = [(argument, False) for argument in _appended_in(nodes)]
    printers: dict[str, str] = {}
    users: dict[str, list[str]] = {}
    for name, values in {**assigned, _APPENDED: appended}.items():
        for value, _ in values:
            printer = _printer_in(value, {})
            if printer is not None:
                printers.setdefault(name, printer)
            for node in walk(value):
                if isinstance(node, ast.Name) and node.id in assigned:
                    users.setdefault(node.id, []).append(name)
    waiting = list(printers)
    while waiting:
        source = waiting.pop()
        reached = [*assigned] if source == _APPENDED else users.get(source, [])
        for name in reached:
            if name not in printers:
                printers[name] = printers[source]
                waiting.append(name)
    return printers


def _appended_in(nodes: Sequence[Node]) -> list[ast.expr]:
    """What is given to methods, which may put it into a list."""
    return [
        argument
        for expression in expressions_of(nodes)
        for node in walk(expression)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        for argument in node.args
    ]


def _secret_in(expression: ast.expr, holders: Mapping[str, str]) -> str | None:
    for node in walk(expression):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(secret)), *_]):
                if name in _SECRETS:
                    return secret
            case ast.Call(func=ast.Name(id=name)) if name in _SECRETS:
                return name
            case ast.Name(id=name) if name in holders:
                return holders[name]
    return None


def _printer_in(expression: ast.expr, printers: Mapping[str, str]) -> str | None:
    for node in walk(expression):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _NAMES:
                return node.func.id
            if node.func.id in TABLE_FUNCTIONS:
                return "symbol"  # a table's name inside something else is any name
        if isinstance(node, ast.Name) and node.id in printers:
            return printers[node.id]
    return None


def _join(found: Sequence[Origin]) -> Origin:
    names = [one for one in found if not one.is_table]
    if not names:
        return Origin("table", _union([one.choices for one in found]))
    if len(names) < len(found) and all(one.is_value for one in names):
        return Origin("symbol")  # once a table, once a value
    return next((one for one in names if not one.is_value), _VALUE)


def _union(found: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    joined = frozenset().union(*known)
    return joined if len(joined) <= _MAX_CHOICES else None
