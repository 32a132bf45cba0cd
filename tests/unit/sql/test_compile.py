"""Pipes and values become one statement."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import ProjectErrors, StatementError, TemplateError
from pipewren.project.assembly import parse_project
from pipewren.project.model import Node, NodeType, Pipe, Position, Project
from pipewren.sql.compile import CompiledStatement, compile_endpoint, compile_node, validate_node
from pipewren.sql.graph import CompiledPipe, compile_pipes
from pipewren.sql.tokens import Kind, match_brackets, scan_tokens
from pipewren.template.values import Value


def compile_nodes(*nodes: tuple[str, str], pipe: str = "top", **others: str) -> CompiledPipe:
    """The pipe of `nodes`, the last of which is published; `others` are pipes of one node."""
    pipes = {pipe: make_pipe(pipe, *nodes)}
    pipes |= {name: make_pipe(name, ("out", sql)) for name, sql in others.items()}
    return compile_pipes(Project(Path(), {}, pipes, {}))[pipe]


def make_pipe(name: str, *nodes: tuple[str, str]) -> Pipe:
    made = tuple(
        Node(
            node,
            sql.removeprefix("%"),
            is_template=sql.startswith("%"),
            type=NodeType.STANDARD if index < len(nodes) else NodeType.ENDPOINT,
            position=Position(f"{name}.pipe", 1),
            sql_line=2,
        )
        for index, (node, sql) in enumerate(nodes, 1)
    )
    return Pipe(name, made, Position(f"{name}.pipe", 1), content="")


def assert_is_one_statement(statement: CompiledStatement) -> None:
    tokens = scan_tokens(statement.sql)
    partners = match_brackets(tokens)
    for index, token in enumerate(tokens):
        assert token.text != ";"
        assert token.kind is not Kind.BROKEN
        assert index in partners or token.kind not in (Kind.OPEN, Kind.CLOSE)


def test_a_literal_endpoint_is_put_together_once() -> None:
    pipe = compile_nodes(("a", "SELECT 1"), ("e", "SELECT * FROM a"))
    assert compile_endpoint(pipe, {"x": "1"}) is compile_endpoint(pipe, {})
    assert compile_endpoint(pipe, {}).nodes == {"a", "e"}


def test_a_node_that_is_not_reached_may_miss_its_parameters() -> None:
    pipe = compile_nodes(("a", "%SELECT {{Int32(x)}}"), ("e", "%SELECT {{Int32(y, 1)}} AS a"))
    assert compile_endpoint(pipe, {}).sql == "SELECT toInt32('1') AS a"


def test_what_is_reached_depends_on_the_values() -> None:
    pipe = compile_nodes(
        ("a", "%SELECT {{Int32(x)}}"),
        ("e", "%SELECT * FROM {% if defined(full) %} a {% else %} t {% end %}"),
    )
    assert "WITH" not in compile_endpoint(pipe, {}).sql
    with pytest.raises(TemplateError, match="x"):
        compile_endpoint(pipe, {"full": "1"})
    assert "`a` AS (" in compile_endpoint(pipe, {"full": "1", "x": "2"}).sql


def test_the_smallest_number_of_threads_of_all_rendered_nodes_counts() -> None:
    pipe = compile_nodes(
        ("a", "%{{max_threads(4)}} SELECT 1"),
        ("b", "%{{max_threads(2)}} SELECT 1"),
        ("c", "%{{max_threads(1)}} SELECT 1"),
        ("e", "SELECT * FROM a, b SETTINGS max_threads = 3"),
    )
    assert compile_endpoint(pipe, {}).max_threads == 2


def test_any_node_can_be_compiled_by_itself() -> None:
    pipe = compile_nodes(("a", "%SELECT {{Int32(x)}}"), ("b", "SELECT * FROM a"), ("e", "SELECT 1"))
    assert compile_node(pipe, pipe.nodes["b"], {"x": "1"}).nodes == {"a", "b"}
    assert validate_node(pipe, pipe.nodes["b"]).nodes == {"a", "b"}
    with pytest.raises(TemplateError):
        compile_node(pipe, pipe.nodes["b"], {})


def test_parameters_are_those_of_all_that_may_be_reached() -> None:
    pipe = compile_nodes(
        ("unused", "%SELECT {{Int32(nowhere)}}"),
        ("a", "%SELECT {{Array(ids, 'Int32', '1')}} {% if defined(z) %} FROM other {% end %}"),
        ("e", "%SELECT {{Int32(n, 1)}} FROM a"),
        other="%SELECT {{Array(more, 'String', 'a')}}, {{Int32(n, 2)}}",
    )
    assert [one.name for one in pipe.parameters] == ["ids", "z", "n", "more"]
    assert pipe.array_parameters == {"ids", "more"}
    assert not pipe.requires_parameters


def test_a_pipe_requires_parameters_when_what_it_reaches_does() -> None:
    assert compile_nodes(
        ("a", "%SELECT {{Int32(x)}}"), ("e", "SELECT * FROM a")
    ).requires_parameters
    assert not compile_nodes(("a", "%SELECT {{Int32(x)}}"), ("e", "SELECT 1")).requires_parameters


def test_a_cycle_that_a_parameter_makes_is_spelled_out() -> None:
    pipe = compile_nodes(
        ("a", "%SELECT * FROM {{table(x)}}"),
        ("b", "SELECT * FROM a"),
        ("e", "SELECT * FROM b"),
    )
    with pytest.raises(StatementError, match="a -> a"):
        compile_endpoint(pipe, {"x": "a"})
    with pytest.raises(StatementError, match="b -> a -> b"):
        compile_endpoint(pipe, {"x": "b"})


def test_all_mistakes_of_a_project_are_reported_at_their_lines() -> None:
    text = "NODE a\nSQL >\n    %\n    SELECT 1,\n\n    {{Int32(}}\n\nNODE b\nSQL >\n    SELECT (\n"
    with pytest.raises(ProjectErrors) as raised:
        compile_pipes(parse_project({"pipes/p.pipe": text.encode()}))
    places = [(one.file, one.line) for one in raised.value.mistakes]
    assert places == [("pipes/p.pipe", 6), ("pipes/p.pipe", 10)]
    assert raised.value.mistakes[0].message.startswith('error parsing node "a" from pipe "p": ')


def test_a_setting_that_is_not_on_the_list_is_refused() -> None:
    with pytest.raises(ProjectErrors, match="readonly cannot be given"):
        compile_nodes(("e", "SELECT 1 SETTINGS readonly = 0"))


def test_settings_are_lifted_with_what_follows_them() -> None:
    pipe = compile_nodes(("e", "SELECT 1 SETTINGS final = 1, join_algorithm = 'hash' ; -- end"))
    statement = compile_endpoint(pipe, {})
    assert statement.sql == "SELECT 1"
    assert statement.settings == (("final", "1"), ("join_algorithm", "hash"))


_SQL = st.text(st.sampled_from("ab01 ()[]{}'\"`-/*#;\\$‘’“”,.\n\0")) | st.text()
_STARTS = st.sampled_from(["SELECT ", "SELECT * FROM a ", "WITH x AS (SELECT 1) SELECT ", "(", ""])


@given(_STARTS, _SQL)
def test_no_text_of_a_node_leaves_its_brackets(start: str, text: str) -> None:
    for sql in (start + text, "%" + (start + text).replace("{", "").replace("%", "")):
        try:
            pipe = compile_nodes(("a", "SELECT 1"), ("n", sql), ("e", "SELECT * FROM n"))
            statements = [compile_endpoint(pipe, {}), compile_node(pipe, pipe.nodes["n"], {})]
        except (ProjectErrors, StatementError, TemplateError):
            continue
        for statement in statements:
            assert_is_one_statement(statement)


@given(st.text() | _SQL, st.text() | _SQL)
def test_no_value_leaves_its_string(first: str, second: str) -> None:
    pipe = compile_nodes(
        ("a", "%SELECT {{String(x)}} AS v, {{y}} AS w -- it's {{z}}\n"),
        ("e", "%SELECT v FROM a WHERE v IN {{Array(l, 'String', 'q')}}"),
    )
    values: dict[str, Value] = {"x": first, "y": second, "z": "1", "l": [first, second]}
    try:
        statement = compile_endpoint(pipe, values)
    except (StatementError, TemplateError):
        return
    assert_is_one_statement(statement)
    assert statement.sql.startswith("WITH `a` AS (\nSELECT '")
