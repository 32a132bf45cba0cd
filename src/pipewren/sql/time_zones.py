"""Time zones of callers' statements: names that are written out, and no files.

ClickHouse opens a zone of the name `file:/path` and reads it to its end (26.9, tried). Nothing of
it is told, but a pipe of the server's own, `/proc/self/fd/1`, has no end: neither limit nor KILL
stops the read. So where a function takes a time zone, or a type, which may have one in it, the text
must be a literal, or the alias of one.
"""

from __future__ import annotations

import re

from pipewren.sql.lifting import Tree
from pipewren.sql.query_tree import children_of
from pipewren.sql.trees import nodes_of, text_of
from pipewren.sql.value_sizes import FIXED_SIZE

# Functions by the place from which on their arguments may be a zone or a type. What stands before
# it is a number or a time, which the engine sees to.
_PLACES: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), place)
    for pattern, place in (
        (r"now|today|yesterday|cur|local|utc|default|gettype", 0),
        (r"date_?diff|timestamp_?diff|age\Z", 3),
        (
            r"date_?trunc|datename|add|subtract|tostartofinterval|parsedate|formatdate|date_format",
            2,
        ),
        (r"make", 6),
        (
            r"to_?(?:date|time|start|last|yyyy|unix|year|quarter|month|week|day|hour|minute|second"
            r"|milli|micro|nano|iso|relative|monday|utc|string\Z)|from_?(?:unix|utc|days)",
            1,
        ),
        (
            r"date|year|quarter|month|week|day|hour|minute|second|milli|micro|nano|time|snowflake"
            r"|uuidv7|yyyy|_?cast|accurate|dynamicelement|variantelement|reinterpret|last_day"
            r"|str_to_date|tumble|hop|windowid",
            1,
        ),
    )
)
_BEST_EFFORT = re.compile(r"parsedatetime\w*besteffort", re.IGNORECASE).match
_CASTS = re.compile(r"_?cast|accurate|dynamicelement|variantelement|reinterpret", re.I).match
_LAST = re.compile(r"jsonextract(?:keysandvalues)?(?:caseinsensitive)?\Z", re.IGNORECASE).match
# Those that take the zone from a column, too, by its place.
_OF_COLUMNS = {
    "tostring": 1,
    "formatdatetime": 2,
    "formatdatetimeinjodasyntax": 2,
    "date_format": 2,
}
_IS_NUMBER = re.compile(
    r"tointerval|todate|totime|to(?:u?int|float|decimal)\d", re.IGNORECASE
).match
_IS_NUMBER_TYPE = re.compile(r"(?:U?Int|Float|Decimal|Date32|Date|Bool)[\d(), ]*\Z").match
_ARITHMETIC = frozenset(
    {"plus", "minus", "multiply", "divide", "intdiv", "modulo", "negate", "abs", "round"}
)
_ZONE_FILE = re.compile(r"\A\W*file:|\bDateTime\w*\s*\([^)]*file:", re.IGNORECASE).search
_IN_STATEMENT = re.compile(r"'\W*file:[^']*/(?:proc|dev|run|sys|tmp|var)\b", re.IGNORECASE).search
_MAX_DEPTH = 50


def find_unplain_zone(tree: Tree) -> str | None:
    """The name of a function whose time zone or type is no plain text; None where there is none."""
    nodes = nodes_of(tree)
    aliased: dict[str, list[Tree]] = {}
    for node in nodes:
        if isinstance(node.get("alias"), str):
            aliased.setdefault(node["alias"], []).append(node)
    for node in nodes:
        name = node.get("name")
        if node.get("type") != "Function" or not isinstance(name, str):
            continue
        arguments = children_of(node.get("arguments"))
        column_at = _OF_COLUMNS.get(name.lower())
        for place, argument in _zones_of(name, arguments):
            if not _is_plain(argument, aliased, takes_columns=place != column_at):
                return name
    return None


def has_zone_file(name: str, arguments: list[Tree]) -> bool:
    """Whether a call has a file for a time zone, written out."""
    texts = (text_of(argument) for _, argument in _zones_of(name, arguments))
    return any(text is not None and _ZONE_FILE(text) for text in texts)


def names_special_file(sql: str) -> bool:
    """Whether a statement that an author wrote has a text, a caller's value maybe, that would have
    the engine read what has no end, were it a time zone."""
    return "file:" in sql and _IN_STATEMENT(sql) is not None


def _zones_of(name: str, arguments: list[Tree]) -> list[tuple[int, Tree]]:
    places = list(enumerate(arguments))
    if _LAST(name):
        return places[-1:] if len(places) > 1 else []
    if _CASTS(name):
        return places[1:2]
    if _BEST_EFFORT(name):
        return places[1:]
    first = next((place for pattern, place in _PLACES if pattern.match(name)), len(places))
    return places[first:]


def _is_plain(
    node: Tree, aliased: dict[str, list[Tree]], *, takes_columns: bool, depth: int = 0
) -> bool:
    kind = node.get("type")
    if depth > _MAX_DEPTH:
        return False
    if kind == "Literal":
        text = text_of(node)
        return text is None or not _ZONE_FILE(text)
    if kind == "Identifier":
        parts = node.get("name_parts") or [node.get("name")]
        meant = [one for part in parts for one in aliased.get(str(part), ())]
        if not meant:
            return takes_columns  # of a column, where the engine asks for a constant
        return all(
            one is node
            or one.get("type") not in ("Literal", "Identifier", "Function", "Subquery")
            or _is_plain(one, aliased, takes_columns=takes_columns, depth=depth + 1)
            for one in meant
        )
    if kind == "Function":
        return bool(node.get("is_lambda_function")) or _is_number(node)
    return False


def _is_number(function: Tree) -> bool:
    """Whether a function returns a number, a time or the like, and no text."""
    name = str(function.get("name")).lower()
    if name == "cast":
        arguments = children_of(function.get("arguments"))
        type = text_of(arguments[1]) if len(arguments) == 2 else None
        return type is not None and _IS_NUMBER_TYPE(type) is not None
    return name in FIXED_SIZE or name in _ARITHMETIC or _IS_NUMBER(name) is not None
