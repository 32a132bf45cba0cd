"""The processes beside the server that `bench.events` measures, and what its disk tells."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.events_client import write_requests
from pipewren.testing.serving import RunningServer

HERE = Path(__file__).parent
BATCH = 100_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What `events_client.py` reports of one order."""

    began_s: float
    ended_s: float
    statuses: dict[int, int]
    p50_ms: float
    p99_ms: float
    most_ms: float
    behind_ms: float
    sent_again: int
    cpu_s: float


class _Asked:
    """A program that answers each line with one."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class EventsClient:
    """`bench/events_client.py`, whose answers these are."""

    def __init__(self) -> None:
        self._program = _Asked(str(HERE / "events_client.py"))
        self.close = self._program.close

    @staticmethod
    def write(file: Path, requests: list[bytes]) -> Path:
        write_requests(file, requests)
        return file

    def send(
        self,
        server: RunningServer,
        file: Path,
        *,
        connections: int,
        count: int = 0,
        rate: float = 0.0,
        seconds: float = 0.0,
    ) -> Answer:
        """So many requests as fast as they are answered, or `rate` a second for `seconds`."""
        order = {
            "url": server.base_url,
            "file": str(file),
            "connections": connections,
            "count": count,
            "rate": rate,
            "seconds": seconds,
        }
        answer = self._program.ask(order)
        answer["statuses"] = {int(status): n for status, n in answer["statuses"].items()}
        return Answer(**answer)


class RawInserts:
    """`bench/raw_inserts.py` on a folder of its own."""

    def __init__(self, path: Path) -> None:
        self._program = _Asked(str(HERE / "raw_inserts.py"), str(path))
        self.close = self._program.close

    def measure(self, file: Path, ddl: str, columns: list[str], rows: int) -> float:
        """Rows a second."""
        order = {"file": str(file), "ddl": ddl, "columns": columns, "rows": rows, "batch": BATCH}
        return rows / float(self._program.ask(order)["seconds"])


def active_parts(data_dir: Path, datasource: str) -> int:
    """Parts of a data source's tables that no merged part covers, by their folders' names: those
    that were merged stay on the disk for minutes."""
    return sum(
        _count_active([part.name for part in table.iterdir()])
        for table in data_dir.glob(f"engine/data/w_*/{datasource}__*")
    )


def _count_active(names: list[str]) -> int:
    """Of names PARTITION_LEAST_GREATEST_LEVEL; others are no parts."""
    ranges: dict[str, list[tuple[int, int, int]]] = {}
    for name in names:
        partition, *numbers = name.split("_")
        if (
            len(numbers) == 3
            and partition not in ("tmp", "delete")
            and all(number.isdigit() for number in numbers)
        ):
            least, greatest, level = map(int, numbers)
            ranges.setdefault(partition, []).append((least, greatest, level))
    active = 0
    for parts in ranges.values():
        covered_to = -1
        for _, greatest, _ in sorted(parts, key=lambda one: (one[0], -one[1], -one[2])):
            if greatest > covered_to:
                active += 1
                covered_to = greatest
    return active
