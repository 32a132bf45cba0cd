"""A template of a stranger cannot reach Python, and cannot use up time or memory.

Bombs are small texts whose value would be huge: each must end with a TemplateError. Bounds are
counted, so that no test measures time; a hole shows as a test that does not end.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from pipewren.errors import TemplateError, TemplateSyntaxError
from pipewren.template.limits import TemplateLimits
from pipewren.template.template import compile_template


def render(source: str, **values: Any) -> str:
    return compile_template(source).render(values).sql


def nested_chain(depth: int) -> str:
    chain = "a"
    for _ in range(depth):
        chain = f"(a < {chain} < a)"
    return f"{{% if {chain} %}}x{{% end %}}"


LARGE = "a" * 200_000
BOMBS: dict[str, tuple[str, dict[str, Any]]] = {
    "endless loop": ("{% while True %}{% end %}", {}),
    "endless loop that catches": (
        "{% while True %}{% try %}{% set a = 1 / 0 %}{% except %}{% end %}{% end %}",
        {},
    ),
    "endless loop inside a try": ("{% try %}{% while True %}{% end %}{% except %}{% end %}", {}),
    "error dropped by finally": (
        "{% for i in [1] %}{% try %}{% while True %}{% end %}{% finally %}{% break %}{% end %}"
        "{% end %}",
        {},
    ),
    "list that grows while it is walked": (
        "{% set l = [1] %}{% for i in l %}{% set x = l.append(i) %}{% end %}",
        {},
    ),
    "printing in a loop": ("{% for i in range(100000) %}" + "x" * 100 + "{% end %}", {}),
    "printing large values": ("{{x}}" * 100, {"x": LARGE}),
    "printing a list of one large value": ("{{ [x] * 20000 }}", {"x": LARGE}),
    "conditions over a list of one large value": ("{{sql_and(a=[x] * 20000)}}", {"x": LARGE}),
    "text times a number": ("{{ 'a' * 1000000000 }}", {}),
    "number times a text": ("{{ 1000000000 * 'a' }}", {}),
    "list times a number": ("{{ [1] * 1000000000 }}", {}),
    "doubling a text": (
        "{% set a = 'a' %}{% for i in range(99) %}{% set a = a + a %}{% end %}",
        {},
    ),
    "doubling by replace": (
        "{% set a = 'aa' %}{% for i in range(99) %}{% set a = a.replace('a', 'aa') %}{% end %}",
        {},
    ),
    "doubling by join": (
        "{% set a = 'aa' %}{% for i in range(99) %}{% set a = a.join([a, a, a]) %}{% end %}",
        {},
    ),
    "doubling by f-string": (
        "{% set a = 'aa' %}{% for i in range(99) %}{% set a = f'{a}{a}' %}{% end %}",
        {},
    ),
    "squaring a number": (
        "{% set a = 9 %}{% for i in range(99) %}{% set a = a * a %}{% end %}",
        {},
    ),
    "huge number of a body": ("{{ x * x }}", {"x": 10**4000}),
    "huge number as text": ("{{ int(x) }}", {"x": "9" * 100_000}),
    "padding": ("{% set a = 'a'.zfill(1000000000) %}", {}),
    "padding in a loop": (
        "{% for i in range(90000) %}{% set a = 'a'.zfill(260000) %}{% end %}",
        {},
    ),
    "replacing in a loop": (
        "{% for i in range(90000) %}{% set a = 'a'.replace('a', x) %}{% end %}",
        {"x": LARGE},
    ),
    "range": ("{% for i in range(1000000000000) %}{% end %}", {}),
    "huge range": ("{% set a = list(range(" + "9" * 30 + ")) %}", {}),
    "comprehension": ("{% set a = [0 for i in range(1000000)] %}", {}),
    "comprehension in a comprehension": (
        "{% set a = [[j for j in range(1000)] for i in range(1000)] %}",
        {},
    ),
    "splitting in a loop": (
        "{% set l = [] %}{% for i in range(99) %}{% set x = l.append(v.split(',')) %}{% end %}",
        {"v": "a," * 100_000},
    ),
    "text of a large list in a loop": (
        "{% for i in range(9999) %}{% set a = String(x) %}{% end %}",
        {"x": list(range(9999))},
    ),
    "columns in a loop": (
        "{% for i in range(9999) %}{% set a = columns(x) %}{% end %}",
        {"x": "a," * 100_000},
    ),
    "stripping many characters": ("{% set a = x.strip(x) %}", {"x": LARGE}),
    "lists that share, compared": (
        "{% set a = [1] %}{% set b = [1] %}"
        "{% for i in range(50) %}{% set a = [a, a] %}{% set b = [b, b] %}{% end %}"
        "{% if a == b %}x{% end %}",
        {},
    ),
    "lists that share, printed": (
        "{% set a = [1] %}{% for i in range(50) %}{% set a = [a, a] %}{% end %}{{a}}",
        {},
    ),
    "lists that share, as text": (
        "{% set a = [1] %}{% for i in range(50) %}{% set a = [a, a] %}{% end %}{{String(a)}}",
        {},
    ),
    "lists that share, in an error": (
        "{% set a = [1] %}{% for i in range(50) %}{% set a = [a, a] %}{% end %}{{custom_error(a)}}",
        {},
    ),
    "lists that share, looked for": (
        "{% set a = [1] %}{% set b = [1] %}"
        "{% for i in range(50) %}{% set a = [a, a] %}{% set b = [b, b] %}{% end %}"
        "{% set c = [a].index(b) %}",
        {},
    ),
    "tuples that share, as a key": (
        "{% set a = (1, 2) %}{% for i in range(50) %}{% set a = (a, a) %}{% end %}"
        "{% set d = {a: 1} %}",
        {},
    ),
    "tuples that share, read by": (
        "{% set a = (1, 2) %}{% for i in range(50) %}{% set a = (a, a) %}{% end %}"
        "{% set d = {1: 1}[a] %}",
        {},
    ),
    "tuples that share, got by": (
        "{% set a = (1, 2) %}{% for i in range(50) %}{% set a = (a, a) %}{% end %}"
        "{% set d = {1: 1}.get(a) %}",
        {},
    ),
    "list in itself": ("{% set a = [1] %}{% set x = a.append(a) %}{{a}}", {}),
    "list in itself, compared": (
        "{% set a = [1] %}{% set x = a.append(a) %}{% set b = a == [a] %}{{b}}",
        {},
    ),
    "list deep in lists": (
        "{% set a = [] %}{% for i in range(9999) %}{% set a = [a] %}{% end %}{{a}}",
        {},
    ),
    "deep JSON": ("{% set a = JSON(x) %}{{a}}", {"x": "[" * 90_000 + "]" * 90_000}),
    "chained comparisons in each other": (nested_chain(25), {"a": [1]}),
    "format of dates with ambiguous parts": (
        "{{date_diff_in_days(x, x, '%j%d%m%y%H%M%S%U%w%f%I%p')}}",
        {"x": "1" * 90},
    ),
    "many brackets": ("{{" + "(" * 5_000 + "x" + ")" * 5_000 + "}}", {}),
    "many signs": ("{{" + "-" * 5_000 + "x}}", {}),
    "many nots": ("{{" + "not " * 5_000 + "x}}", {}),
    "many sums": ("{{" + "x+" * 5_000 + "x}}", {"x": "a"}),
    "many indexes": ("{{x" + "[0]" * 5_000 + "}}", {"x": "a"}),
    "many calls": ("{{x" + ".split()" * 3_000 + "}}", {"x": "a"}),
    "many blocks in each other": ("{% if x %}" * 3_000 + "{% end %}" * 3_000, {}),
    "many loops in each other": ("{% for i in x %}" * 30 + "{% end %}" * 30, {}),
    "many tags": ("{{x}}" * 50_000, {"x": "a"}),
    "long template": ("a" * 300_000, {}),
    "long expression": ("{{ 'a" + "a" * 100_000 + "' }}", {}),
    "large constant": ("{{ " + "9" * 4_000 + " }}", {}),
    "larger constant": ("{{ " + "9" * 9_000 + " }}", {}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    source, values = BOMBS[name]
    with pytest.raises(TemplateError):
        render(source, **values)


def test_a_bomb_is_refused_before_its_memory_is_taken() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TemplateError, match="limit of"):
            render("{{ [x] * 20000 }}", x=LARGE)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000_000


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{% whitespace single %}{{x}}" + "\r" * 100_000, "a"),
        ("{% whitespace oneline %}{{x}}" + " \n" * 50_000, "a"),
        ("{" * 100_000 + "{{x}}", "a"),
        ("{{x}}" + "\n" * 100_000, "a"),
    ],
)
def test_a_long_harmless_template_is_rendered_in_linear_time(source: str, value: str) -> None:
    assert "'a'" in render(source, x=value)


@pytest.mark.parametrize(
    "source",
    [
        "{{x.__class__}}",
        "{% set y = x.__class__ %}",
        "{{''.__class__.__mro__[1].__subclasses__()}}",
        "{{(x)['__class__'].mro}}",
        "{{ [].append.__self__ }}",
        "{% for y in x.__dict__ %}{% end %}",
        "{{f'{x.__class__}'}}",
        "{{f'{x!s}'}}",
        "{{String(x.__class__)}}",
        "{{sql_and(a=x.__class__)}}",
        "{{Int32(x, default=x.__class__)}}",
        "{% set y = [a.__class__ for a in x] %}",
        "{% try %}{% except Exception as e %}{{e.__traceback__}}{% end %}",
        "{% set y = run.limits %}",
        "{% set append = 1 %}{{append.x}}",
        "{% set y = (lambda: x)() %}",
        "{% set y = await x %}",
        "{{print('a')}}",
        "{{breakpoint()}}",
        "{{vars()}}",
        "{{super()}}",
        "{% if __import__('os') %}{% end %}",
        "{% set __builtins__ = x %}",
        "{{column.__globals__}}",
        "{{x if y.z else w}}",
        "{{ {x.y: 1} }}",
        "{{x[y.z]}}",
        "{{x[y.z:]}}",
        "{{'{0.__class__}'.format(x)}}",
    ],
)
def test_an_attribute_or_a_foreign_call_is_refused_when_the_template_compiles(source: str) -> None:
    with pytest.raises(TemplateSyntaxError) as raised:
        compile_template(source)
    assert raised.value.line == 1
    assert raised.value.column is not None


@pytest.mark.parametrize("name", ["run", "p", "append", "catch", "show", "render", "v_x"])
def test_names_of_the_generated_code_are_plain_parameters(name: str) -> None:
    template = compile_template(f"{{{{{name}}}}}")
    assert template.render({name: "a"}).sql == "'a'"
    with pytest.raises(TemplateError, match="evaluated to null"):
        template.render({})


@pytest.mark.parametrize("name", ["run", "p", "append", "catch", "show", "render", "v_x"])
def test_names_of_the_generated_code_can_be_set(name: str) -> None:
    assert render(f"{{% set {name} = 'a' %}}{{{{{name}}}}}{{{{x}}}}", x="b") == "'a''b'"


class Hostile(str):
    """A text that would say something else when it is escaped."""

    def translate(self, table: Any) -> str:
        return "'; DROP TABLE t; --"

    def __str__(self) -> str:
        return "'; DROP TABLE t; --"

    def __format__(self, specification: str) -> str:
        return "'; DROP TABLE t; --"


@pytest.mark.parametrize(
    "source",
    [
        "{{x}}",
        "{{String(x)}}",
        "{{column(x)}}",
        "{{Array(x)}}",
        "{{ [x] }}",
        "{{f'{x}'}}",
        "{{sql_and(a=x)}}",
        "{{sql_unescape(x, '%')}}",
        "{{backend_hint(x)}}",
        "{{table(x)}}",
    ],
)
def test_a_subclass_of_text_is_not_trusted(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, x=Hostile("a"))


@pytest.mark.parametrize("value", [b"a", 1j, object(), {1}, frozenset(), type, len])
def test_a_value_that_no_request_has_is_refused(value: Any) -> None:
    for source in ("{{x}}", "{{String(x)}}", "{{column(x)}}", "{{Int32(x)}}"):
        if isinstance(value, set) and source != "{{x}}":
            continue  # has a text, which is quoted like any other
        with pytest.raises(TemplateError):
            render(source, x=value)


def test_a_set_limit_holds() -> None:
    limits = TemplateLimits(max_steps=10, max_output_bytes=20)
    loop = compile_template("{% for i in range(n) %}.{% end %}", limits=limits)
    assert loop.render({"n": 9}).sql == "........."
    with pytest.raises(TemplateError, match="more than 10 steps"):
        loop.render({"n": 11})
    printed = compile_template("{{x}}", limits=limits)
    assert printed.render({"x": "a" * 18}).sql == "'" + "a" * 18 + "'"
    with pytest.raises(TemplateError, match="more than 20 bytes"):
        printed.render({"x": "a" * 19})
    with pytest.raises(TemplateError, match="more than 20 bytes"):
        printed.render({"x": "ñ" * 10})


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(TemplateError, match="surrogate"):
        render("{{x}}", x="\ud800")
    with pytest.raises(TemplateError, match="surrogate"):
        render("\ud800")
