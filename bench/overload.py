"""More callers than the server has connections for: what is accepted, what is refused, how fast.

    python -m bench.overload [--seconds 60] [--clients 64] [--polite]

A server with 2 connections, 16 places and half a second of patience answers a group-by endpoint:
first 4 clients, who never see a refusal, then 64 who ask again at once, whatever they are told
(`--polite`: who wait as long as `Retry-After` says). Printed are the accepted requests a second,
also as a ratio to what the 4 got in the same run, each status, and the times of refusals: of those
on arrival, and of those that had waited in vain.
"""

from __future__ import annotations

import asyncio
import tempfile
import urllib.parse
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import click
import uvloop

from bench.questions import QUESTIONS, keys_of
from pipewren.testing.serving import RunningServer, serving

FLIGHTS = Path(__file__).parent.parent / "examples" / "flights"
LIMITS = {
    "PIPEWREN_LIGHT_CONNECTIONS": "2",
    "PIPEWREN_MAX_WAITING_REQUESTS": "16",
    "PIPEWREN_MAX_WAIT_S": "0.5",
}


@dataclass(slots=True)
class Outcome:
    """Times are in milliseconds."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    accepted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)

    @property
    def accepted_per_s(self) -> float:
        return len(self.accepted_ms) / self.seconds


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, help="How long the many ask; the few a quarter of it.")
@click.option("--clients", default=64, help="How many ask.")
@click.option("--polite", is_flag=True, help="They wait as long as Retry-After says.")
def main(seconds: float, clients: int, polite: bool) -> None:
    question = next(one for one in QUESTIONS if one.name == "group-by")
    with (
        tempfile.TemporaryDirectory(prefix="pipewren-bench-") as folder,
        serving(FLIGHTS, Path(folder) / "data", environ=LIMITS, token="flights_read") as server,
    ):
        paths = [
            f"/v0/pipes/{question.endpoint}.json?{urllib.parse.urlencode(key)}"
            for key in keys_of(question, FLIGHTS)
        ]
        uvloop.run(ask(server, paths, 4, max(2.0, seconds / 10), polite))  # warms up
        few = uvloop.run(ask(server, paths, 4, max(2.0, seconds / 4), polite))
        uvloop.run(ask(server, paths, clients, max(2.0, seconds / 10), polite))
        before = memory_mb(server)
        many = uvloop.run(ask(server, paths, clients, seconds, polite))
        after = memory_mb(server)
        few_again = uvloop.run(ask(server, paths, 4, max(2.0, seconds / 4), polite))
    base = (few.accepted_per_s + few_again.accepted_per_s) / 2
    click.echo(f"4 clients   {base:7.0f} accepted/s, statuses {dict(few.statuses)}")
    ratio = many.accepted_per_s / base
    click.echo(
        f"{clients} clients  {many.accepted_per_s:7.0f} accepted/s ({ratio:.2f} of the 4's; 0.9 is "
        f"the aim), statuses {dict(many.statuses)}"
    )
    click.echo(f"accepted           {spread(many.accepted_ms)}")
    click.echo(f"refused on arrival {spread(many.refused_ms)} (p99 at most 50 is the aim)")
    click.echo(f"waited in vain     {spread(many.waited_ms)} (at most 600 is the aim)")
    click.echo(f"memory             {before:.0f} MB before, {after:.0f} MB after")


async def ask(
    server: RunningServer, paths: list[str], clients: int, seconds: float, polite: bool
) -> Outcome:
    """Ask over kept connections until the time is over."""
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    url = urllib.parse.urlsplit(server.base_url)
    requests = [
        f"GET {path}&token={server.token} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for path in paths
    ]
    began = perf_counter()
    made = [
        await loop.create_connection(
            lambda number=number: Asking(  # type: ignore[misc]
                requests, number, began + seconds, polite, outcome
            ),
            url.hostname or "",
            url.port or 0,
        )
        for number in range(clients)
    ]
    await asyncio.gather(*(one.over for _, one in made))
    outcome.seconds = perf_counter() - began
    return outcome


class Asking(asyncio.Protocol):
    """One client. It costs little, since it shares the cores with the server."""

    def __init__(
        self, requests: list[bytes], number: int, end: float, polite: bool, outcome: Outcome
    ) -> None:
        self._requests, self._at, self._end = requests, number, end
        self._polite, self._outcome = polite, outcome
        self._data = b""
        self._sent = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = perf_counter()
        if self._sent >= self._end:
            self._transport.close()
            self.over.set_result(None)
            return
        self._at += 7
        self._transport.write(self._requests[self._at % len(self._requests)])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        self._data = b""
        took_ms = (perf_counter() - self._sent) * 1e3
        status, outcome = int(head[9:12]), self._outcome
        outcome.statuses[status] += 1
        if status == 200:
            outcome.accepted_ms.append(took_ms)
        elif status == 429:
            waited = b"no connection was free" in body
            (outcome.waited_ms if waited else outcome.refused_ms).append(took_ms)
            if self._polite:
                asyncio.get_running_loop().call_later(1.0, self._ask)
                return
        self._ask()


def spread(times_ms: list[float]) -> str:
    if not times_ms:
        return "none"
    times = sorted(times_ms)
    p50, p99 = times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]
    return f"{len(times):>7}, p50 {p50:.1f} ms, p99 {p99:.1f} ms, most {times[-1]:.1f} ms"


def memory_mb(server: RunningServer) -> float:
    status = Path(f"/proc/{server.child_pid()}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
