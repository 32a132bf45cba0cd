"""Templates and what they print: one line a case in tests/golden/template/*.jsonl.

A case has `template`, `params` and either `sql` or `error_contains`. It may have `secrets`,
`tables` (the names that `table()` may print), `validate` (render with every parameter unset), and
further results to compare: `line` and `column` of the error, `parameter`, `status`, `body`,
`anchor` of its documentation, and `settings` (what the directives asked for).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipewren.errors import CustomTemplateError, TemplateError, TemplateSyntaxError
from pipewren.template.template import Rendered, compile_template

FOLDER = Path(__file__).parents[2] / "golden" / "template"
REFERENCE = "reference.jsonl"
MANDATORY = {"template", "params"}
RESULTS = {"sql", "error_contains"}
OPTIONAL = {
    *("secrets", "tables", "validate", "line", "column", "parameter", "status", "body", "anchor"),
    *("settings", "note"),
}


def read_cases() -> list[Any]:
    cases = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.rstrip("\n").split("\n"), 1):
            cases.append(pytest.param(json.loads(line), id=f"{path.stem}-{number}"))
    return cases


def render_case(case: dict[str, Any]) -> Rendered:
    template = compile_template(case["template"])
    secrets = frozenset(case.get("secrets", ()))
    tables = frozenset(case["tables"]) if "tables" in case else None
    if case.get("validate"):
        return template.validate(secrets=secrets, tables=tables)
    return template.render(case["params"], secrets=secrets, tables=tables)


@pytest.mark.parametrize("case", read_cases())
def test_a_template_prints_what_its_case_says(case: dict[str, Any]) -> None:
    assert MANDATORY <= case.keys() <= MANDATORY | RESULTS | OPTIONAL
    assert len(RESULTS & case.keys()) == 1
    if "sql" in case:
        rendered = render_case(case)
        assert rendered.sql == case["sql"]
        for name, value in case.get("settings", {}).items():
            found = getattr(rendered, name)
            assert (list(found) if isinstance(found, tuple) else found) == value
        return
    with pytest.raises(TemplateError) as raised:
        render_case(case)
    error = raised.value
    assert case["error_contains"] in error.message
    for name in ("line", "parameter", "status"):
        if name in case:
            assert getattr(error, name) == case[name]
    if "column" in case:
        assert isinstance(error, TemplateSyntaxError)
        assert error.column == case["column"]
    if "body" in case:
        assert isinstance(error, CustomTemplateError)
        assert error.body == case["body"]
    if "anchor" in case:
        assert error.documentation is not None
        assert error.documentation.endswith("/cli/advanced-templates.html" + case["anchor"])


def test_there_are_more_cases_of_our_own_than_of_the_reference() -> None:
    own = [one for one in read_cases() if not str(one.id).startswith("reference-")]
    assert len(own) >= 143


def test_the_reference_cases_are_complete_and_those_of_a_specification_nearby() -> None:
    copy = (FOLDER / REFERENCE).read_bytes()
    assert copy.count(b"\n") == 143
    original = Path(__file__).parents[4] / "shared" / "spec" / "templating-cases.jsonl"
    if original.is_file():
        assert copy == original.read_bytes()
