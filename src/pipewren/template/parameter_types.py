"""The typed parameters: `Int32(n, 10)`, `Date(d)`, `Array(a, 'Int32')` (templating.md section 4).

Each takes the run, the parameter's name for messages, its value, and what the author wrote. A
default is validated like a value. Digits are ASCII, and no trailing newline passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pipewren.template.failures import MissingParameter, failure, invalid_value, shorten
from pipewren.template.limits import MAX_NUMBER_CHARACTERS
from pipewren.template.measures import check_size, measure_text, text_of, weigh
from pipewren.template.run import Run, charge
from pipewren.template.values import (
    FLOAT_CLASSES,
    INTEGER_CLASSES,
    PLACEHOLDER_TEXT,
    Placeholder,
    SqlArray,
)

Convert = Callable[[str], Any]  # a text to a value; raises ValueError

_match_signed = re.compile(r"[+-]?[0-9]+").fullmatch
_match_unsigned = re.compile(r"[0-9]+").fullmatch
match_float = re.compile(
    r"[ \t]*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf|infinity)[ \t]*", re.I
).fullmatch
match_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_YEAR_FIRST = r"[0-9]{4}.[0-9]{2}.[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}"
_YEAR_LAST = r"[0-9]{2}.[0-9]{2}.[0-9]{4}.[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}"
# Prefixes: what follows is kept, and escaped like all of it.
match_date_time = re.compile(f"{_YEAR_FIRST}|{_YEAR_LAST}").match
match_date_time_64 = re.compile(f"{_YEAR_FIRST}.[0-9]{{3}}|{_YEAR_LAST}.[0-9]{{1,3}}").match


def _integer(kind: type[int], low: int, high: int, match: Any, text: str) -> int:
    if len(text) > MAX_NUMBER_CHARACTERS or match(text) is None:
        raise ValueError
    number = int(text)
    if not low <= number <= high:
        raise ValueError
    return kind(number)


def _float(kind: type[float], text: str) -> float:
    if len(text) > MAX_NUMBER_CHARACTERS or match_float(text) is None:
        raise ValueError
    return kind(text)


def _matching(match: Any, text: str) -> str:
    if match(text) is None:
        raise ValueError
    return text


def bounds_of(name: str) -> tuple[int, int]:
    """The lowest and the highest value of an integer type."""
    bits = int(name.lstrip("UInt"))
    return (0, 2**bits - 1) if name[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _make_converters() -> dict[str, Convert]:
    made: dict[str, Convert] = {"String": str}
    for name, kind in INTEGER_CLASSES.items():
        # The two widest unsigned types take a sign, as in the reference.
        is_signed = name[0] != "U" or name in ("UInt128", "UInt256")
        match = _match_signed if is_signed else _match_unsigned
        made[name] = partial(_integer, kind, *bounds_of(name), match)
    for name, float_kind in FLOAT_CLASSES.items():
        made[name] = partial(_float, float_kind)
    made["Int"] = made["Integer"] = partial(_integer, int, *bounds_of("Int32"), _match_signed)
    made["Date"] = partial(_matching, match_date)
    made["DateTime"] = partial(_matching, match_date_time)
    made["DateTime64"] = partial(_matching, match_date_time_64)
    return made


CONVERTERS: Mapping[str, Convert] = _make_converters()
_SHOWN_NAMES = {"Int": "Int32", "Integer": "Int32"}
_PLACEHOLDERS: Mapping[str, str] = {
    "String": PLACEHOLDER_TEXT,
    "Date": "2019-01-01",
    "DateTime": "2019-01-01 00:00:00",
    "DateTime64": "2019-01-01 00:00:00.000",
}


def describe_type(name: str) -> str:
    """What a value of the type looks like, for messages and the reference page."""
    if name in ("Int", "Integer"):
        name = "Int32"
    if name in INTEGER_CLASSES:
        low, high = bounds_of(name)
        if high > 2**64:
            bits = name.lstrip("UInt")
            return f"a whole number of {bits} bits" + (", not negative" if name[0] == "U" else "")
        return f"a whole number from {low} to {high}"
    return {
        "Float32": "a number, such as 1.5 or -2e3",
        "Float64": "a number, such as 1.5 or -2e3",
        "String": "any text",
        "Boolean": "0 or false for false, anything else for true",
        "Date": "a date as YYYY-MM-DD, such as 2024-05-06",
        "DateTime": "a time as YYYY-MM-DD hh:mm:ss, such as 2024-05-06 10:11:12",
        "DateTime64": "a time with milliseconds, such as 2024-05-06 10:11:12.345",
    }[name]


def _convert_value(
    type_name: str,
    convert: Convert,
    run: Run,
    parameter: str,
    value: Any = None,
    default: Any = None,
    defined: Any = True,
) -> Any:
    if value is None or type(value) is Placeholder:
        if type(value) is Placeholder and not default:
            return convert(_PLACEHOLDERS.get(type_name, "0"))
        value = default
        if value is None:
            if not defined:
                return None
            raise MissingParameter(parameter)
        if type(value) is Placeholder:
            return convert(_PLACEHOLDERS.get(type_name, "0"))
    text = value if type(value) is str else measure_text(run, value)
    try:
        return convert(text)
    except ValueError:
        shown_type = _SHOWN_NAMES.get(type_name, type_name)
        raise invalid_value(
            f"'{shorten(text)}'", shown_type, describe_type(shown_type), parameter
        ) from None


def _convert_text(
    run: Run, parameter: str, value: Any = None, default: Any = None, defined: Any = True
) -> Any:
    """`String`: any value is its text."""
    if type(value) is str:
        return value
    return _convert_value("String", str, run, parameter, value, default, defined)


def convert_boolean(run: Run, parameter: str, value: Any = None, default: Any = None) -> int:
    """Never fails: 0 and false are 0, so is a missing value; every other text is 1, but ''."""
    if value is None or type(value) is Placeholder:
        value = default
    if value is None or type(value) is Placeholder:
        return 0
    return _to_bit(measure_text(run, value))


def _to_bit(text: str) -> int:
    return int(text.lower() not in ("0", "false", ""))


def split_array(
    run: Run, parameter: str, type_name: Any, value: Any, default: Any, defined: Any
) -> Any:
    """`Array`: a text split at its commas, or a list; every element checked."""
    if type(value) is Placeholder and not default:
        element = _PLACEHOLDERS.get(type_name, "0") if type_name != "String" else ""
        return convert_elements(parameter, type_name, [element, element][: 1 + (element != "")])
    if value is None or type(value) is Placeholder:
        value = default
    if value is None or type(value) is Placeholder:
        if not defined:
            return None
        raise MissingParameter(parameter)
    if type(value) is str:
        items: list[Any] = value.split(",")
    elif isinstance(value, (list, tuple)):
        items = list(value)
    else:
        raise failure(
            "transform type function Array is not well defined: it takes a text or a list, not "
            f"{shorten(text_of(value), 40)}",
            anchor="transform-types-functions",
            parameter=parameter,
        )
    charge(run, 8 * check_size(len(items)))
    weigh(run, items)
    return convert_elements(parameter, type_name, items)


def convert_elements(parameter: str, type_name: Any, items: list[Any]) -> SqlArray:
    """Every element as `type_name` says; a type that is unknown takes any text, unchecked but
    printed as text."""
    if type_name == "Boolean":
        return SqlArray(_to_bit(text_of(item)) for item in items)
    shown_type = type_name if isinstance(type_name, str) else text_of(type_name)
    convert = CONVERTERS.get(shown_type, str)
    if convert is str:
        return SqlArray(item if type(item) is str else text_of(item) for item in items)
    converted = SqlArray()
    for index, item in enumerate(items):
        text = item if type(item) is str else text_of(item)
        try:
            value = convert(text)
        except ValueError:
            whole = shorten(",".join(text_of(one) for one in items[:100]))
            shown = shorten(text) or "empty string"
            raise invalid_value(
                f"[{whole}][{index}] ({shown})", shown_type, describe_type(shown_type), parameter
            ) from None
        converted.append(value)
    return converted


def convert_array(
    run: Run,
    parameter: str,
    value: Any = None,
    type: Any = "String",
    default: Any = None,
    defined: Any = True,
) -> Any:
    return split_array(run, parameter, type, value, default, defined)


def presplit(type_name: str, value: Any) -> Any:
    """A value of which the first use is `Array(name, type_name)`, as a list for the whole template;
    as it was when that fails (templating.md section 4)."""
    if type(value) is not str:
        return value
    convert = CONVERTERS.get(type_name, str)
    items = value.split(",")
    if len(items) > 100_000:
        return value
    if convert is str and type_name != "Boolean":
        return items
    try:
        if type_name == "Boolean":
            return [_to_bit(item) for item in items]
        plain = int if type_name in INTEGER_CLASSES or type_name in ("Int", "Integer") else None
        plain = float if type_name in FLOAT_CLASSES else plain  # type: ignore[assignment]
        return [plain(convert(item)) if plain else convert(item) for item in items]
    except ValueError:
        return value


TYPE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{
        name: partial(_convert_value, name, convert)
        for name, convert in CONVERTERS.items()
        if name != "String"
    },
    "String": _convert_text,
}
