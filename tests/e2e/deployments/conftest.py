"""A small project, and servers that start without one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import RunningServer, serving
from pipewren.testing.uploads import upload

EVENTS = """
SCHEMA >
    `at` DateTime `json:$.at`,
    `kind` LowCardinality(String) `json:$.kind`,
    `n` UInt64 `json:$.n`

ENGINE MergeTree
ENGINE_SORTING_KEY kind, at
"""
TOTALS = """
SCHEMA >
    `kind` LowCardinality(String),
    `total` UInt64

ENGINE SummingMergeTree
ENGINE_SORTING_KEY kind
"""
VIEW = """
NODE positive
SQL >
    SELECT kind, n FROM events WHERE n > 0

NODE summed
SQL >
    SELECT kind, sum(n) AS total FROM positive GROUP BY kind

TYPE materialized
DATASOURCE totals
"""
BY_KIND = """
TOKEN dashboard READ

NODE endpoint
SQL >
    %
    SELECT kind, sum(total) AS total FROM totals
    WHERE kind != {{String(without, 'none')}} GROUP BY kind ORDER BY kind

TYPE endpoint
"""
PROJECT = {
    "datasources/events.datasource": EVENTS,
    "datasources/totals.datasource": TOTALS,
    "materializations/sums.pipe": VIEW,
    "endpoints/by_kind.pipe": BY_KIND,
}


def answering(number: int) -> str:
    """An endpoint that answers a number."""
    return f"NODE one\nSQL >\n    SELECT {number} AS n\n\nTYPE endpoint\n"


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server without a project; its token is the account's, which makes workspaces."""
    folder = tmp_path_factory.mktemp("empty")
    with serving(folder, tmp_path_factory.mktemp("data"), token="account admin token") as running:
        yield running


@pytest.fixture
def server(shared_server: RunningServer) -> RunningServer:
    """A workspace of its own on the shared server, as somebody begins with it who deploys over
    HTTP; the token is its admin's."""
    name = f"test_{uuid.uuid4().hex}"
    made = shared_server.request("/v1/workspaces", {"name": name}, method="POST")
    assert made.status == 200, made.body
    return replace(shared_server, token=made.json()["token"])


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that a test may end."""
    folder = tmp_path / "empty"
    folder.mkdir()
    with serving(folder, tmp_path / "data") as running:
        yield running


def deploy(server: RunningServer, files: Mapping[str, str], **params: Any) -> Any:
    """The answer to `tb deploy`."""
    given = {"auto_promote": "true", **params}
    answer = upload(server, "/v1/deploy", files, given)
    assert answer.status == 200, answer.body
    return answer.json()


def build(server: RunningServer, files: Mapping[str, str]) -> Any:
    """The answer to `tb build`."""
    answer = upload(server, "/v1/build", files)
    assert answer.status == 200, answer.body
    return answer.json()


def rows_of(server: RunningServer, pipe: str, **params: Any) -> Any:
    """The rows that an endpoint answers."""
    status, body = server.get(f"/v0/pipes/{pipe}.json", **params)
    assert status == 200, body
    return body["data"]


def listed(server: RunningServer, **params: Any) -> list[tuple[str, str, bool]]:
    """Deployments as (id, status, live)."""
    _, body = server.get("/v1/deployments", **params)
    return [(one["id"], one["status"], one["live"]) for one in body["deployments"]]
