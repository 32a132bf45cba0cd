"""Checks cron expressions of five fields: minute, hour, day of month, month, day of week."""

from __future__ import annotations

import re
from dataclasses import dataclass

ON_DEMAND = "@on-demand"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    words: tuple[str, ...] = ()  # the first one stands for `first`
    special: str = r"(?!)"  # what else may stand alone


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, special=r"[Ll]"),
    _Field(
        "month",
        1,
        12,
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
    ),
    _Field(
        "day of week",
        0,
        7,
        ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"),
        special=r"[0-7](#[1-5]|[Ll])",
    ),
)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def describe_bad_schedule(text: str) -> str | None:
    """What is wrong with a schedule, or None: it is `@on-demand` or a cron expression that some
    day comes true."""
    if text.lower() == ON_DEMAND:
        return None
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return (
            f"a cron expression has five fields (minute, hour, day of month, month, day of week), "
            f"and `{text}` has {len(parts)}"
        )
    values: list[frozenset[int] | None] = []
    for field, part in zip(_FIELDS, parts, strict=True):
        try:
            values.append(_read_field(field, part))
        except ValueError as error:
            return str(error)
    days, months, weekdays = values[2], values[3], parts[4]
    if days and months and weekdays in ("*", "?"):
        longest = max(_LONGEST_MONTH[month - 1] for month in months)
        if min(days) > longest:
            return f"day {min(days)} never comes in the months of `{text}`"
    return None


def _read_field(field: _Field, text: str) -> frozenset[int] | None:
    """The values of a field; None for those that depend on the calendar."""
    if text == "?" and field.name.startswith("day"):
        return frozenset(range(field.first, field.last + 1))
    values: set[int] = set()
    calendar = False
    for item in text.split(","):
        if re.fullmatch(field.special, item):
            calendar = True
            continue
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = field.first, field.last
        else:
            low = _read_value(field, first, item)
            high = _read_value(field, last, item) if dash else (field.last if slash else low)
        if low > high and field.name == "day of week" and high == 0:
            high = 7
        if low > high:
            raise ValueError(f"`{item}` in the field {field.name} runs backwards")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"`{item}` in the field {field.name} has a bad step")
        values.update(range(low, high + 1, int(step) if slash else 1))
    return None if calendar else frozenset(values)


def _read_value(field: _Field, text: str, item: str) -> int:
    if text.upper() in field.words:
        return field.first + field.words.index(text.upper())
    if text.isascii() and text.isdigit() and len(text) <= 2:
        value = int(text)
        if field.first <= value <= field.last:
            return value
    raise ValueError(
        f"`{item}` is not allowed in the field {field.name}: it takes {field.first} to {field.last}"
    )
