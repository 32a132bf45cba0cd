"""Reads pieces of ClickHouse SQL inside a datafile: quotes, brackets, comments, commas.

Only what is needed to cut a SCHEMA into columns and to see that a piece is whole; what it means is
for the engine to say. Comments are blanks; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from pipewren.project.source import Passage, fail_in, passage_of_text

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+ | --[^\n]* | /\*.*?\*/)
  | (?P<string>'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>`(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*")
  | (?P<word>[^\W\d]\w*)
  | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)? | \.\d\w*)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_MARKS = frozenset("()[]{}.,+-*/%=<>!|?:")
_UNCLOSED = {"'": "'", "`": "backtick", '"': '"'}


class Kind(Enum):
    """What a token is. A `QUOTED` one is an identifier in backticks or double quotes."""

    STRING = "string"
    QUOTED = "quoted"
    WORD = "word"
    NUMBER = "number"
    MARK = "mark"
    INVALID = "invalid"  # a character that is part of no expression


@dataclass(frozen=True, slots=True)
class Token:
    """A piece that is neither blank nor comment, and its offset in the passage's text. `depth` is
    the number of brackets around it; a bracket itself has the depth outside."""

    kind: Kind
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def is_word(self, *words: str) -> bool:
        """Whether it is one of `words` (upper case) outside brackets, in any case."""
        return self.kind is Kind.WORD and self.depth == 0 and self.text.upper() in words


def scan(passage: Passage, start: int = 0) -> Iterator[Token]:
    """The tokens from `start` on. Raises DatafileError where a quote, a comment or a bracket is
    not closed, after the tokens before it; invalid characters are left to `refuse_invalid`, since
    one can read on behind them."""
    text = passage.text
    open_brackets: list[tuple[str, int]] = []
    offset = start
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None or match.lastgroup is None:
            return
        offset = match.end()
        if match.lastgroup == "blank":
            continue
        kind = Kind(match.lastgroup)
        piece = match[0]
        if kind is not Kind.MARK:
            yield Token(kind, piece, match.start(), len(open_brackets))
            continue
        if piece in _UNCLOSED:
            raise fail_in(passage, match.start(), f"Expected closing {_UNCLOSED[piece]}")
        if piece == "/" and text.startswith("/*", match.start()):
            raise fail_in(passage, match.start(), "Expected closing */")
        is_stray = piece in _CLOSERS.values() and not open_brackets
        if piece not in _MARKS or is_stray:
            yield Token(Kind.INVALID, piece, match.start(), len(open_brackets))
            continue
        if piece in _CLOSERS.values():
            opener, place = open_brackets.pop()
            if _CLOSERS[opener] != piece:
                raise fail_in(passage, place, f"Expected closing {_CLOSERS[opener]}")
        yield Token(kind, piece, match.start(), len(open_brackets))
        if piece in _CLOSERS:
            open_brackets.append((piece, match.start()))
    if open_brackets:
        opener, place = open_brackets[-1]
        raise fail_in(passage, place, f"Expected closing {_CLOSERS[opener]}")


def refuse_invalid(passage: Passage, tokens: Sequence[Token]) -> None:
    """Raise DatafileError for the first invalid character."""
    for token in tokens:
        if token.kind is Kind.INVALID:
            raise fail_in(passage, token.start, f"Invalid character {token.text!r}")


def check_whole(passage: Passage) -> tuple[Token, ...]:
    """The tokens of an expression. Raises DatafileError as `scan` and `refuse_invalid` do."""
    tokens = tuple(scan(passage))
    refuse_invalid(passage, tokens)
    return tokens


def split_at_commas(tokens: Sequence[Token], depth: int = 0) -> list[tuple[Token, ...]]:
    """The pieces between the commas that have `depth` brackets around; none for no token."""
    if not tokens:
        return []
    pieces: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind is Kind.MARK and token.text == "," and token.depth == depth:
            pieces.append([])
        else:
            pieces[-1].append(token)
    return [tuple(piece) for piece in pieces]


def written(passage: Passage, tokens: Sequence[Token]) -> str:
    """The text of `tokens` as written, comments and runs of blanks as one blank."""
    parts: list[str] = []
    end = tokens[0].start if tokens else 0
    for token in tokens:
        if token.start > end:
            parts.append(" ")
        parts.append(token.text)
        end = token.end
    return "".join(parts)


def strip_comments(text: str) -> str:
    """A whole expression without comments, runs of blanks as one blank."""
    passage = passage_of_text(text)
    return written(passage, check_whole(passage))


def has_several(text: str) -> bool:
    """Whether there is a comma outside brackets."""
    return len(split_at_commas(check_whole(passage_of_text(text)))) > 1


def unquote_name(text: str) -> str:
    """A name without its backticks or double quotes."""
    if len(text) < 2 or text[0] not in '`"':
        return text
    quote = text[0]
    return re.sub(rf"\\(.)|{quote}{quote}", lambda match: match[1] or quote, text[1:-1])


def names_in(tokens: Sequence[Token]) -> Iterator[tuple[str, Token]]:
    """The identifiers of an expression that are not function names."""
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        is_call = following is not None and following.text == "("
        if token.kind is Kind.QUOTED:
            yield unquote_name(token.text), token
        elif token.kind is Kind.WORD and not is_call:
            yield token.text, token


def calls_in(tokens: Sequence[Token]) -> Iterator[Token]:
    """The names of the functions that an expression calls."""
    for token, following in pairwise(tokens):
        if token.kind is Kind.WORD and following.text == "(":
            yield token
