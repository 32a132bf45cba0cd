"""The formats of answers: the Query API's by ClickHouse's names, and of them the endpoints' six by
extension (query-api.md section 2; endpoints.md section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipewren.errors import BadRequest
from pipewren.serve import prometheus
from pipewren.serve.answers import JSON_TYPE

CSV_HEADER = "__tb__csv_header"  # the reserved parameter that switches the CSV header

_INLINE_BYTES = 32_768  # a larger result is rewritten beside the event loop, not on it


@dataclass(frozen=True, slots=True)
class Format:
    """`settings` are the engine's that this format needs, whatever author and caller set;
    `rewrite`, where there is one, makes the answer's body of the engine's, which must be whole."""

    engine_format: str
    content_type: bytes
    settings: tuple[tuple[str, str], ...] = ()
    rewrite: Callable[[bytes], bytes] | None = None


_TSV_TYPE = b"text/tab-separated-values; charset=UTF-8"
_LINES_TYPE = b"application/x-ndjson"
_BINARY_TYPE = b"application/octet-stream"

# What the reference was seen to send for JSON, CSV, TSV, PrettyCompact and JSONEachRow, with and
# without names; for the others what ClickHouse's HTTP interface sends (26.9, `system.formats`),
# but for the three that are lines of JSON, which it calls text or one JSON value.
_CONTENT_TYPES: Mapping[str, bytes] = {
    "JSON": JSON_TYPE,
    "CSV": b"text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": b"text/csv; charset=UTF-8; header=present",
    "TSV": _TSV_TYPE,
    "TSVWithNames": _TSV_TYPE,
    "PrettyCompact": b"text/plain; charset=UTF-8",
    "JSONEachRow": _LINES_TYPE,
    "Parquet": _BINARY_TYPE,
    "JSONStrings": JSON_TYPE,
    "Prometheus": prometheus.CONTENT_TYPE,
    "Native": _BINARY_TYPE,
    "RowBinaryWithNamesAndTypes": _BINARY_TYPE,
    "TabSeparated": _TSV_TYPE,
    "JSONCompactEachRowWithNamesAndTypes": _LINES_TYPE,
    "TabSeparatedWithNamesAndTypes": _TSV_TYPE,
    "JSONCompactEachRow": _LINES_TYPE,
    "JSONCompact": JSON_TYPE,
    "JSONStringsEachRowWithProgress": _LINES_TYPE,
    "ODBCDriver2": _BINARY_TYPE,
}
# In the order in which the reference lists them.
NAMED: Mapping[str, Format] = {
    name: Format(name, content_type) for name, content_type in _CONTENT_TYPES.items()
} | {
    "Prometheus": Format(
        prometheus.ENGINE_FORMAT,
        prometheus.CONTENT_TYPE,
        prometheus.SETTINGS,
        prometheus.write_exposition,
    )
}
# By extension. `.csv` carries the header too: the docs say otherwise, a client depends on it.
FORMATS: Mapping[str, Format] = {
    "json": NAMED["JSON"],
    "csv": NAMED["CSVWithNames"],
    "csvwithnames": NAMED["CSVWithNames"],
    "ndjson": NAMED["JSONEachRow"],
    "parquet": NAMED["Parquet"],
    "prometheus": NAMED["Prometheus"],
}


def find_format(extension: str, csv_header: object = None) -> Format:
    """The format of an extension. `csv_header` is the value of `__tb__csv_header`, None where it
    was not sent: 0 and false drop the header line of the CSV formats, anything else leaves it.

    Raises BadRequest naming the formats there are.
    """
    format = FORMATS.get(extension)
    if format is None:
        raise BadRequest(f"invalid format {extension}, available ones: {', '.join(FORMATS)}")
    if csv_header is not None and format is NAMED["CSVWithNames"]:
        sent = csv_header[-1] if isinstance(csv_header, list) and csv_header else csv_header
        if str(sent).lower() in ("0", "false"):
            return NAMED["CSV"]
    return format


async def finish_body(format: Format, body: bytes) -> bytes:
    """The answer's body of the engine's. Raises EngineError where the result does not fit the
    format; nothing may have been sent before."""
    rewrite = format.rewrite
    if rewrite is None:
        return body
    if len(body) <= _INLINE_BYTES:
        return rewrite(body)
    return await asyncio.to_thread(rewrite, body)
