"""How large a value is, and its text: bounded before anything is computed.

Lists can hold one list many times, so that a short template makes a value that takes years to walk:
every walk goes through here.
"""

from __future__ import annotations

from typing import Any

from pipewren.template.failures import failure
from pipewren.template.limits import MAX_INTEGER_BITS, MAX_VALUE_SIZE, MAX_WEIGHED_DEPTH
from pipewren.template.run import Run, charge
from pipewren.template.values import PLACEHOLDER_TEXT, Fragment, Placeholder, PythonBuiltin


def weigh(run: Run, value: Any) -> Any:
    """`value` itself, once its size has been counted; for operands that Python walks."""
    kind = type(value)
    if kind is str:
        run.steps_left -= len(value) >> 6
        if run.steps_left < 0:
            charge(run, 0)
    elif isinstance(value, (list, tuple, dict, set)):
        _weigh_items(run, value, 0)
    return value


def _weigh_items(run: Run, value: Any, depth: int) -> None:
    if depth > MAX_WEIGHED_DEPTH:
        raise failure("lists are nested too deeply")
    charge(run, len(value))
    if isinstance(value, dict):
        _weigh_items(run, list(value.values()), depth + 1)
    for item in value:
        if isinstance(item, (list, tuple, dict, set)):
            _weigh_items(run, item, depth + 1)
        elif type(item) is str and len(item) > 64:
            charge(run, len(item))


def check_size(size: int) -> int:
    """Raises when a value of this size is over the limit."""
    if size > MAX_VALUE_SIZE:
        raise failure(f"a value of size {size} is over the limit of {MAX_VALUE_SIZE}")
    return size


def check_bits(bits: int) -> None:
    """Raises when an integer of this many bits is over the limit."""
    if bits > MAX_INTEGER_BITS:
        raise failure(f"a number of over {MAX_INTEGER_BITS} bits is too large")


def measure_text(run: Run, value: object) -> str:
    """`text_of`, its size counted."""
    if type(value) is str:
        charge(run, len(value))
        return value
    text = text_of(value)
    charge(run, 8 * len(text))  # made item by item
    return text


def text_of(value: object) -> str:
    """Python's `str(value)`, bounded. Raises TemplateError."""
    if type(value) is str:
        return value
    if isinstance(value, int):
        check_bits(value.bit_length())
        return bool.__str__(value) if type(value) is bool else int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if value is None:
        return "None"
    if isinstance(value, (Fragment, PythonBuiltin)):
        return value.text
    if isinstance(value, Placeholder):
        return PLACEHOLDER_TEXT
    if not isinstance(value, (list, tuple, dict, set, range)):
        raise failure(f"a value of type {type(value).__name__} has no place in a template")
    pieces: list[str] = []
    _write(value, pieces, MAX_VALUE_SIZE, 0)
    return "".join(pieces)


def _write(value: object, pieces: list[str], left: int, depth: int) -> int:
    """Append the text of `value` as Python's `repr` has it; returns the characters left."""
    if depth > MAX_WEIGHED_DEPTH:
        raise failure("lists are nested too deeply")
    if isinstance(value, dict):
        left = _append("{", pieces, left)
        for number, (key, item) in enumerate(value.items()):
            left = _append(", ", pieces, left) if number else left
            left = _append(": ", pieces, _write(key, pieces, left, depth + 1))
            left = _write(item, pieces, left, depth + 1)
        return _append("}", pieces, left)
    if isinstance(value, (list, tuple, set)):
        opening, closing = _BRACKETS.get(type(value), ("[", "]"))
        left = _append(opening, pieces, left)
        for number, item in enumerate(value):
            left = _append(", ", pieces, left) if number else left
            left = _write(item, pieces, left, depth + 1)
        return _append(closing, pieces, left)
    text = text_of(value) if not isinstance(value, range) else repr(value)
    is_text = isinstance(value, (str, Fragment, Placeholder))
    return _append(repr(text) if is_text else text, pieces, left)


_BRACKETS: dict[type, tuple[str, str]] = {tuple: ("(", ")"), set: ("{", "}")}


def _append(text: str, pieces: list[str], left: int) -> int:
    left -= len(text)
    if left < 0:
        raise failure(f"a value's text is over the limit of {MAX_VALUE_SIZE} characters")
    pieces.append(text)
    return left
