"""What a caller sent becomes parameters (endpoints.md section 1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import BadRequest
from pipewren.serve.call import EndpointCall, read_call, read_pairs


def call(query: str = "", body: bytes = b"", **headers: str) -> EndpointCall:
    scope: dict[str, Any] = {
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    return read_call(scope, "top", "json", body)


def test_parameters_come_decoded_from_the_query() -> None:
    assert call("a=1&b=x%20y&c=%C3%B1+z").values == {"a": "1", "b": "x y", "c": "ñ z"}


def test_an_empty_value_is_defined() -> None:
    assert call("a=&b").values == {"a": "", "b": ""}


def test_a_repeated_name_is_a_list() -> None:
    assert call("a=1&a=2&a=3&b=1").values == {"a": ["1", "2", "3"], "b": "1"}


def test_the_token_comes_from_header_or_query_and_the_header_wins() -> None:
    assert call("token=q").token == "q"
    assert call("token=q", authorization="Bearer h").token == "h"
    assert call(authorization="bearer  h ").token == "h"
    assert call(authorization="Basic h").token is None
    assert call().token is None


def test_a_token_that_was_sent_several_times_is_the_last() -> None:
    assert call("token=a&token=b").token == "b"
    form = "application/x-www-form-urlencoded"
    assert call("token=a", b"token=b&token=c", content_type=form).token == "c"


def test_the_coding_of_a_body_is_looked_at_only_where_there_is_one() -> None:
    assert call("a=1", content_type="text/csv", content_encoding="gzip").values == {"a": "1"}


def test_names_that_are_not_reserved_are_parameters() -> None:
    assert call("job_timestamp=x&app_name=y").values == {"job_timestamp": "x", "app_name": "y"}


def test_reserved_names_never_reach_a_template() -> None:
    query = "token=t&from=cli&cli_version=5.0.3&release_replacements=true&format=x&a=1"
    assert call(query).values == {"a": "1"}


def test_output_switches_are_told_apart_from_parameters() -> None:
    sent = call("output_format_json_quote_64bit_integers=1&output_format_json_quote_denormals=0")
    assert sent.switches == (("output_format_json_quote_64bit_integers", "1"),)
    assert sent.values == {}


def test_a_form_body_wins_over_the_query() -> None:
    form = "application/x-www-form-urlencoded"
    sent = call("a=1&b=2", b"a=9&token=t", content_type=form)
    assert sent.values == {"a": "9", "b": "2"}
    assert sent.token == "t"


def test_a_json_body_keeps_its_types_and_null_is_undefined() -> None:
    sent = call("", b'{"a": 1, "b": [1, 2], "c": true, "d": null}', content_type="application/json")
    assert sent.values == {"a": 1, "b": [1, 2], "c": True}


def test_a_json_body_without_a_content_type_is_understood() -> None:
    assert call("", b'{"a": 1}').values == {"a": 1}
    assert call("", b'{"a": 1}', content_type="text/plain;charset=UTF-8").values == {"a": 1}


@pytest.mark.parametrize(
    ("query", "body", "content_type", "message"),
    [
        ("b=1&a=%ff", b"", "", "value of the parameter a is not percent-encoded UTF-8"),
        ("b=1&%ff=a", b"", "", "name of parameter 2 is not percent-encoded UTF-8"),
        ("&".join(f"a{n}=1" for n in range(1001)), b"", "", "More than 1000 parameters"),
        ("", b"{oops", "application/json", "not valid JSON"),
        ("", b"[1]", "application/json", "must be an object"),
        ("", b"a,b", "text/csv", "not text/csv"),
        ("", b'{"q": 1}', "application/json", "q must be a text"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_why(
    query: str, body: bytes, content_type: str, message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        call(query, body, content_type=content_type)


def test_pairs_of_raw_utf8_are_read_as_they_are() -> None:
    assert read_pairs("ñ=é+ü&a=%C3%B1é".encode()) == {"ñ": "é ü", "a": "ñé"}


@given(st.text("ab=&%+;2Fc3A9 \u00f1", max_size=40))
def test_pairs_are_those_of_the_standard_library(text: str) -> None:
    query = text.encode("ascii", "ignore")
    expected: dict[str, Any] = {}
    try:
        for name, value in parse_qsl(query.decode(), keep_blank_values=True, errors="strict"):
            expected.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        with pytest.raises(BadRequest):
            read_pairs(query)
        return
    assert read_pairs(query) == {
        name: values if len(values) > 1 else values[0] for name, values in expected.items()
    }
