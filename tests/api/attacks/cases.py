"""The attack list: one JSON object a line in `tests/golden/attacks/*.jsonl`.

Keys of every case: `id`; `token`, a kind of `World.tokens`; what is sent (see `send`); and what
must come: `status` (a number or several), `data` (the rows of a JSON answer), `error` (a regular
expression that the error text matches), `same_as_visible` (the answer is the one of the workspace
that holds the visible rows only). Whatever a case expects, nothing hidden may be told and nothing
may have happened (`World.harm_done`). Words of `World.words` stand for names of the server.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pipewren.testing.serving import HttpAnswer
from tests.api.attacks.world import World

GOLDEN = Path(__file__).parents[2] / "golden"
ATTACKS = GOLDEN / "attacks"
# The kinds of marks that a token may be told: what it reads without a filter.
READABLE: dict[str, frozenset[str]] = {
    "admin": frozenset({"row", "vault"}),
    "all_readers": frozenset({"row", "vault"}),
    "reader": frozenset({"row"}),
}
NOTHING: frozenset[str] = frozenset()
Case = dict[str, Any]


def load_cases(name: str) -> list[Case]:
    """The cases of a file; their ids are unique."""
    lines = (ATTACKS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in lines]
    assert len({case["id"] for case in cases}) == len(cases)
    return cases


def name_of(case: Case) -> str:
    """How a failing case is named."""
    return str(case["id"])


def send(world: World, case: Case, path: str, token: str | None) -> HttpAnswer:
    """Send a case's `params` (by `via`: the query string, `form` or `json`), or its `query` (a
    query string as it is) or `body` with its `type`, as UTF-8 or, for bytes that are none, by
    `latin`; `headers` are added."""
    headers = {name: world.fill(value) for name, value in case.get("headers", {}).items()}
    params = case.get("params", {})
    if "query" in case:
        return world.server.request(f"{path}?{world.fill(case['query'])}", token=token)
    if "body" in case:
        body = world.fill(case["body"]).encode("latin-1" if case.get("latin") else "utf-8")
        if "type" in case:
            headers["Content-Type"] = case["type"]
        return world.server.request(
            path, _filled(world, params), method="POST", headers=headers, body=body, token=token
        )
    via = case.get("via", "query")
    if via == "json":
        headers["Content-Type"] = "application/json"
        body = world.fill(json.dumps(params)).encode()
    elif via == "form":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(_filled(world, params), doseq=True).encode()
    else:
        return world.server.request(path, _filled(world, params), headers=headers, token=token)
    return world.server.request(path, method="POST", headers=headers, body=body, token=token)


def _filled(world: World, params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [world.fill(str(one)) for one in value]
        if isinstance(value, list)
        else world.fill(str(value))
        for name, value in params.items()
    }


def find_faults(world: World, case: Case, answer: HttpAnswer, allowed: frozenset[str]) -> list[str]:
    """What is wrong with an answer and its effects; empty where the case holds."""
    sent = json.dumps(case)
    if any(word in sent for word in ("FOREIGN", "OWNDB", "OWNSTORE", "DATADIR")):
        allowed |= {"names"}  # what was sent may stand in an error
    faults = world.harm_done(answer, allowed)
    expected = case["status"] if isinstance(case["status"], list) else [case["status"]]
    if answer.status not in expected:
        faults.append(f"status {answer.status}, not {expected}")
    if answer.status >= 400:
        faults += _find_error_faults(case, answer)
    elif "data" in case:
        found = answer.json()["data"]
        if found != case["data"]:
            faults.append(f"data {found!r}"[:300])
    if faults:
        faults.append(repr(answer.body[:400]))
    return faults


def _find_error_faults(case: Case, answer: HttpAnswer) -> list[str]:
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return ["an error that is no JSON"]
    text = str(answer.json().get("error"))
    if "error" in case and not re.search(case["error"], text):
        return [f"error {text!r}"[:300]]
    return []


def drop_statistics(body: bytes) -> bytes:
    """A JSON answer without what differs from run to run."""
    return re.sub(rb'"elapsed": [0-9.e+-]+', b"", body)
