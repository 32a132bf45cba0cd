"""Parameters of a JSON body (endpoints.md section 1, rule 5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from pipewren.serve.json_body import MAX_DEPTH

if TYPE_CHECKING:
    from tests.api.parameters.conftest import ParameterApi

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


async def test_numbers_booleans_and_lists_of_json_reach_the_template_as_such(
    typed: ParameterApi,
) -> None:
    body = {"i": -5, "u": 2**64 - 1, "f": 0.25, "b": True, "a": [1, 2], "t": ["a", "b,c"], "s": "x"}
    columns = await typed.printed("", json.dumps(body), JSON)
    assert columns["i"] == "toInt32('-5')"
    assert columns["u"] == "toUInt64('18446744073709551615')"
    assert columns["f"] == "toFloat64('0.25')"
    assert columns["b"] == "1"
    assert columns["a"] == "[1,2]"
    assert columns["t"] == "['a','b,c']"
    bare = [json.dumps({"x": value}) for value in (5, 1.5, True, "5")]
    seen = [(await typed.printed("", body, JSON, pipe="bare"))["x"] for body in bare]
    assert seen == ["5", "1.5", "True", "'5'"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [("14.0", "14"), ("1e3", "1000"), ("-0.0", "0"), ("1.4e1", "14"), ("9007199254740992.0", None)],
)
async def test_a_whole_number_of_json_is_an_integer_however_it_is_written(
    typed: ParameterApi, number: str, expected: str | None
) -> None:
    if expected is not None:
        assert (await typed.printed("", f'{{"i": {number}}}', JSON))[
            "i"
        ] == f"toInt32('{expected}')"
        assert (await typed.printed("", f'{{"a": [{number}]}}', JSON))["a"] == f"[{expected}]"
    else:
        assert (await typed.printed("", f'{{"u": {number}}}', JSON))["u"] == (
            "toUInt64('9007199254740992')"
        )
    assert (await typed.printed("", '{"f": 14}', JSON))["f"] == "toFloat64('14.0')"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"i": 14.5}', "Error validating '14.5' to type Int32"),
        ('{"i": true}', "Error validating 'True' to type Int32"),
        ('{"i": "x"}', "Error validating 'x' to type Int32"),
        ('{"i": [1, 2]}', "to type Int32"),
        ('{"i": {"a": 1}}', "to type Int32"),
        ('{"i": 1e19}', "to type Int32"),
        ('{"u": -1}', "to type UInt64"),
        ('{"u": 18446744073709551616}', "to type UInt64"),
        ('{"a": [1, null]}', "to type Int32"),
        ('{"a": [1, [2]]}', "to type Int32"),
        ('{"d": 20240101}', "to type Date"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_refused_by_its_type(
    typed: ParameterApi, body: str, expected: str
) -> None:
    assert expected in await typed.refused("", body, JSON)


async def test_of_a_key_that_occurs_twice_the_last_value_counts(typed: ParameterApi) -> None:
    assert (await typed.printed("", '{"s": "a", "s": "b"}', JSON))["s"] == "'b'"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{oops", "not valid JSON"),
        (b'{"s": 1', "not valid JSON"),
        (b'{"s": 1}}', "not valid JSON"),
        (b'{"s": 1} {"s": 2}', "not valid JSON"),
        (b'{"s": NaN}', "not valid JSON"),
        (b'{"s": 1e400}', "not valid JSON"),
        (b'{"s": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b'{"s": "\\ud800"}', "not valid JSON"),
        (b'{"s": "\\udc00\\ud800"}', "not valid JSON"),
        (b'{"\\ud800": 1}', "not valid JSON"),
        (b'{"s": "\x00"}', "not valid JSON"),
        (b"{'s': 1}", "not valid JSON"),
        (b'{"s": 1,}', "not valid JSON"),
        (b"   ", "not valid JSON"),
        (b"[1]", "must be an object of parameters"),
        (b'"text"', "must be an object of parameters"),
        (b"null", "must be an object of parameters"),
        ('{"s": "ñ"}'.encode("utf-16-le"), "is not UTF-8: the byte at 14 is wrong"),
        ('{"s": "x"}'.encode("utf-16-le"), "not valid JSON"),
        ('{"s": "ñ"}'.encode("latin-1"), "is not UTF-8: the byte at 7 is wrong"),
    ],
)
async def test_what_is_no_json_object_is_refused(
    typed: ParameterApi, body: bytes, expected: str
) -> None:
    assert expected in await typed.refused("", body, JSON)


async def test_unicode_of_json_is_kept(typed: ParameterApi) -> None:
    body = b'\xef\xbb\xbf{"s": "\\u0000\\ud83d\\udc26\\u2028"}'
    assert (await typed.printed("", body, JSON))["s"] == "'\\0🐦\u2028'"
    assert (await typed.printed("", body))["s"] == "'\\0🐦\u2028'"


@pytest.mark.parametrize("opening", ['{"j":', "["])
async def test_json_is_nested_up_to_a_bound(typed: ParameterApi, opening: str) -> None:
    def nested(depth: int) -> str:
        closing = "}" if opening[0] == "{" else "]"
        return '{"j": ' + opening * depth + "0" + closing * depth + "}"

    assert (await typed.call("", nested(MAX_DEPTH), JSON)).status_code in (200, 400)
    for depth in (MAX_DEPTH + 1, 500, 1000, 5000, 190_000 // len(opening)):
        text = await typed.refused("", nested(depth), JSON)
        assert text == f"The JSON body is nested deeper than {MAX_DEPTH} levels"
    assert "nested deeper" in await typed.refused("", opening * 100_000, JSON)


@pytest.mark.parametrize("opening", ['{"j":', "["])
async def test_a_text_of_json_that_is_nested_without_end_is_refused_too(
    typed: ParameterApi, opening: str
) -> None:
    for depth in (1000, 5000, 20_000):
        await typed.refused("", urlencode({"j": opening * depth}), FORM)
        closing = ("}" if opening[0] == "{" else "]") * depth
        answer = await typed.call("", urlencode({"j": f"{opening * depth}0{closing}"}), FORM)
        assert answer.status_code == 400
