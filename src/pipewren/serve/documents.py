"""One document out of the many that a stream of chDB is.

Each chunk of a stream is a whole document in the statement's format, with head and tail
(engine-chdb.md section 1). A joiner keeps the first head, all rows, and writes the tail, so that a
caller gets what the engine would have written in one go, except for what a stream cannot know: the
number of rows before a LIMIT. A statement with totals is not streamed (`results.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from pipewren.engine.contract import Statistics
from pipewren.errors import EngineError
from pipewren.sql.filtered_answers import drop_progress, progress_line

_JSON_ROWS_BEGIN = b'\n\t"data":\n\t[\n'
_JSON_ROWS_END = b'\n\t],\n\n\t"rows": '  # after it come numbers only
# Authors may choose the delimiter and the end of a line, which is no delimiter: rows of texts only
# would go on where the names end.
_CSV_HEAD = re.compile(rb'(?:"(?:[^"]|"")*"[^"\r\n])*"(?:[^"]|"")*"\r?\n')

EndOfHead = Callable[[bytes], int]


class Joiner(Protocol):
    """Made for one answer. Chunks go in by order, and what comes out is sent as it is."""

    def join(self, chunk: bytes) -> bytes: ...

    def end(self, statistics: Statistics) -> bytes:
        """What is missing when the last chunk was joined; no chunk at all is an empty result."""
        ...


class PlainJoiner:
    """For formats without head and tail: lines without names, blocks."""

    def join(self, chunk: bytes) -> bytes:
        return chunk

    def end(self, statistics: Statistics) -> bytes:
        return b""


class HeadJoiner:
    """For formats in which every chunk begins with the same head and has no tail.

    `end_of_head` finds where the head of the first chunk ends, and raises ValueError or IndexError
    where there is none. An empty result is one chunk, its head.
    """

    def __init__(self, format: str, end_of_head: EndOfHead) -> None:
        self._format = format
        self._end_of_head = end_of_head
        self._head: bytes | None = None

    def join(self, chunk: bytes) -> bytes:
        if self._head is None:
            try:
                self._head = chunk[: self._end_of_head(chunk)]
            except (ValueError, IndexError):
                raise _unreadable(self._format) from None
            return chunk
        if not chunk.startswith(self._head):
            raise _unreadable(self._format)
        return chunk[len(self._head) :]

    def end(self, statistics: Statistics) -> bytes:
        if self._head is None:
            raise _unreadable(self._format)
        return b""


class ProgressJoiner(HeadJoiner):
    """JSONStringsEachRowWithProgress: a chunk may hold lines of progress, before its head too, that
    tell of that chunk. In their place comes one at the end."""

    def join(self, chunk: bytes) -> bytes:
        return super().join(drop_progress(chunk))

    def end(self, statistics: Statistics) -> bytes:
        return super().end(statistics) + progress_line(statistics)


class JsonJoiner:
    """JSON and its kin: names and texts hold no raw line break, so the format's own lines are
    plain to find."""

    def __init__(self, format: str) -> None:
        self._format = format
        self._has_head = False
        self._has_rows = False

    def join(self, chunk: bytes) -> bytes:
        begin = chunk.find(_JSON_ROWS_BEGIN)
        end = chunk.rfind(_JSON_ROWS_END)
        if begin < 0 or end < 0:
            raise _unreadable(self._format)
        begin += len(_JSON_ROWS_BEGIN)
        rows = chunk[begin:end]
        head = b""
        if not self._has_head:
            self._has_head = True
            head = chunk[:begin]
        if not rows:
            return head
        if self._has_rows:
            return b"".join((head, b",\n", rows))
        self._has_rows = True
        return head + rows

    def end(self, statistics: Statistics) -> bytes:
        if not self._has_head:
            raise _unreadable(self._format)
        return _JSON_ROWS_END + (
            b'%d,\n\n\t"statistics":\n\t{\n\t\t"elapsed": %.9f,\n\t\t"rows_read": %d,\n\t\t'
            b'"bytes_read": %d\n\t}\n}\n'
            % (
                statistics.result_rows,
                statistics.elapsed_s,
                statistics.rows_read,
                statistics.bytes_read,
            )
        )


def _end_of_csv_head(chunk: bytes) -> int:
    """Names stand in quotes and may hold line breaks."""
    match = _CSV_HEAD.match(chunk)
    if match is None:
        raise ValueError
    return match.end()


def _end_of_line(chunk: bytes) -> int:
    return chunk.index(b"\n") + 1


def _end_of_two_lines(chunk: bytes) -> int:
    return chunk.index(b"\n", _end_of_line(chunk)) + 1


def _end_of_row_binary_head(chunk: bytes) -> int:
    """The number of columns, then all names and all types, each behind its length in bytes; the
    numbers are LEB128."""
    columns, place = _read_leb128(chunk, 0)
    for _ in range(2 * columns):
        length, place = _read_leb128(chunk, place)
        place += length
    return _checked(chunk, place)


def _read_leb128(chunk: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = chunk[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7


def _end_of_odbc_head(chunk: bytes) -> int:
    """A number of rows, two, of which one holds the names and one the types, each behind a word of
    its own; all numbers have four bytes, the lowest first."""
    rows, place = _read_four_bytes(chunk, 0)
    for _ in range(rows):
        cells, place = _read_four_bytes(chunk, place)
        for _ in range(cells):
            length, place = _read_four_bytes(chunk, place)
            place += length
    return _checked(chunk, place)


def _read_four_bytes(chunk: bytes, place: int) -> tuple[int, int]:
    end = _checked(chunk, place + 4)
    return int.from_bytes(chunk[place:end], "little"), end


def _checked(chunk: bytes, place: int) -> int:
    if place > len(chunk):
        raise IndexError
    return place


_PLAIN = frozenset({"CSV", "JSONCompactEachRow", "JSONEachRow", "Native", "TSV", "TabSeparated"})
_JSON = frozenset({"JSON", "JSONCompact", "JSONStrings"})
_HEADS: Mapping[str, EndOfHead] = {
    "CSVWithNames": _end_of_csv_head,
    "TSVWithNames": _end_of_line,
    "TabSeparatedWithNamesAndTypes": _end_of_two_lines,
    "JSONCompactEachRowWithNamesAndTypes": _end_of_two_lines,
    "RowBinaryWithNamesAndTypes": _end_of_row_binary_head,
    "ODBCDriver2": _end_of_odbc_head,
}
_PROGRESS = "JSONStringsEachRowWithProgress"


def make_joiner(engine_format: str) -> Joiner | None:
    """None for a format that cannot be streamed: Parquet's bytes come at the end, and
    PrettyCompact's columns are as wide as the widest of all values."""
    if engine_format in _PLAIN:
        return PlainJoiner()
    if engine_format in _JSON:
        return JsonJoiner(engine_format)
    if engine_format == _PROGRESS:
        return ProgressJoiner(engine_format, _end_of_line)
    end_of_head = _HEADS.get(engine_format)
    return HeadJoiner(engine_format, end_of_head) if end_of_head is not None else None


def _unreadable(format: str) -> EngineError:
    return EngineError(
        f"A chunk of the engine's stream is not in the format {format} as Pipewren knows it",
        engine_code=49,
        engine_name="LOGICAL_ERROR",
        status=500,
    )
