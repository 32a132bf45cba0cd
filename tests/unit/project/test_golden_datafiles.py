"""Golden pairs of datafiles: an input under tests/golden/datafiles/ and beside it what is read.

To add a case, add a file `what_it_shows.pipe` (or .datasource, .connection) and run this test: it
writes `what_it_shows.pipe.json` (the record, without defaults) or `what_it_shows.pipe.error` (the
text of all mistakes), and fails once. Read what was written, and commit both. To renew a pair,
delete its second file.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipewren.errors import ProjectErrors
from pipewren.project.connection import parse_connection
from pipewren.project.datasource import parse_datasource
from pipewren.project.directives import KINDS
from pipewren.project.model import Connection, Datasource, Pipe, Position
from pipewren.project.pipe import parse_pipe

FOLDER = Path(__file__).parents[2] / "golden" / "datafiles"
INPUTS = sorted(path for path in FOLDER.iterdir() if path.suffix.lstrip(".") in KINDS)


def parse(path: Path) -> Pipe | Datasource | Connection:
    text = path.read_bytes().decode()
    if path.suffix == ".pipe":
        return parse_pipe(path.stem, text, file=path.name)
    if path.suffix == ".datasource":
        return parse_datasource(path.stem, text, file=path.name)
    return parse_connection(path.stem, text, file=path.name)


def shown(value: Any) -> Any:
    """A record as JSON: positions as line:column, without defaults and the file's own text."""
    if isinstance(value, Position):
        return f"{value.line}:{value.column}"
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        members: dict[str, Any] = {}
        for one in fields(value):
            member = getattr(value, one.name)
            is_default = member in (one.default, {}) and one.default is not MISSING
            if one.name != "content" and not is_default and member != {}:
                members[one.name] = shown(member)
        return members
    if isinstance(value, tuple):
        return [shown(one) for one in value]
    return value


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_a_datafile_is_read_as_its_golden_file_says(path: Path) -> None:
    try:
        kind, actual = "json", json.dumps(shown(parse(path)), indent=1, ensure_ascii=False) + "\n"
    except ProjectErrors as errors:
        kind, actual = "error", str(errors) + "\n"
    expected = [path.with_name(f"{path.name}.{one}") for one in ("json", "error")]
    written = [one for one in expected if one.is_file()]
    if not written:
        path.with_name(f"{path.name}.{kind}").write_text(actual, encoding="utf-8")
        pytest.fail(f"{path.name}.{kind} was missing and is written now: read it, then commit it")
    assert [one.name for one in written] == [f"{path.name}.{kind}"], actual
    assert actual == written[0].read_text(encoding="utf-8")


def test_every_golden_file_has_its_input() -> None:
    names = {path.name for path in INPUTS}
    results = [path for path in FOLDER.iterdir() if path.suffix in (".json", ".error")]
    assert names
    assert {path.name.rpartition(".")[0] for path in results} == names
