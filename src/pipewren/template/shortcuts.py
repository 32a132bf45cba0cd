"""Typed parameters bound when a template compiles: `Int32(n, 10)` as one function of the value.

A call of a type function with constants for all but its first argument is bound to them here. The
function that comes out takes the short way for what nearly every request sends, text that is valid
and not odd, and else the way of `parameter_types.py` and `printing.py`, which are the rule: a
short way gives the same value or the same text, and raises nothing of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipewren.template.escaping import needs_escape, quote_text
from pipewren.template.limits import MAX_VALUE_SIZE
from pipewren.template.parameter_types import (
    TYPE_FUNCTIONS,
    bounds_of,
    convert_array,
    match_date,
    match_date_time,
    match_float,
)
from pipewren.template.printing import show
from pipewren.template.run import Run, charge
from pipewren.template.values import FLOAT_CLASSES, INTEGER_CLASSES

Read = Callable[[Run, Any], Any]  # a parameter's value -> the typed value
Print = Callable[[Run, Any], str]  # a parameter's value -> SQL, counted as output

_MAX_DIGITS = 18  # fits 64 bits whatever the digits
_MAX_DATE_CHARACTERS = 40
_PLAIN_INTEGERS = ("Int", "Integer")
_TEXT_ONLY = frozenset((str,))


def make_reader(name: str, parameter: str, constants: Mapping[str, Any]) -> Read | None:
    """The type function `name` with `constants` for its arguments behind the first; None where
    there is no short way."""
    if name in INTEGER_CLASSES or name in _PLAIN_INTEGERS:
        return _make_integer_reader(name, parameter, constants)
    return None


def make_printer(
    name: str, parameter: str, constants: Mapping[str, Any], source: str
) -> Print | None:
    """The same, printed as `{{ }}` prints it; `source` is the expression's."""
    if name in INTEGER_CLASSES or name in _PLAIN_INTEGERS:
        return _make_integer_printer(name, parameter, constants, source)
    if name in FLOAT_CLASSES:
        return _make_float_printer(name, parameter, constants, source)
    if name in ("String", "Date", "DateTime"):
        return _make_text_printer(name, parameter, constants, source)
    if name == "Array" and constants.get("type", "String") == "String":
        return _make_list_printer(parameter, constants, source)
    return None


def _make_integer_reader(name: str, parameter: str, constants: Mapping[str, Any]) -> Read:
    function = TYPE_FUNCTIONS[name]
    kind: type[int] = INTEGER_CLASSES.get(name, int)
    high = _highest(name)

    def read(run: Run, value: Any) -> Any:
        if (
            type(value) is str
            and len(value) <= _MAX_DIGITS
            and value.isdigit()
            and value.isascii()
            and (number := int(value)) <= high
        ):
            return kind(number)
        return function(run, parameter, value, **constants)

    return read


def _make_integer_printer(
    name: str, parameter: str, constants: Mapping[str, Any], source: str
) -> Print:
    function = TYPE_FUNCTIONS[name]
    head, tail = ("", "") if name in _PLAIN_INTEGERS else (f"to{name}('", "')")
    high = _highest(name)

    def print_integer(run: Run, value: Any) -> str:
        if (
            type(value) is str
            and len(value) <= _MAX_DIGITS
            and value.isdigit()
            and value.isascii()
            and (number := int(value)) <= high
        ):
            text = f"{head}{number}{tail}"
            left = run.output_left - len(text)
            if left >= 0:
                run.output_left = left
                return text
        return show(run, function(run, parameter, value, **constants), source)

    return print_integer


def _make_float_printer(
    name: str, parameter: str, constants: Mapping[str, Any], source: str
) -> Print:
    function = TYPE_FUNCTIONS[name]

    def print_float(run: Run, value: Any) -> str:
        if type(value) is str and len(value) <= _MAX_DATE_CHARACTERS and match_float(value):
            text = f"to{name}('{float(value)!r}')"
            left = run.output_left - len(text)
            if left >= 0:
                run.output_left = left
                return text
        return show(run, function(run, parameter, value, **constants), source)

    return print_float


def _make_text_printer(
    name: str, parameter: str, constants: Mapping[str, Any], source: str
) -> Print:
    function = TYPE_FUNCTIONS[name]
    match = {"Date": match_date, "DateTime": match_date_time}.get(name)

    def print_text(run: Run, value: Any) -> str:
        if (
            type(value) is str
            and (match is None or match(value) is not None)
            and needs_escape(value) is None
        ):
            left = run.output_left - len(value) - 2
            if left >= 0:
                run.output_left = left
                return f"'{value}'"
        return show(run, function(run, parameter, value, **constants), source)

    return print_text


def _make_list_printer(parameter: str, constants: Mapping[str, Any], source: str) -> Print:
    def print_list(run: Run, value: Any) -> str:
        kind = type(value)
        items = value.split(",") if kind is str else value
        if (kind is str or kind is list) and _TEXT_ONLY.issuperset(map(type, items)):
            size = sum(map(len, items))
            if 6 * len(items) + 2 * size < MAX_VALUE_SIZE:  # each character may be escaped
                charge(run, 8 * len(items) + size)
                text = f"[{','.join(map(quote_text, items))}]"
                left = run.output_left - len(text)
                if left >= 0:
                    run.output_left = left
                    return text
        return show(run, convert_array(run, parameter, value, **constants), source)

    return print_list


def _highest(name: str) -> int:
    return bounds_of("Int32" if name in _PLAIN_INTEGERS else name)[1]
