"""The type of text that may be sent to ClickHouse, and the few functions that make it.

A `str` becomes SQL only here (and in `template/`, whose output is SQL by construction), so that
an injection is a type error. A leaf module: everything may import it.
"""

from __future__ import annotations

from typing import NewType

Sql = NewType("Sql", str)

_LITERAL = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0", "\b": "\\b"}
)
_IDENTIFIER = str.maketrans({"\\": "\\\\", "`": "\\`", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def trusted_sql(text: str) -> Sql:
    """Text that our own code or a project's author wrote. Never call it with a caller's value."""
    return Sql(text)


def quote_literal(value: str) -> Sql:
    """`value` as a ClickHouse string literal."""
    return Sql("'" + value.translate(_LITERAL) + "'")


def quote_identifier(name: str) -> Sql:
    """`name` as one backquoted ClickHouse identifier; a dot stays part of it."""
    return Sql("`" + name.translate(_IDENTIFIER) + "`")
