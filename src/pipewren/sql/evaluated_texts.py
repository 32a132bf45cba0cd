"""Texts that the engine reads as SQL and evaluates, where no tree shows what is in them.

`arrayReduce('groupConcat(file(''/path''))', ...)` evaluates the parameters in the name of the
aggregate function; `values('a UInt8, b String ALIAS file(''/path'')', 1)` the defaults in a list
of columns (26.9, tried: both gave the file). So such a text must be a literal, and plain: a name
with numbers and texts for parameters; columns with a name and a type and nothing else.
"""

from __future__ import annotations

import re

from pipewren.sql.lifting import Tree
from pipewren.sql.tokens import Kind, match_brackets, scan_tokens
from pipewren.sql.trees import text_of

# Their first argument names an aggregate function.
OF_AGGREGATES = frozenset({"arrayreduce", "arrayreduceinranges", "initializeaggregation"})
# Table functions whose first text is a list of columns.
OF_COLUMNS = frozenset({"values", "generaterandom", "null"})

_PARAMETER = r"(?:-?[0-9]+(?:\.[0-9]+)?|'[^'\\()]*')"
_AGGREGATE = re.compile(
    rf"[A-Za-z_][A-Za-z0-9_]*(?:\(\s*{_PARAMETER}(?:\s*,\s*{_PARAMETER})*\s*\))?"
)
_IN_TYPES = frozenset({Kind.NUMBER, Kind.STRING, Kind.OPEN, Kind.CLOSE})


def is_plain_aggregate(arguments: list[Tree] | None) -> bool:
    """Whether a function of `OF_AGGREGATES` names its aggregate function plainly; None where it is
    passed by its name, so that nothing is known of its arguments."""
    text = text_of(arguments[0]) if arguments else None
    return text is not None and _AGGREGATE.fullmatch(text) is not None


def is_plain_table_function(name: str, arguments: list[Tree]) -> bool:
    """Whether a table function's list of columns, where it has one, is plain."""
    if name.lower() not in OF_COLUMNS or not arguments:
        return True
    first = arguments[0]
    text = text_of(first)
    if text is not None:
        # `values('a', 'b')`: with a list of columns there are rows after it, of other types.
        return is_list_of_columns(text) or (
            name.lower() == "values" and not re.search(r"[\s(`\"]", text)
        )
    if first.get("type") == "Literal":
        return True
    return (
        name.lower() == "values"
        and first.get("type") == "Function"
        and (first.get("name") == "tuple")
    )


def is_list_of_columns(text: str) -> bool:
    """Whether `text` is `name Type, name Type` and no more. A type of aggregate states is none
    here."""
    tokens = scan_tokens(text)
    if not tokens or any(token.kind is Kind.BROKEN for token in tokens):
        return False
    partners = match_brackets(tokens)
    index = 0
    while True:
        if index + 1 >= len(tokens) or not tokens[index].is_name:
            return False
        if tokens[index + 1].kind is not Kind.WORD:
            return False
        index += 2
        if index < len(tokens) and tokens[index].text == "(":
            end = partners.get(index)
            if end is None or not all(
                token.kind in _IN_TYPES or token.is_name or token.text in (",", "=", "-", ".")
                for token in tokens[index:end]
            ):
                return False
            index = end + 1
        if index == len(tokens):
            return "aggregatefunction" not in text.lower()
        if tokens[index].text != ",":
            return False
        index += 1
