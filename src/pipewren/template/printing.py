"""What `{{ expression }}` prints (templating.md section 3)."""

from __future__ import annotations

from typing import Any

from pipewren.template.escaping import quote_item, quote_text
from pipewren.template.failures import failure
from pipewren.template.limits import MAX_VALUE_SIZE, MAX_WEIGHED_DEPTH
from pipewren.template.measures import check_bits, text_of
from pipewren.template.run import Run, count_output
from pipewren.template.values import (
    NUMBER_HEADS,
    PLACEHOLDER_TEXT,
    Fragment,
    Placeholder,
    PythonBuiltin,
    SqlArray,
)

_SHOWN_SOURCE = 20


def show(run: Run, value: Any, source: str) -> str:
    """The text of a value as SQL. `source` is the expression's, for the error that it is null."""
    kind = type(value)
    if kind is str:
        text = quote_text(value)
    elif kind is int:
        check_bits(value.bit_length())
        text = str(value)
    else:
        text = print_value(value, source)
    run.output_left -= len(text)
    if run.output_left < 0:
        count_output(run, 0)
    return text


def print_value(value: Any, source: str) -> str:
    """The text of one value. Raises TemplateError for what has none: null, a dict, a set."""
    kind = type(value)
    head = NUMBER_HEADS.get(kind)
    if head is not None:
        return f"{head}{text_of(value)}')"
    if kind is str:
        return quote_text(value)
    if kind is Fragment:
        return str(value.text)
    if kind is int:
        check_bits(value.bit_length())
        return str(value)
    if kind is bool or kind is float:
        return str(value)
    if kind is SqlArray or kind is list or kind is tuple or kind is range:
        pieces: list[str] = []
        _print_list(value, "()" if kind is tuple else "[]", pieces, MAX_VALUE_SIZE, 0)
        return "".join(pieces)
    if value is None:
        shown = source if len(source) <= _SHOWN_SOURCE else source[:_SHOWN_SOURCE] + "..."
        raise failure(f'expression "{shown}" evaluated to null')
    if kind is Placeholder:
        return quote_text(PLACEHOLDER_TEXT)
    if kind is PythonBuiltin:
        return quote_text(value.text)
    raise failure(
        f"a {kind.__name__} cannot be printed into SQL: take a value of it, as in x['key']"
    )


def _print_list(items: Any, brackets: str, pieces: list[str], left: int, depth: int) -> int:
    """`[1,2]` or `['a','b']`; returns the characters that are left. What `Array()` has checked
    prints bare, everything else in the safe form."""
    if depth > MAX_WEIGHED_DEPTH:
        raise failure("lists are nested too deeply")
    is_checked = type(items) is SqlArray
    pieces.append(brackets[0])
    for number, item in enumerate(items):
        if number:
            pieces.append(",")
        if type(item) in (list, tuple, SqlArray):
            shape = "()" if type(item) is tuple else "[]"
            left = _print_list(item, shape, pieces, left, depth + 1)
            continue
        text = _print_item(item, is_checked)
        left -= len(text) + 1
        if left < 0:
            raise failure(f"a list's text is over the limit of {MAX_VALUE_SIZE} characters")
        pieces.append(text)
    pieces.append(brackets[1])
    return left - 2


def _print_item(item: Any, is_checked: bool) -> str:
    if type(item) is str:
        return quote_text(item) if is_checked else quote_item(item)
    if is_checked and isinstance(item, (int, float)):
        return text_of(item)
    return "NULL" if item is None else print_value(item, "element")
