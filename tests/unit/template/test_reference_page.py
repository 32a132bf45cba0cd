"""The generated reference page of the language."""

from __future__ import annotations

import re

from pipewren.template.functions import FUNCTIONS
from pipewren.template.methods import METHOD_NAMES
from pipewren.template.reference import render_page


def test_every_function_and_method_is_on_the_page() -> None:
    page = render_page()
    names = set(re.findall(r"`(\w+)[(`]", page))
    assert set(FUNCTIONS) <= names
    assert names >= METHOD_NAMES


def test_the_page_says_what_examples_really_print() -> None:
    page = render_page()
    assert "| `{{Int32(x)}}` | `x = 5` | `toInt32('5')` |" in page
    assert "`` sum(`a`) as a,sum(`b`) as b ``" in page
    assert "`-- max_threads 4⏎`" in page
    assert 'error: `expression "x" evaluated to null`' in page
    assert "error: `no access`" in page


def test_no_example_fails_by_a_mistake_of_the_page() -> None:
    assert "Invalid function name" not in render_page()
    assert render_page().count("error: `") == 4


def test_every_table_has_rows_as_wide_as_its_head() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", render_page(), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
