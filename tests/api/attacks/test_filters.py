"""Row filters and claims of tokens, as somebody would write them who holds a signing key or may
make tokens: a text that is no filter makes no token, and one made elsewhere reads nothing."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from pipewren.testing.serving import HttpAnswer
from tests.api.attacks.cases import GOLDEN, NOTHING, Case, find_faults, load_cases, name_of
from tests.api.attacks.world import World, ask_for_jwt

FILTERS = load_cases("filters")
CLAIMS = load_cases("claims")
_LISTED = {"type": "PIPES:READ", "resource": "listed"}


def scopes_with(filter: str) -> list[dict[str, Any]]:
    return [_LISTED, {"type": "DATASOURCES:READ", "resource": "ev", "filter": filter}]


def call_listed(world: World, token: str) -> HttpAnswer:
    return world.server.request("/v0/pipes/listed.json", token=token)


def find_filter_faults(world: World, case: Case, answer: HttpAnswer) -> list[str]:
    faults = find_faults(world, case, answer, NOTHING)
    if answer.status == 200 and "rows" in case:
        rows = answer.json()["data"]
        if len(rows) != case["rows"] or {row["tenant"] for row in rows} != {"a"}:
            faults.append(f"{len(rows)} rows")
    return faults


@pytest.mark.parametrize("case", FILTERS, ids=name_of)
def test_a_text_that_is_no_filter_reads_nothing(world: World, case: Case) -> None:
    filter = world.fill(case["filter"])
    made = ask_for_jwt(world.server, "attack", scopes_with(filter))
    assert made.status == 200 if case["status"] == 200 else made.status == 400
    assert ("token" in made.json()) == (made.status == 200)
    answer = call_listed(world, world.forge_jwt(scopes_with(filter)))
    assert find_filter_faults(world, case, answer) == []


@pytest.mark.parametrize(
    "filter",
    [
        json.loads(line)[0]
        for line in (GOLDEN / "row_filters" / "refused_filters.jsonl").read_text().splitlines()
    ],
)
def test_what_the_engines_tests_refuse_is_refused_here_too(world: World, filter: str) -> None:
    if filter:  # an empty one is none
        made = ask_for_jwt(world.server, "attack", scopes_with(filter))
        assert made.status == 400
    answer = call_listed(world, world.forge_jwt(scopes_with(filter or " ")))
    case = {"status": [400, 403]}
    assert find_faults(world, case, answer, NOTHING) == []


@pytest.mark.parametrize("case", CLAIMS, ids=name_of)
def test_odd_claims_give_no_more_rights(world: World, case: Case) -> None:
    claims = json.loads(world.fill(json.dumps(case.get("claims", {}))))
    scopes = json.loads(world.fill(json.dumps(case["scopes"])))
    token = world.forge_jwt(scopes, **claims)
    if case.keys() & {"algorithm", "headers", "key"}:
        claims = jwt.decode(token, options={"verify_signature": False})
        headers = {name: world.fill(text) for name, text in case.get("headers", {}).items()}
        algorithm = case.get("algorithm", "HS256")
        key = "" if algorithm == "none" else case.get("key", world.server.token)
        token = jwt.encode(claims, key, algorithm=algorithm, headers=headers)
    answer = world.server.request(f"/v0/pipes/{case['pipe']}.json", case.get("params"), token=token)
    assert find_filter_faults(world, case, answer) == []
