"""Large answers: how long until the first byte and the last, what memory they take, and whether
slow readers hold up anybody.

    python -m bench.streams [--readers 20] [--rate 100000] [--seconds 10]

A project of its own has an endpoint of as many rows as it is asked for; point look-ups are those of
`examples/flights`, beside which it is served. Readers take `--rate` bytes a second each.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import urllib.parse
from pathlib import Path
from time import perf_counter

import click

from bench.overload import memory_mb, spread
from bench.questions import QUESTIONS, keys_of
from pipewren.testing.serving import RunningServer, serving

FLIGHTS = Path(__file__).parent.parent / "examples" / "flights"
ROWS = 2_000_000
LARGE = """TOKEN flights_read READ
NODE endpoint
SQL >
    %
    SELECT number AS id, toString(number) AS s, number / 3 AS f FROM numbers({{Int64(n, 10)}})
TYPE endpoint
"""


@click.command(help=__doc__)
@click.option("--readers", default=20, help="How many read slowly.")
@click.option("--rate", default=100_000, help="Bytes a second of each.")
@click.option("--seconds", default=10.0, help="Length of one measurement of look-ups.")
def main(readers: int, rate: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="pipewren-bench-") as folder:
        project = Path(folder) / "project"
        shutil.copytree(FLIGHTS, project, ignore=shutil.ignore_patterns(".pipewren"))
        (project / "endpoints" / "large.pipe").write_text(LARGE)
        with serving(project, Path(folder) / "data", token="flights_read") as server:
            asyncio.run(_measure(server, readers, rate, seconds))


async def _measure(server: RunningServer, readers: int, rate: int, seconds: float) -> None:
    await read_large(server, "csv", 300_000)
    for format in ("csv", "ndjson"):
        before = memory_mb(server)
        first_s, whole_s, size, highest = await read_large(server, format, ROWS)
        click.echo(
            f"{ROWS:,} rows of {format}: {size / 1e6:.0f} MB, first byte {first_s * 1e3:.0f} ms, "
            f"whole {whole_s:.2f} s, memory grew by {highest - before:.0f} MB"
        )
    question = next(one for one in QUESTIONS if one.name == "point look-up")
    paths = [
        f"/v0/pipes/{question.endpoint}.json?{urllib.parse.urlencode(key)}"
        for key in keys_of(question, FLIGHTS)
    ]
    await look_up(server, paths, 2.0)
    click.echo(f"point look-ups alone          {spread(await look_up(server, paths, seconds))}")
    slow = [asyncio.create_task(read_slowly(server, rate)) for _ in range(readers)]
    await asyncio.sleep(8.0)  # until the engine has produced what they read
    click.echo(
        f"beside {readers} slow readers       {spread(await look_up(server, paths, seconds))}"
    )
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    click.echo(f"and when they have hung up    {spread(await look_up(server, paths, seconds))}")


async def _open(
    server: RunningServer, target: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urllib.parse.urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=65_536)
    separator = "&" if "?" in target else "?"
    writer.write(
        f"GET {target}{separator}token={server.token} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    )
    return reader, writer


async def read_large(
    server: RunningServer, format: str, rows: int
) -> tuple[float, float, int, float]:
    """Seconds to the first byte and to the last, bytes, and the most memory in MB."""
    began = perf_counter()
    reader, writer = await _open(server, f"/v0/pipes/large.{format}?n={rows}")
    head = await reader.readuntil(b"\r\n\r\n")
    first_s, size, highest = perf_counter() - began, 0, 0.0
    if b"chunked" in head:
        while length := int(await reader.readuntil(b"\r\n"), 16):
            size += length
            left = length + 2
            while left:
                left -= len(await reader.read(left))
            highest = max(highest, memory_mb(server))
    writer.close()
    return first_s, perf_counter() - began, size, highest


async def look_up(server: RunningServer, paths: list[str], seconds: float) -> list[float]:
    """Milliseconds of look-ups, one after the other."""
    times: list[float] = []
    url = urllib.parse.urlsplit(server.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    end = perf_counter() + seconds
    while (sent := perf_counter()) < end:
        path = paths[len(times) % len(paths)]
        writer.write(f"GET {path}&token={server.token} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        times.append((perf_counter() - sent) * 1e3)
    writer.close()
    return times


async def read_slowly(server: RunningServer, rate: int) -> None:
    """The stream reader's own limit is what paces the connection."""
    reader, writer = await _open(server, f"/v0/pipes/large.csv?n={ROWS}")
    try:
        while await reader.read(rate // 10):
            await asyncio.sleep(0.1)
    finally:
        writer.transport.abort()


if __name__ == "__main__":
    main()
