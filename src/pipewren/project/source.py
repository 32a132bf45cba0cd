"""A datafile's text that knows where it came from, so that every mistake names its place.

Lines and columns count from 1. The context of a mistake follows datafiles.md section 1: up to two
lines before, with their numbers, and a caret under the position.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from pipewren.errors import DatafileError, ProjectMistake
from pipewren.project.model import Position

MAX_FILE_BYTES = 1_000_000
MAX_CONTEXT_CHARACTERS = 200
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Source:
    """A file's lines without their ends. `shown` are the lines that contexts print, where they
    differ from what is read: a secret's expression in place of its mark (secrets.py).
    `included_by` are the files whose INCLUDE led here, outermost first."""

    file: str
    lines: tuple[str, ...]
    shown: tuple[str, ...] | None = None
    included_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source."""

    source: Source = field(repr=False)
    number: int

    @property
    def text(self) -> str:
        return self.source.lines[self.number - 1]

    def position(self, column: int = 1) -> Position:
        return Position(self.source.file, self.number, column)


@dataclass(frozen=True, slots=True)
class Passage:
    """A text put together from lines: `starts[i]` is the offset in `text` at which `lines[i]`
    begins, from its column `columns[i]` on."""

    text: str
    lines: tuple[Line, ...]
    starts: tuple[int, ...]
    columns: tuple[int, ...]


def decode_text(content: bytes, *, file: str) -> str:
    """The text of a file's bytes. Raises DatafileError when it is too large, or is not UTF-8."""
    if len(content) > MAX_FILE_BYTES:
        raise _too_large(file)
    try:
        return content.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        mistake = ProjectMistake(
            f"The file is not UTF-8: byte 0x{content[error.start]:02x} cannot be read",
            file=file,
            line=before.count(b"\n") + 1,
            column=len(before) - (before.rfind(b"\n") + 1) + 1,
            hint="Save the file with the encoding UTF-8",
        )
        raise DatafileError(mistake) from None


def read_source(text: str, *, file: str, included_by: tuple[str, ...] = ()) -> Source:
    """Split `text` at LF or CR LF. Raises DatafileError when it is too large or holds NUL."""
    if len(text) > MAX_FILE_BYTES:
        raise _too_large(file)
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    source = Source(file, tuple(lines), included_by=included_by)
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise fail_at(
                Line(source, number),
                line.index("\0") + 1,
                "The file holds a NUL character",
                hint="A datafile is plain UTF-8 text; UTF-16 is not read",
            )
    return source


def passage_of_lines(lines: tuple[Line, ...]) -> Passage:
    """The whole of `lines`, joined by newlines."""
    starts: list[int] = []
    offset = 0
    for line in lines:
        starts.append(offset)
        offset += len(line.text) + 1
    text = "\n".join(line.text for line in lines)
    return Passage(text, lines, tuple(starts), (1,) * len(lines))


def passage_in_line(line: Line, column: int, text: str) -> Passage:
    """`text`, which stands in `line` at `column`."""
    return Passage(text, (line,), (0,), (column,))


def passage_of_text(text: str) -> Passage:
    """A text that stands in no file any more: it has been read before, and is whole."""
    return passage_in_line(Line(Source("", (text,)), 1), 1, text)


def locate(passage: Passage, offset: int) -> tuple[Line, int]:
    """The line and the column of an offset of `passage.text`."""
    index = max(bisect_right(passage.starts, offset) - 1, 0)
    return passage.lines[index], passage.columns[index] + offset - passage.starts[index]


def position_in(passage: Passage, offset: int) -> Position:
    line, column = locate(passage, offset)
    return line.position(column)


def fail_in(
    passage: Passage, offset: int, message: str, *, hint: str | None = None
) -> DatafileError:
    """The error of a mistake at `offset` of `passage`, to be raised."""
    line, column = locate(passage, offset)
    return fail_at(line, column, message, hint=hint)


def fail_at(line: Line, column: int, message: str, *, hint: str | None = None) -> DatafileError:
    """The error of a mistake at `column` of `line`, to be raised."""
    return DatafileError(
        ProjectMistake(
            message,
            file=line.source.file,
            line=line.number,
            column=column,
            hint=hint,
            context=_context(line, column),
        )
    )


def fail_file(file: str, message: str, *, hint: str | None = None) -> DatafileError:
    """The error of a mistake of the file as a whole, to be raised."""
    return DatafileError(ProjectMistake(message, file=file, hint=hint))


def _context(line: Line, column: int) -> str:
    shown = line.source.shown or line.source.lines
    width = len(str(line.number))
    first = max(line.number - 2, 1)
    rows = [
        f"{number:>{width}}| {shown[number - 1][:MAX_CONTEXT_CHARACTERS]}".rstrip()
        for number in range(first, line.number + 1)
    ]
    if column <= MAX_CONTEXT_CHARACTERS:
        before = shown[line.number - 1][: column - 1].ljust(column - 1)
        blanks = "".join("\t" if character == "\t" else " " for character in before)
        rows.append(" " * width + "  " + blanks + "^")
    return "\n".join(rows)


def _too_large(file: str) -> DatafileError:
    return fail_file(
        file,
        f"The file is too large: a datafile has at most {MAX_FILE_BYTES:,} bytes",
        hint="Rows belong in fixtures/ or are sent to the API, not in a datafile",
    )
