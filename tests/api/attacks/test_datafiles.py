"""Files that are deployed: what their SQL and schemas may not hold is refused, and nothing of it is
run on the way. One upload brings most of them, since a build tells all mistakes at once; those that
only the engine refuses (`stage`) come alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from pipewren.testing.uploads import upload
from tests.api.attacks import project
from tests.api.attacks.cases import NOTHING, Case, find_faults, load_cases, name_of, send
from tests.api.attacks.world import World

CASES = load_cases("datafiles")
FIRST = [case for case in CASES if "stage" not in case]
SECOND = [case for case in CASES if "stage" in case]
BUILDS = load_cases("builds")


def file_of(case: Case) -> tuple[str, str]:
    """Path and text of a case's file."""
    name = re.sub(r"\W", "_", name_of(case))
    if "schema" in case:
        return f"datasources/{name}.datasource", case["schema"]
    if "pipe_text" in case:
        return f"endpoints/{name}.pipe", case["pipe_text"]
    sql = case["sql"].replace("ITSELF", name).replace("\n", "\n    ")
    return f"endpoints/{name}.pipe", f"NODE n\nSQL >\n    {sql}\nTYPE endpoint\n"


@pytest.fixture(scope="session")
def mistakes(world: World) -> Mapping[str, str]:
    """What one build of all cases says, by file."""
    return build(world, dict(map(file_of, FIRST)))


def build(world: World, texts: Mapping[str, str]) -> Mapping[str, str]:
    """The mistakes of a build, which must have done no harm, by file; none where it succeeds."""
    files = dict(project.DATASOURCES)
    files |= {world.fill(path): world.fill(text) for path, text in texts.items()}
    answer = upload(world.server, "/v1/build", files, token=str(world.tokens["scratch"]))
    assert world.harm_done(answer, NOTHING | {"names"}) == []
    document = answer.json()
    if document.get("result") == "success":
        return {}
    found: dict[str, str] = {}
    for one in document.get("errors", [document]):
        path = str(one.get("filename"))
        found[path] = f"{found.get(path, '')}{one['error']}\n"
    return found


@pytest.mark.parametrize("case", FIRST, ids=name_of)
def test_a_file_that_reaches_out_is_refused(mistakes: Mapping[str, str], case: Case) -> None:
    path, _ = file_of(case)
    assert re.search(case["error"], mistakes[path])


@pytest.mark.parametrize("case", SECOND, ids=name_of)
def test_a_file_that_the_engine_refuses_makes_nothing(world: World, case: Case) -> None:
    path, text = file_of(case)
    assert re.search(case["error"], build(world, {path: text})[path])


@pytest.mark.parametrize("case", BUILDS, ids=name_of)
def test_what_is_built_tells_nothing_when_it_is_called(world: World, case: Case) -> None:
    if build(world, case["files"]):  # refused, as all may be but those whose rows are known
        assert not any("data" in call for call in case["calls"])
        return
    for call in case["calls"]:
        path = f"/v0/pipes/{call['pipe']}.json"
        answer = send(world, call, path, world.tokens["scratch"])
        expected = {"status": [200, 400, 404], **call}
        assert find_faults(world, expected, answer, NOTHING) == []
