"""Finds the row, and in it the column, that makes the engine refuse a body.

By trying parts of the body, not by the engine's texts, which count rows of a body and name columns
only for some formats. Each try goes where rows do no harm.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Awaitable, Callable

import msgspec

from pipewren.errors import BadRequest, EngineError, PipewrenError
from pipewren.ingest.row_files import Encoding, Piece
from pipewren.project.model import Datasource

# Inserts a body of a format for some columns (none for all); raises what the engine says.
Try = Callable[[str, tuple[str, ...], bytes], Awaitable[object]]

_MAX_SHOWN = 100
_ENDS_EARLY = 33  # of an insert: a row that is not closed; elsewhere a broken disk
_AT_ROW = re.compile(r":? *\(at row \d+\)")


async def describe_bad_row(piece: Piece, datasource: Datasource, attempt: Try) -> str | None:
    """`line 7: value 'x' on column 'n' is not Int32`; None where no single row is to blame."""
    rows = split_rows(piece.rows, quoted=piece.encoding.format.startswith("CSV"))
    first, beyond = 0, len(rows)
    while beyond - first > 1:
        middle = (first + beyond) // 2
        if await _refusal(piece.encoding, b"".join(rows[first:middle]), attempt):
            beyond = middle
        else:
            first = middle
    if not rows:
        return None
    row = rows[first]
    error = await _refusal(piece.encoding, row, attempt)
    if error is None:
        return None
    line = piece.line + sum(one.count(b"\n") for one in rows[:first])
    return f"line {line}: {await _describe(row, piece.encoding, datasource, error, attempt)}"


def split_rows(rows: bytes, *, quoted: bool) -> list[bytes]:
    """Single rows with their newlines; with `quoted` one goes on while a double quote is open."""
    # Not `splitlines`, for which a carriage return inside a field ends a line too.
    lines = [line + b"\n" for line in rows.split(b"\n")]
    last = lines.pop()[:-1]
    lines += [last] if last else []
    if not quoted:
        return lines
    found: list[bytes] = []
    open_row = b""
    for line in lines:
        open_row += line
        if open_row.count(b'"') % 2 == 0:
            found.append(open_row)
            open_row = b""
    return [*found, open_row] if open_row else found


def split_fields(row: bytes) -> list[bytes]:
    """The fields of a CSV row as they stand there, quotes included."""
    fields: list[bytes] = [b""]
    for part in row.rstrip(b"\r\n").split(b","):
        if fields[-1].count(b'"') % 2:
            fields[-1] += b"," + part
        else:
            fields.append(part)
    return fields[1:]


def is_of_rows(error: PipewrenError) -> bool:
    """Whether it tells of the rows, and not of the server's state."""
    if isinstance(error, EngineError) and error.engine_code == _ENDS_EARLY:
        return True
    return error.status < 500


def reason_of(error: PipewrenError) -> str:
    """The engine's text without its dump of rows, whose numbers mean a part of the file."""
    text = error.message.removeprefix("[Error] ").split("\n", 1)[0]
    return _AT_ROW.sub("", text).rstrip(": ").removeprefix("line 1 ")


async def _refusal(encoding: Encoding, rows: bytes, attempt: Try) -> PipewrenError | None:
    try:
        await attempt(encoding.format, encoding.columns, encoding.encode(rows))
    except (EngineError, BadRequest) as error:
        if not is_of_rows(error):
            raise
        return error
    return None


async def _describe(
    row: bytes, encoding: Encoding, datasource: Datasource, error: PipewrenError, attempt: Try
) -> str:
    if encoding.format == "JSONEachRow":
        try:
            values = msgspec.json.decode(encoding.encode(row), type=dict[str, msgspec.Raw])
        except msgspec.DecodeError as problem:
            return f"it is not a JSON object: {problem}"
        except BadRequest:
            return f"it {reason_of(error)}"
        single = {name: msgspec.json.encode({name: value}) for name, value in values.items()}
        shown = {name: bytes(value) for name, value in values.items()}
        format = "JSONEachRow"
    else:
        names = (
            next(csv.reader([encoding.header.decode("utf-8", "replace").strip("\r\n")]))
            if encoding.header
            else encoding.columns
        )
        fields = split_fields(row)
        if len(fields) != len(names):
            return f"it has {len(fields)} fields, where {len(names)} are expected"
        shown = {
            name: field
            for name, field in zip(names, fields, strict=True)
            if name in encoding.columns
        }
        single = {name: field + b"\n" for name, field in shown.items()}
        format = "CSV"
    for column in datasource.columns:
        if column.name not in single:
            continue
        body = single[column.name]
        if await _refusal(Encoding(format, (column.name,)), body, attempt):
            value = shown[column.name].decode("utf-8", "replace").strip('"')[:_MAX_SHOWN]
            return f"value '{value}' on column '{column.name}' is not {column.type}"
    return reason_of(error)
