"""`pipewren render`, for authors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipewren.cli.main import main

PIPE = """
NODE filtered
SQL >
    SELECT 1 AS a
NODE endpoint
SQL >
    %
    SELECT a FROM filtered WHERE a = {{Int32(n, 5)}} AND k = {{tb_secret('key', 'none')}}
TYPE endpoint
"""


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    file = tmp_path / "top.pipe"
    file.write_text(PIPE)
    return str(file)


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["render", *arguments], input=stdin)
    return result.exit_code, result.stdout.strip(), result.stderr


def test_the_published_node_is_rendered_with_its_defaults(pipe: str) -> None:
    assert run(pipe) == (0, "SELECT a FROM filtered WHERE a = toInt32('5') AND k = 'none'", "")


def test_parameters_come_as_json_or_from_standard_input(pipe: str) -> None:
    for arguments, stdin in (
        ((pipe, "--params", '{"n": 7}'), None),
        ((pipe, "--params", "-"), '{"n": "7"}'),
    ):
        assert "toInt32('7')" in run(*arguments, stdin=stdin)[1]


def test_a_secret_is_printed_as_the_engines_parameter_and_never_its_value(pipe: str) -> None:
    _, text, _ = run(pipe, "--secrets", '{"key": "hidden value"}')
    assert text.endswith("k = {key: String}")
    assert "hidden" not in text


def test_another_node_can_be_named(pipe: str) -> None:
    assert run(pipe, "--node", "filtered") == (0, "SELECT 1 AS a", "")
    code, _, error = run(pipe, "--node", "other")
    assert code == 1
    assert "has no node other; it has: filtered, endpoint" in error


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('{"n": "x"}', "Error validating 'x' to type Int32. The parameter n takes a whole number"),
        ("{oops", "--params is not valid JSON"),
        ("[1]", "--params is a JSON object"),
    ],
)
def test_what_is_wrong_is_an_error_and_an_exit_status(pipe: str, params: str, message: str) -> None:
    code, text, error = run(pipe, "--params", params)
    assert (code, text) == (1, "")
    assert message in error


def test_mistakes_of_the_file_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "bad.pipe"
    file.write_text("NODE n\nSQL select 1\n")
    code, _, error = run(str(file))
    assert code == 1
    assert "SQL must be multiline" in error


def test_lines_of_templates_give_lines_of_sql_or_errors() -> None:
    lines = [
        json.dumps({"template": "SELECT {{x}}", "params": {"x": "ñ"}}),
        json.dumps({"template": "SELECT {{String(y)}}"}),
        json.dumps({"template": "{{ x.upper() }}", "params": {}}),
        "rubbish",
        "",
        '["a"]',
    ]
    code, text, _ = run("--jsonl", "-", stdin="\n".join(lines))
    answers = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert answers[0] == {"sql": "SELECT 'ñ'"}
    assert "Check the parameters y." in answers[1]["error"]
    assert answers[2] == {"error": "Invalid method name: upper"}
    assert [answer["error"][:9] for answer in answers[3:]] == ["a line is"] * 2
