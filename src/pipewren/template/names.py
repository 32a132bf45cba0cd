"""The names that a template may set and read (templating.md section 4)."""

from __future__ import annotations

import ast

from pipewren.errors import TemplateSyntaxError
from pipewren.template.failures import PAGE
from pipewren.template.functions import BUILTIN_FUNCTIONS, FUNCTIONS, unknown_function

RESERVED = ("q", "format")


def reject(
    node: ast.expr | ast.stmt, message: str, *, anchor: str | None = None
) -> TemplateSyntaxError:
    """The author's mistake at the place of `node`; `anchor` is as in `failure`."""
    return TemplateSyntaxError(
        message,
        line=node.lineno,
        column=node.col_offset + 1,
        documentation=f"{PAGE}#{anchor}" if anchor else None,
    )


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def check_parameter_name(node: ast.expr, name: str) -> None:
    if name in RESERVED:
        raise reject(node, f'"{name}" can not be used as a variable name, line {node.lineno}')
    if name == "length":
        raise reject(node, unknown_function(name))


def target_names(target: ast.expr) -> list[str]:
    """The names that an assignment or a loop sets. Raises TemplateSyntaxError for other targets,
    and for names that the language keeps."""
    if isinstance(target, ast.Name):
        name = target.id
        if is_dunder(name):
            raise reject(target, f"Invalid name: {name}")
        check_parameter_name(target, name)
        if name in FUNCTIONS and name not in BUILTIN_FUNCTIONS:
            raise reject(target, f"{name} is a function of the language: use another name")
        return [name]
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for part in target.elts for name in target_names(part)]
    raise reject(target, f"Invalid set statement: cannot assign to {type(target).__name__}")


def make_target(target: ast.expr, prefix: str) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.Name(prefix + target.id, ast.Store())
    assert isinstance(target, (ast.Tuple, ast.List))
    return ast.Tuple([make_target(part, prefix) for part in target.elts], ast.Store())


def shape_of(target: ast.expr) -> ast.expr:
    """The shape that `operators.unpack` takes."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return ast.Tuple([shape_of(part) for part in target.elts], ast.Load())
    return ast.Constant(None)
