"""How long a deployment lives."""

from __future__ import annotations

import weakref
from dataclasses import replace

from pipewren.deploy.deployment import Deployment, make_deployment, outlive
from pipewren.project.assembly import parse_project
from pipewren.storage.deployments import State, StoredDeployment
from pipewren.storage.workspaces import Workspace

RECORD = StoredDeployment(1, "a" * 32, 1, "", State.DATA_READY, True, {}, "", "")


def empty() -> Deployment:
    workspace = Workspace("a" * 32, "main", 1)
    return make_deployment(workspace, RECORD, parse_project({}), {}, tables={}, pipe_ids={})


def test_one_that_takes_the_place_of_another_ends_after_it() -> None:
    first = empty()
    second = replace(first)
    ended: list[str] = []
    outlive(first, second)
    weakref.finalize(second, ended.append, "second")
    del second
    assert ended == []
    del first
    assert ended == ["second"]
