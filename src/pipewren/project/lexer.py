"""Cuts a datafile into commands: a directive with its words, or with the lines of its block.

The rules are those of datafiles.md section 1. A block ends only at a line that begins in column 1
with a directive of that kind of file; blank lines and lines with only a `#` comment leave it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from pipewren.errors import DatafileError
from pipewren.project.directives import Block, Directive, FileKind, find_directive
from pipewren.project.findings import Findings
from pipewren.project.model import Position
from pipewren.project.source import Line, Passage, Source, fail_at, passage_in_line

# A word of a line: pieces in quotes and others, up to a blank. A quote that never closes is an
# ordinary character inside a word (it's) and a mistake at its beginning.
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"']|(?<=\S)["'])+""")
_PLAIN_WORD = re.compile(r"\S+")


INDENT_HINT = (
    "If it belongs to the block above, indent the block: it ends at a directive in column 1"
)


@dataclass(frozen=True, slots=True)
class Word:
    """An argument as written, and the column of its first character."""

    raw: str
    column: int

    @property
    def is_quoted(self) -> bool:
        quote = self.raw[0]
        return quote in "\"'" and len(self.raw) > 1 and self.raw.find(quote, 1) == len(self.raw) - 1

    @property
    def value(self) -> str:
        return self.raw[1:-1] if self.is_quoted else self.raw


@dataclass(frozen=True, slots=True)
class Command:
    """A directive as it stands in a file. `block` is None when there was no `>`."""

    directive: Directive
    name: str  # upper case, as written: an alias stays one
    line: Line
    column: int
    words: tuple[Word, ...] = ()
    block: tuple[Line, ...] | None = None

    @property
    def position(self) -> Position:
        return self.line.position(self.column)

    @property
    def joined(self) -> str:
        """The words as written, joined by one blank."""
        return " ".join(word.raw for word in self.words)

    @property
    def value(self) -> str:
        """The argument: one word without its quotes, or several as written."""
        return self.words[0].value if len(self.words) == 1 else self.joined

    @property
    def passage(self) -> Passage:
        """The argument with its place."""
        if not self.words:
            return passage_in_line(self.line, self.column + len(self.name), "")
        first = self.words[0]
        column = first.column + (1 if len(self.words) == 1 and first.is_quoted else 0)
        return passage_in_line(self.line, column, self.value)


Include = Callable[[Command], Source]


def read_commands(
    source: Source, kind: FileKind, findings: Findings, include: Include | None = None
) -> list[Command]:
    """All commands of `source`. A line that cannot be read is a mistake, and the reading goes on
    behind it. `include` gives the lines of an INCLUDE; without it INCLUDE is refused."""
    commands: list[Command] = []
    lines = deque(_lines(source))
    while lines and not findings.is_full:
        line = lines.popleft()
        text = line.text.strip()
        if not text or text.startswith("#"):
            continue
        column = len(line.text) - len(line.text.lstrip()) + 1
        word = text.split(None, 1)[0]
        rest = text[len(word) :]
        directive = find_directive(kind, word)
        if directive is None:
            findings.add(_unknown(kind, word, line, column))
            if rest.strip() == ">":
                _take_block(lines, kind)
            continue
        opened = rest.strip()
        if opened.startswith(">"):
            behind = opened[1:].strip()
            if behind and not behind.startswith("#"):
                findings.warn(
                    f"The text after `{word.upper()} >` on the same line is dropped",
                    line.position(column),
                )
            block = _take_block(lines, kind)
            command = Command(directive, word.upper(), line, column, block=block)
            with findings.catch():
                _check_block(command)
                commands.append(command)
            continue
        with findings.catch():
            start = column - 1 + len(word)
            words = _split_words(line, start, strict=directive.name != "DESCRIPTION")
            command = Command(directive, word.upper(), line, column, words)
            if directive.name == "INCLUDE":
                lines.extendleft(reversed(_included(command, include)))
                continue
            commands.append(command)
    return commands


def _lines(source: Source) -> list[Line]:
    return [Line(source, number) for number in range(1, len(source.lines) + 1)]


def _take_block(lines: deque[Line], kind: FileKind) -> tuple[Line, ...]:
    taken: list[Line] = []
    while lines:
        text = lines[0].text
        if text[:1].strip() and find_directive(kind, text.split(None, 1)[0]) is not None:
            break
        line = lines.popleft()
        if text.strip() and not text.lstrip().startswith("#"):
            taken.append(line)
    return tuple(taken)


def _split_words(line: Line, start: int, *, strict: bool) -> tuple[Word, ...]:
    words: list[Word] = []
    offset = start
    text = line.text
    while True:
        while offset < len(text) and text[offset].isspace():
            offset += 1
        if offset >= len(text) or text[offset] == "#":
            return tuple(words)
        match = _WORD.match(text, offset)
        if match is None:
            if strict:
                raise fail_at(
                    line,
                    offset + 1,
                    "No closing quotation",
                    hint=f"Close the {text[offset]} on the same line, or use a block (`>`)",
                )
            match = _PLAIN_WORD.match(text, offset) or match
        if match is None:
            return tuple(words)
        words.append(Word(match[0], offset + 1))
        offset = match.end()


def _check_block(command: Command) -> None:
    if command.directive.block is Block.NO:
        raise fail_at(
            command.line,
            command.column,
            f"{command.name} does not support multiline arguments",
            hint=f"Write the argument on the line of {command.name}, without `>`",
        )


def _included(command: Command, include: Include | None) -> list[Line]:
    if include is None:
        raise fail_at(
            command.line,
            command.column,
            "INCLUDE is not supported yet",
            hint="Put the text of the included file in its place",
        )
    return _lines(include(command))


def _unknown(kind: FileKind, word: str, line: Line, column: int) -> DatafileError:
    name = word.upper()
    hint: str | None = None
    near = get_close_matches(name, kind.by_name, 1, 0.75)
    if name.endswith(">") and find_directive(kind, name[:-1]):
        hint = f"Put a blank before the `>`: `{name[:-1]} >`"
    elif name == "SETTINGS" and kind.extension == "datasource":
        return fail_at(
            line,
            column,
            "SETTINGS option is not allowed, use ENGINE_SETTINGS instead. See "
            "docs/reference/datafiles.md",
        )
    elif name.startswith("ENGINE") and kind.extension == "pipe":
        hint = "The engine stands in the .datasource file of the target"
    elif near:
        hint = f"Did you mean {near[0]}?"
    elif kind.prefixes:
        hint = f"Settings begin with {', '.join(kind.prefixes)}"
    elif word != name:
        hint = INDENT_HINT
    message = f"{word} is not a valid option in {kind.extension} files."
    return fail_at(line, column, message, hint=hint)
