"""Text -> pieces: plain text, `{{ }}`, `{% %}`; comments are gone (templating.md section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pipewren.errors import TemplateSyntaxError

_ENDS = {"{": ("}}", "expression"), "%": ("%}", "block"), "#": ("#}", "comment")}
_OPEN = re.compile(r"\{[{%#]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A tag's text is without its marks and outer blanks; `offset` is where it begins in the source
    (for plain text: where it ends), `line` that place's line, from 1."""

    kind: Literal["text", "expression", "block"]
    text: str
    line: int
    offset: int


def split_pieces(source: str) -> list[Piece]:
    """Raises TemplateSyntaxError for a tag that is not closed."""
    pieces: list[Piece] = []
    texts: list[str] = []  # of the text that is being gathered

    def end_text(end: int) -> None:
        text = "".join(texts)
        if text:
            pieces.append(Piece("text", text, source.count("\n", 0, end) + 1, end))
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
        line = source.count("\n", 0, opening) + 1
        closing_mark, label = _ENDS[mark]
        closing = source.find(closing_mark, opening + 2)
        if closing < 0:
            raise TemplateSyntaxError(
                f"Missing end {label} {closing_mark} at <string>:{line}",
                line=line,
                column=column_of(source, opening),
            )
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
            raise TemplateSyntaxError(
                f"{message} at <string>:{line}", line=line, column=column_of(source, opening)
            )
        pieces.append(Piece(kind, stripped, source.count("\n", 0, at) + 1, at))


def column_of(source: str, offset: int) -> int:
    """Column of an offset, from 1."""
    return offset - source.rfind("\n", 0, offset)
