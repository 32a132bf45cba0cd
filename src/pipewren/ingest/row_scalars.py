"""Checks of values that have no elements: the rules stand in row_values.py."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal

import msgspec

from pipewren.ingest.row_faults import Unfit
from pipewren.ingest.row_times import Check, check_date, check_time
from pipewren.ingest.row_types import ValueType

MAX_FLOAT32 = 3.4028235677973366e38  # what still rounds to a finite Float32 lies below it
_FLOAT_BOUNDS = {"Float32": MAX_FLOAT32, "Float64": math.inf, "BFloat16": 3.39e38}
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
# The digits before the point have one way to match: with two, a text that is no number after all
# would take time by the square of its length.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")
_NOT_FINITE = re.compile(r"-?(?:nan|inf|infinity)", re.IGNORECASE)
_UUID = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_MAX_NUMBER_BYTES = 5_000  # of a Decimal's or Float's text
_MAX_EXPONENT_DIGITS = 9  # more than Decimal takes, and no number that anyone means
_DECIMALS = Context(prec=200, rounding=ROUND_DOWN)
_BOOLS = {b"true": 1, b"false": 0, b'"true"': 1, b'"false"': 0}

_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.encode


def _integer(type: ValueType) -> Check:
    low, high = type.low, type.high

    def check(raw: bytes) -> bytes:
        known = _BOOLS.get(raw)
        if known is not None:
            return b"%d" % known
        text = _text(raw) if raw[:1] == b'"' else raw.decode("ascii", "replace")
        if _INTEGER.fullmatch(text) is None or not low <= int(text) <= high:
            raise Unfit
        return str(int(text)).encode()

    return check


def _float(type: ValueType) -> Check:
    bound = _FLOAT_BOUNDS[type.family]

    def check(raw: bytes) -> bytes:
        known = _BOOLS.get(raw)
        if known is not None and raw[:1] != b'"':
            return b"%d" % known
        text = _number_text(raw)
        if raw[:1] == b'"' and _NOT_FINITE.fullmatch(text):
            return raw
        if _NUMBER.fullmatch(text) is None or not abs(float(text)) < bound:
            raise Unfit
        return b"0" if raw == b"-0" else raw  # as msgspec has it, in the quick way

    return check


def _decimal(type: ValueType) -> Check:
    step = Decimal(1).scaleb(-type.scale)
    most = type.digits - type.scale

    def check(raw: bytes) -> bytes:
        text = _number_text(raw)
        match = _NUMBER.fullmatch(text)
        if match is None or len(match[1] or "") > _MAX_EXPONENT_DIGITS:
            raise Unfit
        number = Decimal(text)
        if not number or number.adjusted() < -type.scale:
            return b"0"
        if number.adjusted() >= most:
            raise Unfit
        return format(number.quantize(step, context=_DECIMALS), "f").encode()

    return check


def _bool(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        known = _BOOLS.get(raw)
        if known is None:
            if raw not in (b"0", b"1", b'"0"', b'"1"'):
                raise Unfit
            known = raw.strip(b'"') == b"1"
        return b"true" if known else b"false"

    return check


def _string(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        if raw[:1] == b'"':
            _text(raw)
            return raw
        return _encode(require_utf8(raw))

    return check


def _fixed_string(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        if len(_text(raw).encode()) > type.digits:
            raise Unfit
        return raw

    return check


def _uuid(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        if _UUID.fullmatch(_text(raw)) is None:
            raise Unfit
        return raw

    return check


def _ipv4(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        text = _text(raw)
        if _IPV4.fullmatch(text) is None or max(map(int, text.split("."))) > 255:
            raise Unfit
        return raw

    return check


def _ipv6(type: ValueType) -> Check:
    def check(raw: bytes) -> bytes:
        text = _text(raw)
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise Unfit from None
        if "%" in text:
            raise Unfit
        return raw if address.version == 6 else b'"::ffff:%s"' % text.encode()

    return check


def _enum(type: ValueType) -> Check:
    names = {name: _encode(name) for name in type.members}
    numbers = {str(number): names[name] for name, number in type.members.items()}

    def check(raw: bytes) -> bytes:
        text = _text(raw) if raw[:1] == b'"' else raw.decode("ascii", "replace")
        found = names.get(text) if raw[:1] == b'"' else None
        found = found or numbers.get(text)
        if found is None:
            raise Unfit
        return found

    return check


SCALARS: dict[str, Callable[[ValueType], Check]] = {
    "Int": _integer,
    "Float32": _float,
    "Float64": _float,
    "BFloat16": _float,
    "Decimal": _decimal,
    "Bool": _bool,
    "String": _string,
    "FixedString": _fixed_string,
    "UUID": _uuid,
    "IPv4": _ipv4,
    "IPv6": _ipv6,
    "Enum": _enum,
    "Date": check_date,
    "Date32": check_date,
    "DateTime": check_time,
    "DateTime64": check_time,
}


def _text(raw: bytes) -> str:
    """The text of a JSON string. Raises Unfit for another value, and for what is no UTF-8."""
    try:
        return _decode_text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unfit from None


def _number_text(raw: bytes) -> str:
    if len(raw) > _MAX_NUMBER_BYTES:
        raise Unfit
    return _text(raw) if raw[:1] == b'"' else raw.decode("ascii", "replace")


def require_utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Unfit from None
