"""What holds for every value and every template, not only for the cases that we thought of."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipewren.errors import TemplateError
from pipewren.sql.tokens import Kind, scan_tokens
from pipewren.template.template import Template, compile_template

# Weighted towards what ends literals, names and comments.
hostile_texts = st.text(
    st.one_of(
        st.sampled_from("'\"`\\%\0\b\t\n\r\x1a,.;()[]{}-/*# \u2028\u2029‘’“”$"),
        st.characters(codec="utf-8"),
    ),
    max_size=40,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_texts, inner, max_size=4),
    max_leaves=8,
)
element_types = st.sampled_from(
    ["String", "UUID", "Int8", "Int32", "UInt64", "Float64", "Boolean", "Date", "DateTime"]
)
PARTS = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "{{!", "{", "}", "%", "#", "!", "\n", " ", ",", "'", '"'),
    *("if ", "for ", " in ", "while ", "try", "except ", "else", "elif ", "finally", "end", "set "),
    *("{% end %}", "{% else %}", "{% if x %}", "{% for a in x %}", "{% try %}", "{% except %}"),
    *("x", "y", "a", "1", "1.5", "None", "True", "==", "=", "<", "+", "*", "-", "/", "%", "**"),
    *("(", ")", "[", "]", ":", ".", "not ", " and ", " or ", " as ", "lambda", "__class__", "ñ"),
    *("String(", "Int32(", "Array(", "column(", "columns(", "sql_and(", "JSON(", "defined("),
    *("range(", "len(", "max(", ".split(", ".join(", ".get(", ".append(", "f'{x}'", "whitespace "),
    *("custom_error(", "error(", "table(", "date_diff_in_days(", "sql_unescape(", "\\", "\0", "😀"),
]
template_texts = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)
expressions = st.recursive(
    st.sampled_from(["x", "y", "z", "1", "'a'", "2.5", "None", "[1, 2]", "{'a': 1}", "(1, 'b')"]),
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "==", "<", "in", "and"]), inner
        ).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(
            st.sampled_from(
                [
                    *("len", "list", "min", "max", "int", "float", "range", "str", "sum", "sorted"),
                    *("abs", "round", "tuple", "reversed", "enumerate", "any", "all", "bool"),
                    *("defined", "column", "columns", "symbol", "table", "split_to_array"),
                    *("enumerate_with_last", "sql_unescape", "tb_secret", "max_threads"),
                    *("cache_ttl", "backend_hint", "activate", "error", "custom_error"),
                    *("String", "Int32", "Float64", "Boolean", "Date", "JSON", "Array"),
                ]
            ),
            inner,
        ).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(
            inner,
            st.sampled_from(
                ["split", "join", "get", "replace", "index", "count", "items", "zfill"]
            ),
            inner,
        ).map(lambda parts: f"({parts[0]}).{parts[1]}({parts[2]})"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]})[{parts[1]}]"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]})[{parts[1]}:]"),
        st.tuples(inner, inner).map(lambda parts: f"[{parts[0]} for a in {parts[1]}]"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
    ),
    max_leaves=6,
)


def attempt(template: Template, values: dict[str, Any]) -> tuple[str, TemplateError | None]:
    """What the template prints, or its error."""
    try:
        return template.render(values).sql, None
    except TemplateError as error:
        return "", error


def kinds_of(sql: str) -> list[Kind]:
    return [token.kind for token in scan_tokens(sql)]


@pytest.mark.parametrize(
    "source",
    [
        "{{x}}",
        "{{String(x)}}",
        "{{String(y, x)}}",
        "{{'' + x}}",
        "{{f'{x}'}}",
        "{{x.replace('', '')}}",
    ],
)
@given(value=hostile_texts)
def test_a_text_stays_one_literal(source: str, value: str) -> None:
    sql = compile_template(source).render({"x": value}).sql
    assert kinds_of(sql) == [Kind.STRING]
    assert "\0" not in sql


@given(
    value=hostile_texts,
    what=st.text(st.characters(codec="utf-8"), max_size=3)
    | st.sampled_from(["%", "\\", "'", "n", "\\'"]),
)
def test_an_unescaped_text_stays_one_literal(value: str, what: str) -> None:
    template = compile_template("{{sql_unescape('%' + x + '%', y)}}")
    sql = template.render({"x": value, "y": what}).sql
    assert kinds_of(sql) == [Kind.STRING]


@given(suffix=hostile_texts)
def test_what_follows_a_time_stays_in_its_literal(suffix: str) -> None:
    sql = compile_template("{{DateTime(x)}}").render({"x": "2024-05-06 10:11:12" + suffix}).sql
    assert kinds_of(sql) == [Kind.STRING]


@given(values=st.lists(hostile_texts, max_size=5), as_text=st.booleans(), element=element_types)
def test_an_array_stays_one_list_of_literals_or_numbers(
    values: list[str], as_text: bool, element: str
) -> None:
    template = compile_template(f"{{{{Array(x, '{element}')}}}}")
    sql, error = attempt(template, {"x": ",".join(values) if as_text else list(values)})
    if error is not None:
        assert "Error validating" in error.message
        return
    tokens = scan_tokens(sql)
    assert (tokens[0].text, tokens[-1].text) == ("[", "]")
    inside = {token.kind for token in tokens[1:-1] if token.text not in (",", "-", "nan", "inf")}
    assert inside <= (
        {Kind.STRING} if element in ("String", "UUID") else {Kind.STRING, Kind.NUMBER}
    )


@given(values=st.lists(hostile_texts, max_size=5))
def test_a_bare_list_stays_one_list_of_literals(values: list[str]) -> None:
    tokens = scan_tokens(compile_template("{{x}}").render({"x": list(values)}).sql)
    assert [token.kind for token in tokens if token.text != ","] == [
        Kind.OPEN,
        *([Kind.STRING] * len(values)),
        Kind.CLOSE,
    ]


@given(value=hostile_texts)
def test_a_column_stays_quoted_names_joined_by_dots(value: str) -> None:
    tokens = scan_tokens(compile_template("{{column(x)}}").render({"x": value}).sql)
    assert len(tokens) == 2 * value.count(".") + 1
    assert all(token.kind is Kind.QUOTED for token in tokens[::2])
    assert all(token.text == "." for token in tokens[1::2])


@pytest.mark.parametrize("source", ["{{symbol(x)}}", "{{symbol(x, '\"')}}"])
@given(value=hostile_texts)
def test_a_symbol_stays_one_quoted_name(source: str, value: str) -> None:
    assert kinds_of(compile_template(source).render({"x": value}).sql) == [Kind.QUOTED]


@given(value=hostile_texts)
def test_columns_stay_quoted_names(value: str) -> None:
    plain = scan_tokens(compile_template("{{columns(x)}}").render({"x": value}).sql)
    assert all(token.kind is Kind.QUOTED or token.text in ",." for token in plain)
    called = scan_tokens(compile_template("{{columns(x, fn='sum')}}").render({"x": value}).sql)
    words = {token.text for token in called if token.kind is Kind.WORD} - {"sum", "as"}
    assert all(word in value for word in words)
    assert all(token.kind in (Kind.QUOTED, Kind.WORD) or token.text in ",.()" for token in called)


@given(value=hostile_texts)
def test_a_table_is_one_or_two_plain_names_or_refused(value: str) -> None:
    try:
        sql = compile_template("{{table(x)}}").render({"x": value}).sql
    except TemplateError:
        return
    assert all(token.kind in (Kind.WORD, Kind.OTHER) for token in scan_tokens(sql))
    assert sql.isascii()
    assert len(scan_tokens(sql)) in (1, 3)


@given(value=hostile_texts)
def test_a_hint_stays_one_comment(value: str) -> None:
    sql = compile_template("{{backend_hint(x)}}").render({"x": value}).sql
    assert scan_tokens(sql) == []
    assert sql.count("\n") == 1
    assert sql.endswith("\n")


@given(value=st.integers(-(2**31), 2**31 - 1), plus=st.sampled_from(["", "+", "00"]))
def test_a_number_in_range_is_printed_as_it_is(value: int, plus: str) -> None:
    text = f"{plus}{value}" if value >= 0 else str(value)
    assert compile_template("{{Int32(x)}}").render({"x": text}).sql == f"toInt32('{value}')"


@given(value=st.floats())
def test_a_float_comes_back_as_the_same_float(value: float) -> None:
    sql = compile_template("{{Float64(x)}}").render({"x": repr(value)}).sql
    printed = float(sql.removeprefix("toFloat64('").removesuffix("')"))
    assert printed == value or (math.isnan(printed) and math.isnan(value))


@pytest.mark.parametrize(
    "type_name",
    ["Int8", "Int64", "UInt8", "UInt256", "Int", "Float32", "Date", "DateTime", "DateTime64"],
)
@given(value=json_values)
def test_a_typed_parameter_prints_one_value_or_names_itself_in_the_error(
    type_name: str, value: Any
) -> None:
    template = compile_template(f"{{{{{type_name}(given_name)}}}}")
    sql, error = attempt(template, {"given_name": value})
    if error is not None:
        assert error.parameter == "given_name"
        assert "given_name" in error.message
        return
    kinds = kinds_of(sql)
    assert kinds.count(Kind.STRING) + kinds.count(Kind.NUMBER) == 1
    assert len(kinds) <= 4


@given(value=json_values)
def test_values_are_never_changed(value: Any) -> None:
    template = compile_template(
        "{% try %}{% set y = x.append(1) %}{% except %}{% end %}"
        "{% try %}{% for i in x %}{% set y = i.append(1) %}{% end %}{% except %}{% end %}"
        "{% try %}{% set x2 = x %}{% set x2 += [1] %}{% except %}{% end %}"
        "{% try %}{% set y = JSON(x).append(1) %}{% except %}{% end %}"
    )
    values = {"x": value}
    before = copy.deepcopy(values)
    template.render(values)
    assert repr(values) == repr(before)


def check_errors(source: str, value: Any) -> None:
    """Whatever happens, it is a TemplateError; any other exception fails the test."""
    try:
        template = compile_template(source)
    except TemplateError:
        return
    attempt(template, {"x": value, "y": "a,b"})
    try:
        template.validate()
    except TemplateError:
        return


@settings(max_examples=300)
@given(source=template_texts | st.text(max_size=60), value=json_values)
def test_an_arbitrary_template_fails_with_nothing_but_a_template_error(
    source: str, value: Any
) -> None:
    check_errors(source, value)


@settings(max_examples=300)
@given(expression=expressions, value=json_values)
def test_an_arbitrary_expression_fails_with_nothing_but_a_template_error(
    expression: str, value: Any
) -> None:
    check_errors(f"{{{{ {expression} }}}}", value)
    check_errors(f"{{% set a = {expression} %}}{{{{a}}}}", value)
    check_errors(f"{{% for a in {expression} %}}{{{{a}}}}{{% end %}}", value)


@given(source=st.text(st.characters(codec="utf-8", exclude_characters="{"), max_size=80))
def test_text_without_tags_is_printed_as_it_is(source: str) -> None:
    assert compile_template(source).render({}).sql == source
