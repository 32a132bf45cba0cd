"""Secrets on a live server: over a restart, between workspaces, and nowhere to be read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files

SECRET = "needle-in-a-haystack\\ 'it\"s\n\té"
FILES = {
    "datasources/visits.datasource": "SCHEMA >\n    `tenant` String,\n    `page` String\n",
    "fixtures/visits.csv": "tenant,page\na,/a\nb,/b\n",
    "endpoints/guarded.pipe": """
NODE allowed
SQL >
    %
    SELECT page FROM visits WHERE {{tb_secret('api_key')}} = {{String(given, '')}}

NODE endpoint
SQL >
    SELECT count() AS pages FROM allowed
TYPE endpoint
""",
    "endpoints/failing.pipe": """
NODE endpoint
SQL >
    %
    SELECT page FROM visits WHERE
    {% if defined(number) %} toUInt8({{tb_secret('api_key')}}) = 1
    {% elif defined(thrown) %} throwIf(1, concat('see ', {{tb_secret('api_key')}}))
    {% else %} base64Encode({{tb_secret('api_key')}}) != page {% end %}
TYPE endpoint
""",
    "pipes/internal.pipe": "NODE n\nSQL >\n    %\n    SELECT {{tb_secret('api_key')}} AS k\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("project"), FILES)


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(project, tmp_path_factory.mktemp("data")) as running:
        make(running, "api_key", SECRET)
        yield running


def make(server: RunningServer, name: str, value: str, token: str = "") -> HttpAnswer:
    body = urlencode({"name": name, "value": value, "type": "secret"}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return server.request("/v0/variables", method="POST", headers=form, body=body, token=token)


def call_guarded(
    server: RunningServer, given: str, token: str = "", *, extension: str = "json"
) -> HttpAnswer:
    """What is guessed is sent in the body, of which no usage record is kept."""
    return server.request(
        f"/v0/pipes/guarded.{extension}",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"given": given}).encode(),
        token=token,
    )


def pages(server: RunningServer, given: str, token: str = "") -> Any:
    return call_guarded(server, given, token).json()["data"][0]["pages"]


def test_a_template_compares_with_the_value_as_it_was_sent(server: RunningServer) -> None:
    assert pages(server, SECRET) == 2
    assert pages(server, SECRET + " ") == 0


def test_answers_in_every_format_come_without_the_value(server: RunningServer) -> None:
    for extension in ("json", "csv", "ndjson", "parquet"):
        answer = call_guarded(server, SECRET, extension=extension)
        assert (answer.status, b"needle" in answer.body) == (200, False)


@pytest.mark.parametrize("parameter", ["number", "thrown"])
def test_an_error_of_the_engine_is_answered_without_the_value(
    server: RunningServer, parameter: str
) -> None:
    answer = server.request("/v0/pipes/failing.json", {parameter: "1"})
    assert answer.status == 400
    assert "***" in answer.json()["error"]
    assert b"needle" not in answer.body
    assert b"haystack" not in answer.body


@pytest.mark.parametrize("path", ["/v0/pipes/guarded/explain", "/v0/pipes/failing/explain"])
def test_a_plan_shows_neither_the_value_nor_what_was_made_of_it(
    server: RunningServer, path: str
) -> None:
    answer = server.request(path)
    assert answer.status == 200
    assert "{api_key: String}" in answer.json()["debug_query"]
    for text in (b"needle", b"bmVlZGxl"):  # and its base64
        assert text not in answer.body


def test_neither_log_nor_data_directory_holds_the_value(server: RunningServer) -> None:
    server.request("/v0/pipes/failing.json", {"thrown": "1"})
    server.request("/v0/variables", {"name": "other", "value": "needle-in-a-url"}, method="POST")
    assert not [line for line in server.output if "needle" in line]
    files = [path for path in server.data_dir.rglob("*") if path.is_file()]
    assert any(path.name == "secrets.key" for path in files)
    assert not [path for path in files if b"needle" in path.read_bytes()]


def test_a_jwt_opens_no_variable(server: RunningServer) -> None:
    scopes = {"scopes": [{"type": "PIPES:READ", "resource": "guarded"}]}
    until = {"name": "caller", "expiration_time": int(time.time()) + 600}
    made = server.request(
        "/v0/tokens",
        until,
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps(scopes).encode(),
    ).json()["token"]
    assert pages(server, SECRET, token=made) == 2
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/api_key"), ("DELETE", "/api_key")):
        answer = server.request("/v0/variables" + path, method=method, token=made)
        assert answer.status == 403


def test_secrets_stay_over_a_restart_and_need_their_key(project: Path, tmp_path: Path) -> None:
    with serving(project, tmp_path) as first:
        make(first, "api_key", SECRET)
        shown = first.get("/v0/variables/api_key")
    with serving(project, tmp_path) as second:
        assert pages(second, SECRET) == 2
        assert second.get("/v0/variables/api_key") == shown
    (tmp_path / "secrets.key").unlink()
    with pytest.raises(RuntimeError, match=r"secrets\.key is missing"), serving(project, tmp_path):
        pass
    environ = {"PIPEWREN_SECRETS_KEY": "another key of at least 32 characters"}
    with (
        pytest.raises(RuntimeError, match="'api_key' cannot be decrypted"),
        serving(project, tmp_path, environ=environ),
    ):
        pass


def test_workspaces_do_not_see_each_others_secrets(server: RunningServer, project: Path) -> None:
    tokens = server.request("/tokens", token=None).json()
    user = tokens["user_token"]
    assert server.request(
        "/v1/workspaces", {"name": "second", "token": user}, method="POST", token=None
    ).status in (200, 201)
    listed = server.request("/v1/user/workspaces", {"token": user}, token=None).json()
    (token,) = [one["token"] for one in listed["workspaces"] if one["name"] == "second"]
    assert server.request("/v0/variables", token=token).json() == {"variables": []}
    assert server.request("/v0/variables/api_key", token=token).status == 404
    assert make(server, "api_key", "of the second", token=token).status == 200
    assert server.request("/v0/variables/api_key", method="DELETE", token=token).status == 200
    assert pages(server, SECRET) == 2


def test_endpoints_that_would_return_a_secret_are_not_deployed(tmp_path: Path) -> None:
    shown = [
        "SELECT {{tb_secret('api_key')}} AS k",
        "SELECT 1 AS one {% if defined(more) %}, {{tb_secret('api_key', '')}} AS k {% end %}",
        "SELECT * FROM (SELECT upper({{tb_secret('api_key')}}) AS k)",
    ]
    end = "NODE e\nSQL >\n    SELECT * FROM n\nTYPE endpoint\n"
    files = {
        f"endpoints/shows_{number}.pipe": f"NODE n\nSQL >\n    %\n    {sql}\n\n{end}"
        for number, sql in enumerate(shown)
    }
    condition = "SELECT 1 WHERE {{tb_secret('api_key')}} = ''"
    files["endpoints/by_hand.pipe"] = (
        f"NODE n\nSQL >\n    %\n    {condition}\n\n"
        "NODE e\nSQL >\n    SELECT *, {api_key:String} AS k FROM n\nTYPE endpoint\n"
    )
    project = write_files(tmp_path / "project", files)
    with pytest.raises(RuntimeError) as refused, serving(project, tmp_path / "data"):
        pass
    assert '"e" of pipe "by_hand" shows the secret api_key' in str(refused.value)
    for number in range(len(shown)):
        assert f'"n" of pipe "shows_{number}" shows the secret api_key' in str(refused.value)


def test_a_pipe_that_is_no_endpoint_may_hold_a_secret(server: RunningServer) -> None:
    assert server.get("/v0/pipes/internal")[0] == 200
    assert server.get("/v0/pipes/internal.json")[0] == 404
