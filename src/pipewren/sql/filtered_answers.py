"""What an answer under a row filter does not say: how much was scanned, hidden rows included
(engine-guard.md section 3)."""

from __future__ import annotations

import re

from pipewren.engine.contract import Result, Statistics

# The formats that write what was scanned into the body (26.9: no other one does).
_DOCUMENTS = frozenset({"JSON", "JSONCompact", "JSONStrings"})
_PROGRESS = "JSONStringsEachRowWithProgress"

# At the end of a document. A value of a row cannot look so: in JSON strings line feeds and quotes
# are escaped.
_SCANNED = re.compile(
    rb'(\n\t"statistics":\n\t\{\n\t\t"elapsed": [^,\n]*,\n\t\t"rows_read": )\d+'
    rb'(,\n\t\t"bytes_read": )\d+(\n\t\}\n\}\s*)\Z'
)
_TAIL_BYTES = 400
_PROGRESS_LINE = re.compile(rb'^\{"progress":.*\n', re.MULTILINE)


def hide_scanned(result: Result, engine_format: str) -> Result:
    """`result` without the numbers of rows and bytes scanned, in its body and its record. There
    are zeros in their place, since clients read the keys; other bodies stay as they are."""
    counts = hide_counts(result.statistics)
    if engine_format in _DOCUMENTS:
        return Result(_hide_statistics(result.body), counts)
    if engine_format == _PROGRESS:
        return Result(_hide_progress(result.body, counts), counts)
    return Result(result.body, counts)


def hide_counts(statistics: Statistics) -> Statistics:
    """The same for headers and `meta` of streams: only the rows of the result are told."""
    return Statistics(elapsed_s=statistics.elapsed_s, result_rows=statistics.result_rows)


def progress_line(statistics: Statistics) -> bytes:
    """What JSONStringsEachRowWithProgress says of `statistics`; its numbers are texts."""
    return (
        b'{"progress":{"read_rows":"%d","read_bytes":"%d","total_rows_to_read":"%d",'
        b'"elapsed_ns":"%d"}}\n'
        % (
            statistics.rows_read,
            statistics.bytes_read,
            statistics.rows_read,
            statistics.elapsed_s * 1_000_000_000,
        )
    )


def drop_progress(body: bytes) -> bytes:
    """JSONStringsEachRowWithProgress without its lines of progress, which stand anywhere."""
    return _PROGRESS_LINE.sub(b"", body)


def _hide_statistics(body: bytes) -> bytes:
    return body[:-_TAIL_BYTES] + _SCANNED.sub(rb"\g<1>0\g<2>0\g<3>", body[-_TAIL_BYTES:])


def _hide_progress(body: bytes, counts: Statistics) -> bytes:
    """One line at the end whatever was read: how many there are and where they stand tells of
    blocks in which all rows are hidden."""
    return drop_progress(body) + progress_line(counts)
