"""The net under the row reader: rows that it took for good and the engine refuses all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pipewren.ingest.batch import Batch
from pipewren.ingest.log_frames import Extent
from pipewren.ingest.queues import Shape
from pipewren.project.quarantine import SUFFIX

_MAX_REASON = 1000
_OWN = frozenset({"c__error_column", "c__error", "c__import_id", "insertion_date"})


def cut_in_half(extents: tuple[Extent, ...], rows: bytes) -> list[tuple[Extent, ...]]:
    """The extents of two or more rows, as those of the first and of the second half. `rows` are
    their bytes, one line a row."""
    half = sum(extent.count for extent in extents) // 2
    first: list[Extent] = []
    second: list[Extent] = []
    at = taken = 0
    for extent in extents:
        wanted = min(max(half - taken, 0), extent.count)
        if wanted == extent.count:
            first.append(extent)
        elif wanted == 0:
            second.append(extent)
        else:
            length = _length_of_lines(rows, at, wanted)
            first.append(Extent(extent.segment, extent.offset, length, wanted))
            second.append(
                Extent(
                    extent.segment,
                    extent.offset + length,
                    extent.length - length,
                    extent.count - wanted,
                )
            )
        taken += extent.count
        at += extent.length
    return [tuple(first), tuple(second)]


def quarantine_row(table: str, shape: Shape, row: bytes, reason: str) -> Batch | None:
    """The row for the quarantine table of `table`; None where that is one itself, or has columns
    called like the quarantine's own. The values are those that were to be inserted, as JSON."""
    name, _, version = table.rpartition("__")
    if name.endswith(SUFFIX) or not _OWN.isdisjoint(shape.columns):
        return None
    values: dict[str, msgspec.Raw | None]
    if shape.format == "JSONEachRow":
        values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    else:
        raw = msgspec.json.decode(row, type=list[msgspec.Raw])
        values = dict(zip(shape.columns, raw, strict=True))
    texts = {name: _text(values.get(name)) for name in shape.columns}
    fields = {
        "c__error_column": [],
        "c__error": [reason[:_MAX_REASON]],
        "c__import_id": None,
        **texts,
        "insertion_date": int(datetime.now(UTC).timestamp()),
    }
    line = msgspec.json.encode(list(fields.values())) + b"\n"
    return Batch(f"{name}{SUFFIX}__{version}", tuple(fields), "JSONCompactEachRow", line, 1)


def _text(value: msgspec.Raw | None) -> str | None:
    if value is None:
        return None
    decoded = msgspec.json.decode(value)
    if decoded is None:
        return None
    return decoded if isinstance(decoded, str) else bytes(value).decode("utf-8", "replace")


def _length_of_lines(rows: bytes, start: int, count: int) -> int:
    end = start
    for _ in range(count):
        end = rows.index(b"\n", end) + 1
    return end - start
