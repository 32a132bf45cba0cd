"""Statements put together from pipes, against ClickHouse: its parser takes each as one SELECT, and
the rows are those that the case names. The cases are those of tests/golden/sql/."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from pipewren.errors import EngineError, StatementError
from pipewren.sql.author_settings import ALLOWED_SETTINGS
from pipewren.sql.shape import read_shape
from pipewren.sqltext import quote_literal

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

FOLDER = Path(__file__).parents[1] / "golden" / "sql"
STATEMENTS = sorted(FOLDER.glob("*.sql"))


@pytest_asyncio.fixture(loop_scope="session")
async def tables(workspace: Workspace) -> AsyncIterator[Workspace]:
    """`t` has x = 1, 2, 3 with s = a, b, c; `u` has x = 10, 20."""
    await workspace.execute("CREATE TABLE t (x Int32, s String) ENGINE = MergeTree ORDER BY x")
    await workspace.execute("CREATE TABLE u (x Int32) ENGINE = MergeTree ORDER BY x")
    await workspace.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    await workspace.execute("INSERT INTO u VALUES (10), (20)")
    yield workspace


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
async def test_a_golden_statement_answers_the_rows_of_its_case(
    tables: Workspace, path: Path
) -> None:
    sql = path.read_text(encoding="utf-8")
    settings = tuple(re.findall(r"^-- setting (\w+) = (.*)$", sql, re.MULTILINE))
    rows = path.with_suffix(".case").read_text(encoding="utf-8").partition("=== rows\n")[2]
    answer = await tables.query(sql, format="JSONCompactEachRow", settings=settings)
    assert answer.decode() == rows


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
async def test_a_golden_statement_is_one_select_to_the_parser(
    tables: Workspace, path: Path
) -> None:
    text = quote_literal(path.read_text(encoding="utf-8"))
    tree = await tables.query(f"SELECT parseQueryToJSON({text}) AS tree")
    assert b"SelectWithUnionQuery" in tree[:200]


async def test_limits_keep_the_count_of_rows_before_them_in_a_wrapped_statement(
    tables: Workspace,
) -> None:
    answer = await tables.query(
        "WITH a AS (\nSELECT x FROM t\n)\nSELECT * FROM (\n(SELECT x FROM a ORDER BY x LIMIT 1)\n)",
        format="JSON",
    )
    assert b'"rows_before_limit_at_least": 3' in answer


async def test_every_setting_that_authors_may_write_exists(tables: Workspace) -> None:
    names = ", ".join(quote_literal(name) for name in sorted(ALLOWED_SETTINGS))
    answer = await tables.query(f"SELECT name FROM system.settings WHERE name IN ({names})")
    known = set(re.findall(r'"name":"(\w+)"', answer.decode()))
    assert known == ALLOWED_SETTINGS


def names_in_tree(tree: Any) -> set[str]:
    """Names of tables, and of the right side of IN, in the parser's tree; not those of CTEs."""
    names: set[str] = set()
    declared: set[str] = set()
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            if part.get("type") == "TableIdentifier" and not part.get("name_parts"):
                names.add(part["name"])
            elif part.get("type") == "WithElement":
                declared.add(part["name"])
            elif part.get("type") == "Function" and part.get("name") in ("in", "notIn", "globalIn"):
                right = part["arguments"]["children"][1]
                if right.get("type") == "Identifier" and not right.get("name_parts"):
                    names.add(right["name"])
    return names - declared


async def test_the_names_read_by_documented_statements_are_those_of_the_parser(
    tables: Workspace,
) -> None:
    """The examples that ClickHouse has of its own functions; those that it cannot parse alone
    (several statements, output) are left out, and so are those that we refuse."""
    answer = await tables.query(
        "SELECT DISTINCT arrayJoin(extractAll(toString(examples), "
        "'(?s)((?:SELECT|WITH)\\\\b[^;`]*)')) AS q FROM system.functions "
        "WHERE match(q, '(?i)(join|\\\\bin\\\\b|with|from [a-z]+\\\\b[^(])') LIMIT 5000"
    )
    compared = 0
    for line in answer.decode().splitlines():
        text = json.loads(line)["q"]
        try:
            shape = read_shape(text, "it")
            tree = await tables.query(f"SELECT parseQueryToJSON({quote_literal(text)}) AS tree")
        except (StatementError, EngineError):
            continue
        compared += 1
        assert set(shape.names) == names_in_tree(json.loads(json.loads(tree)["tree"])), text
    assert compared > 100
