"""A small server of the Events API that keeps rows in memory, without mistakes or with one."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipewren.testing.events_holdings import MODULUS

VIEWS = ("copied", "aggregated", "summed")


@dataclass(frozen=True, slots=True)
class Row:
    id: int
    request: int
    n: int | None


@dataclass
class FakeServer:
    """Rows survive a kill; connections do not. `mistake` is made at each start or each request."""

    mistake: str = ""
    token: str = "t"
    url: str = "http://127.0.0.1:1"
    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    pending: list[tuple[str, Row]] = field(default_factory=list)
    ghosts: list[Row] = field(default_factory=list)
    answered: set[int] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    starts: int = 0
    _http: ThreadingHTTPServer | None = None
    _connections: list[socket.socket] = field(default_factory=list)
    _choose: random.Random = field(default_factory=lambda: random.Random(1))

    def launch(self) -> None:
        with self.lock:
            self.flush()
            self._err_at_start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Handler(self, *given))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,)).start()

    def wait_ready(self) -> None:
        assert self._http is not None

    def kill_all(self) -> None:
        with self.lock:
            self.starts += 1
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def kill_child(self) -> None:
        self.kill_all()
        self.launch()

    def connected(self, connection: socket.socket) -> None:
        with self.lock:
            self._connections.append(connection)

    def flush(self) -> None:
        for table, row in self.pending:
            names = (table, *VIEWS) if table == "events" else (table,)
            for name in names:
                self.tables[name].append(row)
        self.pending.clear()

    def accept(self, source: str, body: bytes, *, wait: bool) -> tuple[int, Any]:
        rows = [
            Row(one["id"], one["request"], one.get("n"))
            for one in map(json.loads, body.split(b"\n"))
        ]
        good = [row for row in rows if isinstance(row.n, int) and row.n < 65_536]
        bad = [row for row in rows if row not in good]
        with self.lock:
            self.pending += [(source, row) for row in good]
            self.pending += [(f"{source}_quarantine", row) for row in bad]
            if (wait and self.mistake != "unseen") or len(self.pending) > 500:
                self.flush()
        counted = len(good) - (self.mistake == "miscounted")
        status = (
            500 if self.mistake == "failing" and rows[0].request % 4 == 0 else 200 if wait else 202
        )
        return status, {"successful_rows": counted, "quarantined_rows": len(bad)}

    def truncate(self, table: str) -> None:
        with self.lock:
            self.flush()
            if table == "events":
                self.ghosts += self.tables[table][:1]
            self.tables[table].clear()

    def query(self, sql: str) -> list[list[int]]:
        found = re.search(r"FROM (\w+) WHERE \w+ % (\d+) = (\d+)", sql)
        assert found is not None, sql
        table, pages, page = found[1], int(found[2]), int(found[3])
        by_request = defaultdict(list)
        with self.lock:
            self.flush()
            for row in self.tables[table]:
                if row.request % pages == page:
                    by_request[row.request].append(row)
        lines = []
        for request, rows in by_request.items():
            ids = [row.id for row in rows]
            odd = sum(row.n != row.id % MODULUS for row in rows)
            odd = 0 if table.endswith("_quarantine") else odd
            lines.append([request, len(ids), len(set(ids)), min(ids), max(ids), odd])
        return lines

    def rows_of(self, request: int) -> int:
        with self.lock:
            return sum(row.request == request for row in self.tables["events"])

    def _err_at_start(self) -> None:
        mistake, _, table = self.mistake.partition(" in ")
        rows = self.tables[table]
        known = [row for row in rows if row.request in self.answered]
        match mistake:
            case "lost" if known:
                rows.remove(self._choose.choice(known))
            case "twice" if rows:
                rows.append(self._choose.choice(rows))
            case "garbled" if rows:
                row = rows.pop()
                rows.append(Row(row.id, row.request, (row.n or 0) + 1))
            case "invented":
                rows.append(Row(5, 0, 5))
            case "another id" if rows:
                row = rows.pop()
                other = (row.request + 1) * 1000 - 1
                rows.append(Row(other, row.request, other % MODULUS))
            case "resurrected":
                rows += self.ghosts


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for an answer

    def __init__(self, fake: FakeServer, *given: Any) -> None:
        self.fake = fake
        self.born = fake.starts
        with contextlib.suppress(OSError):  # killed
            super().__init__(*given)

    def setup(self) -> None:
        super().setup()
        self.fake.connected(self.connection)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.born != self.fake.starts:
            self.close_connection = True
        elif url.path.endswith("/truncate"):
            self.fake.truncate(url.path.split("/")[3])
            self._answer(205, None)
        else:
            asked = parse_qs(url.query)
            if self._answer(*self.fake.accept(asked["name"][0], body, wait="wait" in asked)):
                self.fake.answered.add(json.loads(body.partition(b"\n")[0])["request"])

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = parse_qs(url.query)
        if url.path == "/v0/sql":
            self._answer(200, {"data": self.fake.query(asked["q"][0])})
        else:
            self._answer(200, {"data": [{"rows": self.fake.rows_of(int(asked["request"][0]))}]})

    def _answer(self, status: int, value: Any) -> bool:
        if self.born != self.fake.starts:  # killed before it could answer
            self.close_connection = True
            return False
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        return True


@pytest.fixture
def start_fake() -> Iterator[Callable[[str], FakeServer]]:
    started: list[FakeServer] = []

    def start(mistake: str) -> FakeServer:
        fake = FakeServer(mistake)
        fake.launch()
        started.append(fake)
        return fake

    yield start
    for fake in started:
        fake.kill_all()
