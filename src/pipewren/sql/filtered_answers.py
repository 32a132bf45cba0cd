"""What an answer under a row filter does not say: how much was scanned, hidden rows included
(engine-guard.md section 3)."""

from __future__ import annotations

import re

from pipewren.engine.contract import Result, Statistics

# At the end of FORMAT JSON and JSONCompact. A value of a row cannot look so: in JSON strings line
# feeds and quotes are escaped.
_SCANNED = re.compile(
    rb'(\n\t"statistics":\n\t\{\n\t\t"elapsed": [^,\n]*,\n\t\t"rows_read": )\d+'
    rb'(,\n\t\t"bytes_read": )\d+(\n\t\}\n\}\s*)\Z'
)
_TAIL_BYTES = 400


def hide_scanned(result: Result) -> Result:
    """`result` without the numbers of rows and bytes scanned, in its JSON and in its record."""
    return Result(hide_scanned_in(result.body), hide_counts(result.statistics))


def hide_scanned_in(body: bytes) -> bytes:
    """A JSON document, or the end of one, with zeros in their place, since clients read the keys;
    other bytes as they are."""
    tail = _SCANNED.sub(rb"\g<1>0\g<2>0\g<3>", body[-_TAIL_BYTES:])
    return body[:-_TAIL_BYTES] + tail


def hide_counts(statistics: Statistics) -> Statistics:
    """The same for headers and `meta` of streams: only the rows of the result are told."""
    return Statistics(elapsed_s=statistics.elapsed_s, result_rows=statistics.result_rows)
