"""A text's shape: what must be known of it to put it into one statement with others.

Read off the tokens, never by parsing (design.md decision 4). A text that could leave its brackets
or become a second statement is refused here, so that texts put together stay one SELECT: brackets
are balanced, nothing is left open, there is one statement, it begins as a query begins, and it
ends with neither FORMAT nor INTO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pipewren.errors import StatementError
from pipewren.sql.author_settings import AuthorSettings, read_settings
from pipewren.sql.references import (
    References,
    find_references,
    is_query_start,
    is_set_operation,
)
from pipewren.sql.tokens import Kind, Token, match_brackets, scan_tokens, unquote
from pipewren.sqltext import quote_identifier

# Before a word FORMAT or SETTINGS: then it is a name, not the clause.
_BEFORE_NAME = frozenset(
    {"SELECT", "DISTINCT", "FROM", "JOIN", "AS", "ON", "USING", "WHERE", "PREWHERE", "HAVING"}
    | {"BY", "AND", "OR", "NOT", "IN", "LIKE", "WHEN", "THEN", "ELSE", "CASE", "BETWEEN", "LIMIT"}
    | {".", ",", "=", "<", ">", "+", "-", "/", "%", "|", "?", ":"}
)


class Opening(Enum):
    """How CTEs are put in front of a text."""

    PLAIN = "plain"  # WITH and the CTEs in front
    WITH = "with"  # into its own WITH
    WITH_RECURSIVE = "with recursive"
    WRAPPED = "wrapped"  # nothing can stand in front: the text becomes a subquery


@dataclass(frozen=True, slots=True)
class Shape:
    """`head` is the offset behind the text's own WITH; `tail` how many characters are cut off its
    end (comments, semicolons), `settings_tail` how many with its SETTINGS. `names` are those that
    it reads and does not declare, in order; `declared` those of its own CTEs, at any depth;
    `others` what else it reads or calls in such a place (references.py)."""

    opening: Opening
    head: int
    tail: int
    settings_tail: int
    names: tuple[str, ...]
    declared: frozenset[str]
    viewed: frozenset[str]  # names read inside `view(...)`, where no CTE is seen
    settings: AuthorSettings
    is_exact: bool  # strings count: another text of the same skeleton may differ
    others: frozenset[str]


def read_shape(text: str, where: str) -> Shape:
    """The shape of `text`; `where` names it in messages. Raises StatementError."""
    tokens, partners = _scan(text, where)
    if not tokens:
        raise StatementError(f"{where} is empty. Write a SELECT")
    _check_begin(tokens, partners, where)
    _check_output(tokens, where)
    depths = _depths(tokens)
    settings_at = _find_settings(tokens, depths, where)
    settings = AuthorSettings()
    end = settings_end = tokens[-1].end
    if settings_at is not None:
        settings_end = tokens[settings_at - 1].end
        settings = read_settings(tokens[settings_at + 1 :], where)
    opening, head = _find_opening(tokens, depths)
    references = find_references(tokens, partners)
    free = [one for one in references.names if one.owner is None]
    return Shape(
        opening=opening,
        head=head,
        tail=len(text) - end,
        settings_tail=len(text) - settings_end,
        names=tuple(dict.fromkeys(one.name for one in free)),
        declared=frozenset(one.name for one in references.declarations if one.body is not None),
        viewed=frozenset(one.name for one in references.names if one.view is not None),
        settings=settings,
        is_exact=settings_at is not None
        or any(
            tokens[index].kind is Kind.STRING
            for index in (*(one.token for one in references.names), *references.others)
        ),
        others=frozenset(unquote(tokens[index]) for index in references.others),
    )


def rewrite(text: str, where: str, *, renamed: Mapping[str, str], inlined: frozenset[str]) -> str:
    """`text` with its own CTEs `renamed`, each use keeping the old name as its alias, and with
    `view(...)` opened where it reads one of `inlined`."""
    tokens, partners = _scan(text, where)
    references: References = find_references(tokens, partners)
    edits: dict[int, str] = {}
    for declaration in references.declarations:
        if declaration.body is not None and declaration.name in renamed:
            edits[declaration.token] = quote_identifier(renamed[declaration.name])
    for one in references.names:
        if one.view is not None and (one.owner is not None or one.name in inlined):
            edits[one.view] = ""
        if one.owner is not None and one.owner.body is not None and one.name in renamed:
            new = quote_identifier(renamed[one.name])
            keeps_name = one.is_after_in or one.has_alias
            edits[one.token] = new if keeps_name else f"{new} AS {quote_identifier(one.name)}"
    pieces: list[str] = []
    position = 0
    for index in sorted(edits):
        pieces += (text[position : tokens[index].start], edits[index])
        position = tokens[index].end
    return "".join((*pieces, text[position:]))


def _scan(text: str, where: str) -> tuple[list[Token], dict[int, int]]:
    """The tokens of one statement, without the semicolons at its end."""
    if "\0" in text:
        raise StatementError(f"{where} holds a NUL character. Remove it")
    tokens = scan_tokens(text)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    for token in tokens:
        if token.kind is Kind.BROKEN:
            raise StatementError(
                f"{where} is not closed: {token.text} in line {_line(text, token)} has no end"
            )
        if token.text == ";":
            raise StatementError(
                f"{where} holds several statements: a semicolon in line {_line(text, token)} is "
                "followed by more. A node is one SELECT: put the others into nodes of their own"
            )
    partners = match_brackets(tokens)
    for index, token in enumerate(tokens):
        if token.kind in (Kind.OPEN, Kind.CLOSE) and index not in partners:
            raise StatementError(
                f"{where} is not balanced: {token.text} in line {_line(text, token)} has no partner"
            )
    return tokens, partners


def _line(text: str, token: Token) -> int:
    return text.count("\n", 0, token.start) + 1


def _check_begin(tokens: Sequence[Token], partners: Mapping[int, int], where: str) -> None:
    first = tokens[0]
    if first.text == "(":
        return
    if first.kind is not Kind.WORD or first.keyword not in ("SELECT", "WITH", "FROM"):
        raise StatementError(
            f"{where} begins with {first.text[:40]}. A node is one SELECT: begin with SELECT, WITH "
            "or FROM"
        )
    if first.keyword == "WITH":
        for index, token in enumerate(tokens[:-1]):
            if token.keyword == "INSERT" and tokens[index + 1].keyword == "INTO":
                raise StatementError(f"{where} is an INSERT. A node is one SELECT")


def _check_output(tokens: Sequence[Token], where: str) -> None:
    for index in range(len(tokens) - 1):
        if tokens[index].keyword == "INTO" and tokens[index + 1].keyword == "OUTFILE":
            raise StatementError(
                f"{where} has INTO OUTFILE. Remove it: an endpoint's result is its answer"
            )
    for index in range(1, len(tokens) - 1):
        if (
            tokens[index].keyword == "FORMAT"
            and tokens[index + 1].kind is Kind.WORD
            and tokens[index - 1].keyword not in _BEFORE_NAME
            and (index + 2 == len(tokens) or tokens[index + 2].keyword in ("SETTINGS", "INTO"))
        ):
            raise StatementError(
                f"{where} has FORMAT {tokens[index + 1].text}. Remove it: a call chooses the "
                "format by its extension, as in endpoint.csv"
            )


def _depths(tokens: Sequence[Token]) -> list[int]:
    depths: list[int] = []
    depth = 0
    for token in tokens:
        depth -= token.kind is Kind.CLOSE
        depths.append(depth)
        depth += token.kind is Kind.OPEN
    return depths


def _find_settings(tokens: Sequence[Token], depths: Sequence[int], where: str) -> int | None:
    """The index of the SETTINGS clause at the end, outside all brackets."""
    found: int | None = None
    for index in range(1, len(tokens) - 2):
        token = tokens[index]
        if (
            token.keyword == "SETTINGS"
            and depths[index] == 0
            and tokens[index + 1].is_name
            and tokens[index + 2].text == "="
            and tokens[index - 1].keyword not in _BEFORE_NAME
        ):
            found = index
            break
    if found is not None and any(
        depths[index] == 0 and is_set_operation(tokens, index)
        for index in range(found, len(tokens))
    ):
        raise StatementError(
            f"{where} has SETTINGS in the middle. Move them to its end, where they count for all "
            "of it"
        )
    return found


def _find_opening(tokens: Sequence[Token], depths: Sequence[int]) -> tuple[Opening, int]:
    if tokens[0].text == "(":
        return Opening.WRAPPED, 0
    operation = next(
        (
            index
            for index in range(len(tokens))
            if depths[index] == 0 and is_set_operation(tokens, index)
        ),
        None,
    )
    if operation is not None and any(
        tokens[index].keyword == "WITH" and is_query_start(tokens, index)
        for index in range(operation, len(tokens))
    ):
        return Opening.WRAPPED, 0
    if tokens[0].keyword != "WITH":
        return Opening.PLAIN, 0
    is_recursive = (
        len(tokens) > 2 and tokens[1].keyword == "RECURSIVE" and tokens[2].keyword != "AS"
    )
    if is_recursive:
        return Opening.WITH_RECURSIVE, tokens[1].end
    return Opening.WITH, tokens[0].end
