"""Servers that take events, with settings as they come and with small bounds, and what one asks of
them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files
from pipewren.testing.uploads import upload

EVENTS = """
TOKEN writer APPEND
TOKEN reader READ
TAGS "web"

SCHEMA >
    `kind` String `json:$.kind`,
    `n` UInt16 `json:$.deep.n`,
    `tags` Array(String) `json:$.tags[:]`,
    `note` Nullable(String) `json:$.note`,
    `level` String `json:$.level` DEFAULT 'info'

ENGINE MergeTree
ENGINE_SORTING_KEY kind
"""
FLAT = """
TOKEN flat_writer APPEND

SCHEMA >
    `id` UInt64 `json:$.id`,
    `text` String `json:$.text`

ENGINE MergeTree
ENGINE_SORTING_KEY id
"""
TOP = """
NODE endpoint
SQL >
    SELECT count() AS n FROM events

TYPE endpoint
"""
PROJECT = {
    "datasources/events.datasource": EVENTS,
    "datasources/flat.datasource": FLAT,
    "endpoints/top.pipe": TOP,
}


METRICS_TOKEN = "a token for metrics"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With the settings that a server has when nothing is set, but metrics."""
    folder = tmp_path_factory.mktemp("events")
    project = write_files(folder / "project", PROJECT)
    environ = {"PIPEWREN_METRICS_TOKEN": METRICS_TOKEN, "PIPEWREN_QUERY_LOG": "1"}
    with serving(project, folder / "data", environ=environ) as running:
        yield running


@pytest.fixture
def workspace(server: RunningServer) -> RunningServer:
    """An empty workspace of its own on that server; the token is its admin's."""
    user = server.request("/tokens", token=None).json()["user_token"]
    params = {"name": f"test_{uuid.uuid4().hex}"}
    made = server.request("/v1/workspaces", params, method="POST", token=user, body=b"")
    assert made.status == 200, made.body
    return replace(server, token=made.json()["token"])


def deploy(server: RunningServer, files: Mapping[str, str], **params: str) -> dict[str, Any]:
    """Deploy these files; what the server says of it."""
    given = {"auto_promote": "true", **params}
    answer = upload(server, "/v1/deploy", files, given)
    described: dict[str, Any] = answer.json()
    assert described["result"] == "success", described
    return described


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    """Tables that earlier tests filled, empty again."""
    if "server" in request.fixturenames:
        running: RunningServer = request.getfixturevalue("server")
        for name in ("events", "flat", "events_quarantine", "flat_quarantine"):
            path = f"/v0/datasources/{name}/truncate"
            assert running.request(path, method="POST", body=b"").status == 205


def send(
    server: RunningServer,
    body: bytes | Sequence[Mapping[str, Any]],
    name: str = "events",
    *,
    wait: bool = True,
    headers: Mapping[str, str] | None = None,
    token: str | None = "",
    **params: str,
) -> HttpAnswer:
    """A request with rows, as bytes or as objects."""
    if not isinstance(body, bytes):
        body = b"\n".join(json.dumps(row).encode() for row in body)
    sent = {"Content-Type": "application/x-ndjson", **(headers or {})}
    query = {"name": name, **({"wait": "true"} if wait else {}), **params}
    return server.request("/v0/events", query, method="POST", body=body, headers=sent, token=token)


def counts(answer: HttpAnswer) -> tuple[int, int, int]:
    """Status, rows that were taken, rows in quarantine."""
    body = answer.json()
    assert body.keys() == {"successful_rows", "quarantined_rows"}, body
    return answer.status, body["successful_rows"], body["quarantined_rows"]


def ask(server: RunningServer, sql: str, *, token: str = "") -> list[dict[str, Any]]:
    answer = server.request("/v0/sql", {"q": f"{sql} FORMAT JSON"}, token=token)
    assert answer.status == 200, f"{sql}\n{answer.body!r}"
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def ask_one(server: RunningServer, expression: str, source: str = "events") -> Any:
    """The one value of a statement."""
    (row,) = ask(server, f"SELECT {expression} AS value FROM {source}")
    return row["value"]


def wait_until(server: RunningServer, expression: str, expected: Any, source: str) -> None:
    """Until the one value is that: seconds."""
    deadline = time.monotonic() + 60
    while (found := ask_one(server, expression, source)) != expected:
        assert time.monotonic() < deadline, f"{expression} of {source} is {found}"
        time.sleep(0.05)


def find_token(server: RunningServer, name: str) -> str:
    listed = server.request("/v0/tokens").json()["tokens"]
    return next(str(one["token"]) for one in listed if one["name"] == name)


def make_token(server: RunningServer, name: str, *scopes: str) -> str:
    """A static token with these scopes."""
    params = {"name": name, "scope": list(scopes)}
    made = server.request("/v0/tokens", params, method="POST", body=b"")
    assert made.status == 200, made.body
    return str(made.json()["token"])


def limited(folder: Path, **environ: str) -> Any:
    """A server of its own with other settings."""
    project = write_files(folder / "project", PROJECT)
    return serving(project, folder / "data", environ=environ)
