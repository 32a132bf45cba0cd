"""The lists of what callers may use are those of the engine: a test fails when ClickHouse's own
lists change (engine-guard.md section 6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.engine.contract import Limits
from pipewren.errors import EngineError
from pipewren.sql.author_rules import PASSES, load_author_rules
from pipewren.sql.caller_rules import CallerRules, load_caller_rules
from pipewren.sql.function_list import load_functions
from pipewren.sql.tree_kinds import load_tree_kinds
from pipewren.sqltext import quote_literal

if TYPE_CHECKING:
    from pipewren.engine.embedded import EmbeddedEngine
    from tests.engine.conftest import BareChdb, Workspace

SYNTAX = Path(__file__).parents[1] / "golden" / "select_syntax"
CALLS = {
    "numbers": ("numbers(3)", 3),
    "numbers_mt": ("numbers_mt(3)", 3),
    "generateseries": ("generateSeries(1, 5, 2)", 3),
    "generate_series": ("generate_series(1, 5, 2)", 3),
    "values": ("values('a Int8', 1, 2, 3)", 3),
    "sqlstandardvalues": ("(VALUES (1), (2), (3))", 3),
    "primes": ("primes(3)", 3),
    "generaterandom": ("(SELECT * FROM generateRandom('a Array(String)') LIMIT 3)", 3),
    "null": ("null('a Int8')", 0),
}
_TOO_MUCH = r"MEMORY_LIMIT|TOO_LARGE|BAD_ARG|NOT_IMPL|ILLEGAL|ACCESS"
SMALL = Limits(max_memory_bytes=300_000_000, max_result_rows=1000)


@pytest.fixture(scope="module")
def rules(engine: EmbeddedEngine) -> CallerRules:
    return load_caller_rules(engine.capabilities.version)


async def test_the_list_of_functions_has_no_more_and_no_fewer_than_the_engine(
    workspace: Workspace,
) -> None:
    functions = load_functions(workspace.engine.capabilities.version)
    answer = await workspace.query("SELECT name FROM system.functions", format="TSV")
    of_the_parser = {"lambda", "untuple", "exists", "grouping"}
    assert set(functions.exact) - of_the_parser == set(answer.decode().split())


async def test_what_is_said_of_a_function_is_what_the_engine_says(workspace: Workspace) -> None:
    functions = load_functions(workspace.engine.capabilities.version)
    answer = await workspace.query(
        "SELECT name, is_aggregate, case_insensitive FROM system.functions",
        format="JSONCompactEachRow",
    )
    wrong = []
    for line in answer.decode().splitlines():
        name, is_aggregate, is_folded = json.loads(line)
        function = functions.exact[name]
        # A name that differs in case only may be another function's, in any case.
        folded = functions.folded.get(name.lower())
        if function.is_aggregate != bool(is_aggregate) or (is_folded and folded is None):
            wrong.append(name)
    assert wrong == []


def test_the_suffixes_of_aggregate_functions_are_those_of_the_engine(
    engine: EmbeddedEngine, bare_chdb: BareChdb
) -> None:
    functions = load_functions(engine.capabilities.version)
    found = str(bare_chdb.query("SELECT name FROM system.aggregate_function_combinators", "TSV"))
    listed = [name for name in found.split() if functions.find(f"sum{name}") is not None]
    # Null is the engine's own: `sumNull` cannot be called.
    assert set(found.split()) - set(listed) == {"Null"}


async def test_sum_of_null_cannot_be_called(workspace: Workspace) -> None:
    with pytest.raises(EngineError, match="only for internal usage"):
        await workspace.query("SELECT sumNull(1)")


async def test_callers_may_use_table_functions_that_projects_may(
    workspace: Workspace, rules: CallerRules
) -> None:
    verdicts = load_author_rules(workspace.engine.capabilities.version).table_verdicts
    passing = {name.lower() for name, verdict in verdicts.items() if verdict == PASSES}
    assert rules.table_functions <= passing
    # What is left out: the role refuses zeros, and the others are read as what stands in them.
    assert passing - rules.table_functions == {
        *("zeros", "zeros_mt"),
        *("view", "viewifpermitted", "format"),
    }


async def test_the_reader_role_may_call_each_of_the_table_functions(
    workspace: Workspace, rules: CallerRules
) -> None:
    assert set(CALLS) == rules.table_functions
    for text, count in CALLS.values():
        answer = await workspace.query(f"SELECT count() AS n FROM {text}", limits=SMALL)
        assert json.loads(answer)["n"] == count, text


@pytest.mark.parametrize(
    "text",
    [
        "generateRandom('a Array(Array(Array(String)))', 1, 1000000000, 1000000000)",
        "generateRandom('a String', 1, 4000000000, 4000000000)",
        "generateRandom('a FixedString(16000000)')",
        "generateRandom('a Map(String, Array(String))', 1, 1000000, 1000)",
        "generateRandom('a AggregateFunction(sum, Int8)')",
        "generateSeries(0, 18446744073709551615)",
        "zeros(10)",
    ],
)
async def test_what_would_make_too_much_is_refused(workspace: Workspace, text: str) -> None:
    with pytest.raises(EngineError, match=_TOO_MUCH):
        await workspace.query(f"SELECT * FROM {text} LIMIT 1", limits=SMALL)


async def test_each_setting_is_one_of_the_engine_and_works_with_each_value(
    workspace: Workspace, rules: CallerRules
) -> None:
    text = "SELECT a.number AS n FROM numbers(3) AS a INNER JOIN numbers(2, 5) AS b USING number"
    values = {
        "date_time_output_format": ("iso", "simple", "unix_timestamp"),
        "join_algorithm": tuple(rules.values["join_algorithm"] - {"direct"}),
    }
    for name in rules.settings:
        for value in values.get(name, ("1",)):
            answer = await workspace.query(text, settings=((name, value),), limits=SMALL)
            assert answer == b'{"n":2}\n', (name, value)


def test_join_algorithms_that_no_time_limit_ends_are_refused(rules: CallerRules) -> None:
    assert rules.allows_value("join_algorithm", "direct, HASH")
    assert not rules.allows_value("join_algorithm", "partial_merge")
    assert not rules.allows_value("join_algorithm", "hash,prefer_partial_merge")
    assert not rules.allows_value("join_algorithm", "auto")
    assert not rules.allows_value("max_threads", "1")
    assert rules.allows_value("join_use_nulls", "1")


async def test_the_kinds_of_a_statements_parts_are_those_of_the_parser(
    workspace: Workspace,
) -> None:
    """Each kind that is listed occurs in the statements of every kind, with listed keys only."""
    kinds = load_tree_kinds(workspace.engine.capabilities.version)
    texts = [
        line
        for file in sorted(SYNTAX.glob("*.sql"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.upper().startswith(("SELECT", "WITH", "FROM", "("))
    ]
    many = ", ".join(quote_literal(text) for text in texts)
    answer = await workspace.query(
        f"SELECT parseQueryToJSON(arrayJoin([{many}])) AS tree", limits=Limits()
    )
    seen: set[str] = set()
    unknown: set[tuple[str, str]] = set()
    for line in answer.decode().splitlines():
        pending: list[Any] = [json.loads(json.loads(line)["tree"])]
        while pending:
            node = pending.pop()
            if isinstance(node, list):
                pending += node
            elif isinstance(node, dict):
                pending += node.values()
                kind = node.get("type")
                if kind is not None:
                    seen.add(kind)
                    keys = kinds.get(kind, frozenset())
                    unknown |= {(kind, key) for key in node if key not in keys | {"type"}}
    assert len(texts) > 300
    assert {(kind, key) for kind, key in unknown if f"!{key}" not in kinds.get(kind, ())} <= {
        ("SelectWithUnionQuery", "format_ast"),
        ("SelectWithUnionQuery", "settings_ast"),
    }
    assert seen <= set(kinds)
    # Parameters of the engine stand in no statement of a caller.
    assert set(kinds) - seen <= {"QueryParameter"}
