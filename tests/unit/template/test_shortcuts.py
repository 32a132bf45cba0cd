"""A bound parameter gives what the function and the printer give that it stands for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import TemplateError
from pipewren.template.failures import MissingParameter
from pipewren.template.functions import FUNCTIONS
from pipewren.template.limits import TemplateLimits
from pipewren.template.printing import show
from pipewren.template.run import Run
from pipewren.template.shortcuts import make_printer, make_reader
from pipewren.template.template import compile_template
from pipewren.template.values import PLACEHOLDER

PRINTED = [
    *("Int8", "Int32", "Int64", "Int256", "UInt8", "UInt64", "UInt256", "Int", "Integer"),
    *("Float32", "Float64", "String", "Date", "DateTime", "Array"),
]
CONSTANTS: list[dict[str, Any]] = [{}, {"default": "7"}, {"default": 0}, {"defined": False}]
values = st.one_of(
    st.sampled_from(
        [
            *("", "5", "+5", "-5", "007", "127", "128", "255", "256", "2147483648", "1" * 18),
            *("1" * 19, "9223372036854775808", "٣", "²", "1\n", " 1", "1_0", "1e3", "nan", "-inf"),
            *(".5", "1e400", "2024-01-01", "2024-01-01\n", "2024-01-01 10:00:00", "a,b", ",", "é"),
            *("2024-01-01 10:00:00' OR 1=1", "01.02.2024 1:2:3", "it's,%", "\ud800", "a" * 300_000),
            PLACEHOLDER,
        ]
    ),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    st.lists(st.text(max_size=4) | st.integers() | st.none(), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


def make_run() -> Run:
    limits = TemplateLimits(max_output_bytes=1_000)
    return Run(limits, (), None, None, limits.max_steps, limits.max_output_bytes)


def outcome(work: Any) -> tuple[str, Any, Any]:
    try:
        result = work()
    except (TemplateError, MissingParameter) as error:
        return type(error).__name__, str(error), getattr(error, "parameter", None)
    return "made", type(result), repr(result)


@pytest.mark.parametrize("constants", CONSTANTS, ids=str)
@pytest.mark.parametrize("name", PRINTED)
@given(value=values)
def test_a_short_way_prints_what_the_long_way_prints(
    name: str, constants: dict[str, Any], value: Any
) -> None:
    printer = make_printer(name, "given", constants, "source")
    assert printer is not None
    short, long = make_run(), make_run()
    function = FUNCTIONS[name].implementation
    assert outcome(lambda: printer(short, value)) == outcome(
        lambda: show(long, function(long, "given", value, **constants), "source")
    )
    assert short.is_exhausted == long.is_exhausted
    assert short.output_left == long.output_left


@pytest.mark.parametrize("name", ["Int8", "Int32", "UInt64", "Int256", "Int"])
@given(value=values)
def test_a_short_way_reads_what_the_long_way_reads(name: str, value: Any) -> None:
    read = make_reader(name, "given", {"default": 3})
    assert read is not None
    function = FUNCTIONS[name].implementation
    assert outcome(lambda: read(make_run(), value)) == outcome(
        lambda: function(make_run(), "given", value, default=3)
    )


def test_what_a_try_printed_before_it_failed_stays() -> None:
    source = "{% try %}a{{x}}b{{Int32(y)}}c{% except %}d{% end %}"
    assert compile_template(source).render({"x": "1", "y": "z"}).sql == "a'1'bd"
    in_loop = (
        "{% for i in [1] %}{% try %}{% except %}{% else %}a{{Int32(y)}}{% finally %}"
        "{% break %}{% end %}{% end %}"
    )
    assert compile_template(in_loop).render({"y": "z"}).sql == "a"


def test_an_error_in_a_row_of_values_tells_its_own_line() -> None:
    template = compile_template("a {{Int32(x)}}\nb {{Int32(y)}}\nc {{Int32(z)}}")
    for name, line in (("x", 1), ("y", 2), ("z", 3)):
        with pytest.raises(TemplateError) as raised:
            template.render({"x": "1", "y": "2", "z": "3", name: "no"})
        assert (raised.value.line, raised.value.parameter) == (line, name)
