"""A text and its values apart, so that what the parser said of one text counts for all that differ
in their values only.

Strings and plain numbers are lifted out and marks are parsed in their place. A mark that the tree
shows as a literal, and nowhere else, is a *slot*: any other string (or number) there makes the
same tree with another literal. One that lands elsewhere (a table's name in quotes, an alias,
`Decimal(10, 2)`, `SAMPLE 0.1`) is *fixed*: it belongs to the shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipewren.errors import BadRequest, EngineError
from pipewren.sql.tokens import Kind, scan_tokens

Tree = dict[str, Any]

_STRING_MARK = "pwslot{:04d}z"
# What a number's mark begins with: the first that the text does not hold.
_NUMBER_BASES = ("7340033", "9182734", "6028417", "8450931")
FILTER_MARK = "pwfilter_"
_RESERVED = ("pwslot", FILTER_MARK, "\0")
_PLAIN_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
# A number behind one is no literal of the tree (`SAMPLE 1/2`, `tuple.1`), or may be none: it is
# left where it is, which saves parsing the text again to find that out.
_BEFORE_FIXED = frozenset({".", "/", "SAMPLE"})
_MAX_SLOTS = 2000  # a text with more is parsed as it is


@dataclass(frozen=True, slots=True)
class Lifted:
    """`skeleton` is the text with a mark of its kind for each of `values` (source text, quotes
    included); `pieces` is what stands between them, one more than there are values. `is_reserved`:
    the text holds what marks are made of, so that nothing was lifted and nothing may be put in;
    `is_whole`: all values were."""

    skeleton: str
    pieces: tuple[str, ...]
    values: tuple[str, ...]
    base: str = _NUMBER_BASES[0]
    is_reserved: bool = False
    is_whole: bool = True

    def fill(self, fixed: Collection[int]) -> str:
        """The text with marks for all values but the `fixed` ones."""
        parts = [self.pieces[0]]
        for index, value in enumerate(self.values):
            if index in fixed:
                parts.append(value)
            elif value[0] == "'":
                parts.append("'" + _STRING_MARK.format(index) + "'")
            else:
                parts.append(f"{self.base}{index:04d}")
            parts.append(self.pieces[index + 1])
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Marked:
    """The parser's tree of a text with marks for all values but the `fixed` ones."""

    tree: Tree
    fixed: frozenset[int]


def lift(text: str) -> Lifted:
    """Take the values out of `text`."""
    spans: list[tuple[int, int]] = []
    base = next((one for one in _NUMBER_BASES if one not in text), None)
    is_reserved = base is None or any(word in text for word in _RESERVED)
    if not is_reserved:
        tokens = scan_tokens(text)
        for index, token in enumerate(tokens):
            if token.kind is Kind.STRING:
                is_value = token.text[0] == "'"
            else:
                is_value = (
                    token.kind is Kind.NUMBER
                    and _PLAIN_NUMBER.fullmatch(token.text) is not None
                    and (index == 0 or tokens[index - 1].keyword not in _BEFORE_FIXED)
                    and (index + 1 == len(tokens) or tokens[index + 1].text != ".")
                )
            if is_value:
                spans.append((token.start, token.end))
    is_whole = not is_reserved and len(spans) <= _MAX_SLOTS
    if not is_whole:
        spans = []
    pieces: list[str] = []
    values: list[str] = []
    position = 0
    skeleton: list[str] = []
    for start, end in spans:
        pieces.append(text[position:start])
        values.append(text[start:end])
        skeleton += (pieces[-1], "\0s" if text[start] == "'" else "\0n")
        position = end
    pieces.append(text[position:])
    skeleton.append(pieces[-1])
    return Lifted(
        "".join(skeleton),
        tuple(pieces),
        tuple(values),
        base or _NUMBER_BASES[0],
        is_reserved,
        is_whole,
    )


async def parse_lifted(parse: Callable[[str], Awaitable[Tree]], lifted: Lifted) -> Marked:
    """The tree, with as few fixed values as it can be had. Raises the parser's EngineError for a
    text that cannot be parsed as it is."""
    numbers = frozenset(i for i, value in enumerate(lifted.values) if value[0] != "'")
    everything = frozenset(range(len(lifted.values)))
    for fixed in dict.fromkeys((frozenset[int](), numbers)):
        try:
            tree = await parse(lifted.fill(fixed))
        except (EngineError, BadRequest):
            continue
        misplaced = everything - fixed - find_slots(tree, lifted.base)
        if not misplaced:
            return Marked(tree, fixed)
        fixed |= misplaced
        try:
            tree = await parse(lifted.fill(fixed))
        except (EngineError, BadRequest):
            continue
        if everything - fixed <= find_slots(tree, lifted.base):
            return Marked(tree, fixed)
    return Marked(await parse(lifted.fill(everything)), everything)


def find_slots(tree: Tree, base: str) -> frozenset[int]:
    """The marks that stand in the tree as whole literals, and nowhere else."""
    as_literals: dict[str, int] = {}

    def count(value: Any) -> None:
        if isinstance(value, list):
            for part in value:
                count(part)
        elif isinstance(value, dict):
            count(value.get("value"))
        elif value is not None:
            text = str(value).lstrip("-")
            as_literals[text] = as_literals.get(text, 0) + 1

    waiting: list[Any] = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            if part.get("type") == "Literal":
                count(part.get("value"))
            else:
                waiting += part.values()
    text = json.dumps(tree)
    found: set[int] = set()
    for mark, times in as_literals.items():
        if mark.startswith("pwslot") and mark.endswith("z") and mark[6:-1].isdigit():
            index = int(mark[6:-1])
        elif mark.startswith(base) and len(mark) == 11 and mark.isdigit():
            index = int(mark[7:])
        else:
            continue
        if text.count(mark) == times:
            found.add(index)
    return frozenset(found)


def split_at_marks(
    text: str, lifted: Lifted, fixed: Collection[int], filters: Sequence[str] = ()
) -> tuple[str | int, ...]:
    """Text that the engine wrote of a marked tree, with the number of a slot for each mark. The
    slots behind those of the values are the filters of the data sources named in `filters`."""
    marks = re.compile(rf"'pwslot(\d{{4}})z'|\b{lifted.base}(\d{{4}})\b|\b{FILTER_MARK}(\w+)\b")
    count = len(lifted.values)
    parts: list[str | int] = []
    position = 0
    for mark in marks.finditer(text):
        slot = count + filters.index(mark[3]) if mark[3] else int(mark[1] or mark[2])
        assert slot not in fixed, "a fixed value has no mark"
        parts += (text[position : mark.start()], slot)
        position = mark.end()
    parts.append(text[position:])
    return tuple(parts)


def join_parts(parts: Sequence[str | int], values: Sequence[str]) -> str:
    """The text with its slots filled."""
    return "".join([part if isinstance(part, str) else values[part] for part in parts])
