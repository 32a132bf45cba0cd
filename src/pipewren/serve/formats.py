"""The formats of an endpoint's answer: extension -> ClickHouse's format and content type
(endpoints.md section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

    extension: str
    engine_format: str
    content_type: bytes
    settings: tuple[tuple[str, str], ...] = ()
    rewrite: Callable[[bytes], bytes] | None = None


# `.csv` carries the header too: the docs say otherwise, a client depends on it.
_CSV_TYPE = b"text/csv; charset=UTF-8; header=present"
_BARE_CSV_TYPE = b"text/csv; charset=UTF-8; header=absent"

FORMATS = {
    format.extension: format
    for format in (
        Format("json", "JSON", JSON_TYPE),
        Format("csv", "CSVWithNames", _CSV_TYPE),
        Format("csvwithnames", "CSVWithNames", _CSV_TYPE),
        Format("ndjson", "JSONEachRow", b"application/x-ndjson"),
        Format("parquet", "Parquet", b"application/octet-stream"),
        Format(
            "prometheus",
            prometheus.ENGINE_FORMAT,
            prometheus.CONTENT_TYPE,
            prometheus.SETTINGS,
            prometheus.write_exposition,
        ),
    )
}
_BARE_CSV = {name: Format(name, "CSV", _BARE_CSV_TYPE) for name in ("csv", "csvwithnames")}


def find_format(extension: str, csv_header: object = None) -> Format:
    """The format of an extension. `csv_header` is the value of `__tb__csv_header`, None where it
    was not sent: 0 and false drop the header line of the CSV formats, anything else leaves it.

    Raises BadRequest naming the formats there are.
    """
    format = FORMATS.get(extension)
    if format is None:
        raise BadRequest(f"invalid format {extension}, available ones: {', '.join(FORMATS)}")
    if csv_header is not None and extension in _BARE_CSV:
        sent = csv_header[-1] if isinstance(csv_header, list) and csv_header else csv_header
        if str(sent).lower() in ("0", "false"):
            return _BARE_CSV[extension]
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
