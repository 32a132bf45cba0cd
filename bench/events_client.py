"""Sends prepared requests over kept connections, at a rate or as fast as they are answered.

    python bench/events_client.py    then JSON lines on standard input:
    {"url", "file", "connections": 4, "count": 1000, "rate": 0, "seconds": 0}

`file` holds whole HTTP requests, each after its length in 4 bytes, taken in turn. With a `rate` a
request counts from when it was due, so that a server that falls behind is seen to; nothing is sent
again. Without one it counts from when it was sent, and 429 and 503 are sent again after a while.
One answer a line: {"began_s", "ended_s", "statuses", "p50_ms", "p99_ms", "most_ms", "behind_ms",
"sent_again", "cpu_s"}; times of CLOCK_MONOTONIC. It shares the cores with what it measures, so it
does nothing but sockets.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import Any

_AGAIN_S = 0.02


class Run:
    """One order. Threads share the requests and the numbers; each keeps its own figures."""

    def __init__(self, order: dict[str, Any]) -> None:
        url = urllib.parse.urlsplit(order["url"])
        self.address = (url.hostname or "", url.port or 80)
        self.requests = read_requests(Path(order["file"]))
        self.rate = float(order["rate"])
        self.count = int(order["count"] or self.rate * float(order["seconds"]))
        self.numbers = itertools.count()
        self.statuses: list[Counter[int]] = []
        self.times_s: list[list[float]] = []
        self.behind_s: list[float] = []
        self.sent_again = 0
        self.start_line = threading.Barrier(int(order["connections"]) + 1, action=self._begin)
        self.began_s = 0.0
        self.failed: list[BaseException] = []

    def _begin(self) -> None:
        self.began_s = time.monotonic()

    def send_all(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - raised again by `answer`
            self.failed.append(error)
            self.start_line.abort()

    def _send_all(self) -> None:
        statuses: Counter[int] = Counter()
        times_s: list[float] = []
        behind_s = 0.0
        with socket.create_connection(self.address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.start_line.wait()
            while (number := next(self.numbers)) < self.count:
                request = self.requests[number % len(self.requests)]
                due_s = time.monotonic()
                if self.rate:
                    now_s, due_s = due_s, self.began_s + number / self.rate
                    if due_s > now_s:
                        time.sleep(due_s - now_s)
                connection.sendall(request)
                status = read_status(connection)
                while not self.rate and status in (429, 503):
                    self.sent_again += 1
                    time.sleep(_AGAIN_S)
                    connection.sendall(request)
                    status = read_status(connection)
                behind_s = time.monotonic() - due_s
                times_s.append(behind_s)
                statuses[status] += 1
        self.statuses.append(statuses)
        self.times_s.append(times_s)
        self.behind_s.append(behind_s)


def read_requests(file: Path) -> list[bytes]:
    data, requests, at = file.read_bytes(), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        requests.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


def write_requests(file: Path, requests: list[bytes]) -> None:
    file.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in requests))


def read_status(connection: socket.socket) -> int:
    """The status of the next answer, which is read to its end."""
    data = connection.recv(65_536)
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError(f"the connection was closed: {data[:200]!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(left))
    return int(head[9:12])


def answer(order: dict[str, Any]) -> dict[str, Any]:
    run = Run(order)
    threads = [threading.Thread(target=run.send_all) for _ in range(int(order["connections"]))]
    for thread in threads:
        thread.start()
    cpu_s = time.process_time()
    try:
        run.start_line.wait()
    except threading.BrokenBarrierError:
        raise run.failed[0] from None
    for thread in threads:
        thread.join()
    if run.failed:
        raise run.failed[0]
    ended_s = time.monotonic()
    times_ms = sorted(value * 1e3 for part in run.times_s for value in part)
    return {
        "began_s": run.began_s,
        "ended_s": ended_s,
        "statuses": sum(run.statuses, Counter()),
        "p50_ms": times_ms[len(times_ms) // 2],
        "p99_ms": times_ms[min(len(times_ms) - 1, int(len(times_ms) * 0.99))],
        "most_ms": times_ms[-1],
        "behind_ms": max(run.behind_s) * 1e3,
        "sent_again": run.sent_again,
        "cpu_s": time.process_time() - cpu_s,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
