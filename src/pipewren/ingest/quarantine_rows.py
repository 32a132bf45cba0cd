"""Rows that do not fit, as rows of the table beside the data source's own (data-apis.md 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from pipewren.ingest.batch import Batch
from pipewren.ingest.row_faults import BadRow
from pipewren.project.model import Datasource
from pipewren.project.quarantine import quarantine_of

_FORMAT = "JSONCompactEachRow"


def quarantine_batch(
    datasource: Datasource,
    table_name: str,
    rows: Sequence[BadRow],
    now: datetime,
    import_id: str | None = None,
) -> Batch:
    """`now` has a time zone; `import_id` is None for rows of a stream. A value longer than
    `row_faults.MAX_VALUE_CHARACTERS` is there with its beginning."""
    at = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    lines = msgspec.json.Encoder().encode_lines(
        [(row.columns, row.reasons, import_id, *row.values, at) for row in rows]
    )
    columns = tuple(column.name for column in quarantine_of(datasource).columns)
    return Batch(table_name, columns, _FORMAT, lines, len(rows))
