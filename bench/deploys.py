"""Deploys of a project of 200 pipes: how long they take, what they cost the requests beside them,
and whether a kill leaves a whole deployment.

    python -m bench.deploys [--pipes 200] [--rate 200] [--kills 20]

Printed are the seconds of a first deploy, of one without changes and of one with one changed pipe
(median of 5); then the p50 and p99 of a point look-up at `--rate` requests a second, quiet and
while one deploy follows the other, with every status; then what was found after each of `--kills`
kills -9 at random moments of deploys: the old deployment or the new one, whole, and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import statistics
import tempfile
import threading
import time
import urllib.error
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import click
import uvloop

from pipewren.testing.serving import RunningServer, serving
from pipewren.testing.uploads import multipart

DATASOURCES = 10
_DATASOURCE = """
SCHEMA >
    `at` DateTime `json:$.at`,
    `kind` LowCardinality(String) `json:$.kind`,
    `n` UInt64 `json:$.n`

ENGINE MergeTree
ENGINE_SORTING_KEY kind, at
"""
_PIPE = """
DESCRIPTION >
    Version {version}

NODE filtered
SQL >
    %
    SELECT kind, n, at FROM events_{source}
    WHERE 1
    {{% if defined(kind) %}} AND kind = {{{{String(kind, 'a')}}}} {{% end %}}
    {{% if defined(since) %}} AND at >= {{{{DateTime(since)}}}} {{% end %}}

NODE endpoint
SQL >
    %
    SELECT kind, {version} AS version, sum(n) AS total FROM filtered
    GROUP BY kind ORDER BY kind LIMIT {{{{Int32(limit, 10)}}}}

TYPE endpoint
"""
_VERSION = """
NODE endpoint
SQL >
    SELECT {version} AS version

TYPE endpoint
"""


_LOOK_UP = """
NODE endpoint
SQL >
    %
    SELECT kind, n, at FROM events_0 WHERE kind = {{String(kind, 'a')}} LIMIT 10

TYPE endpoint
"""


def make_project(pipes: int, version: int) -> dict[str, str]:
    """`pipes` endpoints over ten data sources: one, `changing`, answers the version, and one,
    `look_up`, rows by their sorting key."""
    files = {f"datasources/events_{n}.datasource": _DATASOURCE for n in range(DATASOURCES)}
    files |= {
        f"endpoints/pipe_{n}.pipe": _PIPE.format(version=0, source=n % DATASOURCES)
        for n in range(pipes - 2)
    }
    files["endpoints/look_up.pipe"] = _LOOK_UP
    files["endpoints/changing.pipe"] = _VERSION.format(version=version)
    return files


@click.command(help=__doc__)
@click.option("--pipes", default=200, help="Pipes of the project.")
@click.option("--rate", default=200, help="Requests a second beside the deploys.")
@click.option("--kills", default=20, help="Kills -9 at random moments of deploys.")
@click.option("--seed", default=0, help="Of the moments.")
def main(pipes: int, rate: int, kills: int, seed: int) -> None:
    versions = itertools.count(1)
    with tempfile.TemporaryDirectory(prefix="pipewren-bench-") as name:
        folder = Path(name) / "empty"
        folder.mkdir()
        with serving(folder, Path(name) / "data") as server:
            time_deploys(server, pipes, versions)
            uvloop.run(deploy_under_load(server, pipes, versions, rate))
        kill_deploys(folder, Path(name) / "data", pipes, versions, kills, random.Random(seed))


def time_deploys(server: RunningServer, pipes: int, versions: Iterator[int]) -> None:
    """One line."""
    version = next(versions)
    first, _ = timed_deploy(server, make_project(pipes, version))
    same = [timed_deploy(server, make_project(pipes, version)) for _ in range(5)]
    assert {result for _, result in same} == {"no_changes"}
    changed = [timed_deploy(server, make_project(pipes, next(versions))) for _ in range(5)]
    assert {result for _, result in changed} == {"success"}
    click.echo(
        f"{pipes} pipes: first deploy {first:.2f} s, no changes "
        f"{statistics.median(took for took, _ in same):.2f} s (2 is the aim), one pipe changed "
        f"{statistics.median(took for took, _ in changed):.2f} s (3 is the aim)"
    )


async def deploy_under_load(
    server: RunningServer, pipes: int, versions: Iterator[int], rate: int
) -> None:
    """Two lines."""
    append_rows(server, 100_000)
    await ask(server, rate, seconds=1.0)
    quiet_ms, quiet = await ask(server, rate, seconds=5.0)
    done = asyncio.Event()
    deploys: list[float] = []

    def deploy_on() -> None:
        for _ in range(5):
            took, result = timed_deploy(server, make_project(pipes, next(versions)))
            assert result == "success", result
            deploys.append(took)
        # All pipes new: everything is parsed, compiled and checked again.
        files = {
            path: text.replace("Version 0", "Version 1")
            for path, text in make_project(pipes, next(versions)).items()
        }
        took, result = timed_deploy(server, files)
        assert result == "success", result
        deploys.append(took)

    async def deploy_beside() -> None:
        await asyncio.to_thread(deploy_on)
        done.set()

    deploying = asyncio.create_task(deploy_beside())
    busy_ms, busy = await ask(server, rate, until=done)
    await deploying
    ratio = p99(busy_ms) / p99(quiet_ms)
    click.echo(
        f"{rate} requests/s: quiet p50 {statistics.median(quiet_ms):.1f} ms, p99 "
        f"{p99(quiet_ms):.1f} ms, statuses {dict(quiet)}"
    )
    click.echo(
        f"beside {len(deploys)} deploys (longest {max(deploys):.2f} s): p50 "
        f"{statistics.median(busy_ms):.1f} ms, p99 {p99(busy_ms):.1f} ms = {ratio:.1f} of the "
        f"quiet one (10 is the aim), statuses {dict(busy)} (200 only is the aim)"
    )


def append_rows(server: RunningServer, rows: int) -> None:
    """Into the data source that `look_up` reads."""
    body = "".join(
        f'{{"at": "2026-01-31 12:00:00", "kind": "k{n % 1000}", "n": {n}}}\n' for n in range(rows)
    )
    path = "/v1/datasources/events_0/append"
    answer = server.request(path, {"format": "ndjson"}, method="POST", body=body.encode())
    job = f"/v0/jobs/{answer.json()['id']}"
    while server.get(job)[1]["status"] in ("waiting", "working"):
        time.sleep(0.1)
    assert server.get(job)[1]["status"] == "done", server.get(job)


def kill_deploys(
    folder: Path,
    data: Path,
    pipes: int,
    versions: Iterator[int],
    kills: int,
    choose: random.Random,
) -> None:
    """One line. Raises AssertionError where something is not whole."""
    found: Counter[str] = Counter()
    with serving(folder, data) as server:
        timed_deploy(server, make_project(pipes, next(versions)))
    for _ in range(kills):
        with serving(folder, data) as server:
            old = version_of(server)
            new = next(versions)
            files = make_project(pipes, new)
            sending = threading.Thread(target=_deploy_into_the_void, args=(server, files))
            sending.start()
            time.sleep(choose.uniform(0.0, 0.4))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            sending.join()
        with serving(folder, data) as server:
            now = version_of(server)
            assert now in (old, new), f"version {now}, neither {old} nor {new}"
            found["new" if now == new else "old"] += 1
            check_whole(server, pipes)
    click.echo(f"{kills} kills -9 in deploys: {dict(found)}, all whole")


def check_whole(server: RunningServer, pipes: int) -> None:
    """Every endpoint answers, one deployment is listed, and the next deploy finds no changes."""
    for number in range(0, pipes - 2, 40):
        assert server.get(f"/v0/pipes/pipe_{number}.json")[0] == 200
    listed = server.get("/v1/deployments")[1]["deployments"]
    assert [one["live"] for one in listed] == [True], listed
    _, result = timed_deploy(server, make_project(pipes, version_of(server)))
    assert result == "no_changes", result


def version_of(server: RunningServer) -> int:
    """What `changing` answers."""
    status, body = server.get("/v0/pipes/changing.json")
    assert status == 200, body
    version: int = body["data"][0]["version"]
    return version


def timed_deploy(server: RunningServer, files: dict[str, str]) -> tuple[float, str]:
    """Seconds and the result."""
    boundary = uuid.uuid4().hex
    body = multipart(files, boundary)
    began = perf_counter()
    answer = server.request(
        "/v1/deploy",
        {"auto_promote": "true"},
        method="POST",
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        body=body,
    )
    took = perf_counter() - began
    assert answer.status == 200, answer.body
    result: str = answer.json()["result"]
    return took, result


def _deploy_into_the_void(server: RunningServer, files: dict[str, str]) -> None:
    try:
        timed_deploy(server, files)
    except (OSError, urllib.error.URLError):
        return  # killed before it answered, which is what is tried


async def ask(
    server: RunningServer, rate: int, *, seconds: float = 0.0, until: asyncio.Event | None = None
) -> tuple[list[float], Counter[int]]:
    """Requests at a fixed rate over 20 connections: milliseconds and statuses. A request counts
    from when it was due, so that a server that stalls is seen to."""
    host, port = server.base_url.removeprefix("http://").split(":")
    head = (
        "GET /v0/pipes/look_up.json?kind=k7 HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    began = loop.time()
    times: list[float] = []
    statuses: Counter[int] = Counter()
    due = itertools.count()

    def is_over() -> bool:
        return until.is_set() if until is not None else loop.time() - began > seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while not is_over():
            at = began + next(due) / rate
            await asyncio.sleep(max(0.0, at - loop.time()))
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer.split(b" ", 2)[1])
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append((loop.time() - at) * 1000)
            statuses[status] += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(20)))
    return times, statuses


def p99(times_ms: list[float]) -> float:
    return sorted(times_ms)[int(len(times_ms) * 0.99)]


if __name__ == "__main__":
    main()
