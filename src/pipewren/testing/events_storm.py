"""Writers that send events while their server is killed and started again and tables are truncated.

`pipewren.testing.events_ledger` judges what came of it.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipewren.testing.events_holdings import ANSWER_S, MODULUS, Server
from pipewren.testing.events_ledger import IDS, Ledger, LookUp, Sent, Truncated

TRUNCATED = ("events", "visits", "copied")  # in turn
# What stands for `n` in a row that does not fit: the last one leaves it out.
_FAULTS = ('"n":"many",', '"n":70000,', '"n":null,', '"n":[1],', "")


class Target(Server, Protocol):
    """`url` is of the newest start."""

    def launch(self) -> None: ...
    def wait_ready(self) -> None: ...
    def kill_child(self) -> None: ...
    def kill_all(self) -> None: ...


@dataclass(slots=True)
class Storm:
    """`truncate_every_s` is the mean pause between truncates; `look_up_share` of the requests that
    were answered 200 are looked up at once."""

    target: Target
    seed: int
    truncate_every_s: float = 4.0
    look_up_share: float = 0.2
    ledger: Ledger = field(default_factory=Ledger)
    _over: threading.Event = field(default_factory=threading.Event)
    _calm: threading.Event = field(default_factory=threading.Event)
    _failed: list[BaseException] = field(default_factory=list)

    def blow(self, *, writers: int, kills: int, longest_s: float) -> None:
        """Send and kill. Between kills are up to `longest_s` seconds, and at least one request that
        is acknowledged, but for each fifth kill, which does not wait for the server to be ready.
        No truncate comes in the last fifth. Raises what a thread of it raised."""
        threads = [self._thread(self._write, number) for number in range(writers)]
        truncating = self._thread(self._truncate, 0)
        try:
            self._kill(kills, longest_s)
            self._await_acknowledged()
        except BaseException:
            self._over.set()
            raise
        finally:
            self._calm.set()
            truncating.join()
            self._over.set()
            for thread in threads:
                thread.join()
        if self._failed:
            raise self._failed[0]

    def _kill(self, kills: int, longest_s: float) -> None:
        choose = random.Random(f"{self.seed} kills")
        of_child = 0
        for number in range(kills):
            if self._failed:
                return
            if number == kills - kills // 5:
                self._calm.set()
            if number % 5 == 4:
                time.sleep(choose.uniform(0.0, longest_s))
            else:
                self.target.wait_ready()
                self._await_acknowledged()
                time.sleep(choose.uniform(0.0, longest_s))
            # The supervisor waits twice as long after each kill: not too many in a row.
            if of_child < 4 and choose.random() < 0.5:
                of_child += 1
                self.target.kill_child()
            else:
                of_child = 0
                self.target.kill_all()
                self.target.launch()
        self.target.wait_ready()

    def _await_acknowledged(self) -> None:
        before, deadline = self.ledger.acknowledged, time.monotonic() + ANSWER_S
        while self.ledger.acknowledged == before and not self._failed:
            assert time.monotonic() < deadline, "no request is acknowledged any more"
            time.sleep(0.01)

    def _write(self, writer: int) -> None:
        choose = random.Random(f"{self.seed} writer {writer}")
        numbers = itertools.count((writer + 1) * 1_000_000)
        while (connection := self._connect()) is not None:
            with contextlib.closing(connection):
                while not self._over.is_set() and self._send(connection, choose, next(numbers)):
                    time.sleep(choose.uniform(0.0, 0.02))

    def _send(
        self, connection: http.client.HTTPConnection, choose: random.Random, number: int
    ) -> bool:
        """False where the connection is of no use any more."""
        sent, body = make_request(choose, number)
        path = f"/v0/events?name={sent.source}" + ("&wait=true" if sent.wait else "")
        self.ledger.begin(sent)
        try:
            status, told = self._ask(connection, "POST", path, body)
            self.ledger.answer(sent, status, told, time.monotonic())
            if status == 200 and sent.source == "events" and choose.random() < self.look_up_share:
                asked = f"/v0/pipes/rows_of.json?request={number}"
                status, told = self._ask(connection, "GET", asked, None)
                if status == 200:
                    rows = int(told["data"][0]["rows"])
                    self.ledger.look_ups.append(LookUp(sent, "events", rows))
            elif status in (429, 503):
                time.sleep(0.05)
        except TimeoutError:
            raise  # it would not be known what is done later
        except (OSError, http.client.HTTPException):
            if not sent.status:
                self.ledger.break_off(sent, time.monotonic())
            return False
        return True

    def _truncate(self, _: int) -> None:
        choose = random.Random(f"{self.seed} truncates")
        for table in itertools.cycle(TRUNCATED):
            if self._calm.wait(choose.uniform(0.5, 1.5) * self.truncate_every_s):
                return
            while (sent_s := self._try_to_truncate(table)) is None:
                if self._over.wait(0.02):
                    return
            self.ledger.truncated.append(Truncated(table, sent_s, time.monotonic()))

    def _try_to_truncate(self, table: str) -> float | None:
        """When it was sent, if it was done."""
        connection = self._connect()
        if connection is None:
            return None
        sent_s = time.monotonic()
        try:
            path = f"/v0/datasources/{table}/truncate"
            status, told = self._ask(connection, "POST", path, b"")
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        assert status in (200, 205, 429, 503), f"truncate of {table}: {status} {told}"
        return sent_s if status in (200, 205) else None

    def _connect(self) -> http.client.HTTPConnection | None:
        """A new connection, when there is a server again."""
        while not self._over.is_set():
            parts = urllib.parse.urlsplit(self.target.url)
            connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=ANSWER_S
            )
            try:
                connection.connect()
            except OSError:
                time.sleep(0.02)
                continue
            return connection
        return None

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.target.token}"}
        connection.request(method, path, body=body, headers=headers)
        with connection.getresponse() as answer:
            read = answer.read()
            return answer.status, json.loads(read) if read else None

    def _thread(self, run: Callable[[int], None], number: int) -> threading.Thread:
        def keep() -> None:
            try:
                run(number)
            except BaseException as error:  # noqa: BLE001 - raised again by `blow`
                self._failed.append(error)

        thread = threading.Thread(target=keep)
        thread.start()
        return thread


def make_request(choose: random.Random, number: int) -> tuple[Sent, bytes]:
    """A request and its body: mostly few rows, up to 200, some of them bad now and then."""
    rows = choose.choice((1, 1, choose.randint(2, 20), choose.randint(21, 200)))
    bad = choose.choices((0, min(rows, choose.randint(1, 3)), rows), (88, 10, 2))[0]
    source = "events" if choose.random() < 0.7 else "visits"
    first = number * IDS
    lines = [_line(first + at, number) for at in range(rows - bad)]
    for at in range(rows - bad, rows):
        fault = choose.choice(_FAULTS)
        lines.insert(choose.randint(0, len(lines)), _line(first + at, number, fault))
    sent = Sent(number, source, rows - bad, bad, choose.random() < 0.3, time.monotonic())
    return sent, "\n".join(lines).encode()


def _line(number: int, request: int, n: str | None = None) -> str:
    n = f'"n":{number % MODULUS},' if n is None else n
    return (
        f'{{"id":{number},"request":{request},{n}"user":{{"name":"ü","tags":["a","{number}"]}},'
        '"at":"2026-01-31T12:00:00.123Z","other":{"x":null}}'
    )
