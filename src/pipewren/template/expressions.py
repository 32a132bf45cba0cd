"""Expressions: Python's tree in, a tree of calls of our own functions out (templating.md 8).

This is the whitelist. What is not named here is refused when the template compiles. Names of the
template never become names of the code: a parameter is `p('name')`, a variable of the template
`v_name`; nothing is looked up by attribute. No text is ever pasted into code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple

from pipewren.template.calls import bind, parameter_name
from pipewren.template.failures import DEFINED, NOT_A_FUNCTION
from pipewren.template.functions import (
    BUILTIN_FUNCTIONS,
    FUNCTIONS,
    PYTHON_NAMES,
    Function,
    unknown_function,
)
from pipewren.template.limits import MAX_INTEGER_BITS
from pipewren.template.methods import METHOD_NAMES, OUTPUT_METHODS
from pipewren.template.names import (
    check_parameter_name,
    is_dunder,
    make_target,
    reject,
    shape_of,
    target_names,
)
from pipewren.template.shortcuts import make_printer, make_reader

_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply"}
_CONTROL_BINARY = {ast.Div: "divide", ast.FloorDiv: "divide_whole", ast.Mod: "remainder"}
_SQL_OPERATORS = {
    "in": "in",
    "not_in": "not in",
    "gt": ">",
    "lt": "<",
    "gte": ">=",
    "lte": "<=",
}


class _Typed(NamedTuple):
    """A call of a type function with constants for all but its first argument."""

    name: str
    parameter: str
    constants: dict[str, Any]
    value: ast.expr
    made: ast.expr  # held, so that its id stays its own


class Translator:
    """Translates the expressions of one template; `locals` are the names that it assigns."""

    def __init__(self, assigned: frozenset[str], max_depth: int) -> None:
        self._assigned = assigned
        self._max_depth = max_depth
        self._depth = 0
        self._loop_names: list[frozenset[str]] = []
        self._typed: dict[int, _Typed] = {}  # by the id of the node that was made for it
        # Functions that the code calls besides those of the language, by their names in it.
        self.bound: dict[str, Callable[..., Any]] = {}

    def output(self, node: ast.expr, source: str) -> ast.expr:
        """An expression of `{{ }}`: its text as SQL. `source` is shown when it is null."""
        value = self._expression(node, is_output=True)
        typed = self._typed.get(id(value))
        if typed is not None:
            printer = make_printer(typed.name, typed.parameter, typed.constants, source)
            if printer is not None:
                return self._bind(printer, typed.value)
        return _call("show", _load_run(), value, ast.Constant(source))

    def control(self, node: ast.expr) -> ast.expr:
        """An expression of `{% %}`."""
        return self._expression(node, is_output=False)

    def _expression(self, node: ast.expr, *, is_output: bool) -> ast.expr:
        self._depth += 1
        try:
            if self._depth > self._max_depth:
                raise reject(node, f"the expression is nested more than {self._max_depth} deep")
            return self._translate(node, is_output)
        finally:
            self._depth -= 1

    def _translate(self, node: ast.expr, is_output: bool) -> ast.expr:
        match node:
            case ast.Constant():
                return _constant(node)
            case ast.Name():
                return self._name(node)
            case ast.Call():
                return self._call(node, is_output)
            case ast.UnaryOp():
                return self._unary(node, is_output)
            case ast.BinOp():
                return self._binary(node, is_output)
            case ast.IfExp():
                parts = (node.test, node.body, node.orelse)
                test, body, orelse = (self._expression(part, is_output=is_output) for part in parts)
                return ast.IfExp(test, body, orelse)
            case ast.Subscript():
                return self._subscript(node, is_output)
            case ast.List() | ast.Tuple():
                elements = [self._element(item, is_output) for item in node.elts]
                return type(node)(elements, ast.Load())
            case ast.Set():
                elements = [self._hashable(item, is_output) for item in node.elts]
                return ast.Set(elements)
            case ast.Dict():
                if any(key is None for key in node.keys):
                    raise reject(node, "Invalid expression type: ** in a dict")
                keys = [self._hashable(key, is_output) for key in node.keys if key is not None]
                values = [self._element(item, is_output) for item in node.values]
                return ast.Dict([*keys], values)
            case ast.JoinedStr():
                return self._joined(node, is_output)
            case ast.BoolOp() if not is_output:
                values = [self._expression(item, is_output=False) for item in node.values]
                return ast.BoolOp(node.op, values)
            case ast.Compare() if not is_output:
                return self._compare(node)
            case ast.ListComp() | ast.GeneratorExp() if not is_output:
                return self._comprehension(node)
            case _:
                raise reject(node, f"Invalid expression type: {type(node).__name__}")

    def _name(self, node: ast.Name) -> ast.expr:
        name = node.id
        if is_dunder(name):
            raise reject(node, f"Invalid name: {name}")
        for number, names in reversed(list(enumerate(self._loop_names))):
            if name in names:
                return ast.Name(f"c{number}_{name}", ast.Load())
        check_parameter_name(node, name)
        if name in self._assigned:
            return ast.Name(f"v_{name}", ast.Load())
        if name in FUNCTIONS and name not in BUILTIN_FUNCTIONS:
            raise reject(node, f"{name} is a function of the language: call it, as in {name}(...)")
        if name in PYTHON_NAMES:
            return _call("read_builtin", ast.Name("p", ast.Load()), ast.Constant(name))
        return ast.Call(ast.Name("p", ast.Load()), [ast.Constant(name)], [])

    def _unary(self, node: ast.UnaryOp, is_output: bool) -> ast.expr:
        operand = self._expression(node.operand, is_output=is_output)
        if isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, operand)
        if isinstance(node.op, ast.USub):
            return _call("negate", operand)
        raise reject(node, f"Invalid UnaryOp: {type(node.op).__name__}()")

    def _binary(self, node: ast.BinOp, is_output: bool) -> ast.expr:
        name = _BINARY.get(type(node.op))
        if name is None and not is_output:
            name = _CONTROL_BINARY.get(type(node.op))
        if name is None:
            raise reject(node, f"Invalid BinOp: {type(node.op).__name__}()")
        left = self._expression(node.left, is_output=is_output)
        right = self._expression(node.right, is_output=is_output)
        return _call(name, _load_run(), left, right)

    def _compare(self, node: ast.Compare) -> ast.expr:
        operands = [
            self._expression(item, is_output=False) for item in (node.left, *node.comparators)
        ]
        names = [type(operator).__name__ for operator in node.ops]
        if len(names) == 1:
            return _call("compare", _load_run(), ast.Constant(names[0]), *operands)
        # As in Python: each operand is computed once, and none behind a comparison that is false.
        parts: list[ast.expr] = [
            _call("compare_and_hold", _load_run(), ast.Constant(names[0]), *operands[:2])
        ]
        for number in range(1, len(names)):
            is_last = number == len(names) - 1
            helper = "compare_held" if is_last else "compare_held_and_hold"
            name = ast.Constant(names[number])
            parts.append(_call(helper, _load_run(), name, operands[number + 1]))
        return ast.BoolOp(ast.And(), parts)

    def _subscript(self, node: ast.Subscript, is_output: bool) -> ast.expr:
        value = self._expression(node.value, is_output=is_output)
        index = node.slice
        if isinstance(index, ast.Slice):
            bounds: list[ast.expr] = []
            for bound in (index.lower, index.upper, index.step):
                if is_output and bound is not None and not isinstance(bound, ast.Constant):
                    raise reject(node, "Invalid Slice expression: bounds are constants in {{ }}")
                bounds.append(
                    ast.Constant(None)
                    if bound is None
                    else self._expression(bound, is_output=is_output)
                )
            return _call("get_slice", _load_run(), value, *bounds)
        if is_output and not isinstance(index, (ast.Constant, ast.Subscript)):
            raise reject(node, "Invalid Slice expression: an index is a constant in {{ }}")
        return _call("get_item", _load_run(), value, self._expression(index, is_output=is_output))

    def _element(self, node: ast.expr, is_output: bool) -> ast.expr:
        if isinstance(node, ast.Starred):
            raise reject(node, "Invalid expression type: Starred")
        return self._expression(node, is_output=is_output)

    def _hashable(self, node: ast.expr, is_output: bool) -> ast.expr:
        if isinstance(node, (ast.Set, ast.Dict, ast.List)):  # `{% if defined({{x}}) %}`
            raise reject(node, NOT_A_FUNCTION, anchor=DEFINED)
        return _call("weigh", _load_run(), self._element(node, is_output))

    def _joined(self, node: ast.JoinedStr, is_output: bool) -> ast.expr:
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(part)
                continue
            if (
                not isinstance(part, ast.FormattedValue)
                or part.format_spec is not None
                or part.conversion != -1
            ):
                raise reject(node, "an f-string takes plain {values}, without formats")
            parts.append(self._expression(part.value, is_output=is_output))
        return _call("join_text", _load_run(), ast.Tuple(parts, ast.Load()))

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> ast.expr:
        if len(node.generators) != 1:
            raise reject(node, "a comprehension has one `for`")
        loop = node.generators[0]
        if loop.is_async:
            raise reject(node, "Invalid expression type: async comprehension")
        iterable = self._expression(loop.iter, is_output=False)
        names = frozenset(target_names(loop.target))
        number = len(self._loop_names)
        self._loop_names.append(names)
        try:
            element = self._expression(node.elt, is_output=False)
            conditions = [self._expression(one, is_output=False) for one in loop.ifs]
        finally:
            self._loop_names.pop()
        target = make_target(loop.target, f"c{number}_")
        items = _call("iterate", _load_run(), iterable, ast.Constant(0), shape_of(loop.target))
        generator = ast.comprehension(target, items, conditions, 0)
        return ast.ListComp(element, [generator])

    def _call(self, node: ast.Call, is_output: bool) -> ast.expr:
        if any(isinstance(argument, ast.Starred) for argument in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            raise reject(node, "Invalid expression type: Starred")
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, is_output)
        if not isinstance(node.func, ast.Name):
            raise reject(node, NOT_A_FUNCTION, anchor=DEFINED)
        name = node.func.id
        if is_dunder(name):
            raise reject(node, f"Invalid name: {name}")
        function = FUNCTIONS.get(name)
        if function is None or (is_output and not function.in_output):
            raise reject(node, unknown_function(name))
        if name == "sql_and":
            return self._sql_and(node, is_output)
        return self._function(node, function, is_output)

    def _method(self, node: ast.Call, function: ast.Attribute, is_output: bool) -> ast.expr:
        name = function.attr
        if name not in (OUTPUT_METHODS if is_output else METHOD_NAMES):
            raise reject(node, f"Invalid method name: {name}")
        if node.keywords:
            raise reject(node, f"the method {name} takes no named arguments here")
        value = self._expression(function.value, is_output=is_output)
        arguments = [self._expression(one, is_output=is_output) for one in node.args]
        return _call(
            "call_method", _load_run(), value, ast.Constant(name), ast.Tuple(arguments, ast.Load())
        )

    def _function(self, node: ast.Call, function: Function, is_output: bool) -> ast.expr:
        arguments = bind(node, function)
        if isinstance(arguments, str):  # as in the reference, an error of the render
            return _call("raise_type_error", ast.Constant(arguments))
        call = ast.Call(ast.Name(f"f_{function.name}", ast.Load()), [_load_run()], [])
        if function.takes_parameter:
            call.args.append(ast.Constant(parameter_name(node, function, arguments)))
        if function.variadic:
            call.args += [self._expression(one, is_output=is_output) for one in node.args]
            return call
        for position, (name, argument) in enumerate(arguments.items()):
            if name in function.ignored:
                continue
            is_keyword = any(keyword.value is argument for keyword in node.keywords)
            value = self._expression(argument, is_output=is_output and not is_keyword)
            if position == 0 and name == function.signature[0]:
                call.args.append(value)
            else:
                call.keywords.append(ast.keyword(name, value))
        return self._shorten(function, call) if function.is_type else call

    def _shorten(self, function: Function, call: ast.Call) -> ast.Call:
        """The call of a type function, with its constants bound if it has no other arguments."""
        constants: dict[str, Any] = {}
        for keyword in call.keywords:
            if not isinstance(keyword.value, ast.Constant):
                return call
            constants[str(keyword.arg)] = keyword.value.value
        _, parameter, value = call.args
        assert isinstance(parameter, ast.Constant)
        name = str(parameter.value)
        reader = make_reader(function.name, name, constants)
        made = call if reader is None else self._bind(reader, value)
        self._typed[id(made)] = _Typed(function.name, name, constants, value, made)
        return made

    def _bind(self, function: Callable[..., Any], value: ast.expr) -> ast.Call:
        name = f"b_{len(self.bound)}"
        self.bound[name] = function
        return ast.Call(ast.Name(name, ast.Load()), [_load_run(), value], [])

    def _sql_and(self, node: ast.Call, is_output: bool) -> ast.expr:
        if node.args:
            raise reject(node, "sql_and takes conditions only, as in column=value")
        names: list[ast.expr] = []
        values: list[ast.expr] = []
        for keyword in node.keywords:
            column, separator, word = str(keyword.arg).rpartition("__")
            if not separator:
                column, operator = word, "="
            else:
                known = _SQL_OPERATORS.get(word)
                if known is None:
                    raise reject(
                        node,
                        f"operand {word} not supported: sql_and has {', '.join(_SQL_OPERATORS)}",
                        anchor="sql_and",
                    )
                operator = known
            names.append(ast.Tuple([ast.Constant(column), ast.Constant(operator)], ast.Load()))
            values.append(self._expression(keyword.value, is_output=False))
        return _call(
            "f_sql_and",
            _load_run(),
            ast.Tuple(values, ast.Load()),
            ast.Tuple(names, ast.Load()),
        )


def _constant(node: ast.Constant) -> ast.expr:
    value = node.value
    if value is not None and type(value) not in (bool, int, float, str):
        raise reject(node, f"Invalid Constant: {type(value).__name__}")
    if type(value) is int and value.bit_length() > MAX_INTEGER_BITS:
        raise reject(node, f"Invalid Constant: a number of over {MAX_INTEGER_BITS} bits")
    return ast.Constant(value)


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _load_run() -> ast.expr:
    return ast.Name("run", ast.Load())
