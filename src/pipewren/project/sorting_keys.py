"""Checks of ENGINE_SORTING_KEY against the columns (datafiles.md section 3, Sorting key checks)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pipewren.errors import DatafileError
from pipewren.project.aggregate_functions import is_aggregate
from pipewren.project.fragments import (
    Token,
    calls_in,
    check_whole,
    names_in,
    split_at_commas,
    unquote_name,
    written,
)
from pipewren.project.model import Column
from pipewren.project.source import Passage, fail_in

_NULLABLE_KEY = re.compile(r"allow_nullable_key\s*=\s*(1|true)")


def no_sorting_key(passage: Passage, engine: str) -> DatafileError:
    """The error of an engine that merges rows by their key and has none, to be raised."""
    return fail_in(
        passage,
        0,
        f"{engine} needs a sorting key that is not tuple()",
        hint="Rows of the same ENGINE_SORTING_KEY are merged: name the columns that identify one",
    )


def refuse_empty_key(passage: Passage, engine: str) -> None:
    """Raise DatafileError for `tuple()` or nothing."""
    if re.sub(r"\s", "", passage.text) in ("tuple()", "()", ""):
        raise no_sorting_key(passage, engine)


def check_sorting_key(
    passage: Passage, values: Mapping[str, str], columns: Sequence[Column]
) -> None:
    """`values` are the directives of the engine that were given: `ver` and `settings` matter here.
    Raises DatafileError at the element that cannot be sorted by."""
    tokens = check_whole(passage)
    for call in calls_in(tokens):
        if is_aggregate(call.text):
            raise fail_in(
                passage,
                call.start,
                "Sorting key contains aggregate function expression "
                f"'{_written_call(passage, tokens, call)}'. Aggregate functions cannot be in a "
                "sorting key.",
            )
    by_name = {column.name: column for column in columns}
    allows_nullable = _NULLABLE_KEY.search(values.get("settings", ""))
    for piece in _elements(tokens):
        column = by_name.get(unquote_name(piece[0].text)) if len(piece) == 1 else None
        if column is None:
            continue
        if column.is_nullable and not allows_nullable:
            raise fail_in(
                passage,
                piece[0].start,
                f"Sorting key contains the nullable column '{column.name}'",
                hint=f"Use assumeNotNull({column.name}), or a type without Nullable",
            )
        if column.type.startswith("AggregateFunction("):
            raise fail_in(
                passage,
                piece[0].start,
                f"Sorting key contains the AggregateFunction column '{column.name}'",
                hint="Sort by the columns that rows are grouped by",
            )
    version = unquote_name(values.get("ver", ""))
    for name, token in names_in(tokens):
        if version and name == version:
            raise fail_in(
                passage,
                token.start,
                f"ENGINE_VER '{version}' cannot be in the sorting key",
                hint="Rows with other versions would then never replace each other",
            )


def _written_call(passage: Passage, tokens: Sequence[Token], call: Token) -> str:
    rest = tokens[tokens.index(call) :]
    ends = (
        index for index, token in enumerate(rest) if token.text == ")" and token.depth == call.depth
    )
    return written(passage, rest[: next(ends) + 1])


def _elements(tokens: Sequence[Token]) -> list[tuple[Token, ...]]:
    """The elements of a key, whether it is `a, b`, `(a, b)` or `tuple(a, b)`."""
    inner = list(tokens)
    if inner and inner[0].is_word("TUPLE"):
        inner = inner[1:]
    is_tuple = len(inner) > 1 and inner[0].text == "(" and inner[-1].text == ")"
    if is_tuple and not any(one.depth == 0 for one in inner[1:-1]):
        return [piece for piece in split_at_commas(inner[1:-1], depth=1) if piece]
    return [piece for piece in split_at_commas(tokens) if piece]
