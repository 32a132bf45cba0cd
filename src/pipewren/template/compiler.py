"""Syntax tree -> code: one Python function per template, made of tree nodes and never of text.

The function takes `run`, `p` (a parameter's value by name) and `append` (of the output's list). Its
only globals are those of `_GLOBALS`; there are no builtins. Lines of the code are lines of the
template, so that a traceback tells where a template failed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipewren.errors import TemplateError, TemplateSyntaxError
from pipewren.template.expressions import Translator
from pipewren.template.failures import MissingParameter
from pipewren.template.functions import FUNCTIONS
from pipewren.template.limits import TemplateLimits
from pipewren.template.methods import call_method
from pipewren.template.names import make_target, shape_of, target_names
from pipewren.template.nodes import (
    For,
    Handler,
    If,
    Jump,
    Node,
    Output,
    Statement,
    Text,
    Try,
    While,
    children,
)
from pipewren.template.operators import HELPERS
from pipewren.template.printing import show
from pipewren.template.run import Run
from pipewren.template.values import PythonBuiltin

_Placed = TypeVar("_Placed", bound=ast.expr | ast.stmt)
CODE_NAME = "<template>"
Render = Callable[[Run, Callable[[str], Any], Callable[[str], None]], None]

_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "Exception": (Exception,),
    "ValueError": (ValueError, TemplateError, MissingParameter),
    "TypeError": (TypeError,),
    "KeyError": (KeyError, TemplateError),
    "IndexError": (IndexError, TemplateError),
    "AttributeError": (AttributeError, TemplateError),
    "ZeroDivisionError": (ZeroDivisionError,),
    "NameError": (NameError,),
    "UnboundLocalError": (UnboundLocalError,),
}
CAUGHT_NAMES = tuple(_ERRORS)


def _catch(run: Run, error: Exception) -> str:
    """What `{% except as e %}` sees. A limit that was reached cannot be caught."""
    if run.is_exhausted:
        raise error
    return str(error)


def _read_builtin(read: Callable[[str], Any], name: str) -> Any:
    value = read(name)
    return PythonBuiltin(f"<built-in function {name}>") if value is None else value


def _raise_type_error(message: str) -> None:
    raise TypeError(message)


_GLOBALS: dict[str, Any] = {
    "__builtins__": {},
    **HELPERS,
    **{f"f_{name}": function.implementation for name, function in FUNCTIONS.items()},
    **{f"e_{name}": classes for name, classes in _ERRORS.items()},
    "call_method": call_method,
    "show": show,
    "catch": _catch,
    "read_builtin": _read_builtin,
    "raise_type_error": _raise_type_error,
}


def compile_nodes(nodes: list[Node], assigned: frozenset[str], limits: TemplateLimits) -> Render:
    """`assigned` are the names that the template sets. Raises TemplateSyntaxError for what an
    expression may not hold."""
    translator = Translator(assigned, limits.max_expression_depth)
    builder = _Builder(translator)
    body = builder.block(nodes)
    arguments = [ast.arg(name) for name in ("run", "p", "append")]
    function = ast.FunctionDef(
        name="render",
        args=ast.arguments([], arguments, None, [], [], None, []),
        body=body,
        decorator_list=[],
    )
    module = ast.Module([function], [])
    _place(module)
    try:
        code = compile(module, CODE_NAME, "exec", dont_inherit=True)
    except SyntaxError as error:  # `break` in the else of a loop
        raise TemplateSyntaxError(str(error.msg), line=error.lineno) from None
    made: dict[str, Any] = {}
    exec(code, _GLOBALS | translator.bound, made)
    render: Render = made["render"]
    return render


class _Builder:
    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._open_tries = 0

    def block(self, nodes: Sequence[Node]) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        pieces: list[ast.expr] = []
        for node in nodes:
            if isinstance(node, Text | Output):
                pieces += self._pieces(node)
                # Inside a try, what is printed before something fails stays.
                if self._open_tries == 0:
                    continue
            statements += _append(pieces)
            pieces = []
            if not isinstance(node, Text | Output):
                statements += self._node(node)
        return statements + _append(pieces) or [ast.Pass()]

    def _pieces(self, node: Text | Output) -> list[ast.expr]:
        if isinstance(node, Text):
            return [ast.Constant(node.text)] if node.text else []
        text = self._translator.output(node.expression, node.source)
        return [_at(ast.FormattedValue(text, -1, None), node.expression)]

    def _node(self, node: Statement | If | For | While | Try | Jump) -> list[ast.stmt]:
        match node:
            case Statement(statement):
                return [_at(self._statement(statement), statement)]
            case If(branches):
                return self._if(branches)
            case For():
                return [self._for(node)]
            case While():
                printed = ast.Constant(_static_size(node.body))
                condition = ast.BoolOp(
                    ast.And(),
                    [
                        _call("tick", _name("run"), printed),
                        self._translator.control(node.condition),
                    ],
                )
                loop = ast.While(
                    condition,
                    self.block(node.body),
                    self.block(node.orelse) if node.orelse else [],
                )
                return [_at(loop, node.condition)]
            case Try():
                return [self._try(node)]
            case Jump(statement):
                return [statement]

    def _statement(self, statement: ast.stmt) -> ast.stmt:
        if isinstance(statement, ast.Expr):
            return ast.Expr(self._translator.control(statement.value))
        if isinstance(statement, ast.AugAssign):
            (name,) = target_names(statement.target)
            value = ast.BinOp(
                ast.Name(name, ast.Load(), lineno=statement.lineno, col_offset=0),
                statement.op,
                statement.value,
                lineno=statement.lineno,
                col_offset=statement.col_offset,
            )
            return ast.Assign(
                [make_target(statement.target, "v_")], self._translator.control(value)
            )
        assert isinstance(statement, ast.Assign)
        value_made = self._translator.control(statement.value)
        if len(statement.targets) == 1 and not isinstance(statement.targets[0], ast.Name):
            value_made = _call("unpack", _name("run"), value_made, shape_of(statement.targets[0]))
        return ast.Assign([make_target(one, "v_") for one in statement.targets], value_made)

    def _if(self, branches: Sequence[tuple[ast.expr | None, list[Node]]]) -> list[ast.stmt]:
        condition, body = branches[0]
        if condition is None:
            return self.block(body)
        rest = self._if(branches[1:]) if len(branches) > 1 else []
        test = self._translator.control(condition)
        return [_at(ast.If(test, self.block(body), rest), condition)]

    def _for(self, node: For) -> ast.stmt:
        is_name = isinstance(node.target, ast.Name)
        target_names(node.target)
        items = _call(
            "iterate",
            _name("run"),
            self._translator.control(node.iterable),
            ast.Constant(_static_size(node.body)),
            *(() if is_name else (shape_of(node.target),)),
        )
        loop = ast.For(
            make_target(node.target, "v_"),
            items,
            self.block(node.body),
            self.block(node.orelse) if node.orelse else [],
        )
        return _at(loop, node.iterable)

    def _try(self, node: Try) -> ast.stmt:
        if not node.handlers and not node.final:
            raise TemplateSyntaxError("try without except or finally")
        self._open_tries += 1
        handlers = [self._handler(handler) for handler in node.handlers]
        made = ast.Try(
            self.block(node.body),
            handlers,
            self.block(node.orelse) if node.orelse and handlers else [],
            self.block(node.final) if node.final else [],
        )
        self._open_tries -= 1
        return made

    def _handler(self, handler: Handler) -> ast.ExceptHandler:
        known = [name if name in _ERRORS else "Exception" for name in handler.types]
        caught: ast.expr = _name(f"e_{known[0]}" if known else "e_Exception")
        for name in known[1:]:
            caught = ast.BinOp(caught, ast.Add(), _name(f"e_{name}"))
        text = _call("catch", _name("run"), _name("error"))
        first: ast.stmt = ast.Expr(text)
        if handler.name is not None:
            first = ast.Assign([ast.Name(f"v_{handler.name}", ast.Store())], text)
        return ast.ExceptHandler(caught, "error", [first, *self.block(handler.body)])


def assigned_names(nodes: Sequence[Node]) -> list[str]:
    """The names that a template sets: local to the whole of it."""
    names: list[str] = []
    for node in nodes:
        match node:
            case Statement(ast.Assign(targets=targets)):
                names += [name for target in targets for name in target_names(target)]
            case Statement(ast.AugAssign(target=target)):
                names += target_names(target)
            case For():
                names += target_names(node.target)
            case Try():
                for handler in node.handlers:
                    if handler.name is not None:
                        name = ast.Name(handler.name, ast.Store(), lineno=1, col_offset=0)
                        names += target_names(name)
        for block in blocks_of(node):
            names += assigned_names(block)
    return names


def blocks_of(node: Node) -> list[list[Node]]:
    """The bodies inside a node."""
    match node:
        case If(branches):
            return [body for _, body in branches]
        case For() | While():
            return [node.body, node.orelse]
        case Try():
            bodies = [handler.body for handler in node.handlers]
            return [node.body, *bodies, node.orelse, node.final]
        case _:
            return []


def _static_size(nodes: Sequence[Node]) -> int:
    """Characters of plain text that a turn of a loop prints at most, inner loops' not counted."""
    size = 0
    for node in nodes:
        if isinstance(node, Text):
            size += len(node.text)
        elif isinstance(node, (If, Try)):
            size += sum(_static_size(block) for block in blocks_of(node))
    return size


def _append(pieces: list[ast.expr]) -> list[ast.stmt]:
    """Pieces of text that follow each other, appended as one."""
    if not pieces:
        return []
    text = pieces[0] if len(pieces) == 1 else ast.JoinedStr(pieces)
    if isinstance(text, ast.FormattedValue):
        text = text.value
    line = ast.Constant(None, lineno=getattr(pieces[0], "lineno", 1), col_offset=0)
    return [_at(ast.Expr(_call("append", text)), line)]


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_name(name), list(arguments), [])


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _at(node: _Placed, place: ast.expr | ast.stmt) -> _Placed:
    """The statement or expression, on the template's line; its parts follow (`_place`)."""
    if not hasattr(node, "lineno"):
        node.lineno = place.lineno
    return node


def _place(module: ast.Module) -> None:
    """Give a line to every node: its own, else that of the one around it."""
    waiting: list[tuple[ast.AST, int]] = [(module, 1)]
    while waiting:
        node, line = waiting.pop()
        if node._attributes:
            line = node.__dict__.get("lineno", line)
            node.__dict__.update(lineno=line, end_lineno=line, col_offset=0, end_col_offset=0)
        waiting += [(part, line) for part in children(node)]
