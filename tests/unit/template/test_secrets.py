"""`tb_secret()` in templates, and what a template's branches print of it."""

from __future__ import annotations

import pytest

from pipewren.errors import TemplateError
from pipewren.project.assembly import parse_project
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.graph import compile_pipes
from pipewren.template.paths import find_secret_texts
from pipewren.template.run import ANY_SECRET
from pipewren.template.template import compile_template, compile_with_paths


def test_a_known_secret_prints_a_place_for_its_value_and_nothing_of_it() -> None:
    template = compile_template("SELECT {{tb_secret('k')}}, {{tb_var('k')}}, {{tb_secret('j')}}")
    rendered = template.render({"k": "sent"}, secrets={"k": "value", "j": "other"})
    assert rendered.sql == "SELECT {k: String}, {k: String}, {j: String}"
    assert rendered.used_secrets == ("k", "j")


def test_a_missing_secret_is_its_default_or_an_error() -> None:
    assert compile_template("{{tb_secret('k', '')}}").render({}).sql == "''"
    with pytest.raises(TemplateError, match="Cannot access secret 'k'") as refused:
        compile_template("{{tb_secret('k')}}").render({})
    assert refused.value.status == 400


def test_a_request_cannot_make_a_place_for_a_secret() -> None:
    template = compile_template("SELECT {{String(x)}} = {{tb_secret('k')}}, {{column(c)}}")
    rendered = template.render({"x": "{j: String}", "c": "{j: String}"}, secrets={"k", "j"})
    assert rendered.sql == "SELECT '{j: String}' = {k: String}, `{j: String}`"
    assert rendered.used_secrets == ("k",)


def test_a_check_knows_every_secret() -> None:
    assert compile_template("{{tb_secret('k')}}").validate(secrets=ANY_SECRET).sql == "{k: String}"


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ("SELECT {{String(x)}}", ()),
        ("SELECT {{tb_secret('k')}}", ("SELECT {k: String}",)),
        ("SELECT {{tb_var(name)}}", ("SELECT {tb_var: String}",)),
        ("SELECT 1{% if defined(x) %}, {{tb_secret('k')}}{% end %}", ("SELECT 1, {k: String}",)),
        ("{% set s = tb_secret('k') %}{% set t = s %}SELECT {{t}}", ("SELECT {k: String}",)),
        ("SELECT {{tb_secret('k') if defined(x) else 'no'}}", ("SELECT {k: String}",)),
        ("{% set l = [] %}{% set x = l.append(tb_secret('k')) %}{{l[0]}}", ("{k: String}",)),
        ("{% for s in [1, tb_secret('k')] %}{{s}}{% end %}", ("{k: String}", "{k: String}" * 2)),
    ],
)
def test_the_branches_that_may_print_a_secret_are_known(
    source: str, texts: tuple[str, ...]
) -> None:
    assert find_secret_texts(compile_with_paths(source)[1]) == texts


def test_a_statement_names_the_secrets_of_all_nodes_once() -> None:
    first = "NODE a\nSQL >\n    %\n    SELECT 1 AS x WHERE {{tb_secret('k')}} = ''\n"
    last = "NODE b\nSQL >\n    %\n    SELECT x FROM a WHERE {{tb_secret('j')}} = {{tb_var('k')}}\n"
    files = {"p.pipe": f"{first}\n{last}TYPE endpoint\n".encode()}
    pipe = compile_pipes(parse_project(files))["p"]
    assert not pipe.requires_parameters
    assert pipe.statement is None
    compiled = compile_endpoint(pipe, {}, secrets={"k": "value of k", "j": "value of j"})
    assert sorted(compiled.secrets) == ["j", "k"]
    assert "value of" not in repr(compiled)
