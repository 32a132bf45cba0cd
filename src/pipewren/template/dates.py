"""Differences of dates (templating.md section 5)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from pipewren.template.failures import failure, shorten
from pipewren.template.measures import text_of
from pipewren.template.run import Run, charge
from pipewren.template.values import Placeholder

_DAY = "%Y-%m-%d"
_SECOND = "%Y-%m-%d %H:%M:%S"
_MAX_CHARACTERS = 100
_READING_CHARACTERS = 1_000  # what reading two dates counts as: about 16 steps
_UNITS_S = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def count_days(run: Run, first: Any = None, second: Any = None) -> Any:
    """`day_diff`: absolute, whole days."""
    return _difference(run, "day_diff", "days", first, second, _DAY, None, False)


def _difference(
    run: Run,
    function: str,
    unit: str,
    first: Any,
    second: Any,
    date_format: Any,
    backup_date_format: Any,
    none_if_error: Any,
) -> Any:
    if isinstance(first, Placeholder) or isinstance(second, Placeholder):
        return 0
    charge(run, _READING_CHARACTERS)
    formats = [one for one in (date_format, backup_date_format) if one is not None]
    try:
        dates = [_read(value, formats) for value in (first, second)]
    except ValueError:
        if none_if_error:
            return None
        shown = " and ".join(
            "nothing" if one is None else f"'{shorten(text_of(one), 40)}'"
            for one in (first, second)
        )
        raise failure(
            f"invalid date format in function `{function}`: it got {shown}, and takes dates as "
            f"{' or '.join(text_of(one) for one in formats)}",
            anchor="date_diff_in_days",
        ) from None
    return int(abs((dates[0] - dates[1]).total_seconds())) // _UNITS_S[unit]


def _read(value: Any, formats: list[Any]) -> datetime:
    if value is None:
        raise ValueError
    text = text_of(value)
    if len(text) > _MAX_CHARACTERS or not text.isascii():
        raise ValueError
    for number, one in enumerate(formats):
        date_format = text_of(one)
        if len(date_format) > _MAX_CHARACTERS:
            raise ValueError
        try:
            return datetime.strptime(text, date_format).replace(tzinfo=None)
        except (ValueError, re.error):  # re.error: a directive that is there twice
            if number == len(formats) - 1:
                raise ValueError from None
    raise ValueError


def _make(unit: str) -> Any:
    default = _DAY if unit == "days" else _SECOND

    def difference(
        run: Run,
        first: Any = None,
        second: Any = None,
        date_format: Any = default,
        backup_date_format: Any = None,
        none_if_error: Any = False,
    ) -> Any:
        return _difference(
            run,
            f"date_diff_in_{unit}",
            unit,
            first,
            second,
            date_format,
            backup_date_format,
            none_if_error,
        )

    return difference


DATE_DIFFERENCES = {f"date_diff_in_{unit}": _make(unit) for unit in _UNITS_S}
