"""One server, four workspaces, tokens of every kind; after each attack all must be as before."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files
from pipewren.testing.uploads import upload
from tests.api.attacks import project
from tests.api.attacks.evidence import Listener, Marks, Watch

FILTER = "tenant = 'a'"
MAX_MEMORY_BYTES = 200_000_000
LIMITS = {
    "PIPEWREN_MAX_MEMORY_BYTES": str(MAX_MEMORY_BYTES),
    "PIPEWREN_MAX_RESULT_BYTES": "10000000",
    "PIPEWREN_LIGHT_CONNECTIONS": "2",
}
_WAIT_S = 60.0  # for what must come, on a busy machine


class KeptConnection:
    """GETs on one connection, since a check follows each attack."""

    def __init__(self, base_url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=_WAIT_S)

    def get(self, path: str, token: str | None) -> tuple[int, bytes]:
        """Status and body; 0 where nobody answers. A connection on which nothing was asked for over
        a minute has been closed by the server, so that a failure counts on a new one only."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        for _ in range(2):
            try:
                self._connection.request("GET", path, headers=headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()  # the next request opens it again
        return 0, b""

    def close(self) -> None:
        self._connection.close()


@dataclass(slots=True)
class World:
    """`tokens` are by kind: admin, all_readers (WORKSPACE:READ_ALL), reader (of the data sources
    ev, rep and other), pipes (project.READABLE_PIPES), filtered and filtered_static (ev and rep of
    tenant a; other), fixed (a JWT with fixed parameters), of_rows (rows of the pipe chosen
    that are tenant a's); those of the workspaces `visible`, which
    holds what the filter shows and nothing else, `scratch` and `foreign`; none is None."""

    server: RunningServer
    marks: Marks
    watch: Watch
    listener: Listener
    canary: Path
    tokens: Mapping[str, str | None]
    words: Mapping[str, str]
    check: KeptConnection
    counts: bytes
    rows: tuple[bytes, ...]
    pid: int

    def fill(self, text: str) -> str:
        """Put this server's names in place of the words of `words`."""
        for word, value in self.words.items():
            text = text.replace(word, value)
        return text

    def forge_jwt(self, scopes: list[Any], **claims: Any) -> str:
        """A JWT that was signed elsewhere, with the workspace's own key."""
        made = {"name": "forged", "exp": int(time.time()) + 600, "scopes": scopes}
        made |= {"workspace_id": self.words["WORKSPACE_ID"], **claims}
        key = self.tokens["admin"]
        assert key is not None
        return jwt.encode(made, key, algorithm="HS256")

    def harm_done(self, answer: HttpAnswer | None, allowed: frozenset[str]) -> list[str]:
        """What an attack has brought about; empty where it has failed as it should."""
        harm = [] if answer is None else self.marks.told_by(answer, allowed)
        if answer is not None and "names" not in allowed:
            own = (self.words["OWNSTORE"], self.words["FOREIGNSTORE"], self.words["DATADIR"])
            harm += [f"the name {name}" for name in own if name.encode() in answer.body]
        if answer is not None and answer.status >= 500:
            harm.append(f"status {answer.status}")
        if self.watch.has_seen():
            harm.append("a file was opened or made")
        if self.listener.was_called():
            harm.append("a connection was made")
        health, pid = self.check.get("/v0/health", None), self.server.child_pid()
        if health[0] != 200 or pid != self.pid:
            told = " | ".join(self.server.output[-5:])
            harm.append(f"the server is not well: {health}, {self.pid} is {pid} now: {told}")
            self._wait_until_healthy()
        # What was refused is looked at quickly; the rows themselves are compared at the end.
        is_refused = answer is not None and 400 <= answer.status < 500
        counts = _read_counts(self.check, self.tokens)
        rows = self.rows if is_refused else _read_rows(self.check, self.tokens)
        if (counts, rows) != (self.counts, self.rows):
            harm.append("rows have changed")
            self.counts, self.rows = counts, rows
        return harm

    def _wait_until_healthy(self) -> None:
        """Let the next case be judged by itself: the supervisor starts the server again."""
        deadline = time.monotonic() + _WAIT_S
        while self.check.get("/v0/health", None)[0] != 200:
            assert self.server.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.pid = self.server.child_pid()
        self.watch.has_seen()  # a start reads the keys


@contextlib.contextmanager
def make_world(folder: Path, *, max_execution_time_s: float = 10) -> Iterator[World]:
    """Serve the attacked workspaces until the block ends."""
    marks = Marks()
    canary = folder / "canary" / "canary.txt"
    canary.parent.mkdir()
    canary.write_text(f"{marks.file}\n")
    files = project.DATASOURCES | project.PIPES
    environ = LIMITS | {
        "PIPEWREN_MAX_EXECUTION_TIME_S": str(max_execution_time_s),
        "ATTACK_CANARY": marks.environment,
    }
    with serving(
        write_files(folder / "project", files), folder / "data", environ=environ
    ) as server:
        yield from _make(server, folder, canary, marks)


def _make(server: RunningServer, folder: Path, canary: Path, marks: Marks) -> Iterator[World]:
    user = server.request("/tokens", token=None).json()["user_token"]
    workspace_id = server.request("/v1/workspace").json()["id"]
    foreign = _make_workspace(server, user, "foreign")
    scratch = _make_workspace(server, user, "scratch")
    visible = _make_workspace(server, user, "visible")
    secret = {"name": "api_key", "value": marks.secret}
    for token in (server.token, visible["token"], scratch["token"]):
        assert server.request("/v0/variables", secret, method="POST", token=token).status == 200
    _build(server, visible["token"], project.DATASOURCES | project.PIPES)
    _build(server, foreign["token"], project.FOREIGN | project.FOREIGN_PROBE)
    for token, hidden in ((server.token, True), (visible["token"], False)):
        rows = project.event_rows(marks, hidden=hidden)
        for name in ("ev", "rep"):
            _append(server, token, name, rows)
        _append(server, token, "other", project.event_rows(marks, hidden=False))
        _append(server, token, "vip", project.vip_rows())
    _append(server, server.token, "vault", project.vault_rows(marks.vault))
    _append(server, foreign["token"], "only_foreign", project.vip_rows())
    for name in ("secret", "vault"):
        _append(server, foreign["token"], name, project.vault_rows(marks.foreign))
    tokens = _make_tokens(server) | {
        **{"foreign": foreign["token"], "scratch": scratch["token"]},
        **{"visible": visible["token"], "none": None},
    }
    watch, listener = Watch(), Listener()
    watch.opening(canary)
    watch.making(canary.parent)
    watch.opening(folder / "data" / "token.key")
    watch.opening(folder / "data" / "secrets.key")
    words = {
        "CANARYDIR": str(canary.parent),
        "CANARY": str(canary),
        "PORT": str(listener.port),
        "FOREIGN": _live_database(server, foreign["id"]),
        "FOREIGNSTORE": f"w_{foreign['id'].replace('-', '')}",
        "OWNDB": _live_database(server, workspace_id),
        "OWNSTORE": f"w_{workspace_id.replace('-', '')}",
        "DATADIR": str(folder / "data"),
        "WORKSPACE_ID": workspace_id,
        "FOREIGN_ID": foreign["id"],
    }
    ordered = dict(sorted(words.items(), key=lambda one: -len(one[0])))
    check = KeptConnection(server.base_url)
    world = World(
        *(server, marks, watch, listener, canary, tokens, ordered, check),
        counts=_read_counts(check, tokens),
        rows=_read_rows(check, tokens),
        pid=server.child_pid(),
    )
    try:
        yield world
    finally:
        check.close()
        watch.close()
        listener.close()


def _make_workspace(server: RunningServer, user: str, name: str) -> dict[str, Any]:
    answer = server.request("/v1/workspaces", {"name": name}, method="POST", token=user)
    assert answer.status == 200, answer.body
    made: dict[str, Any] = answer.json()
    return made


def _build(server: RunningServer, token: str, files: Mapping[str, str]) -> None:
    answer = upload(server, "/v1/build", files, token=token)
    assert answer.json()["result"] == "success", answer.body


def _append(server: RunningServer, token: str, datasource: str, rows: list[dict[str, Any]]) -> None:
    started = server.request(
        f"/v1/datasources/{datasource}/append",
        {"format": "ndjson"},
        method="POST",
        headers={"Content-Type": "application/x-ndjson"},
        body=project.to_ndjson(rows),
        token=token,
    ).json()
    deadline = time.monotonic() + _WAIT_S
    job = started
    while job["status"] in ("waiting", "working"):
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
        job = server.request(f"/v0/jobs/{started['id']}", token=token).json()
    assert job["status"] == "done", job


def _live_database(server: RunningServer, workspace_id: str) -> str:
    """The database of a workspace's only deployment, by the engine's own files."""
    metadata = server.data_dir / "engine" / "metadata"
    (found,) = metadata.glob(f"w_{workspace_id.replace('-', '')}_d*.sql")
    return found.stem


def _make_tokens(server: RunningServer) -> dict[str, str | None]:
    reads = [f"DATASOURCES:READ:{name}" for name in ("ev", "rep", "other")]
    filtered = [f"{scope}:{FILTER}" for scope in reads[:2]] + reads[2:]
    pipes = [f"PIPES:READ:{name}" for name in project.READABLE_PIPES]
    fixed = [
        {"type": "PIPES:READ", "resource": "of_tenant", "fixed_params": {"tenant": "a"}},
        {"type": "PIPES:READ", "resource": "p_text", "fixed_params": {"x": "it's fixed"}},
    ]
    jwt_scopes: list[dict[str, Any]] = [
        {"type": "DATASOURCES:READ", "resource": name, "filter": FILTER} for name in ("ev", "rep")
    ]
    jwt_scopes.append({"type": "DATASOURCES:READ", "resource": "other"})
    jwt_scopes += [{"type": "PIPES:READ", "resource": name} for name in project.READABLE_PIPES]
    return {
        "admin": server.token,
        "all_readers": make_token(server, "all_readers", ["WORKSPACE:READ_ALL"]),
        "reader": make_token(server, "reader", reads),
        "pipes": make_token(server, "pipes", pipes),
        "filtered_static": make_token(server, "filtered_static", filtered + pipes),
        "filtered": make_jwt(server, "filtered", jwt_scopes),
        "fixed": make_jwt(server, "fixed", fixed),
        "of_rows": make_token(server, "of_rows", [f"PIPES:READ:chosen:{FILTER}"]),
    }


def make_token(server: RunningServer, name: str, scopes: list[str]) -> str:
    """A static token."""
    answer = server.request("/v0/tokens", {"name": name, "scope": scopes}, method="POST")
    assert answer.status == 200, answer.body
    token: str = answer.json()["token"]
    return token


def make_jwt(server: RunningServer, name: str, scopes: list[dict[str, Any]]) -> str:
    """A JWT that the server signs."""
    answer = ask_for_jwt(server, name, scopes)
    assert answer.status == 200, answer.body
    token: str = answer.json()["token"]
    return token


def ask_for_jwt(server: RunningServer, name: str, scopes: list[dict[str, Any]]) -> HttpAnswer:
    """The answer to a wish for a JWT."""
    return server.request(
        "/v0/tokens",
        {"expiration_time": int(time.time()) + 3600},
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"name": name, "scopes": scopes}).encode(),
    )


def _read_counts(check: KeptConnection, tokens: Mapping[str, str | None]) -> bytes:
    """Counts of the rows of the attacked workspace."""
    status, body = check.get("/v0/pipes/count_probe.ndjson", tokens["admin"])
    return _in_order(body) if status == 200 else b"unanswered"


def _read_rows(check: KeptConnection, tokens: Mapping[str, str | None]) -> tuple[bytes, ...]:
    """Counts and hashes of all rows of the workspaces that have rows of their own."""
    found = []
    for workspace in ("admin", "foreign"):
        status, body = check.get("/v0/pipes/health_probe.ndjson", tokens[workspace])
        found.append(_in_order(body) if status == 200 else b"unanswered")
    return tuple(found)


def _in_order(lines: bytes) -> bytes:
    return b"\n".join(sorted(lines.splitlines()))  # the arms of a UNION end in any order
