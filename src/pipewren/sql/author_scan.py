"""What is forbidden in texts that ClickHouse's parser cannot read: ways through a template with
marks in odd places, and the pieces of templates of which not every way can be made.

A scan over tokens, for refused names only: where a name is called, where a function is passed by
its name, and where a database of the server is named. The grammar's word is worth more
(author_guard.py); this is what is left where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pipewren.sql.author_guard import Finding, name_reason
from pipewren.sql.author_rules import REASONS, AuthorRules
from pipewren.sql.own_databases import OWN_DATABASES
from pipewren.sql.tokens import Kind, Token, scan_tokens, unquote

_DATABASES = frozenset({"system", "default", "information_schema"})
_IS_OWN = re.compile(OWN_DATABASES).fullmatch
_FIRST_WORD = re.compile(r"([A-Za-z0-9_$]+)[`\"]?\s*([(,)]|\Z)")
_ONE_WORD = re.compile(r"[A-Za-z0-9_$]+").fullmatch
_LAST_WORD = re.compile(r"[A-Za-z0-9_$]+\Z")
_ESCAPED_NAME = "a quoted name with a backslash cannot be checked"


def scan_for_forbidden(text: str, rules: AuthorRules) -> list[Finding]:
    """The refused names of a text that cannot be parsed."""
    tokens = scan_tokens(text)
    found: list[Finding] = []
    for index, token in enumerate(tokens):
        if token.kind is Kind.QUOTED and "\\" in token.text:
            found.append(Finding(token.text, _ESCAPED_NAME, "Write the name without it"))
        elif token.is_name:
            found += _judge(tokens, index, rules)
        elif token.text == "@" and _text(tokens, index + 1) == "@":
            found.append(Finding("", f"@@ {REASONS['session']}"))
    return list(dict.fromkeys(found))


def scan_pieces(pieces: Sequence[str], rules: AuthorRules) -> list[Finding]:
    """The refused names in a template's own pieces of text, each read as SQL and as what stands
    behind an open quote, since not every way to put them together has been seen."""
    found: list[Finding] = []
    for piece in pieces:
        found += scan_for_forbidden(piece, rules)
        found += scan_for_forbidden("'" + piece, rules)
    return list(dict.fromkeys(found))


def find_assembled(pieces: Sequence[str], rules: AuthorRules) -> list[Finding]:
    """Refused names that pieces of text can make when they stand side by side, as turns of a loop
    or branches can: `fi` and `le(`."""
    ends = {found.group().lower() for piece in pieces if (found := _LAST_WORD.search(piece))}
    middles = {piece.lower() for piece in pieces if _ONE_WORD(piece)}
    begins = {found.group(1).lower() for piece in pieces if (found := _FIRST_WORD.match(piece))}
    if not (ends and begins):
        return []
    findings = [
        Finding(word, f"pieces of its template make the name {word} together", _WHOLE)
        for word in sorted(rules.refused_words)
        if _is_made_of(word, ends, middles, begins)
    ]
    has_escape = any("\\" in piece for piece in pieces)
    if has_escape and any(_opens_name(piece) for piece in pieces):
        findings.append(Finding("", _ESCAPED_NAME, _WHOLE))
    return findings


_WHOLE = "Write each name out whole in its branch"


def _is_made_of(word: str, ends: set[str], middles: set[str], begins: set[str]) -> bool:
    """Whether `word` is an end, any middles, and a begin, in this order."""
    reached = {len(one) for one in ends if word.startswith(one) and len(one) < len(word)}
    waiting = list(reached)
    while waiting:
        at = waiting.pop()
        if word[at:] in begins:
            return True
        for middle in middles:
            end = at + len(middle)
            if word.startswith(middle, at) and end < len(word) and end not in reached:
                reached.add(end)
                waiting.append(end)
    return False


def _opens_name(piece: str) -> bool:
    """Whether a quoted name begins or ends in another piece."""
    return any(
        token.kind is Kind.BROKEN and token.text in ("`", '"') for token in scan_tokens(piece)
    )


def _judge(tokens: list[Token], index: int, rules: AuthorRules) -> Iterator[Finding]:
    token = tokens[index]
    word, following = unquote(token), _text(tokens, index + 1)
    before = _text(tokens, index - 1)
    if before == ".":
        return
    if following == "." and (word.lower() in _DATABASES or _IS_OWN(word.lower())):
        yield Finding(
            word,
            f"it names the database {word}",
            "Read data sources, pipes and nodes by their names alone",
        )
    if word.lower() not in rules.refused_words:
        if following == "OUTFILE" and token.keyword == "INTO":
            yield Finding("OUTFILE", "it has INTO OUTFILE", "Remove it")
        return
    is_call = following == "("
    is_passed = before == "APPLY" or (before == "(" and _takes_functions(tokens, index - 2, rules))
    if is_call or is_passed:
        is_table = rules.judge_function(word) not in REASONS
        yield Finding(word, name_reason(rules, word, is_table=is_table))


def _takes_functions(tokens: list[Token], index: int, rules: AuthorRules) -> bool:
    if index < 0 or not tokens[index].is_name:
        return False
    name = unquote(tokens[index])
    function = rules.functions.find(name)
    return name.upper() == "APPLY" or (function is not None and function.takes_functions)


def _text(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].keyword if 0 <= index < len(tokens) else ""
