"""Rows on their way to one table: what the parts of ingestion hand on."""

from __future__ import annotations

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """`table` is the physical one in the workspace's database; `rows` are `count` whole lines of
    ClickHouse's input format `format` (JSONCompactEachRow or JSONEachRow), each ended by a newline,
    with values for `columns`."""

    table: str
    columns: tuple[str, ...]
    format: str
    rows: bytes
    count: int


MAX_BATCH_BYTES = 8_000_000
MAX_BATCH_ROWS = 250_000  # far below a block of ClickHouse, within which an insert is atomic


def split_batch(batch: Batch) -> list[Batch]:
    """A large batch as several of about `MAX_BATCH_BYTES` and at most `MAX_BATCH_ROWS`, so that
    each fits into a group."""
    if len(batch.rows) <= MAX_BATCH_BYTES and batch.count <= MAX_BATCH_ROWS:
        return [batch] if batch.count else []
    pieces: list[Batch] = []
    start = 0
    while start < len(batch.rows):
        end = batch.rows.rfind(b"\n", start, start + MAX_BATCH_BYTES) + 1
        if not end:  # one row that is larger
            end = batch.rows.index(b"\n", start) + 1
        rows = batch.rows[start:end]
        count = rows.count(b"\n")
        if count > MAX_BATCH_ROWS:
            lines = rows.splitlines(keepends=True)[:MAX_BATCH_ROWS]
            rows, count = b"".join(lines), MAX_BATCH_ROWS
            end = start + len(rows)
        pieces.append(Batch(batch.table, batch.columns, batch.format, rows, count))
        start = end
    return pieces
