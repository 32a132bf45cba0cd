"""Rows of JSON -> rows that are known to fit a table, rows that do not, and rows that only the
engine can judge.

The engine wraps numbers, takes "" for 0 and null for a default without a word, so every value is
checked here and written again (row_values.py has the rules). Each line stands alone: none can
swallow or change another. A value that is not there takes the DEFAULT, or NULL where the column is
Nullable; null does the same, but stays NULL in a Nullable column. Of a key that a row has twice,
the last one counts. Pure functions: what asks the engine is row_judge.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from pipewren.ingest.jsonpaths import Steps, WrongShape, column_steps, find_value
from pipewren.ingest.row_columns import RowColumn, row_columns
from pipewren.ingest.row_faults import (
    BadRow,
    Unfit,
    Unsure,
    keep_text,
    line_reason,
    missing_reason,
    shown_text,
    value_reason,
)
from pipewren.ingest.row_files import INPUT_SETTINGS
from pipewren.ingest.row_quick import QuickReader, finds_finer_time, make_quick_reader
from pipewren.ingest.row_values import make_check
from pipewren.project.model import Datasource

# Of the insert of rows that a RowReader has written. Null is "take the DEFAULT". Each partition is
# a part, of some milliseconds, and the rows of all other tables wait meanwhile: a group for more
# partitions is halved until its parts are below this.
ROW_SETTINGS = (
    *(pair for pair in INPUT_SETTINGS if pair[0] != "max_partitions_per_insert_block"),
    ("max_partitions_per_insert_block", "100"),
    ("input_format_null_as_default", "1"),
)

_MAX_MISSES = 16

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_NOT_QUICK = (msgspec.DecodeError, RecursionError, Unfit, Unsure, UnicodeDecodeError)


class UnsureRow(msgspec.Struct, frozen=True):
    """A row that is good if the engine takes what it is asked about.
    `values` are all columns' values in JSON (None for none), `doubts` the indexes of those that are
    asked about, `texts` what a BadRow keeps."""

    values: tuple[bytes | None, ...]
    doubts: tuple[int, ...]
    texts: tuple[str | None, ...]


class ReadRows(msgspec.Struct, frozen=True):
    """`good` are `count` whole lines in the reader's format."""

    good: bytes
    count: int
    bad: tuple[BadRow, ...] = ()
    unsure: tuple[UnsureRow, ...] = ()


class RowReader:
    """Made by `make_row_reader`. `columns` are the insert's, `format` its format."""

    def __init__(self, columns: tuple[RowColumn, ...], sources: tuple[Steps, ...]) -> None:
        """`sources` lead to what a bad row keeps: a text for each column of the data source."""
        self.row_columns = columns
        self._sources = sources
        self.columns = tuple(column.name for column in columns)
        # In compact rows null stands for the DEFAULT, which leaves no way to say NULL.
        is_compact = not any(column.tells_null_from_missing for column in columns)
        self.format = "JSONCompactEachRow" if is_compact else "JSONEachRow"
        self._make_row = None if is_compact else _make_object(self.columns)
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._checks = [(column, make_check(column.type)) for column in columns]
        self._quick: tuple[QuickReader, ...] = tuple(
            quick
            for is_lenient in (False, True)
            if (quick := make_quick_reader(columns, self._make_row, is_lenient=is_lenient))
        )

    def read(self, lines: bytes) -> ReadRows:
        """Rows of NDJSON: whole lines, of which the last may lack its newline. Blank ones are
        nothing. The work is in proportion to the bytes: give pieces (`slice_end`)."""
        if lines and self._quick:
            if b"\r" in lines:
                lines = lines.replace(b"\r\n", b"\n")
            strict, lenient = self._quick
            found = self._read_quickly(strict, lines)
            if found is None and not _reads_first(strict, lines) and _reads_first(lenient, lines):
                found = self._read_quickly(lenient, lines)
            if found is not None:
                return found
        return self.read_each(split_lines(lines))

    def encode(self, rows: Sequence[Sequence[bytes | None]]) -> bytes:
        """Lines of rows whose values are JSON, None for none."""
        return self._encode_lines([self._row(values) for values in rows])

    def _read_quickly(self, quick: QuickReader, lines: bytes) -> ReadRows | None:
        """None where not all rows are well for certain.

        A decoder of lines takes one value after another, over line ends too. But between `}` and
        `{` no value goes on, and a string holds no line end: where all line ends are between
        those, and there are as many values as lines, each line has exactly one."""
        if not lines.startswith(b"{") or (quick.has_times and finds_finer_time(lines)):
            return None
        try:
            rows = quick.decode_lines(lines)
            count = len(rows)
            ends = count - (not lines.endswith(b"\n"))
            if lines.count(b"\n") != ends or lines.count(b"}\n{") != count - 1:
                return None
            flat = quick.flatten(rows, lines.split(b"\n") if quick.takes_line else ())
        except _NOT_QUICK:
            return None
        return ReadRows(self._encode_lines(flat), count)

    def read_each(self, lines: Sequence[bytes]) -> ReadRows:
        """One row each; those that the quick way refuses with care."""
        flat: list[Any] = []
        bad: list[BadRow] = []
        unsure: list[UnsureRow] = []
        misses = 0
        for number, line in enumerate(lines):
            # Where hardly a line is well, trying the quick way first is most of the cost.
            if misses < _MAX_MISSES or number % _MAX_MISSES == 0:
                row = self._read_one(line)
                if row is not None:
                    misses = 0
                    flat.append(row)
                    continue
                misses += 1
            found = self.read_with_care(line)
            if isinstance(found, BadRow):
                bad.append(found)
            elif isinstance(found, UnsureRow):
                unsure.append(found)
            else:
                flat.append(self._row(found))
        return ReadRows(self._encode_lines(flat), len(flat), tuple(bad), tuple(unsure))

    def _read_one(self, line: bytes) -> Any:
        """The quick way's row; None where it does not read the line."""
        for quick in self._quick:
            if quick.has_times and finds_finer_time(line):
                continue
            try:
                return quick.flatten((quick.decode(line),), (line,))[0]
            except _NOT_QUICK:
                continue
        return None

    def read_with_care(self, line: bytes) -> list[bytes | None] | BadRow | UnsureRow:
        """One row, value by value: its values in JSON where it is good."""
        try:
            source = _decode_object(line)
        except RecursionError:
            return self._bad_line(line, line_reason(line, "depth"))
        except msgspec.ValidationError:
            return self._bad_line(line, line_reason(line, "object"))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            detail = str(error).removeprefix("JSON is malformed: ")
            return self._bad_line(line, line_reason(line, "JSON", detail))
        values: list[bytes | None] = []
        faults: list[tuple[str, str]] = []
        doubts: list[int] = []
        for index, (column, check) in enumerate(self._checks):
            value: bytes | None = None
            raw: bytes | None = None
            try:
                raw = find_value(line, source, column.steps)
                if raw is not None and raw != b"null":
                    value = check(raw)
                elif not column.is_optional:
                    raise Unfit
                elif raw is not None and column.tells_null_from_missing:
                    value = raw
            except Unsure as question:
                doubts.append(index)
                value = question.value
            except RecursionError:
                faults.append(
                    (column.name, f"value on column '{column.name}' is nested too deeply")
                )
            except WrongShape as wrong:
                faults.append((column.name, _reason(column, wrong.value)))
            except Unfit:
                faults.append((column.name, _reason(column, raw)))
            values.append(value)
        if not faults and not doubts:
            return values
        texts = tuple(_source_text(line, source, steps) for steps in self._sources)
        if faults:
            names, reasons = zip(*faults, strict=True)
            return BadRow(texts, names, reasons)
        return UnsureRow(tuple(values), tuple(doubts), texts)

    def _bad_line(self, line: bytes, reason: str) -> BadRow:
        text = keep_text(line)
        return BadRow(tuple(None if steps else text for steps in self._sources), (), (reason,))

    def _row(self, values: Sequence[bytes | None]) -> Any:
        if self._make_row is None:
            return [None if value is None else Raw(value) for value in values]
        return self._make_row(*(UNSET if value is None else Raw(value) for value in values))


def make_row_reader(datasource: Datasource, types: Mapping[str, str] | None = None) -> RowReader:
    """`types` are those of columns that have only a DEFAULT, of which ClickHouse takes the type;
    without them the engine is asked about every value of such a column."""
    sources = tuple(column_steps(column) for column in datasource.columns)
    return RowReader(row_columns(datasource.columns, types), sources)


def slice_end(body: bytes, start: int, max_bytes: int) -> int:
    """Where a piece of whole lines ends that begins there."""
    end = start + max_bytes
    if end >= len(body):
        return len(body)
    cut = body.rfind(b"\n", start, end) + 1
    return cut or body.find(b"\n", end) + 1 or len(body)


def split_json(body: bytes) -> Sequence[bytes | Raw]:
    """The rows of a body that is one JSON object, over any number of lines, or an array."""
    body = body.strip(b" \t\r\n")
    if not body.startswith(b"["):
        return [body] if body else []
    try:
        return msgspec.json.decode(body, type=list[Raw])
    except (msgspec.DecodeError, RecursionError):
        return [body]


def split_lines(lines: bytes) -> list[bytes]:
    """Without blank ones, and without blanks around them."""
    return [line for line in (line.strip(b" \t\r") for line in lines.split(b"\n")) if line]


def _reads_first(quick: QuickReader, lines: bytes) -> bool:
    """Whether the first line is read, as far as its shape goes."""
    end = lines.find(b"\n")
    line = lines if end < 0 else lines[:end]
    if quick.has_times and finds_finer_time(line):
        return False
    try:
        quick.flatten((quick.decode(line),), (line,))
    except _NOT_QUICK:
        return False
    return True


def _make_object(columns: Sequence[str]) -> Callable[..., Any]:
    """A struct whose absent values (UNSET) are left out."""
    fields: list[Any] = [(f"f{index}", Any, UNSET) for index in range(len(columns))]
    rename = {f"f{index}": name for index, name in enumerate(columns)}
    made: Callable[..., Any] = msgspec.defstruct("RowObject", fields, gc=False, rename=rename)
    return made


def _source_text(line: bytes, source: dict[str, Raw], steps: Steps) -> str | None:
    try:
        raw = find_value(line, source, steps)
    except WrongShape as wrong:
        raw = wrong.value
    except RecursionError:
        return None
    return None if raw is None else shown_text(raw)


def _reason(column: RowColumn, raw: bytes | None) -> str:
    if raw is None:
        return missing_reason(column.name, column.shown_type)
    text = shown_text(raw)
    return value_reason(column.name, column.shown_type, "null" if text is None else text)
