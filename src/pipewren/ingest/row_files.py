"""Files of rows -> bodies for single inserts: the same for fixtures and for uploads.

NDJSON by the schema's JSON paths; CSV by position, or by its header line where there is one
(data-apis.md section 2.1); Parquet by the names of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipewren.ingest.chunks import (
    CHUNK_BYTES,
    cut_lines,
    open_rows,
    read_csv_header,
    read_first_row,
    read_whole,
)
from pipewren.ingest.jsonpaths import compile_rows, is_flat
from pipewren.project.model import Datasource

RowFormat = Literal["csv", "ndjson", "parquet"]
FORMATS: tuple[RowFormat, ...] = ("ndjson", "csv", "parquet")
MAX_PARQUET_BYTES = 128_000_000  # its bytes cannot be cut, so the whole file is in memory

INPUT_SETTINGS = (
    # Of one body: a file of years by day is no mistake, as the engine's default of 100 has it.
    ("max_partitions_per_insert_block", "1000"),
    ("date_time_input_format", "best_effort"),
    ("input_format_skip_unknown_fields", "1"),
    ("input_format_csv_skip_trailing_empty_lines", "1"),
)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file on the server's disk."""

    path: Path
    format: RowFormat
    compression: Literal["gzip"] | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How rows of a file become an insert's body: ClickHouse's `format`, the columns (none for
    all), the header line that stands in front of every body, and what rewrites NDJSON."""

    format: str
    columns: tuple[str, ...] = ()
    header: bytes = b""
    convert: Callable[[bytes], bytes] | None = field(default=None, repr=False)

    def encode(self, rows: bytes) -> bytes:
        """Raises BadRequest for a line that is no JSON object."""
        return self.convert(rows) if self.convert else self.header + rows


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a file, as they stand there. `line` is the first one's line, counted from 1, `share`
    (0 to 1) how much of the file has been read after them."""

    rows: bytes
    line: int
    share: float
    encoding: Encoding


def cut_file(
    file: RowFile, datasource: Datasource, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Piece]:
    """The pieces of a file, of about `chunk_bytes`, in order. The same file gives the same pieces:
    their numbers are part of deduplication tokens. Raises BadRequest, and OSError or EOFError for
    what cannot be read or is no gzip."""
    size = max(file.path.stat().st_size, 1)
    if file.format == "parquet":
        content = read_whole(file.path, file.compression, MAX_PARQUET_BYTES)
        if content:
            yield Piece(content, 1, 1.0, Encoding("Parquet"))
        return
    with file.path.open("rb", buffering=0) as raw, open_rows(file.compression, raw) as rows:
        head, line = b"", 1
        if file.format == "csv":
            names = tuple(column.name for column in datasource.columns)
            first = read_first_row(rows)
            header = read_csv_header(first, names)
            if header is None:
                encoding, head = Encoding("CSV", names), first
            else:
                known = tuple(name for name in header if name in set(names))
                encoding = Encoding("CSVWithNames", known, first)
                line += first.count(b"\n")
        else:
            convert = None if is_flat(datasource.columns) else compile_rows(datasource.columns)
            encoding = Encoding("JSONEachRow", convert=convert)
        for body in cut_lines(rows, quoted=file.format == "csv", chunk_bytes=chunk_bytes):
            piece = Piece(head + body, line, min(raw.tell() / size, 1.0), encoding)
            yield piece
            line += piece.rows.count(b"\n")
            head = b""
        if head.strip():
            yield Piece(head, line, 1.0, encoding)
