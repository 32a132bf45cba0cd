"""The formats of the Query API (query-api.md section 2)."""

from __future__ import annotations

import pytest

from pipewren.errors import Forbidden
from pipewren.serve import prometheus
from pipewren.serve.formats import FORMATS, NAMED
from pipewren.serve.query_formats import find_query_format

AVAILABLE = (
    "JSON, CSV, CSVWithNames, TSV, TSVWithNames, PrettyCompact, JSONEachRow, Parquet, JSONStrings, "
    "Prometheus, Native, RowBinaryWithNamesAndTypes, TabSeparated, "
    "JSONCompactEachRowWithNamesAndTypes, TabSeparatedWithNamesAndTypes, JSONCompactEachRow, "
    "JSONCompact, JSONStringsEachRowWithProgress, ODBCDriver2"
)


@pytest.mark.parametrize("name", AVAILABLE.split(", "))
def test_each_format_is_found_by_its_exact_name(name: str) -> None:
    format = find_query_format(name, from_=None)
    assert format is NAMED[name]
    if name == "Prometheus":
        assert format.engine_format == prometheus.ENGINE_FORMAT
        assert format.settings == prometheus.SETTINGS
        assert format.rewrite is prometheus.write_exposition
    else:
        assert (format.engine_format, format.settings, format.rewrite) == (name, (), None)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        (None, "text/tab-separated-values; charset=UTF-8"),
        ("JSON", "application/json; charset=UTF-8"),
        ("CSV", "text/csv; charset=UTF-8; header=absent"),
        ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("TSV", "text/tab-separated-values; charset=UTF-8"),
        ("TSVWithNames", "text/tab-separated-values; charset=UTF-8"),
        ("PrettyCompact", "text/plain; charset=UTF-8"),
        ("JSONEachRow", "application/x-ndjson"),
        ("JSONCompact", "application/json; charset=UTF-8"),
        ("JSONCompactEachRow", "application/x-ndjson"),
        ("Native", "application/octet-stream"),
    ],
)
def test_content_types(name: str | None, content_type: str) -> None:
    assert find_query_format(name, from_=None).content_type.decode() == content_type


@pytest.mark.parametrize("name", ["BogusFormat", "json", "Null", "XML", "CSV ", "", "Arrow"])
def test_an_unknown_format_is_forbidden_with_those_there_are(name: str) -> None:
    with pytest.raises(Forbidden) as caught:
        find_query_format(name, from_="ts-sdk")
    assert caught.value.status == 403
    assert caught.value.message == f"invalid format {name}, available ones: {AVAILABLE}"
    assert caught.value.documentation == (
        "https://docs.tinybird.co/api-reference/overview#authentication"
    )


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(Forbidden) as caught:
        find_query_format("x" * 8000, from_=None)
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        (None, "TSV"),
        ("", "TSV"),
        ("cli", "TSV"),
        ("chart", "TSV"),
        ("python-sdk", "JSON"),
        ("ts-sdk", "JSON"),
        ("TS-SDK", "TSV"),
    ],
)
def test_without_a_format_sdks_get_json_and_others_tsv(sender: str | None, name: str) -> None:
    assert find_query_format(None, from_=sender) is NAMED[name]
    assert find_query_format("CSV", from_=sender) is NAMED["CSV"]


def test_endpoints_formats_are_the_same_records() -> None:
    assert {extension: format.engine_format for extension, format in FORMATS.items()} == {
        "json": "JSON",
        "csv": "CSVWithNames",
        "csvwithnames": "CSVWithNames",
        "ndjson": "JSONEachRow",
        "parquet": "Parquet",
        "prometheus": prometheus.ENGINE_FORMAT,
    }
    known = [id(format) for format in NAMED.values()]
    assert all(id(format) in known for format in FORMATS.values())
