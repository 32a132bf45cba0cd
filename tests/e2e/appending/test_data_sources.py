"""Reading data sources, truncating them, and who may do what; jobs as their owners see them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import serving
from tests.e2e.appending.conftest import (
    FLAT,
    MAX_UPLOAD_BYTES,
    Target,
    make_rows,
    read_token,
    write_project,
)
from tests.e2e.appending.test_files_of_rows import ndjson

COLUMN_KEYS = {"name", "type", "codec", "default_value", "jsonpath", "nullable", "normalized_name"}
ENGINE_KEYS = {"engine", "engine_sorting_key", "engine_partition_key", "engine_primary_key"}


def test_a_data_source_is_shown_by_name_and_by_id(target: Target) -> None:
    target.load("shown", ndjson(make_rows(4)))
    _, shown = target.server.get("/v0/datasources/shown")
    assert (shown["name"], shown["type"]) == ("shown", "ndjson")
    assert shown["description"] == "Visits of pages"
    assert shown["statistics"]["row_count"] == 4
    assert shown["statistics"]["bytes"] > 0
    assert shown["engine"]["sorting_key"] == "page, at"
    assert shown["schema"]["sql_schema"].startswith("`page` String `json:$.page`, `n` Int32")
    note = shown["schema"]["columns"][3]
    assert (note["type"], note["nullable"]) == ("Nullable(String)", True)
    assert {user["name"] for user in shown["used_by"]} == {"shown_pages", "rows_of_shown"}
    assert len(shown["created_at"]) == len("2026-01-31 12:34:56.123456")
    _, by_id = target.server.get(f"/v0/datasources/{shown['id']}")
    assert by_id == shown


def test_a_list_with_columns_has_exactly_the_keys_that_strict_clients_take(target: Target) -> None:
    _, listed = target.server.get("/v0/datasources", attrs="id,name,description,columns")
    (shown,) = (one for one in listed["datasources"] if one["name"] == "untouched")
    assert shown.keys() == {
        *("id", "name", "description", "columns", "engine"),
        *("indexes", "new_columns_detected", "quarantine_rows"),
    }
    assert all(column.keys() == COLUMN_KEYS for column in shown["columns"])
    assert shown["engine"].keys() == ENGINE_KEYS
    _, single = target.server.get("/v0/datasources/untouched", attrs="columns")
    assert single["columns"] == shown["columns"]
    _, listed = target.server.get("/v0/datasources", attrs="name,type")
    assert all(one.keys() == {"id", "name", "type"} for one in listed["datasources"])
    assert target.server.get("/v0/connectors") == (200, {"connectors": []})


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_the_datafile_is_the_files_text_as_plain_text(target: Target, version: str) -> None:
    answer = target.server.request(f"/{version}/datasources/untouched.datasource")
    assert answer.body.decode() == FLAT
    assert answer.headers["content-type"] == "text/plain"


def test_truncate_empties_one_source_and_no_other(target: Target) -> None:
    for name in ("truncated", "untouched"):
        target.load(name, ndjson(make_rows(3)))
    answer = target.send("/v0/datasources/truncated/truncate", b"")
    assert (answer.status, answer.body) == (205, b"")
    assert (target.count("truncated"), target.count("untouched")) == (0, 3)
    body = ndjson(make_rows(3))
    assert target.load("truncated", body)["statistics"]["row_count"] == 3  # not held for known rows


def test_a_token_does_what_its_scopes_say(target: Target) -> None:
    appender, reader = target.token_of("appender"), target.token_of("reader")
    path, params = "/v1/datasources/rights/append", {"format": "ndjson"}
    body = ndjson(make_rows(1))
    begun = target.send(path, body, params=params, token=appender)
    assert begun.status == 200
    job_path = f"/v0/jobs/{begun.json()['id']}"
    target.wait(begun.json()["id"])
    assert target.server.request(job_path, token=appender).status == 200
    assert target.server.request(job_path, token=reader).status == 404
    assert begun.json()["id"] in target.server.request("/v0/jobs", token=appender).body.decode()
    assert target.server.request("/v0/jobs", token=reader).json() == {"jobs": []}
    for token, refused in ((appender, "replace"), (reader, "append"), (reader, "replace")):
        address = f"/v1/datasources/rights/{refused}"
        assert target.send(address, body, params=params, token=token).status == 403
        assert target.send("/v0/datasources/rights/truncate", b"", token=token).status == 403
    nested = "/v1/datasources/nested/append"
    assert target.send(nested, body, params=params, token=appender).status == 403
    for token in (appender, reader):
        assert target.server.request("/v0/datasources/nested", token=token).status == 403
        listed = target.server.request("/v0/datasources", token=token).json()["datasources"]
        names = {one["name"] for one in listed}
        assert "rights" in names
        assert "nested" not in names
    shown = target.server.request("/v0/datasources/shown", token=reader).json()
    assert [user["name"] for user in shown["used_by"]] == ["shown_pages"]
    assert target.send(path, body, params=params, token=None).status == 403
    assert target.count("rights") == 1


def test_what_cannot_be_imported_is_refused_before_a_job_is_made(target: Target) -> None:
    path = "/v1/datasources/limits/append"
    _, before = target.server.get("/v0/jobs")
    for address, params, headers, status in (
        ("/v1/datasources/nowhere/append", {"format": "csv"}, {}, 404),
        (path, {"format": "xml"}, {}, 400),
        (path, {}, {}, 400),
        (path, {"format": "csv", "url": "http://127.0.0.1/x"}, {}, 400),
        (path, {"format": "csv"}, {"Content-Encoding": "zstd"}, 400),
    ):
        answer = target.send(address, b"a", params=params, headers=headers)
        assert answer.status == status, answer.body
        assert answer.json()["error"]
    too_large = (b" " * 1_000_000 for _ in range(MAX_UPLOAD_BYTES // 1_000_000 + 1))
    answer = target.send(path, too_large, params={"format": "csv"})  # type: ignore[arg-type]
    assert answer.status == 413
    assert "max_upload_bytes" in answer.json()["error"]
    answer = target.server.request("/v0/datasources/nowhere")
    assert answer.status == 404
    assert answer.json()["error"] == 'Data Source "nowhere" does not exist'
    _, after = target.server.get("/v0/jobs")
    known = {job["id"] for job in before["jobs"]}
    made = [job for job in after["jobs"] if job["id"] not in known]
    assert [job for job in made if job["datasource"]["name"] == "limits"] == []
    assert not list((target.server.data_dir / "uploads").iterdir())


def test_jobs_are_filtered_by_kind_and_status(target: Target) -> None:
    good = target.load("waits", ndjson(make_rows(1)))
    bad = target.load("waits", b"{")
    for params, expected in (
        ({"status": "done"}, {good["id"]}),
        ({"status": "error", "kind": "import"}, {bad["id"]}),
        ({"kind": "deployment"}, set()),
    ):
        _, listed = target.server.get("/v0/jobs", **params)
        found = {job["id"] for job in listed["jobs"]}
        assert found & {good["id"], bad["id"]} == expected
    answer = target.send(f"/v0/jobs/{good['id']}/cancel", b"")
    assert answer.status == 400
    assert target.server.request("/v0/jobs/none").status == 404


def _send_into_the_void(target: Target, body: bytes) -> None:
    try:
        target.send("/v1/datasources/killed/append", body, params={"format": "ndjson"})
    except (OSError, http.client.HTTPException):
        return  # killed before it answered, which is what is tried


def test_a_kill_in_an_import_leaves_no_row_or_all_and_a_job_that_says_so(tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    row = json.dumps(make_rows(1)[0]) + "\n"
    body = (row * 400_000).encode()  # seconds of work
    with serving(project, tmp_path / "data") as server:
        target = Target(server, lambda name: read_token(server, name))
        target.load("killed", row.encode())
        sending = threading.Thread(target=_send_into_the_void, args=(target, body))
        sending.start()
        begun: list[dict[str, Any]] = []
        while not begun:  # the answer comes a second later, or not at all
            jobs = server.get("/v0/jobs")[1]["jobs"]
            begun = [job for job in jobs if job["status"] == "working"]
        os.kill(server.child_pid(), signal.SIGKILL)
        sending.join()
        server.stop()
        job_id = begun[0]["id"]
    with serving(project, tmp_path / "data") as server:
        target = Target(server, lambda name: read_token(server, name))
        job = target.job(job_id)
        assert job["status"] == "error"
        assert "restarted" in job["error"]
        rows = target.count("killed")
        # All of them where it had come to handing them over.
        assert rows == 1 or (rows == 400_001 and "look whether its rows are there" in job["error"])
        assert not (tmp_path / "data" / "uploads").exists()
        assert target.load("killed", row.encode() * 2)["status"] == "done"
        assert target.count("killed") == rows + 2
