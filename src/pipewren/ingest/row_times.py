"""Dates and times of JSON -> values that ClickHouse stores as they are meant.

The engine saturates (2300 -> 2106), wraps (day 70000 -> 1982) and rolls over (30 February ->
1 March) without a word, so ranges are checked here. Numbers are read by their magnitude, whatever
the column's precision: seconds below 1e11, then milliseconds, microseconds from 1e14, nanoseconds
from 1e17. ClickHouse itself has read a bare number as ticks of the column in some versions and as
seconds in others, and as here when it is quoted; by magnitude `Date.now()` and `time.time()` mean
what they say in every column.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Context, Decimal
from zoneinfo import ZoneInfo

import msgspec

from pipewren.ingest.row_faults import Unfit, Unsure
from pipewren.ingest.row_types import ValueType

Check = Callable[[bytes], bytes]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DATE_TIME_S = 2**32 - 1
_FIRST_DAY, _MAX_DAY = date(1970, 1, 1), 65_535
# Of years 1 to 9999, in seconds; the engine stores all of them exactly where the ticks have room.
_MIN_S, _MAX_S = -62_135_596_800, 253_402_300_799
_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})|(\d{4})(\d\d)(\d\d)", re.ASCII)
_TIME = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[Tt ](\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d*))?)?)?"
    r" ?(?:([Zz]|UTC|GMT)|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
# What the engine reads as it stands, if the day exists and the type's range is not near.
_PLAIN = re.compile(
    r"(?:19|20|21)\d\d-\d\d-\d\d"
    r"(?:[T ][012]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-][01]\d:?[0-5]\d)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d{1,19}(?:\.\d{1,40})?(?:[eE]\+?\d{1,2})?", re.ASCII)
# As text, a number of 14 digits is a date and a time, and one of fewer than 9 no stamp.
_STAMP = re.compile(r"(?!\d{14}$)\d{9,19}(?:\.\d{1,9})?", re.ASCII)
_COMPACT = re.compile(r"\d{8}(?:\d{6})?", re.ASCII)
# What is left for the engine to read: a year and more, as `Tue, 05 Nov 2024 10:00:00 GMT`.
_WORTH_ASKING = re.compile(r"(?=.*\d{4}).{8,64}", re.ASCII)
_CONTEXT = Context(prec=80)
_SECOND = timedelta(seconds=1)


def check_date(type: ValueType) -> Check:
    """Date: `2024-01-31`, `2024/1/31`, `20240131`, or the number of a day. Date32 the same."""
    is_wide = type.family == "Date32"

    def check(raw: bytes) -> bytes:
        if raw[:1] == b'"':
            match = _DATE.fullmatch(_text(raw))
            if match is None:
                raise Unfit
            year, month, day = (int(part) for part in match.groups() if part is not None)
            try:
                value = date(year, month, day)
            except ValueError:
                raise Unfit from None
        else:
            try:
                value = _FIRST_DAY + timedelta(days=int(raw))
            except (ValueError, OverflowError):
                raise Unfit from None
        if not is_wide and not 0 <= (value - _FIRST_DAY).days <= _MAX_DAY:
            raise Unfit
        return b'"%s"' % value.isoformat().encode()

    return check


def check_time(type: ValueType) -> Check:
    """DateTime and DateTime64. The value comes out as seconds, which need no time zone, or, where
    only a text is certain (a local time), as text."""
    low, high = time_range(type)
    zone = _zone(type.zone)
    is_plain = make_plain_test(type)

    def check(raw: bytes) -> bytes:
        if raw[:1] != b'"':
            if _NUMBER.fullmatch(raw.decode("ascii", "replace")) is None:
                raise Unfit
            return _seconds(scale_number(Decimal(raw.decode())), low, high)
        text = _text(raw).strip(" ")
        if is_plain(text):
            return b'"%s"' % text.encode()
        if _COMPACT.fullmatch(text):
            text = _spread(text)
        match = _TIME.fullmatch(text)
        if match is None:
            if _STAMP.fullmatch(text):
                return _seconds(scale_number(Decimal(text)), low, high)
            if text.isdigit() or not _WORTH_ASKING.fullmatch(text) or _is_zero(text):
                raise Unfit
            raise Unsure(raw)
        local, offset = _moment(match, zone)
        if offset is None:
            raise Unsure(raw)
        try:
            seconds = Decimal((local.replace(tzinfo=offset) - EPOCH) // _SECOND)
        except OverflowError:
            raise Unfit from None
        # Surplus digits are cut off; of a time before 1970 the engine would round a number's up.
        fraction = (match[7] or "")[: type.scale].rstrip("0")
        if fraction:
            seconds = _CONTEXT.add(seconds, Decimal(f"0.{fraction}"))
        if not low <= seconds < high + 1:
            raise Unfit
        if offset is zone and match[8] is None and match[9] is None:
            # Which of the two 02:30 of a night in October is meant is the engine's to choose.
            return b'"%s%s"' % (
                local.isoformat(" ").encode(),
                f".{fraction}".encode() if fraction else b"",
            )
        return format(seconds, "f").encode()

    return check


def make_plain_test(type: ValueType) -> Callable[[str], bool]:
    """Whether a text is of the common forms and its moment well inside the type's range."""
    low, high = ("1971", "2105") if type.family == "DateTime" else ("1900", "2200")
    matches, read = _PLAIN.fullmatch, datetime.fromisoformat

    def test(text: str) -> bool:
        if matches(text) is None or not low <= text < high:
            return False
        try:
            read(text[:19])
        except ValueError:
            return False
        return True

    return test


def time_range(type: ValueType) -> tuple[int, int]:
    """The whole seconds that the type can hold."""
    if type.family == "DateTime":
        return 0, MAX_DATE_TIME_S
    room = (2**63 - 1) // 10**type.scale
    return max(_MIN_S, 1 - room), min(_MAX_S, room - 1)


def scale_number(number: Decimal) -> Decimal:
    """A number by its magnitude, as seconds."""
    size = abs(number)
    if size < 100_000_000_000:
        return number
    shift = -3 if size < 10**14 else -6 if size < 10**17 else -9
    return number.scaleb(shift, _CONTEXT)


def _seconds(value: Decimal, low: int, high: int) -> bytes:
    if not low <= value < high + 1:
        raise Unfit
    return format(value, "f").encode()


def _moment(match: re.Match[str], zone: tzinfo | None) -> tuple[datetime, tzinfo | None]:
    """The time as written, without its fraction of a second, and where the clock stands: None for
    a column's zone that is not known here. Raises Unfit."""
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = (int(match[index] or 0) for index in (4, 5, 6))
    is_midnight = hour == 24 and not minute and not second
    if not (1 <= month <= 12 and year and 1 <= day <= monthrange(year, month)[1]):
        raise Unfit
    if not (hour < 24 or is_midnight) or minute > 59 or second > 60:
        raise Unfit
    offset = zone if match[8] is None and match[9] is None else UTC
    if match[9] is not None:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise Unfit
        size = timedelta(hours=hours, minutes=minutes)
        offset = timezone(-size if match[9] == "-" else size)
    extra = timedelta(days=is_midnight, seconds=second == 60)
    try:
        return datetime(year, month, day, hour % 24, minute, min(second, 59)) + extra, offset
    except OverflowError:
        raise Unfit from None


def _spread(digits: str) -> str:
    """`20240131` and `20240131101112` as `2024-01-31 ...`."""
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    clock = f" {digits[8:10]}:{digits[10:12]}:{digits[12:]}"
    return day + clock if len(digits) > 8 else day


def _zone(name: str | None) -> tzinfo | None:
    """None for one that this machine does not know: then the engine reads local times."""
    if name is None:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def _is_zero(text: str) -> bool:
    """`0000-00-00` and its like, which the engine takes for this year's beginning."""
    return "0000" in text and not any(digit in text for digit in "123456789")


def _text(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        raise Unfit from None
