"""One engine for all engine tests: chDB allows one path per process. Each test has a database."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pipewren.engine.contract import Insert, Limits, Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions
from pipewren.sqltext import trusted_sql

_HEAD = textwrap.dedent(
    """
    import asyncio, json, os, sys
    from pathlib import Path
    from pipewren.engine.contract import *
    from pipewren.engine.embedded import EmbeddedEngine
    from pipewren.engine.options import EngineOptions
    from pipewren.errors import *
    from pipewren.sqltext import trusted_sql as sql
    DATA_DIR = Path(sys.argv[1])
    def open_engine(**options):
        options = {"light_connections": 2, "disk_reserve_bytes": 1} | options
        return EmbeddedEngine.open(EngineOptions(DATA_DIR, **options))
    """
)


@dataclass(slots=True)
class Workspace:
    """An engine and a database of the test's own."""

    engine: EmbeddedEngine
    database: str

    def statement(self, sql: str, **changes: Any) -> Statement:
        return Statement(trusted_sql(sql), self.database, **{"format": "JSONEachRow"} | changes)

    async def beside(self) -> Workspace:
        """A second database, of another deployment; dropped by `drop`."""
        other = Workspace(self.engine, f"{self.database}_d2")
        await self.engine.execute(trusted_sql(f"CREATE DATABASE {other.database} ENGINE = Atomic"))
        return other

    async def drop(self) -> None:
        await self.engine.execute(trusted_sql(f"DROP DATABASE {self.database}"))

    async def query(self, sql: str, **changes: Any) -> bytes:
        return (await self.engine.run(self.statement(sql, **changes))).body

    async def execute(self, sql: str) -> None:
        await self.engine.execute(trusted_sql(sql), database=self.database)

    def rows(self, table: str, columns: str, body: bytes, **changes: Any) -> Insert:
        values = {"format": "JSONEachRow", "token": uuid.uuid4().hex} | changes
        return Insert(self.database, table, tuple(columns.split()), body=body, **values)


@dataclass(slots=True)
class BareChdb:
    """Raw connections beside the engine's, for what the engine must guard against."""

    connection_string: str
    opened: list[Any] = field(default_factory=list)

    def connect(self) -> Any:
        import chdb

        connection = chdb.connect(self.connection_string)
        self.opened.append(connection)
        return connection

    def query(self, sql: str, format: str = "CSV", **options: Any) -> Any:
        if not self.opened:
            self.connect()
        return self.opened[0].query(sql, format, **options)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedEngine]:
    options = EngineOptions(
        tmp_path_factory.mktemp("engine"),
        light_connections=4,
        light_limits=Limits(max_memory_bytes=1_000_000_000),
        max_server_memory_bytes=6_000_000_000,
        disk_reserve_bytes=1,
    )
    opened = await EmbeddedEngine.open(options)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def workspace(engine: EmbeddedEngine) -> AsyncIterator[Workspace]:
    made = Workspace(engine, f"w_{uuid.uuid4().hex[:12]}")
    await engine.execute(trusted_sql(f"CREATE DATABASE {made.database} ENGINE = Atomic"))
    yield made
    await made.drop()


@pytest.fixture(scope="session")
def bare_chdb(engine: EmbeddedEngine) -> Iterator[BareChdb]:
    bare = BareChdb(engine.connection_string)
    yield bare
    for connection in bare.opened:
        connection.close()


@dataclass(frozen=True, slots=True)
class Program:
    """Python programs in processes of their own, for what one engine per process cannot show.

    The text sees `open_engine(**options)`, `sql`, the contract's names and DATA_DIR.
    """

    data_dir: Path

    def command(self, text: str) -> list[str]:
        program = _HEAD + textwrap.dedent(text)
        return [sys.executable, "-c", program, str(self.data_dir)]

    def start(self, text: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(text),
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def run(self, text: str, **environment: str) -> list[str]:
        """The lines that it printed; it must succeed."""
        done = subprocess.run(
            self.command(text),
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path / "data")


@pytest.fixture
def make_program() -> Callable[[Path], Program]:
    return Program
