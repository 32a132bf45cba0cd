"""ClickHouse's lexer as one regular expression: text to tokens, for reading a statement's shape.

Not a grammar: what a statement means is ClickHouse's parser's to say (design.md decision 4). What
counts here was tried in ClickHouse 26.9:

* comments: `--` and `//` to the end of the line, `#` only before a blank or `!`, `/* */` nested;
  a line ends at `\\n` only;
* strings: `'..'` with `\\` escapes and doubled quotes, `‘..’` without escapes, `$tag$..$tag$`;
* quoted names: backquotes, double quotes (both escapes), `“..”` without escapes;
* words hold letters, digits, `_` and `$`, and may begin with a digit;
* blanks include the Unicode ones and the byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    WORD = "word"
    QUOTED = "quoted"  # a quoted name
    STRING = "string"
    NUMBER = "number"
    OPEN = "open"  # ( [ {
    CLOSE = "close"
    OTHER = "other"  # one character: an operator, a comma, a dot, a semicolon
    BROKEN = "broken"  # the begin of a string, name or comment that is not closed


class Token(NamedTuple):
    """`keyword` is a word in upper case, else the text; `start` and `end` are offsets."""

    kind: Kind
    text: str
    keyword: str
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        return self.kind is Kind.WORD or self.kind is Kind.QUOTED


_BLANK = r"\s\u180e\u200b-\u200d\u2060\ufeff"
_LINE_COMMENT = r"--[^\n]*+|//[^\n]*+|\#[\ !][^\n]*+"
_TOKEN = re.compile(
    rf"""
    (?P<skip>[{_BLANK}]++|{_LINE_COMMENT})
    |(?P<comment>/\*)
    |(?P<string>'(?:[^'\\]++|\\.|'')*+'|‘[^’]*+’|\$(?P<tag>[A-Za-z0-9_]*+)\$.*?\$(?P=tag)\$)
    |(?P<quoted>`(?:[^`\\]++|\\.|``)*+`|"(?:[^"\\]++|\\.|"")*+"|“[^”]*+”)
    |(?P<number>[0-9][0-9_]*+(?:\.[0-9_]*+)?(?:[eE][+-]?[0-9]++)?(?![A-Za-z0-9_$]))
    |(?P<word>[A-Za-z0-9_$]++)
    |(?P<open>[(\[{{])
    |(?P<close>[)\]}}])
    |(?P<broken>['"`‘“])
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_KINDS = {kind.value: kind for kind in Kind}
_ESCAPED = re.compile(r"\\(.)|(['\"`])\2", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}

# Blanks and comments in front of a word, for a quick look at a text's begin. A comment that holds
# another is left to the scan.
SKIPPED = rf"(?:[{_BLANK}]++|{_LINE_COMMENT}|/\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/)*+"


def scan_tokens(text: str) -> list[Token]:
    """The tokens of `text` without blanks and comments. Never fails: a quote or comment that is
    not closed is a BROKEN token, and the scan goes on behind it (for a comment: ends)."""
    tokens: list[Token] = []
    match = _TOKEN.match
    position, end = 0, len(text)
    while position < end:
        found = match(text, position)
        assert found is not None  # `other` takes any character
        group = found.lastgroup
        start, position = position, found.end()
        if group == "skip":
            continue
        if group == "comment":
            position = _end_of_comment(text, start)
            if position:
                continue
            tokens.append(Token(Kind.BROKEN, "/*", "/*", start, end))
            break
        assert group is not None
        part = found.group()
        keyword = part.upper() if group == "word" else part
        tokens.append(Token(_KINDS[group], part, keyword, start, position))
    return tokens


def match_brackets(tokens: Sequence[Token]) -> dict[int, int]:
    """For each bracket's index that of its partner. One without a partner is left out."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind is Kind.OPEN:
            opened.append(index)
        elif token.kind is Kind.CLOSE and opened and _fits(tokens[opened[-1]], token):
            start = opened.pop()
            partners[start] = index
            partners[index] = start
    return partners


def unquote(token: Token) -> str:
    """The name or the value that a token stands for: a word as it is, quotes and escapes gone."""
    text = token.text
    if token.kind is Kind.WORD or token.kind is Kind.NUMBER:
        return text
    if text[0] == "$":
        tag_length = text.index("$", 1) + 1
        return text[tag_length:-tag_length]
    if text[0] in "‘“":
        return text[1:-1]
    return _ESCAPED.sub(_unescape, text[1:-1])


def _unescape(found: re.Match[str]) -> str:
    escaped = found.group(1)
    if escaped is None:
        return found.group(2)
    return _ESCAPES.get(escaped, escaped)


def _fits(opening: Token, closing: Token) -> bool:
    return opening.text + closing.text in ("()", "[]", "{}")


def _end_of_comment(text: str, start: int) -> int:
    """The offset behind a comment, which may hold others; 0 when it is not closed."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return 0
