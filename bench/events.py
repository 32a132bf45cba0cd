"""Events in: how many rows a second, beside the raw engine; small requests; reads beside them.

    python -m bench.events [--rows 3000000] [--rounds 3] [--seconds 25] [--only NAME]

`bulk`: requests of 1,000 rows of about 140 bytes with a nested path, an array and a DEFAULT, until
all are in the table, over chDB's own `send_insert` of the same rows, flat, in batches of 100,000;
then with one bad row in a hundred. `small`: 1,000 requests a second of one row, on time or late,
and the parts of the table. `reads`: look-ups at a fixed rate in a table that gets half as many rows
a second as `bulk` did. Ratios are formed within a round; printed are medians of the rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

import click

from bench.event_processes import Answer, EventsClient, RawInserts, active_parts
from bench.event_rows import (
    COLUMNS,
    flatten,
    look_up,
    make_bodies,
    make_project,
    make_rows,
    raw_ddl,
)
from bench.processes import cpu_seconds
from pipewren.testing.serving import RunningServer, serving, write_files

ROWS_PER_REQUEST = 1000
DISTINCT = 200  # bodies, sent in turn
CONNECTIONS = 4
READS_PER_S = 200
WAIT_S = 120.0


@click.command(help=__doc__)
@click.option(
    "--rows",
    default=3_000_000,
    help="Rows of one measurement of `bulk`; the last ones wait for a group.",
)
@click.option("--rounds", default=3, help="Rounds of `bulk`.")
@click.option("--seconds", default=25.0, help="How long `small` and `reads` send.")
@click.option("--only", help="One of bulk, small and reads; reads needs bulk.")
def main(rows: int, rounds: int, seconds: float, only: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix="pipewren-bench-") as name:
        folder = Path(name)
        project = write_files(folder / "project", make_project())
        with serving(project, folder / "data") as server:
            bench = Bench(server, folder)
            try:
                if only != "small":
                    bulk_rows_per_s = measure_bulk(bench, rows, rounds)
                if only in (None, "small"):
                    measure_small(bench, seconds)
                if only in (None, "reads"):
                    measure_reads(bench, seconds, bulk_rows_per_s)
            finally:
                bench.close()


class Bench:
    """The server, the client beside it and the raw engine, with the prepared requests."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self.server = server
        self.client = EventsClient()
        self.reader = EventsClient()
        self.raw = RawInserts(folder / "raw")
        self.folder = folder
        self.rows, self.flat_file = make_rows(DISTINCT * ROWS_PER_REQUEST), folder / "flat.ndjson"
        self.flat_file.write_bytes(b"".join(flatten(row) for row in self.rows))

    def close(self) -> None:
        for one in (self.client, self.reader, self.raw):
            one.close()

    def post_all(self, datasource: str, bodies: list[bytes]) -> Path:
        """A file of requests for the client."""
        head = (
            f"POST /v0/events?name={datasource} HTTP/1.1\r\nHost: h\r\n"
            f"Authorization: Bearer {self.server.token}\r\n"
            "Content-Type: application/x-ndjson\r\nContent-Length: "
        ).encode()
        file = self.folder / f"{datasource}.requests"
        return EventsClient.write(
            file, [head + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
        )

    def count(self, table: str) -> int:
        status, body = self.server.get("/v0/sql", q=f"SELECT count() AS n FROM {table} FORMAT JSON")
        assert status == 200, body
        return int(body["data"][0]["n"])

    def wait_for(self, table: str, rows: int) -> float:
        """The time, on the monotonic clock, when the table has them."""
        deadline_s = time.monotonic() + WAIT_S
        while (there := self.count(table)) != rows:
            if there > rows or time.monotonic() > deadline_s:
                raise click.ClickException(f"{there} rows in {table} instead of {rows}")
            time.sleep(0.01)
        return time.monotonic()

    def truncate(self, table: str) -> None:
        path = f"/v0/datasources/{table}/truncate"
        answer = self.server.request(path, method="POST", body=b"")
        assert answer.status in (200, 205), answer.body


def measure_bulk(bench: Bench, rows: int, rounds: int) -> float:
    """Three lines; the rows a second of the events API."""
    rows = max(rows // 100_000, 1) * 100_000  # whole batches of the raw engine's
    good = bench.post_all("bulk", make_bodies(bench.rows, ROWS_PER_REQUEST))
    faulty = bench.post_all("faulty", make_bodies(bench.rows, ROWS_PER_REQUEST, bad_every=100))
    bench.raw.measure(bench.flat_file, raw_ddl(), list(COLUMNS), 100_000)  # warms up, as do these
    for name, file in (("bulk", good), ("faulty", faulty)):
        send_bulk(bench, name, file, 50 * ROWS_PER_REQUEST, bad=500 if name == "faulty" else 0)
    raw, whole, partly = [], [], []
    for _ in range(rounds):
        raw.append(bench.raw.measure(bench.flat_file, raw_ddl(), list(COLUMNS), rows))
        whole.append(send_bulk(bench, "bulk", good, rows))
        partly.append(send_bulk(bench, "faulty", faulty, rows, bad=rows // 100))
    click.echo(f"raw engine, batches of 100,000   {statistics.median(raw):9,.0f} rows/s")
    for name, results in (("events, 1,000 a request", whole), ("the same, 1 % bad rows", partly)):
        ratios = [one.rows_per_s / base for one, base in zip(results, raw, strict=True)]
        click.echo(
            f"{name:32} {statistics.median(one.rows_per_s for one in results):9,.0f} rows/s, "
            f"{statistics.median(ratios):.2f} of it (0.4 is the aim; {min(ratios):.2f} to "
            f"{max(ratios):.2f}), CPU {statistics.median(one.cpu_us for one in results):.2f} us a "
            f"row, answers p99 {statistics.median(one.answer.p99_ms for one in results):.0f} ms, "
            f"sent again {sum(one.answer.sent_again for one in results)}"
        )
    return statistics.median(one.rows_per_s for one in whole)


class Bulk:
    """`cpu_us` is the server's for a row."""

    def __init__(self, rows: int, seconds: float, cpu_s: float, answer: Answer) -> None:
        self.rows_per_s = rows / seconds
        self.cpu_us = cpu_s / rows * 1e6
        self.answer = answer


def send_bulk(bench: Bench, name: str, file: Path, rows: int, *, bad: int = 0) -> Bulk:
    bench.truncate(name)
    if bad:
        bench.truncate(f"{name}_quarantine")
    cpu_s = cpu_seconds(bench.server.child_pid())
    answer = bench.client.send(
        bench.server, file, connections=CONNECTIONS, count=rows // ROWS_PER_REQUEST
    )
    assert set(answer.statuses) == {202}, answer.statuses
    ended_s = bench.wait_for(name, rows - bad)
    if bad:
        ended_s = bench.wait_for(f"{name}_quarantine", bad)
    cpu_s = cpu_seconds(bench.server.child_pid()) - cpu_s
    return Bulk(rows, ended_s - answer.began_s, cpu_s, answer)


def measure_small(bench: Bench, seconds: float, rate: int = 1000) -> None:
    """Two lines."""
    file = bench.post_all("small", make_bodies(bench.rows[:20_000], 1))
    most = 0
    is_over = threading.Event()

    def watch_parts() -> None:
        nonlocal most
        while not is_over.wait(0.25):
            most = max(most, active_parts(bench.server.data_dir, "small"))

    watching = threading.Thread(target=watch_parts)
    watching.start()
    try:
        answer = bench.client.send(
            bench.server, file, connections=32, rate=float(rate), seconds=seconds
        )
        accepted = answer.statuses.get(202, 0)
        late_s = bench.wait_for("small", accepted) - answer.ended_s
        parts = active_parts(bench.server.data_dir, "small")
    finally:
        is_over.set()
        watching.join()
    got = sum(answer.statuses.values()) / (answer.ended_s - answer.began_s)
    click.echo(
        f"{rate} requests/s of one row for {seconds:.0f} s: {got:.0f}/s, "
        f"statuses {answer.statuses}, p50 {answer.p50_ms:.1f} ms, p99 {answer.p99_ms:.1f} ms, most "
        f"{answer.most_ms:.0f} ms, behind at the end {answer.behind_ms:.0f} ms"
    )
    click.echo(
        f"... in the table {late_s:.1f} s after the last answer; {parts} parts at the end (under "
        f"300 is the aim), {max(most, parts)} at most"
    )


def measure_reads(bench: Bench, seconds: float, bulk_rows_per_s: float) -> None:
    """One line."""
    bodies = make_bodies(bench.rows, ROWS_PER_REQUEST)
    file = bench.post_all("reads", bodies)
    reads = bench.folder / "look_ups.requests"
    EventsClient.write(reads, [look_up(bench.server, row) for row in bench.rows[::97]])
    loaded = len(bench.rows)
    bench.client.send(bench.server, file, connections=CONNECTIONS, count=len(bodies))
    bench.wait_for("reads", loaded)

    def read(for_s: float) -> Answer:
        answer = bench.reader.send(
            bench.server, reads, connections=8, rate=float(READS_PER_S), seconds=for_s
        )
        assert set(answer.statuses) == {200}, answer.statuses
        return answer

    read(2.0)  # warms up
    before = read(seconds / 4)
    sent: list[Answer] = []
    rate = bulk_rows_per_s / 2 / ROWS_PER_REQUEST

    def write() -> None:
        sent.append(
            bench.client.send(
                bench.server, file, connections=CONNECTIONS, rate=rate, seconds=seconds / 2
            )
        )

    writing = threading.Thread(target=write)
    writing.start()
    beside = read(seconds / 2)
    writing.join()
    (answer,) = sent
    accepted = answer.statuses.get(202, 0) * ROWS_PER_REQUEST
    bench.wait_for("reads", loaded + accepted)
    after = read(seconds / 4)
    quiet_ms = min(before.p99_ms, after.p99_ms)
    got = accepted / (answer.ended_s - answer.began_s)
    click.echo(
        f"{READS_PER_S} look-ups/s: p99 quiet {before.p99_ms:.1f} and {after.p99_ms:.1f} ms, "
        f"beside {got:,.0f} rows/s {beside.p99_ms:.1f} ms: {beside.p99_ms / quiet_ms:.1f} of the "
        f"quiet one (4 is the aim); p50 {before.p50_ms:.1f} and {beside.p50_ms:.1f} ms; events "
        f"{answer.statuses}, behind at the end {answer.behind_ms:.0f} ms"
    )


if __name__ == "__main__":
    main()
