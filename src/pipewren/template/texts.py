"""Functions over texts, lists and JSON (templating.md section 5), and the few of Python's own that
the language has, with their sizes bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipewren.template.escaping import quote_text
from pipewren.template.failures import failure, shorten
from pipewren.template.limits import MAX_NUMBER_CHARACTERS
from pipewren.template.measures import check_size, measure_text, text_of
from pipewren.template.operators import add
from pipewren.template.printing import show
from pipewren.template.run import Run, charge
from pipewren.template.values import PLACEHOLDER, Fragment, Placeholder

_SHOWN_JSON = 16


def is_defined(run: Run, value: Any = None) -> bool:
    return value is not None and type(value) is not Placeholder


def parse_json(run: Run, parameter: str, value: Any = None, default: Any = None) -> Any:
    """`JSON(x)`: the parsed value, for `['key']`, `.get()` and loops."""
    if type(value) is Placeholder or value is None:
        if type(value) is Placeholder and default is None:
            return PLACEHOLDER
        value = "{}" if default is None else default
    if isinstance(value, (dict, list)):
        return value
    text = text_of(value)
    charge(run, check_size(len(text)))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        shown = text if len(text) <= _SHOWN_JSON else text[:_SHOWN_JSON] + "..."
        raise failure(f"Error parsing JSON: '{shown}' - {reason}", parameter=parameter) from None


def split_to_array(
    run: Run, parameter: str, value: Any = None, default: Any = "", separator: Any = ","
) -> Any:
    """The trimmed parts of a text."""
    if value is None or type(value) is Placeholder:
        value = default
    if type(value) is not str:
        raise failure(
            "First argument of split_to_array has to be a value that can be split, not "
            f"{shorten(text_of(value), 40)}",
            anchor="split_to_array",
            parameter=parameter,
        )
    if type(separator) is not str or not separator:
        raise failure("the separator of split_to_array is a text", anchor="split_to_array")
    charge(run, len(value))
    return [part.strip() for part in value.split(separator)]


def enumerate_with_last(run: Run, value: Any = None) -> Any:
    """Pairs (is_last, item)."""
    items = _items(run, value)
    return [(number == len(items) - 1, item) for number, item in enumerate(items)]


def unescape_sql(run: Run, value: Any = None, what: Any = "") -> Any:
    """A literal with `\\what` turned back into `what`, meant for `%`. A `what` that could end the
    literal has no effect."""
    if type(value) is Placeholder or value is None:
        return value
    literal = quote_text(measure_text(run, value))
    charge(run, 8 * len(literal))
    if type(what) is str and what and not set("'\"\\") & set(what):
        # Pairs of backslashes are stepped over, so that only an escape of `what` is undone.
        literal = re.sub(
            r"\\\\|\\" + re.escape(what),
            lambda found: found[0] if found[0] == "\\\\" else what,
            literal,
        )
    return Fragment(literal)


def join_conditions(run: Run, values: tuple[Any, ...], names: tuple[tuple[str, str], ...]) -> Any:
    """`sql_and`: (column, operator) and value, those that are None left out."""
    conditions = [
        f"{column} {operator} {show(run, value, column)}"
        for (column, operator), value in zip(names, values, strict=True)
        if value is not None
    ]
    return Fragment(" and ".join(conditions))


def _items(run: Run, value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple, str, dict, set, range, Placeholder)):
        raise TypeError(f"'{type(value).__name__}' object is not iterable")
    charge(run, check_size(len(value)))
    return list(value)


def _length(run: Run, value: Any) -> int:
    if isinstance(value, Placeholder):
        return len(value)
    if not isinstance(value, (list, tuple, str, dict, set, range)):
        raise TypeError(f"object of type '{type(value).__name__}' has no len()")
    return len(value)


def _to_int(run: Run, value: Any = 0) -> Any:
    if isinstance(value, Placeholder):
        return 0
    if isinstance(value, str) and len(value) > MAX_NUMBER_CHARACTERS:
        raise failure("the text is too long for a number")
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"int() takes a text or a number, not {type(value).__name__}")
    return int(value)


def _to_float(run: Run, value: Any = 0.0) -> Any:
    if isinstance(value, Placeholder):
        return 0.0
    if isinstance(value, str) and len(value) > MAX_NUMBER_CHARACTERS:
        raise failure("the text is too long for a number")
    if not isinstance(value, (str, int, float)):
        raise TypeError(f"float() takes a text or a number, not {type(value).__name__}")
    return float(value)


def _extreme(pick: Any) -> Any:
    def find(run: Run, *values: Any) -> Any:
        items = _items(run, values[0]) if len(values) == 1 else list(values)
        if any(isinstance(item, Placeholder) for item in items):
            return PLACEHOLDER
        if any(isinstance(item, (list, tuple, dict, set)) for item in items):
            raise TypeError("min() and max() take numbers or texts")
        return pick(items)

    return find


def _to_range(run: Run, *bounds: Any) -> Any:
    if any(isinstance(bound, Placeholder) for bound in bounds):
        return range(3)
    made = range(*(int(bound) if isinstance(bound, int) else bound for bound in bounds))
    check_size(len(made))
    return made


def _sum(run: Run, value: Any) -> Any:
    total: Any = 0
    for item in _items(run, value):
        total = add(run, total, item)
    return total


def _sort(run: Run, value: Any) -> Any:
    items = _items(run, value)
    charge(run, 16 * len(items))
    if any(isinstance(item, (list, tuple, dict, set)) for item in items):
        raise TypeError("sorted() takes a list of numbers or texts")
    return sorted(items)


def _round(run: Run, value: Any, digits: Any = None) -> Any:
    if isinstance(value, Placeholder):
        return 0
    if not isinstance(value, (int, float)) or not isinstance(digits, (int, type(None))):
        raise TypeError("round() takes a number and a number of digits")
    return round(value, digits if digits is None else max(-400, min(digits, 400)))


def _absolute(run: Run, value: Any) -> Any:
    if isinstance(value, Placeholder):
        return 0
    if not isinstance(value, (int, float)):
        raise TypeError(f"bad operand type for abs(): '{type(value).__name__}'")
    return abs(value)


# `{{ }}` has the first six, `{% %}` all.
OUTPUT_BUILTINS: Mapping[str, Any] = {
    "len": _length,
    "list": _items,
    "min": _extreme(min),
    "max": _extreme(max),
    "int": _to_int,
    "float": _to_float,
}
CONTROL_BUILTINS: Mapping[str, Any] = {
    "range": _to_range,
    "str": lambda run, value="": measure_text(run, value),
    "bool": lambda run, value=False: bool(value),
    "sum": _sum,
    "sorted": _sort,
    "abs": _absolute,
    "round": _round,
    "tuple": lambda run, value: tuple(_items(run, value)),
    "reversed": lambda run, value: _items(run, value)[::-1],
    "enumerate": lambda run, value, start=0: [
        (number + start, item) for number, item in enumerate(_items(run, value))
    ],
    "zip": lambda run, *values: list(zip(*(_items(run, value) for value in values), strict=False)),
    "any": lambda run, value: any(_items(run, value)),
    "all": lambda run, value: all(_items(run, value)),
}
