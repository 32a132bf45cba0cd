"""Checks of single values: a JSON value as received -> the JSON that the engine stores exactly.

A check takes the raw bytes of a value that is not null, raises Unfit, or Unsure where only the
engine can say. What goes beyond ClickHouse's own reading of JSON:

- a number that the type cannot hold, and empty text for a number, do not fit (the engine wraps,
  and takes 0); text that is a number fits a number, `true` is 1, as the engine has it;
- `1.0` and `1e3` are no integers, as for the engine; a Decimal's surplus digits behind the point
  are cut off, as by the engine, too many in front of it do not fit;
- null inside an Array, Map or Tuple fits a Nullable element only (the engine takes 0 or "");
- a key that a named Tuple has twice, or a Map, counts the last time, as everywhere in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from pipewren.ingest.row_faults import Unfit, Unsure
from pipewren.ingest.row_scalars import SCALARS, require_utf8
from pipewren.ingest.row_times import EPOCH, Check, make_plain_test
from pipewren.ingest.row_types import ValueType

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_MAX_PLAIN_DEPTH = 20
_encode = msgspec.json.encode


def make_check(type: ValueType) -> Check:
    """The check of a type, whose own `is_nullable` is the caller's to look at."""
    maker = _MAKERS.get(type.family)
    return _ask if maker is None else maker(type)


def check_element(check: Check, type: ValueType, raw: bytes) -> tuple[bytes, bool]:
    """An element's value, and whether the engine is to be asked."""
    if raw == b"null":
        if type.is_nullable:
            return raw, False
        raise Unfit
    try:
        return check(raw), False
    except Unsure as unsure:
        if type.family in ("DateTime", "DateTime64"):
            raise Unfit from None  # the engine's answer would not tell of a saturated one
        return unsure.value, True


def _ask(raw: bytes) -> bytes:
    require_utf8(raw)
    raise Unsure(_one_line(raw))


def _array(type: ValueType) -> Check:
    part = type.parts[0]
    check_part = make_check(part)

    def check(raw: bytes) -> bytes:
        if raw[:1] != b"[":
            raise Unfit
        found = [check_element(check_part, part, bytes(item)) for item in _decode_list(raw)]
        value = b"[%s]" % b",".join([item for item, _ in found])
        if any(is_unsure for _, is_unsure in found):
            raise Unsure(value)
        return value

    return check


def _map(type: ValueType) -> Check:
    key_type, part = type.parts
    check_key, check_part = _make_key_check(key_type), make_check(part)

    def check(raw: bytes) -> bytes:
        found: dict[bytes, tuple[bytes, bool]] = {}
        for name, item in _object(raw).items():
            key = check_key(_encode(name))
            if key[:1] != b'"':
                key = b'"%s"' % key
            found[key] = check_element(check_part, part, bytes(item))
        value = b"{%s}" % b",".join([b"%s:%s" % (key, item) for key, (item, _) in found.items()])
        if any(is_unsure for _, is_unsure in found.values()):
            raise Unsure(value)
        return value

    return check


def _make_key_check(type: ValueType) -> Check:
    """Keys are text for the engine too, which reads no Bool and no moment as a number there."""
    check = make_check(type)
    if type.family == "Bool":
        return _refuse
    if type.family not in ("DateTime", "DateTime64"):
        return check
    is_plain = make_plain_test(type)

    def check_key(raw: bytes) -> bytes:
        key = check(raw)
        if key[:1] == b'"':
            return key
        seconds, _, fraction = key.decode().partition(".")
        moment = EPOCH + timedelta(seconds=int(seconds))
        text = f"{moment:%Y-%m-%d %H:%M:%S}{f'.{fraction[:9]}' if fraction else ''}Z"
        if not is_plain(text):
            raise Unfit
        return text.encode()

    return check_key


def _refuse(raw: bytes) -> bytes:
    raise Unfit


def _tuple(type: ValueType) -> Check:
    checks = [(make_check(part), part) for part in type.parts]
    names = type.names

    def check(raw: bytes) -> bytes:
        if names:
            given = _object(raw)
            items = [bytes(given[name]) if name in given else b"null" for name in names]
        elif raw[:1] == b"[":
            items = [bytes(item) for item in _decode_list(raw)]
        else:
            raise Unfit
        if len(items) != len(checks):
            raise Unfit
        found = [
            check_element(check, part, item)
            for (check, part), item in zip(checks, items, strict=True)
        ]
        values = [value for value, _ in found]
        if names:
            pairs = zip(names, values, strict=True)
            value = b"{%s}" % b",".join([b"%s:%s" % (_encode(name), item) for name, item in pairs])
        else:
            value = b"[%s]" % b",".join(values)
        if any(is_unsure for _, is_unsure in found):
            raise Unsure(value)
        return value

    return check


def _json(type: ValueType) -> Check:
    """A JSON column that declares no paths. Certain are objects of plain values; keys with points,
    which are paths for the engine, and numbers beyond 64 bits are asked about."""

    def check(raw: bytes) -> bytes:
        if raw[:1] != b"{":
            raise Unfit
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unfit from None
        if not _is_plain_json(value, 0):
            raise Unsure(_one_line(raw))
        return _encode(value)

    return check


def _one_line(raw: bytes) -> bytes:
    """A value that came over several lines: rows end at line ends."""
    if b"\n" not in raw:
        return raw
    try:
        return msgspec.json.format(raw, indent=-1)
    except msgspec.DecodeError:
        raise Unfit from None


def _is_plain_json(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth < _MAX_PLAIN_DEPTH and all(
            key and "." not in key and _is_plain_json(item, depth + 1)
            for key, item in value.items()
        )
    if isinstance(value, list):
        return all(
            not isinstance(item, dict | list) and _is_plain_json(item, depth) for item in value
        )
    return not isinstance(value, int) or -(2**63) <= value < 2**63


_MAKERS: dict[str, Callable[[ValueType], Check]] = {
    **SCALARS,
    "Array": _array,
    "Map": _map,
    "Tuple": _tuple,
    "JSON": _json,
}


def _object(raw: bytes) -> dict[str, msgspec.Raw]:
    if raw[:1] != b"{":
        raise Unfit
    try:
        return _decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unfit from None
