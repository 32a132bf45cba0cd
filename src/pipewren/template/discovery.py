"""Which parameters a template takes, read from its tree (templating.md section 7).

In source order, the bodies of blocks before the block's own condition. Names that the template
sets itself are no parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipewren.template.calls import bind
from pipewren.template.compiler import blocks_of
from pipewren.template.functions import FUNCTIONS, PYTHON_NAMES, Function
from pipewren.template.names import target_names
from pipewren.template.nodes import For, If, Node, Output, Statement, While

_MAX_EXACT = 9_007_199_254_740_991  # beyond it a JSON number is not exact
# Calls whose names are not listed: they are no parameters' types.
_UNLISTED = frozenset(
    (
        *("symbol", "table", "TABLE", "max_threads", "cache_ttl", "tb_secret", "tb_var"),
        *("sql_unescape", "Int", "Integer"),
    )
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """`attributes` are the keywords as written (description, required, enum, example, format and
    any other). `used_in` is `function_call` or `control` for names without a type there, None for
    `{{ }}`."""

    name: str
    type: str
    default: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    used_in: str | None = None
    element_type: str | None = None  # of an Array

    @property
    def is_required(self) -> bool:
        return bool(self.attributes.get("required"))


def find_parameters(nodes: Sequence[Node], assigned: frozenset[str]) -> tuple[Parameter, ...]:
    """Every use with a type, and of the other names the first use."""
    found = [one for one in _walk(nodes) if one.name not in assigned]
    seen = {one.name for one in found if one.used_in is None}
    kept: list[Parameter] = []
    for one in found:
        if one.used_in is None:
            kept.append(one)
        elif one.name not in seen:
            seen.add(one.name)
            kept.append(one)
    return tuple(kept)


def required_names(parameters: Sequence[Parameter]) -> tuple[str, ...]:
    """What the message about a missing parameter lists: all that have no default, each once."""
    return tuple(
        dict.fromkeys(one.name for one in parameters if one.used_in is None and one.default is None)
    )


def _walk(nodes: Sequence[Node]) -> Iterator[Parameter]:
    for node in nodes:
        match node:
            case Output(expression):
                yield from _of_expression(expression, None)
            case Statement(statement):
                yield from _of_expression(statement.value, "control")  # type: ignore[attr-defined]
            case If(branches):
                for _, body in branches:
                    yield from _walk(body)
                for condition, _ in branches:
                    if condition is not None:
                        yield from _of_expression(condition, "control")
            case For():
                yield from _walk(node.body)
                yield from _walk(node.orelse)
                yield from _of_expression(node.iterable, "control")
            case While():
                yield from _walk(node.body)
                yield from _walk(node.orelse)
                yield from _of_expression(node.condition, "control")
            case _:
                for block in blocks_of(node):
                    yield from _walk(block)


def _of_expression(
    node: ast.AST, used_in: str | None, bound: frozenset[str] = frozenset()
) -> Iterator[Parameter]:
    if isinstance(node, ast.Name):
        if node.id not in bound and node.id not in FUNCTIONS and node.id not in PYTHON_NAMES:
            yield Parameter(node.id, "String", used_in=used_in)
        return
    if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
        bound = bound.union(*(target_names(loop.target) for loop in node.generators))
    rest = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        rest.remove(node.func)
        function = FUNCTIONS.get(node.func.id)
        arguments = bind(node, function) if function is not None and function.signature else {}
        if isinstance(arguments, str):
            arguments = dict(zip(function.signature, node.args, strict=False)) if function else {}
        first = arguments.get(function.signature[0]) if function and function.signature else None
        if function is not None and isinstance(first, ast.Name) and first.id not in bound:
            if first in rest:
                rest.remove(first)
            if function.is_type and function.name not in _UNLISTED:
                yield _typed(node, function, first.id, arguments)
            elif function.name not in _UNLISTED:
                yield from _of_expression(first, "function_call", bound)
        if function is not None and not function.is_type and function.name != "sql_and":
            used_in = "function_call"
    for child in rest:
        yield from _of_expression(child, used_in, bound)


def _typed(
    node: ast.Call, function: Function, name: str, arguments: Mapping[str, ast.expr]
) -> Parameter:
    element = None
    if function.name == "Array":
        written = arguments.get("type")
        element = str(_read(written)) if written is not None else "String"
    keywords = {str(keyword.arg): _read(keyword.value) for keyword in node.keywords}
    for key in ("name", "type", "default", "defined"):
        keywords.pop(key, None)
    for key in function.ignored & arguments.keys():
        keywords.setdefault(key, _read(arguments[key]))
    default = _read(arguments["default"]) if "default" in arguments else None
    if type(default) is int and abs(default) > _MAX_EXACT:
        default = str(default)
    return Parameter(
        name,
        f"Array({element})" if element else function.name,
        default,
        keywords,
        element_type=element,
    )


def _read(node: ast.expr) -> Any:
    """The value of a literal; the text of anything else."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ast.unparse(node)
