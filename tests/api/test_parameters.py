"""Parameters of an endpoint's call, from wherever they come (endpoints.md section 1)."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx2
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipewren.serve.call import MAX_PARAMETERS, OUTPUT_SWITCHES, RESERVED
from pipewren.serve.json_body import MAX_DEPTH

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN = "admin token value"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def pipe(sql: str) -> str:
    return f"NODE endpoint\nSQL >\n    %\n    SELECT {sql}\nTYPE endpoint\n"


FILES = {
    "endpoints/typed.pipe": pipe(
        "{{String(s, '-')}} AS s, {{Int32(i, 1)}} AS i, {{UInt64(u, 1)}} AS u, "
        "{{Float64(f, 1.5)}} AS f, {{Boolean(b, False)}} AS b, {{Array(a, 'Int32', '1,2')}} AS a, "
        "{{Array(t, 'String', 'x,y')}} AS t, {{Date(d, '2024-01-01')}} AS d, "
        "{{DateTime(m, '2024-01-01 00:00:00')}} AS m, "
        "{% if JSON(j, '{}') %}1{% else %}0{% end %} AS j"
    ),
    "endpoints/bare.pipe": pipe(
        "{% if defined(x) %}{{x}}{% else %}'absent'{% end %} AS x, {{String(job_timestamp)}} AS now"
    ),
    "endpoints/reads_reserved.pipe": pipe("{{String(tag, 'kept')}} AS tag"),
}


@pytest_asyncio.fixture(loop_scope="session")
async def typed(make_api: MakeApi) -> AsyncIterator[Api]:
    yield await make_api(files=FILES)


async def call(
    api: Api,
    query: str = "",
    body: bytes | str | None = None,
    content_type: str | None = None,
    *,
    pipe: str = "typed",
    method: str | None = None,
    token: str | None = ADMIN,
    headers: dict[str, str] | None = None,
) -> httpx2.Response:
    sent = dict(headers or {})
    if content_type is not None:
        sent["Content-Type"] = content_type
    content = body.encode() if isinstance(body, str) else body
    path = f"/v0/pipes/{pipe}.json" + (f"?{query}" if query else "")
    method = method or ("GET" if body is None else "POST")
    return await api.call(path, method, token=token, content=content, headers=sent)


async def printed(api: Api, *arguments: Any, pipe: str = "typed", **options: Any) -> dict[str, str]:
    """What each parameter became in the statement, by its column."""
    answer = await call(api, *arguments, pipe=pipe, **options)
    assert answer.status_code == 200, answer.text
    statement = api.engine.statements[-1].sql.strip().removeprefix("SELECT ")
    columns = {}
    while statement:
        value, _, rest = statement.partition(" AS ")
        name, _, statement = rest.partition(", ")
        columns[name.strip()] = value
    return columns


async def refused(api: Api, *arguments: Any, **options: Any) -> str:
    """The text of a 400 that never reached the engine."""
    before = len(api.engine.statements)
    answer = await call(api, *arguments, **options)
    assert answer.status_code == 400, answer.text
    assert len(api.engine.statements) == before
    text = answer.json()["error"]
    assert isinstance(text, str)
    return text


# Where they come from


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", f"{FORM.upper()} ;x", ""])
async def test_a_form_is_read_whatever_its_type_says_of_a_charset(
    typed: Api, content_type: str
) -> None:
    assert (await printed(typed, "", "s=%C3%B1&i=2", content_type or None))["s"] == "'ñ'"


@pytest.mark.parametrize(
    "content_type",
    [JSON, f"{JSON};charset=utf-8", 'APPLICATION/JSON; charset="UTF-8"', "", "text/plain"],
)
async def test_json_is_read_whatever_its_type_says_of_a_charset(
    typed: Api, content_type: str
) -> None:
    assert (await printed(typed, "", ' {"s": "ñ"}', content_type or None))["s"] == "'ñ'"


async def test_query_and_body_may_be_mixed_and_the_body_wins(typed: Api) -> None:
    query = "s=query&i=5&a=7&a=8"
    form = await printed(typed, query, "s=form&f=2", FORM)
    assert (form["s"], form["i"], form["f"], form["a"]) == (
        "'form'",
        "toInt32('5')",
        "toFloat64('2.0')",
        "[7,8]",
    )
    sent = await printed(typed, query, '{"s": "json", "a": [9]}', JSON)
    assert (sent["s"], sent["i"], sent["a"]) == ("'json'", "toInt32('5')", "[9]")
    # A name that is in both is the body's alone: values are not put together.
    assert (await printed(typed, query, "a=9", FORM))["a"] == "[9]"


async def test_null_in_a_json_body_is_as_good_as_not_sent(typed: Api) -> None:
    assert (await printed(typed, "", '{"s": null, "i": null}', JSON))["s"] == "'-'"
    assert (await printed(typed, "s=query", '{"s": null}', JSON))["s"] == "'query'"
    assert (await printed(typed, "", '{"x": null}', JSON, pipe="bare"))["x"] == "'absent'"
    answer = await call(
        typed, f"token={ADMIN.replace(' ', '+')}", '{"token": null}', JSON, token=None
    )
    assert answer.status_code == 200


async def test_the_body_of_a_get_is_not_read(typed: Api) -> None:
    columns = await printed(typed, "s=query", '{"s": "body"}', JSON, method="GET")
    assert columns["s"] == "'query'"


async def test_an_empty_post_has_the_parameters_of_its_query(typed: Api) -> None:
    for content_type in (JSON, FORM, "text/csv"):
        assert (await printed(typed, "s=query", b"", content_type))["s"] == "'query'"


async def test_large_bodies_are_taken_up_to_the_limit(make_api: MakeApi) -> None:
    api = await make_api(files=FILES, max_body_bytes=250_000, max_query_bytes=262_144)
    long = "x" * 240_000
    for body, content_type in (
        (urlencode({"s": long}), FORM),
        (json.dumps({"s": long}), JSON),
        (urlencode({"s": "%" * 80_000}), FORM),
    ):
        assert (await call(api, "", body, content_type)).status_code == 200
    ids = list(range(30_000))
    columns_of = await call(api, "", json.dumps({"a": ids}), JSON)
    assert columns_of.status_code == 200
    assert "[0,1,2," in api.engine.statements[-1].sql
    assert (await call(api, "", "s=" + "x" * 250_000, FORM)).status_code == 413


# Repeated, empty, encoded


async def test_a_repeated_name_is_a_list_for_arrays_and_its_last_value_for_others(
    typed: Api,
) -> None:
    columns = await printed(typed, "a=1&a=2&a=3&s=x&s=y&t=a,b&i=1&i=2")
    assert (columns["a"], columns["s"], columns["t"], columns["i"]) == (
        "[1,2,3]",
        "'y'",
        "['a','b']",
        "toInt32('2')",
    )
    assert (await printed(typed, "t=a,b&t=c"))["t"] == "['a,b','c']"
    assert (await printed(typed, "", "t=a&t=b", FORM))["t"] == "['a','b']"


async def test_brackets_after_a_name_are_part_of_another_name(typed: Api) -> None:
    assert (await printed(typed, "a[]=7&a[]=8&a%5B0%5D=9"))["a"] == "[1,2]"


async def test_an_empty_value_is_defined_and_does_not_take_the_default(typed: Api) -> None:
    for query in ("s=", "s"):
        assert (await printed(typed, query))["s"] == "''"
        assert (await printed(typed, "", query, FORM))["s"] == "''"
    assert (await printed(typed, "", '{"s": ""}', JSON))["s"] == "''"
    assert (await printed(typed, "x=", pipe="bare"))["x"] == "''"
    assert (await printed(typed, "t="))["t"] == "['']"
    assert "Error validating '' to type Int32" in await refused(typed, "i=")


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
async def test_percent_encoding(typed: Api, encoded: str, value: str) -> None:
    assert (await printed(typed, f"s={encoded}"))["s"] == f"'{value}'"
    assert (await printed(typed, "", f"s={encoded}", FORM))["s"] == f"'{value}'"


async def test_raw_utf8_in_a_form_is_what_it_is(typed: Api) -> None:
    assert (await printed(typed, "", "s=señor+x".encode(), FORM))["s"] == "'señor x'"


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
    typed: Api, broken: str
) -> None:
    expected = "The value of the parameter s is not percent-encoded UTF-8"
    assert await refused(typed, f"i=1&s={broken}") == expected
    assert await refused(typed, "", f"i=1&s={broken}", FORM) == expected
    assert await refused(typed, f"i=1&{broken}=1") == (
        "The name of parameter 2 is not percent-encoded UTF-8"
    )
    raw = bytes(int(part[:2], 16) for part in broken.replace("a", "%61").split("%")[1:])
    assert await refused(typed, "", b"s=" + raw, FORM) == expected
    assert "not UTF-8" in await refused(typed, "", b'{"s": "' + raw + b'"}', JSON)


async def test_a_broken_token_is_not_repeated(typed: Api) -> None:
    assert "p.eyJsecret" not in await refused(typed, "token=p.eyJsecret%ff", token=None)


# JSON


async def test_numbers_booleans_and_lists_of_json_reach_the_template_as_such(typed: Api) -> None:
    body = {"i": -5, "u": 2**64 - 1, "f": 0.25, "b": True, "a": [1, 2], "t": ["a", "b,c"], "s": "x"}
    columns = await printed(typed, "", json.dumps(body), JSON)
    assert columns["i"] == "toInt32('-5')"
    assert columns["u"] == "toUInt64('18446744073709551615')"
    assert columns["f"] == "toFloat64('0.25')"
    assert columns["b"] == "1"
    assert columns["a"] == "[1,2]"
    assert columns["t"] == "['a','b,c']"
    bare = [json.dumps({"x": value}) for value in (5, 1.5, True, "5")]
    seen = [(await printed(typed, "", body, JSON, pipe="bare"))["x"] for body in bare]
    assert seen == ["5", "1.5", "True", "'5'"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [("14.0", "14"), ("1e3", "1000"), ("-0.0", "0"), ("1.4e1", "14"), ("9007199254740992.0", None)],
)
async def test_a_whole_number_of_json_is_an_integer_however_it_is_written(
    typed: Api, number: str, expected: str | None
) -> None:
    if expected is not None:
        assert (await printed(typed, "", f'{{"i": {number}}}', JSON))[
            "i"
        ] == f"toInt32('{expected}')"
        assert (await printed(typed, "", f'{{"a": [{number}]}}', JSON))["a"] == f"[{expected}]"
    else:
        assert (await printed(typed, "", f'{{"u": {number}}}', JSON))["u"] == (
            "toUInt64('9007199254740992')"
        )
    assert (await printed(typed, "", '{"f": 14}', JSON))["f"] == "toFloat64('14.0')"


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
    typed: Api, body: str, expected: str
) -> None:
    assert expected in await refused(typed, "", body, JSON)


async def test_of_a_key_that_occurs_twice_the_last_value_counts(typed: Api) -> None:
    assert (await printed(typed, "", '{"s": "a", "s": "b"}', JSON))["s"] == "'b'"


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
async def test_what_is_no_json_object_is_refused(typed: Api, body: bytes, expected: str) -> None:
    assert expected in await refused(typed, "", body, JSON)


async def test_unicode_of_json_is_kept(typed: Api) -> None:
    body = b'\xef\xbb\xbf{"s": "\\u0000\\ud83d\\udc26\\u2028"}'
    assert (await printed(typed, "", body, JSON))["s"] == "'\\0🐦\u2028'"
    assert (await printed(typed, "", body))["s"] == "'\\0🐦\u2028'"


@pytest.mark.parametrize("opening", ['{"j":', "["])
async def test_json_is_nested_up_to_a_bound(typed: Api, opening: str) -> None:
    def nested(depth: int) -> str:
        closing = "}" if opening[0] == "{" else "]"
        return '{"j": ' + opening * depth + "0" + closing * depth + "}"

    assert (await call(typed, "", nested(MAX_DEPTH), JSON)).status_code in (200, 400)
    for depth in (MAX_DEPTH + 1, 500, 1000, 5000, 190_000 // len(opening)):
        text = await refused(typed, "", nested(depth), JSON)
        assert text == f"The JSON body is nested deeper than {MAX_DEPTH} levels"
    assert "nested deeper" in await refused(typed, "", opening * 100_000, JSON)


@pytest.mark.parametrize("opening", ['{"j":', "["])
async def test_a_text_of_json_that_is_nested_without_end_is_refused_too(
    typed: Api, opening: str
) -> None:
    for depth in (1000, 5000, 20_000):
        await refused(typed, "", urlencode({"j": opening * depth}), FORM)
        closing = ("}" if opening[0] == "{" else "]") * depth
        answer = await call(typed, "", urlencode({"j": f"{opening * depth}0{closing}"}), FORM)
        assert answer.status_code == 400


# Types that are no body of parameters


@pytest.mark.parametrize(
    "content_type", ["text/csv", "text/xml; charset=utf-8", "application/x-ndjson", "text/plain"]
)
async def test_a_body_of_another_type_is_refused_and_told_what_would_do(
    typed: Api, content_type: str
) -> None:
    text = await refused(typed, "", "s=1", content_type)
    assert f"{FORM} or {JSON}, not {content_type.partition(';')[0]}" in text


async def test_multipart_is_no_way_to_send_parameters(typed: Api) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="s"\r\n\r\n1\r\n--x--\r\n'
    text = await refused(typed, "", body, "multipart/form-data; boundary=x")
    assert "not multipart/form-data" in text


async def test_json_that_is_sent_as_a_form_by_mistake_is_told_so(typed: Api) -> None:
    assert "send Content-Type: application/json" in await refused(typed, "", '{"s": 1}', FORM)


async def test_another_charset_is_refused_where_it_makes_a_difference(typed: Api) -> None:
    text = await refused(typed, "", "s=ñ".encode("latin-1"), f"{FORM}; charset=ISO-8859-1")
    assert text == "The body's charset is iso-8859-1: send UTF-8"
    assert "charset is utf-16" in await refused(typed, "", b"s=1", f"{JSON}; charset=utf-16")
    assert (await printed(typed, "", "s=x", f"{FORM}; charset=ISO-8859-1"))["s"] == "'x'"


async def test_a_compressed_body_is_refused_and_told_so(typed: Api) -> None:
    body = gzip.compress(b"s=1")
    text = await refused(typed, "", body, FORM, headers={"Content-Encoding": "gzip"})
    assert "Content-Encoding gzip" in text
    same = await printed(typed, "", "s=1", FORM, headers={"Content-Encoding": "identity"})
    assert same["s"] == "'1'"


# The token and the other reserved names


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(urlencode({"token": ADMIN}), FORM), (json.dumps({"token": ADMIN}), JSON)],
)
async def test_a_token_in_a_post_body_counts(typed: Api, body: str, content_type: str) -> None:
    assert (await call(typed, "", body, content_type, token=None)).status_code == 200
    assert (await call(typed, "token=wrong", body, content_type, token=None)).status_code == 200
    assert (await call(typed, "", body, content_type, token="wrong")).status_code == 403
    assert ADMIN not in str([one.sql for one in typed.engine.statements])


async def test_a_token_that_is_no_text_is_refused_without_being_repeated(typed: Api) -> None:
    for value in ([ADMIN], {"a": ADMIN}, 123, True):
        text = await refused(typed, "", json.dumps({"token": value}), JSON, token=None)
        assert text == "The parameter token must be a text"
    assert (await call(typed, "", '{"token": null}', JSON, token=None)).status_code == 403
    assert (await call(typed, "token=", token=None)).status_code == 403


SPEC_RESERVED = set(
    """
    token q output_format_json_quote_64bit_integers output_format_json_quote_denormals
    output_format_parquet_string_as_string finalize_aggregations from cli_version __tb__semver
    __tb__client __tb__deployment __tb__csv_header explain debug debug_source_tables query_id tag
    pipeline playground release_replacements template_parameters format with_members_and_owner
    """.split()  # noqa: SIM905
)


async def test_reserved_names_are_those_of_the_specification() -> None:
    assert SPEC_RESERVED == RESERVED | OUTPUT_SWITCHES


@pytest.mark.parametrize("name", sorted(SPEC_RESERVED - {"q"}))
async def test_a_reserved_name_changes_no_statement(typed: Api, name: str) -> None:
    await printed(typed, "s=x")
    plain = typed.engine.statements[-1].sql
    for query, body in ((f"s=x&{name}=0", None), ("s=x", json.dumps({name: "0"}))):
        assert (await call(typed, query, body, body and JSON)).status_code == 200
        assert typed.engine.statements[-1].sql == plain
    assert (await call(typed, f"{name}=0&{name}=0")).status_code == 200
    assert (await call(typed, "", f"{name}=0", FORM)).status_code == 200


async def test_a_template_that_reads_a_reserved_name_does_not_get_it(typed: Api) -> None:
    assert (await printed(typed, "tag=mine", pipe="reads_reserved"))["tag"] == "'kept'"


async def test_the_job_timestamp_is_a_parameter_of_templates(typed: Api) -> None:
    columns = await printed(typed, "job_timestamp=2024-05-06+10:00:00", pipe="bare")
    assert columns["now"] == "'2024-05-06 10:00:00'"


async def test_unknown_names_are_taken_and_ignored(typed: Api) -> None:
    await printed(typed)
    plain = typed.engine.statements[-1].sql
    await printed(typed, "app_name=dashboard&__class__=1&a.b=1&%00=1&=1&%F0%9F%90%A6=1&self=1")
    assert typed.engine.statements[-1].sql == plain


@pytest.mark.parametrize("q", ["SELECT count() FROM _", ""])
async def test_q_is_refused_wherever_it_comes_from(typed: Api, q: str) -> None:
    for text in (
        await refused(typed, urlencode({"q": q})),
        await refused(typed, "", urlencode({"q": q}), FORM),
        await refused(typed, "", json.dumps({"q": q}), JSON),
    ):
        assert "q is not supported yet" in text


async def test_an_output_switch_of_any_kind_of_value_is_taken(typed: Api) -> None:
    name = "output_format_json_quote_64bit_integers"
    for query, body in (
        (f"{name}=1", None),
        (f"{name}=0&{name}=true", None),
        ("", f'{{"{name}": 1}}'),
        ("", f'{{"{name}": true}}'),
    ):
        assert (await call(typed, query, body, body and JSON)).status_code == 200
        assert (name, "1") in typed.engine.statements[-1].settings
    for body in (f'{{"{name}": [1]}}', f'{{"{name}": {{}}}}', f'{{"{name}": 0}}'):
        assert (await call(typed, "", body, JSON)).status_code == 200
        assert typed.engine.statements[-1].settings == ()


# What attackers send


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"&" * 900_000, FORM),
        (b"&".join(b"n%d=1" % n for n in range(80_000)), FORM),
        (b"a&" * 400_000, FORM),
        (json.dumps({f"n{n}": 1 for n in range(60_000)}).encode(), JSON),
        (json.dumps({f"n{n}": 1 for n in range(MAX_PARAMETERS + 1)}).encode(), JSON),
    ],
)
async def test_more_names_than_the_bound_are_refused(
    typed: Api, body: bytes, content_type: str
) -> None:
    expected = f"More than {MAX_PARAMETERS} parameters were sent"
    assert await refused(typed, "", body, content_type) == expected


async def test_as_many_names_as_the_bound_are_taken(typed: Api) -> None:
    names = [f"n{n}" for n in range(MAX_PARAMETERS)]
    assert (await call(typed, "&".join(f"{name}=1" for name in names))).status_code == 200
    assert (await call(typed, "", json.dumps(dict.fromkeys(names, 1)), JSON)).status_code == 200
    # Repeats of one name count too: each is a value to keep.
    assert "More than" in await refused(typed, "&".join(["a=1"] * (MAX_PARAMETERS + 1)))


async def test_names_that_hash_alike_as_integers_do_cost_nothing_special(typed: Api) -> None:
    # A hash that is a number's own value puts multiples of a power of two in one slot; texts are
    # hashed with a secret of the process, and the bound on names keeps any collision small.
    names = [str(n << 40) for n in range(MAX_PARAMETERS)]
    assert (await call(typed, "&".join(f"{name}=1" for name in names))).status_code == 200
    values = json.dumps({"j": {str(n * (2**61 - 1)): n for n in range(20_000)}})
    assert (await call(typed, "", values, JSON)).status_code in (200, 400)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from("siufbatdmj"), VALUES, max_size=4))
async def test_no_json_value_is_our_mistake(typed: Api, body: dict[str, Any]) -> None:
    answer = await call(typed, "", json.dumps(body), JSON)
    assert answer.status_code in (200, 400), answer.text


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from([JSON, FORM, "", "text/plain"]))
async def test_no_bytes_are_our_mistake(typed: Api, body: bytes, content_type: str) -> None:
    for sent in (body, b"s=" + body, b'{"s": "' + body + b'"}', b'{"j": ' + body + b"}"):
        answer = await call(typed, "", sent, content_type or None)
        assert answer.status_code in (200, 400), answer.text
