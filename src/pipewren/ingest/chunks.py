"""Cuts files of rows into bodies for single inserts: whole rows, bounded in bytes.

A body stays far below one block of ClickHouse (1,048,449 rows or 256 MB), since an insert is
atomic only per block (engine-chdb.md section 5).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from pipewren.errors import BadRequest

CHUNK_BYTES = 8_000_000
MAX_ROW_BYTES = 64_000_000


def open_rows(compression: Literal["gzip"] | None, raw: io.FileIO) -> BinaryIO:
    """The rows in the open file `raw`, decompressed, without a UTF-8 byte order mark."""
    opened: BinaryIO
    if compression == "gzip":
        opened = io.BufferedReader(gzip.GzipFile(fileobj=raw))
    else:
        opened = io.BufferedReader(raw)
    if opened.read(3) != b"\xef\xbb\xbf":
        opened.seek(0)
    return opened


def cut_lines(file: BinaryIO, *, quoted: bool, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Bodies of whole lines of about `chunk_bytes`. With `quoted`, a newline inside double quotes
    belongs to its row (CSV). Raises BadRequest for a row beyond `MAX_ROW_BYTES`."""
    rest = b""
    while block := file.read(chunk_bytes):
        rest += block
        end = _last_row_end(rest, quoted=quoted)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > MAX_ROW_BYTES:
            raise BadRequest(
                f"a row is longer than {MAX_ROW_BYTES:,} bytes"
                + (": is a double quote left open?" if quoted else "")
            )
    if rest.strip():
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def read_csv_header(line: bytes, columns: Iterable[str]) -> tuple[str, ...] | None:
    """The column names of a first line, or None when it is a row: a header is a line in which at
    least one field is a column's name (data-apis.md section 2.1)."""
    names = tuple(next(csv.reader([line.decode("utf-8", "replace").strip("\r\n")]), []))
    known = set(columns)
    return names if any(name in known for name in names) else None


def read_first_row(file: BinaryIO) -> bytes:
    """The first line of a CSV file, newlines inside quotes included; leaves the file behind it."""
    row = b""
    while line := file.readline():
        row += line
        if row.count(b'"') % 2 == 0:
            return row
    return row


def read_whole(path: Path, compression: Literal["gzip"] | None, max_bytes: int) -> bytes:
    """A Parquet file: its bytes cannot be cut. Raises BadRequest for more than `max_bytes`."""
    with path.open("rb", buffering=0) as raw:
        opened: BinaryIO = gzip.GzipFile(fileobj=raw) if compression else raw  # type: ignore
        content = opened.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BadRequest(f"the Parquet file is larger than {max_bytes:,} bytes: send several files")
    return content


def _last_row_end(rows: bytes, *, quoted: bool) -> int:
    """Where the last whole row ends, 0 when there is none. Every chunk begins outside quotes, so
    a newline ends a row when an even number of quotes stands before it."""
    end = rows.rfind(b"\n") + 1
    if not quoted or not end:
        return end
    quotes = rows.count(b'"', 0, end)
    while end and quotes % 2:
        previous = rows.rfind(b"\n", 0, end - 1) + 1
        quotes -= rows.count(b'"', previous, end)
        end = previous
    return end
