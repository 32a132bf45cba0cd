"""How a call's arguments meet a function's signature, decided when the template compiles."""

from __future__ import annotations

import ast

from pipewren.template.functions import Function
from pipewren.template.names import reject


def bind(node: ast.Call, function: Function) -> dict[str, ast.expr] | str:
    """The arguments by name, in the order of the signature; or Python's text for a call that does
    not fit."""
    if function.variadic:
        if node.keywords:
            return f"{function.name}() takes no keyword arguments"
        return dict(zip(("value",), node.args, strict=False))
    if len(node.args) > len(function.signature):
        return (
            f"{function.name}() takes at most {len(function.signature)} arguments, and "
            f"{len(node.args)} were given"
        )
    arguments = dict(zip(function.signature, node.args, strict=False))
    for keyword in node.keywords:
        name = str(keyword.arg)
        if name not in function.signature:
            return f"{function.name}() got an unexpected keyword argument '{name}'"
        if name in arguments:
            return f"{function.name}() got multiple values for argument '{name}'"
        arguments[name] = keyword.value
    missing = [name for name in function.signature[: function.required] if name not in arguments]
    if missing:
        if function.is_type:
            return "one of the transform type functions is missing an argument"
        return f"{function.name}() misses the argument {missing[0]}"
    return {name: arguments[name] for name in function.signature if name in arguments}


def parameter_name(node: ast.Call, function: Function, arguments: dict[str, ast.expr]) -> str:
    """The name of the parameter that a call is about; "" for an expression. A typed function whose
    name is a constant that cannot be a name is a mistake of the author's."""
    first = arguments.get(function.signature[0])
    if isinstance(first, ast.Name):
        return first.id
    is_constant = isinstance(first, (ast.Constant, ast.List, ast.Tuple))
    if function.is_type and is_constant and function.name not in ("JSON", "Boolean"):
        assert first is not None
        if isinstance(first, ast.Constant) and str(first.value).isidentifier():
            return ""
        shown = str(first.value) if isinstance(first, ast.Constant) else ast.unparse(first)
        raise reject(node, f'"{shown}" can not be used as a variable name')
    return ""
