"""How large the values are that functions make, for `constant_columns.py`: lists of names in lower
case (`engine_lists/value_sizes.txt`), and a few that are told how large; and how long the names
are that a type has its values printed with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

NUMBER_BYTES = 8
# Suffixes of aggregate functions that leave the size of the result as it is.
COMBINATORS = re.compile(r"(?:If|OrNull|OrDefault|Distinct|Merge)+\Z")

# Name -> (place of the argument that is a length, bytes for each).
BY_NUMBER: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("leftpad", "rightpad", "lpad", "rpad", "leftpadutf8", "rightpadutf8"), (1, 4)),
    "repeat": (1, 1),
    "space": (0, 1),
    "arraywithconstant": (0, NUMBER_BYTES),
    "arrayresize": (1, NUMBER_BYTES),
    "replicate": (1, NUMBER_BYTES),
    "range": (0, NUMBER_BYTES),
    "tofixedstring": (1, 1),
    "bar": (3, 3),
}

# Its values are printed with names of the type, or as such.
_HAS_NAMES = re.compile(r"\b(?:Enum|Tuple|Nested|JSON|Object|Variant)", re.IGNORECASE)
# A word before a bracket is a type's.
_WORD = re.compile(
    r"""'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|[\w.]+(?![\w.(])"""
)


def longest_name(type: str) -> int:
    """Bytes of the longest name in the text of a type that prints names with its values; else 0.
    (A few names of types count as such.)"""
    if not _HAS_NAMES.search(type):
        return 0
    return max((len(word.encode("utf-8", "replace")) for word in _WORD.findall(type)), default=0)


def _load() -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    source = files("pipewren.sql").joinpath("engine_lists", "value_sizes.txt")
    for line in source.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, _, rest = line.partition(":")
            names.setdefault(kind, set()).update(rest.split())
    return {kind: frozenset(found) for kind, found in names.items()}


_NAMES = _load()
FIXED_SIZE = _NAMES["fixed"]
LINEAR = _NAMES["linear"]
PRODUCT = _NAMES["product"]
ODD = _NAMES["odd"]
OF_TYPES = _NAMES["typed"]
