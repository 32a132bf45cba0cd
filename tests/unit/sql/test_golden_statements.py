"""Golden pairs of pipes and their statement, under tests/golden/sql/.

A case is one file `what_it_shows.case` in sections: `=== pipes/top.pipe` and further files of the
project, `=== values` (JSON, the call's parameters), `=== rows` (what the statement answers,
checked by tests/engine/test_statement_shapes.py). Called is the pipe `top`. Beside it stands
`what_it_shows.sql`, or `.error` with the message. To add a case, write it and run this test: it
writes the second file and fails once. Read what was written, and commit both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipewren.errors import PipewrenError
from pipewren.project.assembly import parse_project
from pipewren.sql.compile import CompiledStatement, compile_endpoint
from pipewren.sql.graph import compile_pipes
from pipewren.sql.shape import read_shape

FOLDER = Path(__file__).parents[2] / "golden" / "sql"
CASES = sorted(FOLDER.glob("*.case"))


def read_sections(path: Path) -> dict[str, str]:
    parts = re.split(r"^=== (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def compile_case(path: Path) -> CompiledStatement:
    sections = read_sections(path)
    names = [name for name in sections if name.startswith("pipes/")]
    pipes = compile_pipes(parse_project({name: sections[name].encode() for name in names}))
    return compile_endpoint(pipes["top"], json.loads(sections.get("values", "{}")))


def shown(statement: CompiledStatement) -> str:
    """The text, and what goes beside it as comments."""
    lines = [statement.sql, *(f"-- setting {name} = {value}" for name, value in statement.settings)]
    if statement.max_threads is not None:
        lines.append(f"-- max_threads {statement.max_threads}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_pipes_become_the_statement_of_the_golden_file(path: Path) -> None:
    try:
        kind, actual = "sql", shown(compile_case(path))
    except PipewrenError as error:
        kind, actual = "error", error.message + "\n"
    written = [one for one in ("sql", "error") if path.with_suffix(f".{one}").is_file()]
    if not written:
        path.with_suffix(f".{kind}").write_text(actual, encoding="utf-8")
        pytest.fail(f"{path.stem}.{kind} was missing and is written now: read it, then commit it")
    assert written == [kind], actual
    assert actual == path.with_suffix(f".{kind}").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", [path for path in CASES if path.with_suffix(".sql").is_file()], ids=lambda p: p.stem
)
def test_a_statement_is_itself_one_statement_with_balanced_brackets(path: Path) -> None:
    statement = compile_case(path)
    assert read_shape(statement.sql, "it").tail == 0


def test_every_golden_file_has_its_case_and_every_statement_its_rows() -> None:
    stems = {path.stem for path in CASES}
    assert stems
    assert {path.stem for path in FOLDER.iterdir() if path.suffix in (".sql", ".error")} == stems
    for path in CASES:
        has_rows = "rows" in read_sections(path)
        assert has_rows == path.with_suffix(".sql").is_file(), path.stem
