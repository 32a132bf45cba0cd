"""A compiled template: its parameters, its render, its errors' places."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from pipewren.errors import DOCS, CustomTemplateError, TemplateError, TemplateSyntaxError
from pipewren.template.template import Template, compile_template
from pipewren.template.values import Value


def entries(source: str) -> list[tuple[str, str, object]]:
    return [(one.name, one.type, one.default) for one in compile_template(source).parameters]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{Int32(a, 5, description='x')}}", [("a", "Int32", 5)]),
        ("{{Array(a, 'Int32', '1,2')}}", [("a", "Array(Int32)", "1,2")]),
        ("{{Array(a)}}", [("a", "Array(String)", None)]),
        ("{{a}}", [("a", "String", None)]),
        ("{{sql_and(k=Int32(z), m=y)}}", [("z", "Int32", None), ("y", "String", None)]),
        ("{% set a = Int32(b, 3) %}{{a}}", [("b", "Int32", 3)]),
        ("{{Int32(a)}}{{Int64(a, 1)}}", [("a", "Int32", None), ("a", "Int64", 1)]),
        ("{{Int64(a, 9007199254740993)}}", [("a", "Int64", "9007199254740993")]),
        ("{{Int64(a, default=-3)}}", [("a", "Int64", -3)]),
        ("{{String(a, b)}}", [("a", "String", "b"), ("b", "String", None)]),
        ("{% for c in split_to_array(cols) %}{{column(c)}}{% end %}", [("cols", "String", None)]),
        ("{% set l = [a for a in b] %}", [("b", "String", None)]),
        ("{{symbol(a)}}{{table(b)}}{{max_threads(c)}}{{tb_secret(d)}}", []),
        ("{{cache_ttl(a)}}{{sql_unescape(b)}}{{Int(c)}}{{Integer(d)}}", []),
        ("{{sql_unescape(String(b), '%')}}", [("b", "String", None)]),
        ("{{Boolean(a, True)}}{{JSON(b)}}", [("a", "Boolean", True), ("b", "JSON", None)]),
        ("{{max(a, 1)}}{{len('x')}}", [("a", "String", None)]),
        (
            "{% if defined(a) %}{{Int32(b)}}{% elif c == 'x' %}{{Date(d)}}{% end %}",
            [
                ("b", "Int32", None),
                ("d", "Date", None),
                ("a", "String", None),
                ("c", "String", None),
            ],
        ),
        ("{% if defined(a) %}{{Int32(a)}}{% end %}", [("a", "Int32", None)]),
        ("{% while Int32(a) %}{{b}}{% end %}", [("b", "String", None), ("a", "Int32", None)]),
        (
            "{% try %}{{a}}{% except %}{{b}}{% end %}",
            [("a", "String", None), ("b", "String", None)],
        ),
    ],
)
def test_parameters_are_found_in_the_order_of_the_reference(
    source: str, expected: list[tuple[str, str, object]]
) -> None:
    assert entries(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{defined(a)}}",
        "{{column(a)}}",
        "{{columns(a)}}",
        "{{split_to_array(a)}}",
        "{{enumerate_with_last(a)}}",
        "{{len(a)}}",
        "{{day_diff(a, a)}}",
        "{{date_diff_in_days(a, a)}}",
    ],
)
def test_a_name_used_only_in_a_function_says_so(source: str) -> None:
    (parameter,) = compile_template(source).parameters
    assert (parameter.name, parameter.type) == ("a", "String")
    assert parameter.used_in == "function_call"


def test_written_keywords_are_kept_in_order_and_order_itself_too() -> None:
    source = "{{Int32(a, 1, description='d', required=True, enum=[1, 2], order=3, example='1')}}"
    (parameter,) = compile_template(source).parameters
    assert dict(parameter.attributes) == {
        "description": "d",
        "required": True,
        "enum": [1, 2],
        "order": 3,
        "example": "1",
    }
    assert list(parameter.attributes) == ["description", "required", "enum", "order", "example"]
    assert parameter.is_required


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{Array(a)}}{{String(a)}}", {"a"}),
        ("{{String(a)}}{{Array(a)}}", set()),
        ("{{a}}{{Array(a)}}", set()),
        ("{% if defined(a) %}{{Array(a)}}{% end %}{{Array(b, 'Int8')}}", {"a", "b"}),
        ("{{len(a)}}{{Array(a)}}", {"a"}),
    ],
)
def test_array_parameters_are_those_whose_first_entry_is_an_array(
    source: str, expected: set[str]
) -> None:
    assert compile_template(source).array_parameters == expected


@pytest.mark.parametrize("call", ["table(x)", "TABLE('a')", "symbol(x)", "column(x)", "columns(x)"])
def test_a_template_that_prints_names_says_so(call: str) -> None:
    assert compile_template(f"{{{{{call}}}}}").prints_names
    assert compile_template(f"{{% if a %}}{{% set y = {call} %}}{{% end %}}").prints_names


def test_a_template_without_names_says_so() -> None:
    assert not compile_template("{{String(column_name)}} column table(x)").prints_names


def test_a_template_is_frozen() -> None:
    template = compile_template("{{x}}")
    with pytest.raises(dataclasses.FrozenInstanceError):
        template.source = "{{y}}"  # type: ignore[misc]


def test_a_template_may_be_rendered_by_many_threads_at_once() -> None:
    template = compile_template(
        "{% set a = '' %}{% for i in range(200) %}{% set a = a + x %}{% end %}{{a}}"
        "{{max_threads(n)}}"
    )

    def check(number: int) -> bool:
        rendered = template.render({"x": str(number % 10), "n": number + 1})
        is_text = rendered.sql.startswith("'" + str(number % 10) * 200 + "'")
        return is_text and rendered.max_threads == number + 1

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(200)))


def test_values_may_be_any_mapping() -> None:
    values: MappingProxyType[str, Value] = MappingProxyType({"a": "1,2", "b": "x"})
    assert compile_template("{{Array(a)}}{{b}}").render(values).sql == "['1','2']'x'"


def test_nothing_is_kept_from_one_render_to_the_next() -> None:
    template = compile_template("{% if x %}{% set y = x %}{% end %}{{y}}")
    assert template.render({"x": "a"}).sql == "'a'"
    with pytest.raises(TemplateError, match="cannot access local variable 'y'"):
        template.render({})


def test_the_job_timestamp_is_the_time_of_the_call_unless_it_is_sent() -> None:
    template = compile_template("{{job_timestamp}}")
    now = datetime(2024, 5, 6, 10, 11, 12, 999, tzinfo=UTC)
    assert template.render({}, now=now).sql == "'2024-05-06 10:11:12'"
    assert template.render({"job_timestamp": "x"}, now=now).sql == "'x'"


def test_an_error_of_the_render_carries_the_line_of_the_template() -> None:
    template = compile_template("SELECT 1\nWHERE a = {{String(a, 'x')}}\n  AND b = {{Int32(b)}}\n")
    with pytest.raises(TemplateError) as raised:
        template.render({"b": "x"})
    assert raised.value.line == 3
    assert raised.value.parameter == "b"
    with pytest.raises(TemplateError) as raised:
        template.render({})
    assert raised.value.line == 3


def test_a_mistake_carries_line_and_column_in_characters() -> None:
    with pytest.raises(TemplateSyntaxError) as raised:
        compile_template("ñ\nñ {{ String('ñ') + foo(x) }}")
    assert (raised.value.line, raised.value.column) == (2, 20)


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(TemplateError) as raised:
        compile_template("{{Int32(x)}}").render({"x": "a" * 10_000})
    assert len(raised.value.message) < 500
    assert "..." in raised.value.message


def test_template_errors_are_bad_requests_with_documentation() -> None:
    with pytest.raises(TemplateError) as raised:
        compile_template("{{x}}").render({})
    assert raised.value.status == 400
    assert raised.value.documentation == f"{DOCS}/cli/advanced-templates.html"


def test_the_body_of_a_custom_error_is_plain_json() -> None:
    source = "{{custom_error({'n': Int32(n), 'l': Array(n), 'c': column(n)}, 418)}}"
    with pytest.raises(CustomTemplateError) as raised:
        compile_template(source).render({"n": "5"})
    assert raised.value.status == 418
    assert raised.value.body == {"n": 5, "l": ["5"], "c": "`5`"}


def test_table_prints_what_the_resolver_of_names_gives() -> None:
    template = compile_template("FROM {{table(x)}}")
    physical = {"events": "events__3"}
    assert template.render({"x": "events"}, tables=physical.get).sql == "FROM events__3"
    with pytest.raises(TemplateError, match="there is no such data source"):
        template.render({"x": "others"}, tables=physical.get)


def test_validation_may_ignore_missing_secrets() -> None:
    template = compile_template("SELECT {{tb_secret('k')}}")
    with pytest.raises(TemplateError, match="Cannot access secret 'k'"):
        template.validate()
    assert template.validate(ignores_missing_secrets=True).sql == "SELECT '__no_value__'"
    assert template.validate(secrets=("k",)).used_secrets == ("k",)


def test_many_branches_compile() -> None:
    branches = "".join(f"{{% elif x == '{number}' %}}{number}" for number in range(150))
    template: Template = compile_template("{% if x == 'a' %}a" + branches + "{% end %}")
    assert template.render({"x": "149"}).sql == "149"
