"""Shapes of a template's texts, found without scanning the tokens of each.

From one request to the next a template's text differs in its values, which stand in strings. So
shapes are kept by a text's skeleton: the text with a mark for each string. Two texts of one
skeleton have the same tokens but for what is in strings, so they have the same shape, except where
strings count (`Shape.is_exact`): those are kept by text.

Why a skeleton is never another's by chance: the mark is NUL, which no text may hold. Strings are
taken out from left to right, which goes wrong only behind something else that can hold a quote (a
comment, a quoted name); that one's begin stays visible as a hazard. Skeletons with a hazard are
made again with comments and quoted names read as the lexer does, and what that cannot read
(nested comments, heredocs) is kept by its whole text.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from pipewren.sql.shape import Shape, read_shape

MAX_SHAPES = 128
MAX_KEPT_CHARACTERS = 32_768

_STRING = r"'(?:[^'\\]++|\\.|'')*+'"
_TAKE_STRINGS = re.compile(_STRING, re.DOTALL)
_HAZARD = re.compile(r"['`\"$#‘“]|--|//|/\*")
_PIECE = re.compile(
    rf"""
    {_STRING}
    |((?:
        [^'"`‘“\#/-]++
        |--[^\n]*+|//[^\n]*+|\#[\ !][^\n]*+
        |`(?:[^`\\]++|\\.|``)*+`|"(?:[^"\\]++|\\.|"")*+"|‘[^’]*+’|“[^”]*+”
        |[-\#/`"‘“]
    )++|')
    """,
    re.VERBOSE | re.DOTALL,
)
# Put behind a text, its quote closes what is open, so that no search for one runs to the end in
# vain from each quote (quadratic); where nothing was open it is left as it is.
_END = "\1'"
_STRING_LIST = re.compile(r"\0(?:, ?\0)++")
_NUMBER = r"-?(?:[0-9]++(?:\.[0-9]++)?+(?:e[-+]?[0-9]++)?+|inf|nan)"
_DIGITS = "0123456789"
_BEFORE_LAST_NUMBER = frozenset(" \n\t,")
_NUMBER_LIST = re.compile(rf"\[{_NUMBER}(?:, ?{_NUMBER})*+\]")


class Scans:
    """The shapes of the texts of one node; `where` names it in messages."""

    __slots__ = ("_shapes", "_where")

    def __init__(self, where: str) -> None:
        self._where = where
        self._shapes: OrderedDict[str, Shape | None] = OrderedDict()  # None: kept by text

    def find(self, text: str) -> Shape:
        """The shape of `text`. Raises StatementError, as `read_shape` does."""
        shapes = self._shapes
        if "\0" in text:
            return read_shape(text, self._where)
        skeleton = make_skeleton(text)
        shape = shapes.get(skeleton) if skeleton is not None else None
        if skeleton is None or (
            shape is None and skeleton not in shapes and _HAZARD.search(skeleton)
        ):
            skeleton = make_careful_skeleton(text) or text
            shape = shapes.get(skeleton)
        if shape is None and skeleton in shapes:
            skeleton = "\0\0" + text  # no skeleton begins so: two strings in a row are one
            shape = shapes.get(skeleton)
        if shape is not None:
            shapes.move_to_end(skeleton)
            return shape
        shape = read_shape(text, self._where)
        if shape.is_exact and not skeleton.startswith("\0\0"):
            self._keep(skeleton, None)
            skeleton = "\0\0" + text
        self._keep(skeleton, shape)
        return shape

    def _keep(self, key: str, shape: Shape | None) -> None:
        if len(key) <= MAX_KEPT_CHARACTERS:
            self._shapes[key] = shape
            if len(self._shapes) > MAX_SHAPES:
                self._shapes.popitem(last=False)


def make_skeleton(text: str) -> str | None:
    """`text` with a mark for each string; lists of strings or numbers are one mark. Only right
    where no hazard is left in it. None when a string is not closed, or seems not to be."""
    skeleton = _TAKE_STRINGS.sub("\0", text + _END)
    return _shorten_lists(skeleton[: -len(_END)]) if skeleton.endswith(_END) else None


def make_careful_skeleton(text: str) -> str | None:
    """The same for texts with comments and quoted names. None for what this cannot read."""
    outside: list[str] = _PIECE.findall(text + _END)  # empty for a string
    skeleton = "".join([piece or "\0" for piece in outside])
    if "$" in skeleton or "/*" in skeleton or not skeleton.endswith(_END):
        return None
    return _shorten_lists(skeleton[: -len(_END)])


def _shorten_lists(skeleton: str) -> str:
    if "\0, \0" in skeleton or "\0,\0" in skeleton:
        skeleton = _STRING_LIST.sub("\0", skeleton)
    if "[" in skeleton:
        skeleton = _NUMBER_LIST.sub("[\0]", skeleton)
    return _level_last_number(skeleton)


def _level_last_number(skeleton: str) -> str:
    """A number at the very end, as zeros of its length: `OFFSET {{Int32(page, 0) * 100}}` prints it
    bare, and every page would be a skeleton of its own."""
    before = skeleton.rstrip(_DIGITS)
    if before and before[-1] in _BEFORE_LAST_NUMBER:
        return before + "0" * (len(skeleton) - len(before))
    return skeleton
