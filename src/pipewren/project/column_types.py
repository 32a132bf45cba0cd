"""Checks the text of a column's type: its brackets and the names of its families.

What the arguments mean is for the engine to say at CREATE (datafiles.md section 3, Column).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise

from pipewren.errors import DatafileError
from pipewren.project import type_families as families
from pipewren.project.fragments import Kind, Token, split_at_commas, written
from pipewren.project.source import Passage, fail_in

MAX_NESTING = 32
MAX_TYPE_CHARACTERS = 100_000
_INTEGERS = "Int8, Int16, Int32, Int64, Int128, Int256, UInt8, ..., UInt256"


def read_type(passage: Passage, tokens: Sequence[Token]) -> str:
    """The type that `tokens` write, with blanks as ClickHouse sets them. Raises DatafileError for
    an unknown family or a shape that is no type."""
    if tokens[-1].end - tokens[0].start > MAX_TYPE_CHARACTERS:
        message = f"Error parsing type: it has over {MAX_TYPE_CHARACTERS:,} characters"
        raise fail_in(passage, tokens[0].start, message)
    _check_type(passage, tokens, 0)
    return _spaced(tokens)


def _spaced(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    for before, token in pairwise([None, *tokens]):
        if before is None or token is None:
            parts.append(token.text if token else "")
            continue
        is_tight = before.text == "(" or token.text in ("(", ")", ",")
        if before.text == "," or (before.end < token.start and not is_tight):
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)


def _check_type(passage: Passage, tokens: Sequence[Token], nesting: int) -> None:
    head = tokens[0]
    if nesting > MAX_NESTING:
        raise fail_in(passage, head.start, "Error parsing type: it is nested too deeply")
    if head.kind is not Kind.WORD:
        raise _no_type(passage, tokens, head)
    words = 1
    while words < len(tokens) and tokens[words].kind is Kind.WORD:
        words += 1
    name = " ".join(token.text for token in tokens[:words])
    arguments, behind = _cut_arguments(tokens[words:])
    if behind and behind[0].kind is Kind.WORD and arguments is not None:
        # NATIONAL CHAR(5) VARYING and its like do not exist; `INT(11) UNSIGNED` does.
        name = " ".join([name, *(token.text for token in behind if token.kind is Kind.WORD)])
        behind = tuple(token for token in behind if token.kind is not Kind.WORD)
    if behind:
        raise _no_type(passage, tokens, behind[0])
    _check_family(passage, head, name, tokens, has_arguments=bool(arguments))
    if arguments is None:
        return
    if name in families.OF_TYPES:
        for argument in _pieces(arguments, head.depth):
            _check_type(passage, _without_name(name, argument), nesting + 1)
    elif name in families.OF_FUNCTION_AND_TYPES:
        for argument in _pieces(arguments, head.depth)[1:]:
            _check_type(passage, argument, nesting + 1)


def _check_family(
    passage: Passage, head: Token, name: str, tokens: Sequence[Token], *, has_arguments: bool
) -> None:
    if name in ("Int", "UInt"):
        raise fail_in(
            passage,
            head.start,
            "Precision is mandatory for Int types",
            hint=f"Use one of {_INTEGERS}",
        )
    if name == "Boolean":
        raise fail_in(
            passage, head.start, "Boolean type is not supported", hint="Use Bool or UInt8"
        )
    if name.upper() == "DATETIME64" and not has_arguments:
        raise fail_in(
            passage,
            head.start,
            "DateTime64 type without precision is not supported",
            hint="Use DateTime64(3) for milliseconds, DateTime64(6) for microseconds",
        )
    if _is_known(name):
        return
    if " " in name and _is_known(name.split(" ", 1)[0]):
        raise _no_type(passage, tokens, tokens[1])
    first = name.split(" ", 1)[0]
    near = get_close_matches(first, families.CASE_SENSITIVE | {"DateTime", "DateTime64", "Date"}, 1)
    raise fail_in(
        passage,
        head.start,
        f"Unknown data type family: {first}",
        hint=f"Did you mean {near[0]}?" if near else None,
    )


def _is_known(name: str) -> bool:
    return (
        name in families.CASE_SENSITIVE
        or name.upper() in families.CASE_INSENSITIVE
        or name.upper() in families.OF_SEVERAL_WORDS
    )


def _cut_arguments(
    tokens: Sequence[Token],
) -> tuple[tuple[Token, ...] | None, tuple[Token, ...]]:
    """What stands between the brackets that come first (None without), and what is behind."""
    if not tokens or tokens[0].text != "(" or tokens[0].kind is not Kind.MARK:
        return None, tuple(tokens)
    for index, token in enumerate(tokens):
        if token.text == ")" and token.kind is Kind.MARK and token.depth == tokens[0].depth:
            return tuple(tokens[1:index]), tuple(tokens[index + 1 :])
    return tuple(tokens[1:]), ()


def _pieces(tokens: Sequence[Token], depth: int) -> list[tuple[Token, ...]]:
    """The arguments between brackets of that depth; empty ones left out."""
    return [piece for piece in split_at_commas(tokens, depth + 1) if piece]


def _without_name(family: str, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """The type of `name Type` in a Tuple or Nested, where the name may be left out."""
    if family not in ("Tuple", "Nested") or len(tokens) < 2:
        return tokens
    first, second = tokens[0], tokens[1]
    is_name = first.kind is Kind.QUOTED or (first.kind is Kind.WORD and second.kind is Kind.WORD)
    if is_name and not _is_known(f"{first.text} {second.text}"):
        return tokens[1:]
    return tokens


def _no_type(passage: Passage, tokens: Sequence[Token], at: Token) -> DatafileError:
    text = written(passage, tokens)
    text = text if len(text) <= 80 else text[:77] + "..."
    hint = "Is a comma missing before it?" if at is not tokens[0] else None
    return fail_in(passage, at.start, f"Error parsing type: {text}", hint=hint)
