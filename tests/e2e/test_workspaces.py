"""Workspaces and branches of a real server: rows apart, deleted for good, whole after a kill."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipewren.storage.store import open_store
from pipewren.storage.workspaces import create_workspace
from pipewren.testing.serving import HttpAnswer, RunningServer, serving

VISITS = """SCHEMA >
    `page` String `json:$.page`,
    `at` DateTime `json:$.at`

ENGINE "MergeTree"
ENGINE_PARTITION_KEY "toYYYYMM(at)"
ENGINE_SORTING_KEY "page"
"""
COUNTED = """SCHEMA >
    `page` String,
    `visits` SimpleAggregateFunction(sum, UInt64)

ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "page"
"""
COUNT = """NODE counting
SQL >
    SELECT page, count() AS visits FROM visits GROUP BY page

TYPE materialized
DATASOURCE counted
"""
PAGES = "NODE n\nSQL >\n    SELECT page FROM visits ORDER BY page\nTYPE endpoint\n"
FILES = {"datasources/visits.datasource": VISITS, "endpoints/pages.pipe": PAGES}
WITH_VIEW = {
    **FILES,
    "datasources/counted.datasource": COUNTED,
    "materializations/count.pipe": COUNT,
    "endpoints/counts.pipe": "NODE n\nSQL >\n    SELECT page, sum(visits) AS visits FROM counted "
    "GROUP BY page ORDER BY page\nTYPE endpoint\n",
}
ROWS = 3_000_000
MANY = {
    "endpoints/many.pipe": "NODE n\nSQL >\n    SELECT page, number FROM visits "
    f"CROSS JOIN numbers({ROWS}) AS many\nTYPE endpoint\n"
}
WAIT_S = 60.0  # for what must come, on a busy machine


class Account:
    """A client with the tokens that `/tokens` gives."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        tokens = server.request("/tokens", token=None).json()
        self.user, self.account = tokens["user_token"], tokens["admin_token"]

    def make(self, name: str) -> dict[str, Any]:
        answer = self.server.request(
            "/v1/workspaces", {"name": name}, method="POST", token=self.user
        )
        assert answer.status == 200, answer.body
        made: dict[str, Any] = answer.json()
        return made

    def delete(self, workspace: Mapping[str, Any]) -> HttpAnswer:
        path = f"/v1/workspaces/{workspace['id']}"
        return self.server.request(path, method="DELETE", token=self.user)

    def build(self, files: Mapping[str, str], token: str) -> None:
        parts = "".join(
            f'--edge\r\nContent-Disposition: form-data; name="data_project://"; filename="{path}"'
            f"\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
            for path, text in files.items()
        )
        answer = self.server.request(
            "/v1/build",
            method="POST",
            headers={"Content-Type": "multipart/form-data; boundary=edge"},
            body=f"{parts}--edge--\r\n".encode(),
            token=token,
        )
        assert answer.json()["result"] == "success", answer.body

    def append(self, token: str, *rows: Mapping[str, str]) -> None:
        started = self.server.request(
            "/v1/datasources/visits/append",
            {"format": "ndjson"},
            method="POST",
            headers={"Content-Type": "application/x-ndjson"},
            body=b"".join(json.dumps(row).encode() + b"\n" for row in rows),
            token=token,
        ).json()
        self.finish(started["id"], token)

    def finish(self, job_id: str, token: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            job = self.server.request(f"/v0/jobs/{job_id}", token=token).json()
            if job["status"] not in ("waiting", "working"):
                assert job["status"] == "done", job
                return
            time.sleep(0.02)
        raise AssertionError("the job did not end")

    def rows(self, pipe: str, token: str) -> Any:
        return self.server.request(f"/v0/pipes/{pipe}.json", token=token).json()["data"]


def databases(data_dir: Path, workspace: Mapping[str, Any]) -> set[str]:
    """The workspace's databases in the engine's own files."""
    prefix = f"w_{workspace['id'].replace('-', '')}"
    # What was dropped leaves the disk minutes later.
    metadata = data_dir / "engine" / "metadata"
    return {path.name.split(".")[0] for path in metadata.glob(f"{prefix}*")}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("workspaces")
    (folder / "project").mkdir()
    with serving(folder / "project", folder / "data") as server:
        yield Account(server)


@pytest.fixture(autouse=True)
def _make_folder(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()


def test_two_workspaces_with_the_same_names_have_their_own_rows(account: Account) -> None:
    red, green = account.make("red"), account.make("green")
    for one in (red, green):
        account.build(FILES, one["token"])
        account.append(one["token"], {"page": one["name"], "at": "2026-01-01 00:00:00"})
    for one in (red, green):
        assert account.rows("pages", one["token"]) == [{"page": one["name"]}]
    assert account.delete(red).status == 200
    assert account.server.request("/v0/pipes/pages.json", token=red["token"]).status == 403
    assert account.rows("pages", green["token"]) == [{"page": "green"}]
    assert databases(account.server.data_dir, red) == set()
    assert len(databases(account.server.data_dir, green)) == 2
    account.delete(green)


def test_a_branch_has_mains_files_and_secrets_and_the_newest_partition_once(
    account: Account,
) -> None:
    main = account.make("main")
    secret = account.server.request(
        "/v0/variables", {"name": "s", "value": "v"}, method="POST", token=main["token"]
    )
    assert secret.status == 200
    keyed = FILES | {
        "endpoints/keyed.pipe": "NODE n\nSQL >\n    %\n    SELECT page FROM visits WHERE "
        "page != {{tb_secret('s')}} ORDER BY page\nTYPE endpoint\n"
    }
    account.build(WITH_VIEW | keyed, main["token"])
    account.append(
        main["token"],
        {"page": "old", "at": "2026-01-01 00:00:00"},
        {"page": "new", "at": "2026-02-01 00:00:00"},
        {"page": "new", "at": "2026-02-02 00:00:00"},
    )
    made = account.server.request(
        "/v1/environments",
        {"name": "feature", "data": "last_partition"},
        method="POST",
        token=main["token"],
    ).json()
    account.finish(made["job"]["id"], main["token"])
    assert account.rows("pages", made["token"]) == [{"page": "new"}, {"page": "new"}]
    assert account.rows("keyed", made["token"]) == [{"page": "new"}, {"page": "new"}]
    counts = account.rows("counts", main["token"])
    assert counts == [{"page": "new", "visits": 2}, {"page": "old", "visits": 1}]
    assert account.rows("counts", made["token"]) == counts  # the view's table has one partition
    account.append(made["token"], {"page": "mine", "at": "2026-03-01 00:00:00"})
    assert len(account.rows("pages", made["token"])) == 3
    assert len(account.rows("pages", main["token"])) == 3
    assert account.delete(main).status == 200
    for one in (main, made):
        assert databases(account.server.data_dir, one) == set()


def test_an_answer_that_is_under_way_when_its_workspace_goes_is_whole(account: Account) -> None:
    made = account.make("short_lived")
    account.build(FILES | MANY, made["token"])
    account.append(made["token"], {"page": "a", "at": "2026-01-01 00:00:00"})
    address = urlsplit(account.server.base_url)
    connection = http.client.HTTPConnection(address.netloc, timeout=WAIT_S)
    with contextlib.closing(connection):
        connection.request("GET", f"/v0/pipes/many.ndjson?token={made['token']}")
        answer = connection.getresponse()
        lines = answer.read(1000).count(b"\n")
        assert account.delete(made).status == 200
        assert account.server.request("/v0/pipes/many.ndjson", token=made["token"]).status == 403
        while part := answer.read(1_000_000):
            lines += part.count(b"\n")
    assert (answer.status, lines) == (200, ROWS)
    assert databases(account.server.data_dir, made) == set()


def test_what_a_kill_left_of_a_deleted_workspace_is_dropped_at_the_next_start(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "project", tmp_path / "data") as server:
        account = Account(server)
        gone, kept = account.make("gone"), account.make("kept")
        account.build(FILES, gone["token"])
        server.process.kill()
        server.process.wait(WAIT_S)
    # The store's transaction is all that a kill right after it leaves of a deletion.
    with sqlite3.connect(tmp_path / "data" / "store.sqlite") as store:
        hex_id = gone["id"].replace("-", "")
        for table in ("tokens", "deployments", "table_versions", "pipe_ids"):
            store.execute(f"DELETE FROM {table} WHERE workspace_id = ?", (hex_id,))
        store.execute("DELETE FROM workspaces WHERE id = ?", (hex_id,))
    store.close()
    assert databases(tmp_path / "data", gone)
    with serving(tmp_path / "project", tmp_path / "data") as server:
        assert databases(tmp_path / "data", gone) == set()
        assert server.request("/v1/workspace", token=gone["token"]).status == 403
        assert server.request("/v1/workspace", token=kept["token"]).status == 200


def test_a_workspace_whose_making_was_killed_is_whole_after_the_next_start(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "project", tmp_path / "data"):
        pass
    store = open_store(tmp_path / "data")
    with store.begin() as connection:
        create_workspace(connection, "half_made")
    store.close()
    with serving(tmp_path / "project", tmp_path / "data") as server:
        account = Account(server)
        listed = server.request("/v1/user/workspaces", token=account.account).json()
        (made,) = [one for one in listed["workspaces"] if one["name"] == "half_made"]
        account.build(FILES, made["token"])
        account.append(made["token"], {"page": "a", "at": "2026-01-01 00:00:00"})
        assert account.rows("pages", made["token"]) == [{"page": "a"}]
