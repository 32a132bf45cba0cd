"""A server under ingestion while another program fills its disk: what was acknowledged is there
once, what was there before stays, and all goes on when there is room."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipewren.testing.serving import RunningServer, serving, write_files
from pipewren.testing.small_disk import (
    Filler,
    NotMounted,
    fill,
    free_bytes,
    mount_small_disk,
)

RESERVE_BYTES = 20_000_000
WIDE = 60
COLUMNS = ",\n".join(f"    `c{n}` String `json:$.c{n}`" for n in range(WIDE))
# Many small files, so that parts take more of the disk than the engine reserves for them.
SETTINGS = 'ENGINE_SETTINGS "min_bytes_for_wide_part=0"'
PROJECT = {
    "datasources/rows.datasource": f"""SCHEMA >
    `id` UInt64 `json:$.id`,
{COLUMNS}
ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
{SETTINGS}
""",
    "datasources/totals.datasource": """SCHEMA >
    `k` UInt64,
    `n` SimpleAggregateFunction(sum, UInt64)
ENGINE "AggregatingMergeTree"
ENGINE_SORTING_KEY "k"
""",
    "pipes/to_totals.pipe": """NODE counted
SQL >
    SELECT id % 3 AS k, count() AS n FROM rows GROUP BY k
TYPE materialized
DATASOURCE totals
""",
    "pipes/ids.pipe": f"""NODE whole
SQL >
    SELECT id, count() AS times FROM rows
    WHERE c0 = concat(toString(id), '-0') AND c{WIDE - 1} = concat(toString(id), '-{WIDE - 1}')
    GROUP BY id
TYPE endpoint
""",
    "pipes/counts.pipe": """NODE counted
SQL >
    SELECT (SELECT count() FROM rows) AS in_rows, (SELECT sum(n) FROM totals) AS in_totals
TYPE endpoint
""",
}
ROWS = 20  # in a request
OLD = 30  # requests before the disk fills


def request_body(request: int) -> bytes:
    ids = range(request * ROWS, (request + 1) * ROWS)
    return b"".join(
        json.dumps({"id": id} | {f"c{n}": f"{id}-{n}" for n in range(WIDE)}).encode() + b"\n"
        for id in ids
    )


@dataclass(slots=True)
class Storm:
    """Writers and a reader, until `stop`. `acknowledged` are requests, by their numbers; `refused`
    got a clear no."""

    server: RunningServer
    acknowledged: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    reads: Counter[int] = field(default_factory=Counter)
    texts: set[str] = field(default_factory=set)
    is_over: threading.Event = field(default_factory=threading.Event)

    def send(self, request: int, *, wait: bool) -> int:
        """The status; 0 where there was no answer."""
        params = {"name": "rows", "wait": "true" if wait else "false"}
        body = request_body(request)
        try:
            answer = self.server.request("/v0/events", params, method="POST", body=body)
        except (urllib.error.URLError, OSError):
            return 0
        if answer.status in (200, 202):
            self.acknowledged.add(request)
        else:
            self.refused.add(request)
            self.texts.add(answer.body.decode())
        return answer.status

    def write(self, first: int) -> None:
        request = first
        while not self.is_over.is_set():
            status = self.send(request, wait=request % 5 == 0)
            self.statuses[status] += 1
            request += 1
            if status not in (200, 202):
                time.sleep(0.05)

    def read(self, _: int) -> None:
        while not self.is_over.wait(0.05):
            try:
                self.reads[self.server.request("/v0/pipes/counts.json").status] += 1
            except (urllib.error.URLError, OSError):
                self.reads[0] += 1


def wait_for(what: Callable[[], bool], name: str, longest_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + longest_s
    while not what():
        assert time.monotonic() < deadline_s, f"not within {longest_s:g} s: {name}"
        time.sleep(0.1)


def health(server: RunningServer) -> str:
    try:
        return str(server.request("/v0/health").json()["status"])
    except (urllib.error.URLError, OSError):
        return "no answer"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with mount_small_disk(tmp_path / "small", 300) as folder:
            yield folder
    except NotMounted as error:
        pytest.skip(str(error))


def check_rows(server: RunningServer, storm: Storm) -> None:
    """Each row once or not at all, those acknowledged once, in the view too."""
    answer = server.request("/v0/pipes/ids.json")
    assert answer.status == 200, answer.body
    times = {int(row["id"]): int(row["times"]) for row in answer.json()["data"]}
    assert set(times.values()) <= {1}
    due = {id for one in storm.acknowledged for id in range(one * ROWS, (one + 1) * ROWS)}
    assert due <= set(times)
    [counts] = server.request("/v0/pipes/counts.json").json()["data"]
    assert (int(counts["in_rows"]), int(counts["in_totals"])) == (len(times), len(times))


@pytest.mark.slow
def test_no_row_is_lost_on_a_disk_that_fills_up_under_ingestion(
    small_disk: Path, tmp_path: Path
) -> None:
    project = write_files(tmp_path / "project", PROJECT)
    reserve = {"PIPEWREN_DISK_RESERVE_BYTES": str(RESERVE_BYTES)}
    with serving(project, small_disk / "data", environ=reserve) as server:
        storm = Storm(server)
        for request in range(OLD):
            assert storm.send(request, wait=request == OLD - 1) in (200, 202)
        threads = [
            threading.Thread(target=run, args=(number * 1_000_000,))
            for number, run in (
                (1, storm.write),
                (2, storm.write),
                (3, storm.write),
                (0, storm.read),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            with Filler(small_disk, 1, given_back=(1_000_000, 2 * RESERVE_BYTES)):
                time.sleep(12)
        finally:
            storm.is_over.set()
            for thread in threads:
                thread.join()
        wait_for(lambda: health(server) == "ok", "the server is writable again")
        wait_for(lambda: storm.send(9_000_000, wait=True) == 200, "an event is taken again")
        # What is in the log comes within its own time.
        wait_for(lambda: not _fails(lambda: check_rows(server, storm)), "all rows are there")
    assert storm.acknowledged > set(range(OLD))
    assert storm.statuses[503] > 0
    assert set(storm.statuses) <= {0, 200, 202, 503}, storm.texts
    assert any("disk" in text for text in storm.texts), storm.texts
    assert storm.reads[200] > 10
    assert set(storm.reads) <= {0, 200, 503}


@pytest.mark.slow
def test_a_server_on_a_full_disk_starts_reads_and_refuses_and_writes_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    project = write_files(tmp_path / "project", PROJECT)
    reserve = {"PIPEWREN_DISK_RESERVE_BYTES": str(RESERVE_BYTES)}
    with serving(project, small_disk / "data", environ=reserve) as server:
        storm = Storm(server)
        for request in range(OLD):
            assert storm.send(request, wait=request == OLD - 1) in (200, 202)
        filler = small_disk / "filler"
        fill(filler)
        assert free_bytes(small_disk) == 0
        first = server.child_pid()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: health(server) == "read_only", "another process reads on the full disk")
        assert server.child_pid() != first
        second = server.child_pid()
        check_rows(server, storm)
        assert storm.send(OLD, wait=False) == 503
        [text] = storm.texts
        assert "nearly full" in text
        filler.unlink()
        wait_for(lambda: health(server) == "ok", "the server sees the room")
        assert storm.send(OLD + 1, wait=True) == 200
        assert server.child_pid() == second
        check_rows(server, storm)


def _fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except (AssertionError, urllib.error.URLError, OSError):
        return True
    return False
