"""Where parameters come from, and what they are worth (endpoints.md section 1)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

if TYPE_CHECKING:
    from tests.api.parameters.conftest import ParameterApi

    MakeTyped = Callable[..., Awaitable[ParameterApi]]

ADMIN = "admin token value"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", f"{FORM.upper()} ;x", ""])
async def test_a_form_is_read_whatever_its_type_says_of_a_charset(
    typed: ParameterApi, content_type: str
) -> None:
    assert (await typed.printed("", "s=%C3%B1&i=2", content_type or None))["s"] == "'ñ'"


@pytest.mark.parametrize(
    "content_type",
    [JSON, f"{JSON};charset=utf-8", 'APPLICATION/JSON; charset="UTF-8"', "", "text/plain"],
)
async def test_json_is_read_whatever_its_type_says_of_a_charset(
    typed: ParameterApi, content_type: str
) -> None:
    assert (await typed.printed("", ' {"s": "ñ"}', content_type or None))["s"] == "'ñ'"


async def test_query_and_body_may_be_mixed_and_the_body_wins(typed: ParameterApi) -> None:
    query = "s=query&i=5&a=7&a=8"
    form = await typed.printed(query, "s=form&f=2", FORM)
    assert (form["s"], form["i"], form["f"], form["a"]) == (
        "'form'",
        "toInt32('5')",
        "toFloat64('2.0')",
        "[7,8]",
    )
    sent = await typed.printed(query, '{"s": "json", "a": [9]}', JSON)
    assert (sent["s"], sent["i"], sent["a"]) == ("'json'", "toInt32('5')", "[9]")
    # A name that is in both is the body's alone: values are not put together.
    assert (await typed.printed(query, "a=9", FORM))["a"] == "[9]"


async def test_null_in_a_json_body_is_as_good_as_not_sent(typed: ParameterApi) -> None:
    assert (await typed.printed("", '{"s": null, "i": null}', JSON))["s"] == "'-'"
    assert (await typed.printed("s=query", '{"s": null}', JSON))["s"] == "'query'"
    assert (await typed.printed("", '{"x": null}', JSON, pipe="bare"))["x"] == "'absent'"
    answer = await typed.call(
        f"token={ADMIN.replace(' ', '+')}", '{"token": null}', JSON, token=None
    )
    assert answer.status_code == 200


async def test_the_body_of_a_get_is_not_read(typed: ParameterApi) -> None:
    columns = await typed.printed("s=query", '{"s": "body"}', JSON, method="GET")
    assert columns["s"] == "'query'"


async def test_an_empty_post_has_the_parameters_of_its_query(typed: ParameterApi) -> None:
    for content_type in (JSON, FORM, "text/csv"):
        assert (await typed.printed("s=query", b"", content_type))["s"] == "'query'"


async def test_large_bodies_are_taken_up_to_the_limit(make_typed: MakeTyped) -> None:
    typed = await make_typed(max_body_bytes=250_000, max_query_bytes=262_144)
    long = "x" * 240_000
    for body, content_type in (
        (urlencode({"s": long}), FORM),
        (json.dumps({"s": long}), JSON),
        (urlencode({"s": "%" * 80_000}), FORM),
    ):
        assert (await typed.call("", body, content_type)).status_code == 200
    ids = list(range(30_000))
    columns_of = await typed.call("", json.dumps({"a": ids}), JSON)
    assert columns_of.status_code == 200
    assert "[0,1,2," in typed.statements[-1].sql
    assert (await typed.call("", "s=" + "x" * 250_000, FORM)).status_code == 413


# Repeated, empty, encoded


async def test_a_repeated_name_is_a_list_for_arrays_and_its_last_value_for_others(
    typed: ParameterApi,
) -> None:
    columns = await typed.printed("a=1&a=2&a=3&s=x&s=y&t=a,b&i=1&i=2")
    assert (columns["a"], columns["s"], columns["t"], columns["i"]) == (
        "[1,2,3]",
        "'y'",
        "['a','b']",
        "toInt32('2')",
    )
    assert (await typed.printed("t=a,b&t=c"))["t"] == "['a,b','c']"
    assert (await typed.printed("", "t=a&t=b", FORM))["t"] == "['a','b']"


async def test_brackets_after_a_name_are_part_of_another_name(typed: ParameterApi) -> None:
    assert (await typed.printed("a[]=7&a[]=8&a%5B0%5D=9"))["a"] == "[1,2]"


async def test_an_empty_value_is_defined_and_does_not_take_the_default(typed: ParameterApi) -> None:
    for query in ("s=", "s"):
        assert (await typed.printed(query))["s"] == "''"
        assert (await typed.printed("", query, FORM))["s"] == "''"
    assert (await typed.printed("", '{"s": ""}', JSON))["s"] == "''"
    assert (await typed.printed("x=", pipe="bare"))["x"] == "''"
    assert (await typed.printed("t="))["t"] == "['']"
    assert "Error validating '' to type Int32" in await typed.refused("i=")


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("a%20b", "a b"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("%26%3D%23%3B", "&=#;"),
        ("a=b=c", "a=b=c"),
        ("a;b", "a;b"),
        ("%E2%82%AC", "€"),
        ("%f0%9f%90%a6", "🐦"),
        ("100%25", "100\\%"),
        ("50%", "50\\%"),
        ("%zz%4", "\\%zz\\%4"),
        ("%2541", "\\%41"),
        ("%00", "\\0"),
        ("%EF%BF%BE", "\ufffe"),
    ],
)
async def test_percent_encoding(typed: ParameterApi, encoded: str, value: str) -> None:
    assert (await typed.printed(f"s={encoded}"))["s"] == f"'{value}'"
    assert (await typed.printed("", f"s={encoded}", FORM))["s"] == f"'{value}'"


async def test_raw_utf8_in_a_form_is_what_it_is(typed: ParameterApi) -> None:
    assert (await typed.printed("", "s=señor+x".encode(), FORM))["s"] == "'señor x'"


@pytest.mark.parametrize(
    "broken",
    [
        "%ff",  # no UTF-8 at all
        "a%C3",  # cut off
        "%C0%AF",  # an overlong slash
        "%E0%80%AF",
        "%F0%80%80%AF",
        "%ED%A0%80",  # one half of a surrogate pair
        "%ED%A0%BD%ED%B0%80",  # both, as CESU-8 has them
        "%F5%80%80%80",  # beyond Unicode
        "%F1",  # Latin-1's ñ
    ],
)
async def test_what_is_no_utf8_is_refused_by_the_name_of_its_parameter(
    typed: ParameterApi, broken: str
) -> None:
    expected = "The value of the parameter s is not percent-encoded UTF-8"
    assert await typed.refused(f"i=1&s={broken}") == expected
    assert await typed.refused("", f"i=1&s={broken}", FORM) == expected
    assert await typed.refused(f"i=1&{broken}=1") == (
        "The name of parameter 2 is not percent-encoded UTF-8"
    )
    raw = bytes(int(part[:2], 16) for part in broken.replace("a", "%61").split("%")[1:])
    assert await typed.refused("", b"s=" + raw, FORM) == expected
    assert "not UTF-8" in await typed.refused("", b'{"s": "' + raw + b'"}', JSON)


async def test_a_broken_token_is_not_repeated(typed: ParameterApi) -> None:
    assert "p.eyJsecret" not in await typed.refused("token=p.eyJsecret%ff", token=None)


@pytest.mark.parametrize(
    "content_type", ["text/csv", "text/xml; charset=utf-8", "application/x-ndjson", "text/plain"]
)
async def test_a_body_of_another_type_is_refused_and_told_what_would_do(
    typed: ParameterApi, content_type: str
) -> None:
    text = await typed.refused("", "s=1", content_type)
    assert f"{FORM} or {JSON}, not {content_type.partition(';')[0]}" in text


async def test_multipart_is_no_way_to_send_parameters(typed: ParameterApi) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="s"\r\n\r\n1\r\n--x--\r\n'
    text = await typed.refused("", body, "multipart/form-data; boundary=x")
    assert "not multipart/form-data" in text


async def test_json_that_is_sent_as_a_form_by_mistake_is_told_so(typed: ParameterApi) -> None:
    assert "send Content-Type: application/json" in await typed.refused("", '{"s": 1}', FORM)


async def test_another_charset_is_refused_where_it_makes_a_difference(typed: ParameterApi) -> None:
    text = await typed.refused("", "s=ñ".encode("latin-1"), f"{FORM}; charset=ISO-8859-1")
    assert text == "The body's charset is iso-8859-1: send UTF-8"
    assert "charset is utf-16" in await typed.refused("", b"s=1", f"{JSON}; charset=utf-16")
    assert (await typed.printed("", "s=x", f"{FORM}; charset=ISO-8859-1"))["s"] == "'x'"


async def test_a_compressed_body_is_refused_and_told_so(typed: ParameterApi) -> None:
    body = gzip.compress(b"s=1")
    text = await typed.refused("", body, FORM, headers={"Content-Encoding": "gzip"})
    assert "Content-Encoding gzip" in text
    same = await typed.printed("", "s=1", FORM, headers={"Content-Encoding": "identity"})
    assert same["s"] == "'1'"
