"""How the quick way decodes a value: what msgspec checks at no cost, and what is left to refine."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from pipewren.ingest.row_faults import Unfit
from pipewren.ingest.row_scalars import MAX_FLOAT32
from pipewren.ingest.row_times import EPOCH, make_plain_test, time_range
from pipewren.ingest.row_types import ValueType
from pipewren.ingest.row_values import make_check


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is decoded, and, where msgspec's check does not do, `refine`, which makes of an
    expression one that refuses or rewrites; `uses` are the names that it needs."""

    annotation: Any
    refine: str = "{0}"
    uses: tuple[tuple[str, Any], ...] = ()
    is_time: bool = False

    @property
    def is_plain(self) -> bool:
        return self.refine == "{0}"


def make_kind(type: ValueType, name: str, *, is_lenient: bool = False) -> Kind:
    """`name` is free for a value of the kind's own."""
    if is_lenient and type.family in _LENIENT:
        return Kind(_LENIENT[type.family], f"{name}({{0}})", ((name, _make_lenient(type)),))
    return _make_strict(type, name)


def _make_strict(type: ValueType, name: str) -> Kind:
    family = type.family
    if family in _PLAIN:
        return _PLAIN[family]
    if family == "Int":
        if type.high <= 2**63 - 1:
            return Kind(Annotated[int, Meta(ge=type.low, le=type.high)])
        if type.low == 0:
            return Kind(
                Annotated[int, Meta(ge=0)],
                f"({{0}} if {{0}} <= {type.high} else {name}())",
                ((name, _refuse),),
            )
        return Kind(
            int, f"({{0}} if {type.low} <= {{0}} <= {type.high} else {name}())", ((name, _refuse),)
        )
    if family == "Enum" and type.members:
        return Kind(Literal[tuple(type.members)])
    if family == "DateTime64" and type.scale <= 6:
        number = _make_time_number(type)
        return Kind(
            datetime | int, f"({{0}} if {{0}}.__class__ is dt else {name}({{0}}))",
            ((name, number),), is_time=True,
        )  # fmt: skip
    if family == "DateTime":
        return Kind(
            datetime | int,
            f"({{0}} if {{0}}.__class__ is dt and 1970 < {{0}}.year < 2106 else {name}({{0}}))",
            ((name, _make_date_time(type)),), is_time=True,
        )  # fmt: skip
    if family == "Date":
        return Kind(
            date,
            f"({{0}} if 1970 <= {{0}}.year < 2149 else {name}())",
            ((name, _refuse),),
        )
    if family == "Array":
        part = _make_strict(type.parts[0], name)
        if part.is_plain and part.annotation is not Raw:
            return Kind(list[_nullable(part, type.parts[0])])  # type: ignore[misc]
    if family == "Map" and type.parts[0].family == "String":
        part = _make_strict(type.parts[1], name)
        if part.is_plain and part.annotation is not Raw:
            return Kind(dict[str, _nullable(part, type.parts[1])])  # type: ignore[misc]
    return Kind(Raw, f"{name}({{0}})", ((name, _make_raw_check(type)),))


_PLAIN = {
    "String": Kind(str),
    "Float64": Kind(float),
    "Float32": Kind(Annotated[float, Meta(gt=-MAX_FLOAT32, lt=MAX_FLOAT32)]),
    "Bool": Kind(bool),
    "UUID": Kind(uuid.UUID),
    "Date32": Kind(date),
}


_LENIENT: dict[str, Any] = {
    "Int": int | str | bool,
    "Float32": float | str | bool,
    "Float64": float | str | bool,
    "DateTime": str | int,
    "DateTime64": str | int,
}


def _make_lenient(type: ValueType) -> Callable[[Any], Any]:
    check, encode = make_check(type), msgspec.json.encode
    is_plain = make_plain_test(type) if type.family.startswith("DateTime") else None

    def read(value: Any) -> Any:
        if is_plain is not None and value.__class__ is str and is_plain(value):
            return value
        return Raw(check(encode(value)))

    return read


def _nullable(kind: Kind, type: ValueType) -> Any:
    return kind.annotation | None if type.is_nullable else kind.annotation


def _refuse() -> Any:
    raise Unfit


def _make_raw_check(type: ValueType) -> Callable[[Raw], Raw]:
    check = make_check(type)

    def read(raw: Raw) -> Raw:
        value = bytes(raw)
        if value == b"null":
            raise Unfit  # what null means is the careful way's to say
        return Raw(check(value))

    return read


def _make_time_number(type: ValueType) -> Callable[[int], Any]:
    """Numbers by their magnitude, as row_times.py has it."""
    low, high = time_range(type)

    def read(number: int) -> Any:
        if -100_000_000_000 < number < 100_000_000_000:
            if not low <= number <= high:
                raise Unfit
            return number
        if 10**12 <= number < 4 * 10**12:
            return str(number)  # which the engine reads as milliseconds, of any scale
        if 0 < number < 10**14:
            value = EPOCH + timedelta(milliseconds=number)
        elif 0 < number < 10**17:
            value = EPOCH + timedelta(microseconds=number)
        else:
            raise Unfit
        if not low * 1000 <= (value - EPOCH) // timedelta(milliseconds=1) < (high + 1) * 1000:
            raise Unfit
        return value

    return read


def _make_date_time(type: ValueType) -> Callable[[Any], Any]:
    number = _make_time_number(type)

    def read(value: Any) -> Any:
        if value.__class__ is not datetime:
            return number(value)
        if value.tzinfo is None or not EPOCH <= value < datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC):
            raise Unfit
        return value

    return read
