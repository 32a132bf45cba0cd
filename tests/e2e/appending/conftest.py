"""A server with data sources that tests append files to, each test to those of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import HttpAnswer, RunningServer, pipewren, serving, write_files

FLAT = """TOKEN appender APPEND
TOKEN reader READ
DESCRIPTION >
    Visits of pages
SCHEMA >
    `page` String `json:$.page`,
    `n` Int32 `json:$.n`,
    `at` DateTime `json:$.at`,
    `note` Nullable(String) `json:$.note`
ENGINE "MergeTree"
ENGINE_SORTING_KEY "page, at"
ENGINE_PARTITION_KEY "toYYYYMM(at)"
"""
NESTED = """SCHEMA >
    `id` UInt32 `json:$.user.id`,
    `tags` Array(String) `json:$.tags[:]`,
    `raw` String `json:$`
"""
REPLACING = """SCHEMA >
    `key` String `json:$.key`,
    `n` Int32 `json:$.n`
ENGINE "ReplacingMergeTree"
ENGINE_SORTING_KEY "key"
"""
TOTALS = """SCHEMA >
    `page` String,
    `visits` UInt64
ENGINE "SummingMergeTree"
ENGINE_SORTING_KEY "page"
"""
VIEW = """NODE counted
SQL >
    SELECT page, count() AS visits FROM viewed WHERE throwIf(n = 13, 'thirteen') = 0 GROUP BY page
TYPE materialized
DATASOURCE totals
"""
NAMES = (
    *("ndjson", "csv", "csv_header", "gzipped", "parquet", "bad", "bad_csv", "twice", "replaced"),
    *(
        "truncated",
        "untouched",
        "rights",
        "killed",
        "shown",
        "limits",
        "broken_gzip",
        "waits",
        "viewed",
        "many_parts",
    ),
)
MAX_UPLOAD_BYTES = 30_000_000
WAIT_S = 60


def project_files() -> dict[str, str]:
    return {
        **{f"datasources/{name}.datasource": FLAT for name in NAMES},
        "datasources/nested.datasource": NESTED,
        "datasources/replacing.datasource": REPLACING,
        "datasources/totals.datasource": TOTALS,
        "materializations/totals_of_viewed.pipe": VIEW,
        "endpoints/shown_pages.pipe": "TOKEN reader READ\nNODE n\nSQL >\n"
        "    %\n    SELECT page FROM {{table('shown')}}\nTYPE endpoint\n",
        **{
            f"endpoints/rows_of_{name}.pipe": f"NODE n\nSQL >\n    SELECT * FROM {name}\n"
            "TYPE endpoint\n"
            for name in (*NAMES, "nested", "replacing", "totals")
        },
    }


@dataclass(slots=True)
class Target:
    """A running server and the values of the tokens of its files."""

    server: RunningServer
    token_of: Callable[[str], str]

    def send(self, path: str, body: bytes, **options: Any) -> HttpAnswer:
        headers = {"Content-Type": "application/octet-stream", **options.pop("headers", {})}
        return self.server.request(path, method="POST", body=body, headers=headers, **options)

    def load(self, name: str, body: bytes, *, mode: str = "append", **options: Any) -> Any:
        """Append a file and wait for its job, which is returned."""
        params = {"format": options.pop("format", "ndjson")}
        answer = self.send(f"/v1/datasources/{name}/{mode}", body, params=params, **options)
        assert answer.status == 200, answer.body
        assert "error" not in answer.json()
        return self.wait(answer.json()["id"])

    def wait(self, job_id: str) -> Any:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["status"] in ("done", "error", "cancelled"):
                return job
        raise AssertionError(f"the job is not over: {job}")

    def job(self, job_id: str) -> Any:
        status, job = self.server.get(f"/v0/jobs/{job_id}")
        assert status == 200
        return job

    def count(self, name: str) -> int:
        status, shown = self.server.get(f"/v0/datasources/{name}")
        assert status == 200
        rows: int = shown["statistics"]["row_count"]
        return rows

    def rows(self, name: str) -> list[dict[str, Any]]:
        status, answer = self.server.get(f"/v0/pipes/rows_of_{name}.json")
        assert status == 200
        return sorted(answer["data"], key=str)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("appending")
    project = write_files(folder / "project", project_files())
    environ = {"PIPEWREN_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES)}
    with serving(project, folder / "data", environ=environ) as server:
        yield Target(server, lambda name: read_token(server, name))


def read_token(server: RunningServer, name: str) -> str:
    return subprocess.run(
        pipewren("token", server.project_dir, name, "--data-dir", server.data_dir),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def make_rows(number: int, *, page: str = "/a") -> list[dict[str, Any]]:
    return [
        {"page": page, "n": at, "at": f"2026-0{at % 3 + 1}-01 00:00:00", "note": None}
        for at in range(number)
    ]


def write_project(folder: Path) -> Path:
    return write_files(folder, project_files())
