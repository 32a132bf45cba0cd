"""Text -> pieces: plain text, `{{ }}`, `{% %}`; comments are gone (templating.md section 2)."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from pipewren.errors import TemplateSyntaxError

_ENDS = {"{": ("}}", "expression"), "%": ("%}", "block"), "#": ("#}", "comment")}
_OPEN = re.compile(r"\{[{%#]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A tag's text is without its marks and outer blanks; `offset` is where it begins in the source
    (for plain text: where it ends)."""

    kind: Literal["text", "expression", "block"]
    text: str
    offset: int


class Places:
    """Lines and columns of a source, both from 1, without counting from its begin each time."""

    __slots__ = ("_starts",)

    def __init__(self, source: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", source))]

    def locate(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def mistake(self, message: str, offset: int) -> TemplateSyntaxError:
        """The author's mistake; the text tells the line, as the reference's does."""
        line, column = self.locate(offset)
        return TemplateSyntaxError(f"{message} at <string>:{line}", line=line, column=column)


def split_pieces(source: str, places: Places) -> list[Piece]:
    """Raises TemplateSyntaxError for a tag that is not closed."""
    pieces: list[Piece] = []
    texts: list[str] = []  # of the text that is being gathered

    def end_text(end: int) -> None:
        text = "".join(texts)
        if text:
            pieces.append(Piece("text", text, end))
        texts.clear()

    position = 0
    while True:
        found = _OPEN.search(source, position)
        if found is None:
            texts.append(source[position:])
            end_text(len(source))
            return pieces
        opening = found.start()
        # `{{{x}}}`: the innermost pair counts.
        while source.startswith("{{", opening + 1):
            opening += 1
        texts.append(source[position:opening])
        mark = source[opening + 1]
        if source.startswith("!", opening + 2):
            texts.append("{" + mark)
            position = opening + 3
            continue
        end_text(opening)
        closing_mark, label = _ENDS[mark]
        closing = source.find(closing_mark, opening + 2)
        if closing < 0:
            raise places.mistake(f"Missing end {label} {closing_mark}", opening)
        start = opening + 2
        inside = source[start:closing]
        position = closing + 2
        if mark == "#":
            continue
        stripped = inside.strip()
        at = start + len(inside) - len(inside.lstrip())
        kind: Literal["expression", "block"] = "expression" if mark == "{" else "block"
        if not stripped:
            message = "Empty expression" if mark == "{" else "Empty block tag ({% %})"
            raise places.mistake(message, opening)
        pieces.append(Piece(kind, stripped, at))
