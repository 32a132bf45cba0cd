"""SQL that callers send: `q` of the Query API. The lists of what authors may not write, and of what
would tell hidden rows, are sent the same way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from pipewren.testing.serving import HttpAnswer
from tests.api.attacks.cases import (
    GOLDEN,
    NOTHING,
    READABLE,
    Case,
    drop_statistics,
    find_faults,
    load_cases,
    name_of,
    send,
)
from tests.api.attacks.world import World

CASES = load_cases("sql")
NO_SELECTS = [case for case in load_cases("datafiles") if "-no-select-" in case["id"]]
# What is in the list of authors' statements and is callers' all the same.
_DESCRIBED = frozenset({"node-no-select-describe", "node-no-select-explain"})


def golden_lines(name: str) -> list[str]:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("-- ")]


def ask(world: World, case: Case, token: str | None, changes: Mapping[str, str] = {}) -> HttpAnswer:
    """Send a case's `q`, as JSON where its data are compared; `changes` are words in it."""
    if "q" not in case:
        return send(world, case, "/v0/sql", token)
    sql = case["q"]
    if "data" in case and "FORMAT" not in sql:
        sql += case.get("format", " FORMAT JSON")
    for word, name in changes.items():
        sql = sql.replace(word, name)
    body = world.fill(sql).encode()
    headers = {"Content-Type": "text/plain"}
    return world.server.request("/v0/sql", method="POST", headers=headers, body=body, token=token)


def find_query_faults(world: World, case: Case, answer: HttpAnswer) -> list[str]:
    faults = find_faults(world, case, answer, READABLE.get(case["token"], NOTHING))
    if "same_as_visible" in case:
        seen = ask(world, case, world.tokens["visible"])
        if seen.status != answer.status or (
            answer.status == 200 and without_figures(seen) != without_figures(answer)
        ):
            faults.append(f"where hidden rows are not there: {seen.status} {seen.body!r}"[:600])
    return faults


def without_figures(answer: HttpAnswer) -> Any:
    """An answer without how long it took and how much was read, which a filter hides."""
    text = drop_statistics(answer.body).decode("utf-8", "replace")
    text = re.sub(r'"(rows_read|bytes_read|read_rows|read_bytes)":\s*"?\d+"?', "", text)
    return re.sub(r'\{"progress".*?\}\}\n', "", text)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_statement_reaches_nothing_but_what_its_caller_may_read(world: World, case: Case) -> None:
    token = world.tokens[case["token"]]
    hidden = "VAULT" in case.get("q", "")
    answer = ask(world, case, token, {"VAULT": "vault"})
    assert find_query_faults(world, case, answer) == []
    if hidden:
        unknown = ask(world, case, token, {"VAULT": "vaulx"})
        told = unknown.body.replace(b"vaulx", b"vault")
        assert (answer.status, drop_statistics(answer.body)) == (
            unknown.status,
            drop_statistics(told),
        )


@pytest.mark.parametrize("line", golden_lines("author_sql/refused.jsonl"))
def test_what_authors_may_not_write_callers_may_not_either(world: World, line: str) -> None:
    sql = json.loads(line)[1]
    # What a caller sees under these names is not ClickHouse's.
    expected = [200, 400, 403] if re.search(r"FROM `?system`?\.`?tables", sql) else [400, 403]
    case = {"token": "all_readers", "q": sql, "status": expected}
    assert find_query_faults(world, case, ask(world, case, world.tokens["all_readers"])) == []


@pytest.mark.parametrize("case", NO_SELECTS, ids=name_of)
def test_what_is_no_select_is_refused(world: World, case: Case) -> None:
    expected = [200, 400, 403] if name_of(case) in _DESCRIBED else [400, 403]
    sent = {"token": "admin", "q": case["sql"], "status": expected}
    assert find_query_faults(world, sent, ask(world, sent, world.tokens["admin"])) == []


@pytest.mark.parametrize("sql", golden_lines("row_filters/probes.sql"))
def test_no_probe_of_a_callers_own_tells_a_hidden_row(world: World, sql: str) -> None:
    """Each answers as where the hidden rows are not there, or is refused."""
    case: Case = {"token": "filtered", "q": f"{sql} FORMAT JSON", "status": [200, 400, 403]}
    answer = ask(world, case, world.tokens["filtered"])
    if answer.status == 200:
        case["same_as_visible"] = True
    assert find_query_faults(world, case, answer) == []


@pytest.mark.parametrize("line", golden_lines("row_filters/refused_statements.jsonl"))
def test_what_no_filter_could_follow_is_refused(world: World, line: str) -> None:
    case = {"token": "filtered", "q": json.loads(line)[0], "status": [400, 403]}
    assert find_query_faults(world, case, ask(world, case, world.tokens["filtered"])) == []
