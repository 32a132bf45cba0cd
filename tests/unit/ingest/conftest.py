"""An engine that keeps rows in memory, with deduplication tokens as ClickHouse has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from pipewren.engine.contract import Engine, Insert, Result, Statement, Statistics
from pipewren.ingest.batch import Batch
from pipewren.ingest.gate import WriteGate
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.inserter import Outcome
from pipewren.ingest.log import open_log

WORKSPACE = "w1"
TABLE = "events__1"


@dataclass
class ModelEngine:
    """`tables` has the rows of each, in order. `refuse` is asked before rows go in and may raise;
    `after` is called when they are in, and may raise too: of an insert whose answer is lost, or of
    one that a view refused."""

    tables: dict[str, list[bytes]] = field(default_factory=dict)
    tokens: dict[str, set[str]] = field(default_factory=dict)
    inserts: list[Insert] = field(default_factory=list)
    refuse: Callable[[Insert], None] | None = None
    after: Callable[[Insert], None] | None = None

    async def insert(self, insert: Insert) -> int:
        await asyncio.sleep(0)
        self.inserts.append(insert)
        if self.refuse is not None:
            self.refuse(insert)
        known = self.tokens.setdefault(insert.table, set())
        lines = insert.body.splitlines()
        if insert.token not in known:
            known.add(insert.token)
            self.tables.setdefault(insert.table, []).extend(lines)
        if self.after is not None:
            self.after(insert)
        return len(lines)

    async def run(self, statement: Statement) -> Result:
        """Blocks that were inserted."""
        return Result(b"%d\n" % len(self.inserts), Statistics(0.0, 0, 0, 1))

    def truncate(self, table: str) -> None:
        self.tables.pop(table, None)
        self.tokens.pop(table, None)

    def rows(self, table: str = TABLE) -> list[bytes]:
        return self.tables.get(table, [])


@dataclass
class Setup:
    """An ingestion over a folder; `restart` forgets everything but the files and the engine."""

    path: Path
    engine: ModelEngine = field(default_factory=ModelEngine)
    gate: WriteGate = field(default_factory=WriteGate)
    outcomes: list[Outcome] = field(default_factory=list)
    options: dict[str, Any] = field(
        default_factory=lambda: {"max_log_bytes": 1_000_000, "flush_s": 0.01}
    )
    workspaces: tuple[str, ...] = (WORKSPACE,)
    require_room: Callable[[int], None] = lambda size: None

    async def start(self) -> Ingestion:
        self.gate = WriteGate()
        log = open_log(self.path, fsync=False, require_room=self.require_room)
        engine = cast(Engine, self.engine)
        ingestion = Ingestion(
            engine, log, self.gate, self.path, observe=self.outcomes.append, **self.options
        )
        await ingestion.start(self.workspaces)
        return ingestion


def batch(*values: object, table: str = TABLE) -> Batch:
    rows = b"".join(f"[{value}]\n".encode() for value in values)
    return Batch(table, ("a",), "JSONCompactEachRow", rows, len(values))


async def until(check: Callable[[], bool]) -> None:
    """Poll; a test that waits in vain ends by its own deadline."""
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0.002)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


@pytest_asyncio.fixture
async def ingestion(setup: Setup) -> AsyncIterator[Ingestion]:
    opened = await setup.start()
    yield opened
    await opened.close()
