"""The text of a column's type -> what a value of it must be.

Wrappers that change nothing about a single value are taken off: `LowCardinality(T)` and
`SimpleAggregateFunction(f, T)` are `T`, SQL's names for ClickHouse's types are the types
(tests/engine/test_row_reader.py holds them against `system.data_type_families`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

_ALIASES = {
    "String": (
        "CHAR CHARACTER VARCHAR VARCHAR2 NCHAR NVARCHAR TEXT TINYTEXT MEDIUMTEXT LONGTEXT CLOB "
        "BLOB TINYBLOB MEDIUMBLOB LONGBLOB VARBINARY BYTEA"
    ),
    "Int8": "TINYINT INT1 BYTE",
    "Int16": "SMALLINT",
    "Int32": "INT INTEGER MEDIUMINT",
    "Int64": "BIGINT SIGNED",
    "UInt16": "YEAR",
    "UInt64": "BIT SET UNSIGNED",
    "Float32": "FLOAT REAL SINGLE",
    "Float64": "DOUBLE",
    "Decimal": "DEC FIXED NUMERIC",
    "DateTime": "TIMESTAMP DATETIME32",
    "FixedString": "BINARY",
    "Bool": "BOOLEAN",
    "IPv4": "INET4",
    "IPv6": "INET6",
}
_FAMILIES = {alias: family for family, names in _ALIASES.items() for alias in names.split()}
_FAMILIES |= {
    name.upper(): name
    for name in (
        *("Bool", "Date", "Date32", "DateTime", "DateTime64", "Time", "Time64", "JSON"),
        *("Decimal", "Decimal32", "Decimal64", "Decimal128", "Decimal256"),
        *("Enum", "Enum8", "Enum16"),
    )
}
_DECIMAL_DIGITS = {"Decimal32": 9, "Decimal64": 18, "Decimal128": 38, "Decimal256": 76}
_INTEGER = re.compile(r"(U?)Int(8|16|32|64|128|256)")
_HEAD = re.compile(r"\s*([A-Za-z_]\w*(?:\s+[A-Za-z_]\w*)*)\s*")
_ENUM = re.compile(r"\s*'((?:[^'\\]|\\.|'')*)'\s*(?:=\s*(-?\d+)\s*)?")
_NAMED = re.compile(r"\s*(?:`([^`\\]+)`|\"([^\"\\]+)\"|(\w+))\s+(?=\S)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}


@dataclass(frozen=True, slots=True)
class ValueType:
    """`family` is ClickHouse's own name, "" where only the engine can say what fits. `parts` are
    the types of elements: one of an Array, key and value of a Map, all of a Tuple or Nested, whose
    `names` are empty where they have none. `low` and `high` bound integers; `digits` and `scale`
    are a Decimal's, `scale` also a DateTime64's, `digits` also a FixedString's bytes; `members`
    are an Enum's."""

    family: str
    text: str
    is_nullable: bool = False
    parts: tuple[ValueType, ...] = ()
    names: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    digits: int = 0
    scale: int = 0
    zone: str | None = None
    members: Mapping[str, int] = field(default_factory=dict)


_SIMPLE = frozenset(
    "String Float32 Float64 BFloat16 Bool UUID IPv4 IPv6 Date Date32".split()  # noqa: SIM905
)


def read_value_type(text: str) -> ValueType:
    """Never raises: a type that is not understood has the family ""."""
    try:
        return replace(_read(text), text=text)
    except (ValueError, KeyError, IndexError):
        return ValueType("", text)


def _read(text: str) -> ValueType:
    match = _HEAD.match(text)
    if match is None:
        raise ValueError(text)
    rest = text[match.end() :].strip()
    inner, behind = _cut_brackets(rest)
    words = f"{match[1]} {behind}".split()
    family = _family(words)
    arguments = split_arguments(inner) if inner is not None else []
    if family in ("LowCardinality", "Nullable"):
        found = _read(arguments[0])
        return replace(found, is_nullable=True) if family == "Nullable" else found
    if family == "SimpleAggregateFunction":
        return _read(arguments[1])
    integer = _INTEGER.fullmatch(family)
    if integer is not None:
        bits = int(integer[2])
        low, high = (0, 2**bits - 1) if integer[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return ValueType("Int", text, low=low, high=high)
    if family in _READERS:
        return _READERS[family](family, text, arguments)
    if family in _SIMPLE or (family == "JSON" and inner is None):
        return ValueType(family, text)
    return ValueType("", text)


def _family(words: list[str]) -> str:
    """Of one or several words: `BIGINT UNSIGNED`, `DOUBLE PRECISION`, `CHAR VARYING`."""
    upper = [word.upper() for word in words]
    if upper[0] == "NATIONAL" or (upper[0] == "BINARY" and len(words) > 1):
        return "String"
    family = _FAMILIES.get(upper[0], words[0])
    return f"U{family}" if upper[-1] == "UNSIGNED" and len(words) > 1 else family


def _decimal(family: str, text: str, arguments: list[str]) -> ValueType:
    numbers = [int(argument) for argument in arguments]
    if family in _DECIMAL_DIGITS:
        return ValueType("Decimal", text, digits=_DECIMAL_DIGITS[family], scale=numbers[0])
    digits, scale = (*numbers, *(10, 0)[len(numbers) :])
    return ValueType("Decimal", text, digits=digits, scale=scale)


def _date_time(family: str, text: str, arguments: list[str]) -> ValueType:
    zone = arguments[-1].strip()[1:-1] if arguments and "'" in arguments[-1] else None
    scales = [int(argument) for argument in arguments if "'" not in argument]
    if family == "DateTime" and not scales:
        return ValueType(family, text, zone=zone)
    return ValueType("DateTime64", text, zone=zone, scale=scales[0] if scales else 3)


def _enum(family: str, text: str, arguments: list[str]) -> ValueType:
    members: dict[str, int] = {}
    number = 0
    for argument in arguments:
        match = _ENUM.fullmatch(argument)
        if match is None:
            raise ValueError(argument)
        number = number + 1 if match[2] is None else int(match[2])
        members[_unescape(match[1])] = number
    return ValueType("Enum", text, members=members)


def _fixed_string(family: str, text: str, arguments: list[str]) -> ValueType:
    return ValueType(family, text, digits=int(arguments[0]))


def _container(family: str, text: str, arguments: list[str]) -> ValueType:
    names: list[str] = []
    types: list[str] = []
    for argument in arguments:
        match = _NAMED.match(argument) if family in ("Tuple", "Nested") else None
        if match is not None and _names_type(match[3], argument):
            match = None
        names.append((match[1] or match[2] or match[3]) if match else "")
        types.append(argument[match.end() :] if match else argument)
    if any(names) and not all(names):
        raise ValueError(text)
    parts = tuple(read_value_type(type) for type in types)
    return ValueType(family, text, parts=parts, names=tuple(names) if all(names) else ())


def _names_type(word: str | None, argument: str) -> bool:
    """Whether `DOUBLE PRECISION` and its like begin with a type's own word."""
    return bool(word and word.upper() in _FAMILIES and _INTEGER_WORDS.fullmatch(argument.strip()))


_INTEGER_WORDS = re.compile(
    r"(?i)\w+(?:\s+(?:SIGNED|UNSIGNED|PRECISION|VARYING|LARGE\s+OBJECT))+(?:\s*\(.*\))?"
)
_READERS = {
    **dict.fromkeys(("Decimal", *_DECIMAL_DIGITS), _decimal),
    **dict.fromkeys(("DateTime", "DateTime64"), _date_time),
    **dict.fromkeys(("Enum", "Enum8", "Enum16"), _enum),
    **dict.fromkeys(("Array", "Map", "Tuple", "Nested"), _container),
    "FixedString": _fixed_string,
}


def split_arguments(text: str) -> list[str]:
    """The pieces between commas that stand in no bracket and no quotes, trimmed; no empty ones."""
    pieces: list[str] = []
    depth, start, index = 0, 0, 0
    while index < len(text):
        character = text[index]
        if character in "'`\"":
            index = _quote_end(text, index)
            continue
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            pieces.append(text[start:index].strip())
            start = index + 1
        index += 1
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def _cut_brackets(text: str) -> tuple[str | None, str]:
    """What stands in the brackets that `text` begins with (None without), and what behind."""
    if not text.startswith("("):
        return None, text
    depth, index = 0, 0
    while index < len(text):
        character = text[index]
        if character in "'`\"":
            index = _quote_end(text, index)
            continue
        depth += (character == "(") - (character == ")")
        index += 1
        if depth == 0:
            return text[1 : index - 1], text[index:].strip()
    raise ValueError(text)


def _quote_end(text: str, start: int) -> int:
    """The index behind the quoted text that begins at `start`."""
    quote, index = text[start], start + 1
    while text[index] != quote:
        index += 2 if text[index] == "\\" else 1
    return index + 1


def _unescape(text: str) -> str:
    text = text.replace("''", "'")
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
