"""What a start of a real server does: loads, keeps, refuses, and survives kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pytest

from pipewren.testing.serving import RunningServer, pipewren, serving

EVENTS = """
TOKEN writer APPEND
SCHEMA >
    `id` UInt32,
    `name` String DEFAULT 'none',
    `at` DateTime DEFAULT toDateTime('2024-01-01 00:00:00')
ENGINE_SORTING_KEY "id"
"""
TOTAL = """
TOKEN reader READ
NODE endpoint
SQL >
    SELECT count() AS rows, uniqExact(id) AS ids, sum(id) AS total FROM events
TYPE endpoint
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "datasources").mkdir(parents=True)
    (folder / "endpoints").mkdir()
    (folder / "fixtures").mkdir()
    (folder / "datasources" / "events.datasource").write_text(EVENTS)
    (folder / "endpoints" / "total.pipe").write_text(TOTAL)
    (folder / "fixtures" / "events.csv").write_text("id,name\n1,a\n2,b\n3,\n")
    return folder


def total(server: RunningServer) -> dict[str, int]:
    status, answer = server.get("/v0/pipes/total.json")
    assert status == 200, answer
    row: dict[str, int] = answer["data"][0]
    return row


def refused(project: Path, data_dir: Path, **environ: str) -> tuple[int, str]:
    run = subprocess.run(
        pipewren("serve", project, "--data-dir", data_dir, "--port", "0"),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PIPEWREN_DISK_RESERVE_BYTES": "0", **environ},
    )
    return run.returncode, run.stdout + run.stderr


def test_rows_tokens_and_answers_survive_restarts_and_fixtures_load_once(
    project: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    tokens = []
    admin_lines = []
    for _ in range(2):
        with serving(project, data_dir, token="reader") as server:
            assert total(server) == {"rows": 3, "ids": 3, "total": 6}
            tokens.append(server.token)
            process = server.process
            assert server.stop() == 0
            assert process.stdout is not None
            printed = "\n".join(server.output) + process.stdout.read()
            admin_lines.append(printed.count("admin token"))
    assert tokens[0] == tokens[1]
    assert admin_lines == [1, 0]


def test_a_kill_of_both_processes_loses_nothing(project: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(project, data_dir, token="reader") as server:
        child = server.child_pid()
        server.process.kill()
        server.process.wait()
        _wait_until_gone(child)
    with serving(project, data_dir, token="reader") as server:
        assert total(server) == {"rows": 3, "ids": 3, "total": 6}


def test_a_fixture_load_killed_in_the_middle_is_finished_exactly_once(
    project: Path, tmp_path: Path
) -> None:
    rows = 2_000_000  # several bodies, so that some are in and some are not
    path = project / "fixtures" / "events.csv"
    path.write_text("id,name\n" + "".join(f"{n},name number {n}\n" for n in range(rows)))
    data_dir = tmp_path / "data"
    interrupted = 0
    for kill_at in ("loading fixtures/events.csv: ", "fixtures/events.csv: 3"):
        process = subprocess.Popen(
            pipewren("serve", project, "--data-dir", data_dir, "--port", "0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PIPEWREN_DISK_RESERVE_BYTES": "0"},
        )
        assert process.stdout is not None
        seen = ""
        for seen in process.stdout:
            if kill_at in seen or seen.startswith("Listening"):
                break
        interrupted += not seen.startswith("Listening")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdout.close()
        for child in children:
            _wait_until_gone(int(child))
    assert interrupted
    with serving(project, data_dir, token="reader") as server:
        assert total(server) == {"rows": rows, "ids": rows, "total": rows * (rows - 1) // 2}


def test_changed_pipes_are_served_after_a_restart(project: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(project, data_dir) as server:
        assert "total" in total(server)
    pipe = project / "endpoints" / "total.pipe"
    pipe.write_text(TOTAL.replace("sum(id) AS total", "max(id) AS highest"))
    (project / "endpoints" / "names.pipe").write_text(
        "NODE n\nSQL >\n    SELECT name FROM events ORDER BY id\nTYPE endpoint\n"
    )
    with serving(project, data_dir) as server:
        assert total(server) == {"rows": 3, "ids": 3, "highest": 3}
        _, names = server.get("/v0/pipes/names.json")
        assert [row["name"] for row in names["data"]] == ["a", "b", "none"]
    (project / "endpoints" / "names.pipe").unlink()
    with serving(project, data_dir) as server:
        assert server.get("/v0/pipes/names.json")[0] == 404


def test_a_changed_schema_over_rows_is_refused_and_nothing_is_dropped(
    project: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with serving(project, data_dir) as server:
        assert total(server)["rows"] == 3
    file = project / "datasources" / "events.datasource"
    file.write_text(EVENTS.replace("UInt32", "UInt64").replace("`at` DateTime", "`when` DateTime"))
    code, text = refused(project, data_dir)
    assert code != 0
    assert "events.datasource" in text
    assert "type of column id: UInt32 -> UInt64" in text
    assert "column at was removed" in text
    assert "holds 3 rows" in text
    assert "Traceback" not in text
    file.write_text(EVENTS)
    with serving(project, data_dir) as server:
        assert total(server)["rows"] == 3


def test_a_changed_schema_of_an_empty_table_is_taken(project: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (project / "fixtures" / "events.csv").unlink()
    with serving(project, data_dir) as server:
        assert total(server)["rows"] == 0
    file = project / "datasources" / "events.datasource"
    file.write_text(EVENTS.replace("`id` UInt32", "`id` Int64"))
    (project / "fixtures" / "events.csv").write_text("id\n-5\n")
    with serving(project, data_dir) as server:
        assert total(server) == {"rows": 1, "ids": 1, "total": -5}


def test_a_project_with_mistakes_lists_them_all_and_does_not_start(
    project: Path, tmp_path: Path
) -> None:
    (project / "endpoints" / "one.pipe").write_text(
        "NODE n\nSQL >\n    %\n    SELECT {{ Strng(x) }}\nTYPE endpoint\n"
    )
    (project / "endpoints" / "two.pipe").write_text("NODE n\nSQL select 1\n")
    (project / "datasources" / "bad.datasource").write_text("SCHEMA >\n    `a` Foo\n")
    code, text = refused(project, tmp_path / "data")
    assert code != 0
    for piece in ("one.pipe:4", "Strng", "two.pipe:2", "SQL must be multiline", "bad.datasource:2"):
        assert piece in text
    assert "Traceback" not in text


def test_mistakes_that_only_the_engine_sees_stop_the_start_too(
    project: Path, tmp_path: Path
) -> None:
    (project / "endpoints" / "one.pipe").write_text(
        "NODE n\nSQL >\n    SELECT nme FROM events\nTYPE endpoint\n"
    )
    (project / "endpoints" / "two.pipe").write_text(
        "NODE n\nSQL >\n    SELECT 1 FROM evnts\nTYPE endpoint\n"
    )
    (project / "endpoints" / "three.pipe").write_text(
        "NODE n\nSQL >\n    SELECT FROM WHERE\nTYPE endpoint\n"
    )
    data_dir = tmp_path / "data"
    code, text = refused(project, data_dir)
    assert code != 0
    for piece in ("one.pipe", "nme", "two.pipe", "evnts", "three.pipe"):
        assert piece in text
    for name in ("one", "two", "three"):
        (project / "endpoints" / f"{name}.pipe").unlink()
    with serving(project, data_dir) as server:
        assert total(server)["rows"] == 3


def test_a_bad_row_in_a_fixture_is_named_with_its_file(project: Path, tmp_path: Path) -> None:
    (project / "fixtures" / "events.csv").write_text("id,name\n1,a\noops,b\n")
    code, text = refused(project, tmp_path / "data")
    assert code != 0
    assert "fixtures/events.csv cannot be loaded" in text
    assert "oops" in text
    assert str(tmp_path / "data") not in text


def test_a_changed_fixture_is_not_loaded_on_top_of_the_old_one(
    project: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with serving(project, data_dir) as server:
        assert total(server)["rows"] == 3
    (project / "fixtures" / "events.csv").write_text("id,name\n9,a\n")
    with serving(project, data_dir) as server:
        assert total(server) == {"rows": 3, "ids": 3, "total": 6}
        assert any("events.csv has changed" in line for line in server.output)


def test_nested_json_rows_are_loaded_by_their_paths(project: Path, tmp_path: Path) -> None:
    (project / "fixtures" / "events.csv").unlink()
    (project / "datasources" / "events.datasource").write_text(
        "SCHEMA >\n    `id` UInt32 `json:$.user.id`,\n    `tags` Array(String) `json:$.tags[:]`\n"
    )
    rows = [{"user": {"id": 7}, "tags": ["a", "b"]}, {"user": {"id": 8}}]
    (project / "fixtures" / "events.ndjson").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    with serving(project, tmp_path / "data") as server:
        assert total(server) == {"rows": 2, "ids": 2, "total": 15}


def test_parquet_rows_are_loaded_once_too(project: Path, tmp_path: Path) -> None:
    (project / "fixtures" / "events.csv").unlink()
    target = project / "fixtures" / "events.parquet"
    query = "SELECT n::UINTEGER AS id, 'name ' || n AS name FROM range(1, 11) t(n)"
    duckdb.sql(f"COPY ({query}) TO '{target}' (FORMAT parquet)")
    for _ in range(2):
        with serving(project, tmp_path / "data") as server:
            assert total(server) == {"rows": 10, "ids": 10, "total": 55}


def test_an_admin_token_given_by_setting_is_used_and_never_printed(
    project: Path, tmp_path: Path
) -> None:
    value = "an admin token of my own"
    environ = {"PIPEWREN_ADMIN_TOKEN": value}
    with serving(project, tmp_path / "data", environ=environ) as server:
        assert server.token == value
        assert total(server)["rows"] == 3
        assert server.stop() == 0
        assert server.process.stdout is not None
        printed = "\n".join(server.output) + server.process.stdout.read()
        assert value not in printed
        assert "admin token" not in printed
    for path in (tmp_path / "data").glob("store.sqlite*"):
        assert value.encode() not in path.read_bytes()
    with serving(project, tmp_path / "data") as server:  # without the setting
        assert server.token == value
        assert total(server)["rows"] == 3
        refreshed = server.request("/v0/tokens/workspace%20admin%20token/refresh", method="POST")
        assert refreshed.status == 200, refreshed.body
    with serving(project, tmp_path / "data", environ=environ) as server:
        assert server.token == refreshed.json()["token"]
        assert total(server)["rows"] == 3
        assert server.request("/v0/tokens", token=value).status == 403
        assert any("warning: the setting admin_token still gives" in one for one in server.output)


def test_a_token_line_without_effect_is_told_at_the_start(project: Path, tmp_path: Path) -> None:
    with serving(project, tmp_path / "data") as server:
        query = {"name": "made by hand", "scope": "PIPES:CREATE"}
        assert server.request("/v0/tokens", query, method="POST").status == 200
    (path,) = project.glob("*/total.pipe")
    path.write_text("TOKEN 'made by hand' READ\n" + path.read_text())
    with serving(project, tmp_path / "data") as server:
        (line,) = [one for one in server.output if "has no effect" in one]
    assert "total.pipe:1: TOKEN made by hand READ has no effect" in line


def test_a_second_server_on_the_same_directory_is_told_so(project: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(project, data_dir) as server:
        code, text = refused(project, data_dir)
        assert code != 0
        assert "in use by another server" in text
        assert total(server)["rows"] == 3


def test_answers_come_again_after_the_server_process_was_killed(
    project: Path, tmp_path: Path
) -> None:
    with serving(project, tmp_path / "data") as server:
        assert total(server)["rows"] == 3
        os.kill(server.child_pid(), signal.SIGKILL)
        # Connections wait in the supervisor's socket: the very next request is answered.
        assert total(server) == {"rows": 3, "ids": 3, "total": 6}


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat")
        try:
            if state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


def test_a_parameter_of_a_reserved_name_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "project" / "endpoints" / "one.pipe"
    file.parent.mkdir(parents=True)
    file.write_text("NODE n\nSQL >\n    %\n    SELECT {{Int32(tag, 1)}} AS t\nTYPE endpoint\n")
    with serving(tmp_path / "project", tmp_path / "data") as server:
        warning = next(line for line in server.output if "reserved" in line)
    assert "endpoints/one.pipe: tag is a reserved name" in warning
