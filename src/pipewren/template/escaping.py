"""The two escapes of the language (templating.md section 3), and names that need none."""

from __future__ import annotations

import re

from pipewren.template.failures import failure
from pipewren.template.limits import MAX_VALUE_SIZE

# `%` becomes `\%` outside LIKE too: kept for compatibility, ClickHouse reads it as two characters.
_ESCAPES = {
    "\0": "\\0",
    "\r": "\\r",
    "\b": "\\b",
    "\t": "\\t",
    "\x1a": "\\z",
    "\n": "\\n",
    '"': '\\"',
    "'": "\\'",
    "\\": "\\\\",
    "%": "\\%",
    "`": "\\`",
}
_TEXT = str.maketrans(_ESCAPES)
_IDENTIFIER = str.maketrans(_ESCAPES | {'"': ""})
# A NUL too: it ends a statement for programs that take it as C text.
_ITEM = str.maketrans({"\\": "\\\\", "'": "''", "\0": "\\0"})
needs_escape = re.compile(r"[\0\r\b\t\x1a\n\"'\\%`]").search
is_plain_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII).fullmatch


def quote_text(value: str) -> str:
    """`value` as a literal, quotes included."""
    if needs_escape(value) is None:
        return f"'{value}'"
    _check_size(value)
    return f"'{value.translate(_TEXT)}'"


def quote_name(value: str, quote: str = "`") -> str:
    """`value` as one quoted identifier; its dots stay part of it."""
    if needs_escape(value) is None:
        return f"{quote}{value}{quote}"
    _check_size(value)
    return f"{quote}{value.translate(_IDENTIFIER)}{quote}"


def quote_item(value: str) -> str:
    """`value` as a literal inside a printed list: the safe form of the reference, with quotes and
    backslashes doubled."""
    _check_size(value)
    return f"'{value.translate(_ITEM)}'"


def _check_size(value: str) -> None:
    if len(value) > MAX_VALUE_SIZE:
        raise failure(f"a text of {len(value)} characters is over the limit of {MAX_VALUE_SIZE}")
