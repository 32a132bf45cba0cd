"""The formats of an endpoint's answer: extension -> ClickHouse's format and content type
(endpoints.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from pipewren.errors import BadRequest
from pipewren.serve.answers import JSON_TYPE


@dataclass(frozen=True, slots=True)
class Format:
    extension: str
    engine_format: str
    content_type: bytes


FORMATS = {
    format.extension: format
    for format in (
        Format("json", "JSON", JSON_TYPE),
        Format("csv", "CSVWithNames", b"text/csv; charset=UTF-8; header=present"),
        Format("csvwithnames", "CSVWithNames", b"text/csv; charset=UTF-8; header=present"),
        Format("ndjson", "JSONEachRow", b"application/x-ndjson"),
        Format("parquet", "Parquet", b"application/octet-stream"),
    )
}


def find_format(extension: str) -> Format:
    """Raises BadRequest naming the formats there are."""
    format = FORMATS.get(extension)
    if format is None:
        raise BadRequest(f"invalid format {extension}, available ones: {', '.join(FORMATS)}")
    return format
