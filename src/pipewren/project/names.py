"""What pipes, data sources, nodes and connections may be called (pipes-api.md section 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MAX_NAME_CHARACTERS = 128  # a table's file name is at most 255 bytes, with version and suffixes

# Words that cannot stand for a table where a table is named. ClickHouse's own parser fails on the
# first line; the others read as a clause, an operator or a literal.
_RESERVED = """
    all distinct not recursive select
    and as between by case cast except exists from group having in inner insert intersect into join
    left like limit null on or order outer prewhere right union using where with
"""
RESERVED_WORDS = frozenset(_RESERVED.split())


def describe_bad_name(name: str) -> str | None:
    """What is wrong with a resource's name, or None."""
    if not _NAME.match(name):
        return "a name begins with a letter or _ and goes on with letters, digits and _"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"a name has at most {MAX_NAME_CHARACTERS} characters"
    if name.lower() in RESERVED_WORDS:
        return f"{name} is a reserved word of SQL"
    return None


def suggest_name(name: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known one, or None."""
    near = get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]}?" if near else None
