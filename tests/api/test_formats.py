"""The formats of `GET /v0/pipes/NAME.FORMAT` as HTTP has them; the bytes are the engine's, see
tests/engine/test_formats.py (endpoints.md section 3)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipewren.errors import BadRequest
from pipewren.serve.formats import FORMATS, find_format, finish_body
from pipewren.serve.prometheus import MAX_BODY_BYTES, write_exposition
from pipewren.testing.engine import ScriptedEngine

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

CSV = "text/csv; charset=UTF-8; header=present"
BARE_CSV = "text/csv; charset=UTF-8; header=absent"
HEAD = b'["name","value"]\n["String","UInt8"]\n'


@pytest.mark.parametrize(
    ("extension", "engine_format", "content_type"),
    [
        ("json", "JSON", "application/json; charset=UTF-8"),
        ("csv", "CSVWithNames", CSV),
        ("csvwithnames", "CSVWithNames", CSV),
        ("ndjson", "JSONEachRow", "application/x-ndjson"),
        ("parquet", "Parquet", "application/octet-stream"),
        (
            "prometheus",
            "JSONCompactEachRowWithNamesAndTypes",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
)
async def test_each_extension_has_its_content_type(
    make_api: MakeApi, extension: str, engine_format: str, content_type: str
) -> None:
    api = await make_api(ScriptedEngine({"SELECT": HEAD}))
    answer = await api.call(f"/v0/pipes/top.{extension}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert api.engine.statements[-1].format == engine_format


@pytest.mark.parametrize("extension", ["xml", "JSON", "json.gz", "tsv"])
async def test_a_format_that_does_not_exist_is_answered_with_those_that_do(
    make_api: MakeApi, extension: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        find_format(extension)
    assert caught.value.status == 400
    assert caught.value.message == (
        f"invalid format {extension}, available ones: json, csv, csvwithnames, ndjson, parquet, "
        "prometheus"
    )
    if "." not in extension:
        answer = await (await make_api()).call(f"/v0/pipes/top.{extension}")
        assert (answer.status_code, answer.json()["error"]) == (400, caught.value.message)


@pytest.mark.parametrize("extension", ["csv", "csvwithnames"])
@pytest.mark.parametrize(
    ("value", "engine_format", "content_type"),
    [
        ("0", "CSV", BARE_CSV),
        ("false", "CSV", BARE_CSV),
        ("False", "CSV", BARE_CSV),
        ("1", "CSVWithNames", CSV),
        ("true", "CSVWithNames", CSV),
        ("", "CSVWithNames", CSV),
    ],
)
async def test_a_reserved_parameter_drops_the_csv_header(
    make_api: MakeApi, extension: str, value: str, engine_format: str, content_type: str
) -> None:
    api = await make_api(ScriptedEngine({"SELECT": b""}))
    answer = await api.call(f"/v0/pipes/top.{extension}?__tb__csv_header={value}")
    assert answer.headers["content-type"] == content_type
    assert api.engine.statements[-1].format == engine_format


def test_the_csv_header_switch_is_nothing_to_other_formats_and_its_last_value_counts() -> None:
    for extension in FORMATS.keys() - {"csv", "csvwithnames"}:
        assert find_format(extension, "0") is FORMATS[extension]
    assert find_format("csv", ["1", "0"]).engine_format == "CSV"
    assert find_format("csv", ["0", "1"]).engine_format == "CSVWithNames"
    assert find_format("csv", False).engine_format == "CSV"


async def test_prometheus_text_is_made_of_the_engines_rows(make_api: MakeApi) -> None:
    body = HEAD + b'["up",1]\n["down",0]\n["up",2]\n'
    api = await make_api(ScriptedEngine({"SELECT": body}))
    answer = await api.call("/v0/pipes/top.prometheus")
    assert answer.content == b"up 1\nup 2\n\ndown 0\n\n"
    assert answer.headers["content-length"] == str(len(answer.content))
    settings = dict(api.engine.statements[-1].settings)
    assert settings == {"output_format_json_quote_denormals": "1"}


async def test_columns_that_prometheus_cannot_read_are_an_engine_error_in_http(
    make_api: MakeApi,
) -> None:
    api = await make_api(ScriptedEngine({"SELECT": b'["page"]\n["String"]\n["/a"]\n'}))
    answer = await api.call("/v0/pipes/top.prometheus")
    assert (answer.status_code, answer.headers["x-db-exception-code"]) == (400, "36")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    error = answer.json()["error"]
    assert "the column `name` is missing and must be a String" in error
    assert "the column `value` is missing and must be a number" in error
    assert error.endswith("the columns are page. (BAD_ARGUMENTS)")


async def test_output_switches_reach_the_engine_but_not_what_a_format_needs(
    make_api: MakeApi,
) -> None:
    api = await make_api(ScriptedEngine({"SELECT": HEAD}))
    switch = "output_format_json_quote_64bit_integers"
    await api.call(f"/v0/pipes/top.json?{switch}=1")
    assert api.engine.statements[-1].settings == ((switch, "1"),)
    await api.call("/v0/pipes/top.prometheus?output_format_json_quote_denormals=0")
    assert dict(api.engine.statements[-1].settings)["output_format_json_quote_denormals"] == "1"


async def test_a_large_result_becomes_prometheus_text_beside_the_event_loop() -> None:
    rows = b"".join(b'["m%d",%d,"gauge"]\n' % (number % 7, number) for number in range(20_000))
    head = b'["name","value","type"]\n["String","UInt64","String"]\n'
    text = (await finish_body(find_format("prometheus"), head + rows)).decode()
    families = list(text_string_to_metric_families(text))
    assert [family.name for family in families] == [f"m{number}" for number in range(7)]
    for number, family in enumerate(families):
        values = [sample.value for sample in family.samples]
        assert values == list(range(number, 20_000, 7))


def test_a_result_too_large_for_prometheus_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadRequest, match="larger than 10,000,000 bytes"):
        write_exposition(HEAD + b" " * MAX_BODY_BYTES)


def test_bytes_that_are_not_utf8_become_valid_prometheus_text() -> None:
    head = b'["name","value","labels"]\n["String","UInt8","Map(String, String)"]\n'
    text = write_exposition(head + b'["a",1,{"b":"x\xff\xfe"}]\n').decode()
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"b": "x��"}


async def test_the_other_formats_are_the_engines_bytes() -> None:
    body = json.dumps({"data": []}).encode() + b"\xff"
    for extension in FORMATS.keys() - {"prometheus"}:
        assert await finish_body(find_format(extension), body) is body
