"""An engine double: answers what it was told to, and remembers what it was asked.

It implements `engine.contract.Engine`, so that routes are tested without ClickHouse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipewren.engine.contract import (
    Capabilities,
    EngineHealth,
    Insert,
    PoolState,
    QueryCost,
    QuerySpan,
    Result,
    Statement,
    Statistics,
)
from pipewren.engine.figures import FIGURES
from pipewren.sqltext import Sql

Reply = bytes | Exception | Callable[[Statement], bytes]


@dataclass(slots=True)
class ScriptedStream:
    """The reply to a statement as a stream: one chunk, and none where it is empty."""

    engine: ScriptedEngine
    statement: Statement
    statistics: Statistics = field(default_factory=Statistics)
    closed: bool = False

    def __aiter__(self) -> ScriptedStream:
        return self

    async def __anext__(self) -> bytes:
        if self.closed:
            raise StopAsyncIteration
        self.closed = True
        result = await self.engine.run(self.statement)
        self.statistics = result.statistics
        if not result.body:
            raise StopAsyncIteration
        return result.body

    async def aclose(self) -> None:
        self.closed = True


@dataclass(slots=True)
class ScriptedEngine:
    """`replies` maps a piece of a statement's text to its answer; the first that fits counts.

    `gate`, when given, holds every statement until it is set. `counted` are its figures.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    executed: list[Sql] = field(default_factory=list)
    inserts: list[Insert] = field(default_factory=list)
    state: EngineHealth = field(default_factory=lambda: EngineHealth(ready=True, writable=True))
    gate: asyncio.Event | None = None
    closed: bool = False
    counted: Mapping[str, int] | Exception = field(
        default_factory=lambda: dict.fromkeys(FIGURES, 0)
    )
    figures_read: int = 0
    costs: Mapping[QuerySpan, QueryCost] | Exception = field(default_factory=dict)
    cost_questions: list[list[QuerySpan]] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="scripted", version="26.9")

    async def run(self, statement: Statement) -> Result:
        self.statements.append(statement)
        if self.gate is not None:
            await self.gate.wait()
        for piece, reply in self.replies.items():
            if piece in statement.sql:
                if isinstance(reply, Exception):
                    raise reply
                body = reply(statement) if callable(reply) else reply
                return Result(body, Statistics(elapsed_s=0.001, rows_read=1, bytes_read=1))
        raise AssertionError(f"no reply for: {statement.sql}")

    async def read_rows(self, statement: Statement) -> Result:
        return await self.run(statement)

    def stream(self, statement: Statement) -> ScriptedStream:
        return ScriptedStream(self, statement)

    async def execute(self, sql: Sql, *, database: str | None = None) -> None:
        self.executed.append(sql)

    async def insert(self, insert: Insert) -> int:
        self.inserts.append(insert)
        return insert.body.count(b"\n")

    def require_room(self, coming_bytes: int) -> None:
        pass

    async def parse(self, sql: str) -> dict[str, Any]:
        raise AssertionError(f"no parser in a scripted engine, asked for: {sql}")

    def health(self) -> EngineHealth:
        return self.state

    def pools(self) -> Sequence[PoolState]:
        return [PoolState("light", busy=1, idle=3, lost=0, waiting=0, refused=0)]

    async def figures(self) -> Mapping[str, int]:
        self.figures_read += 1
        if isinstance(self.counted, Exception):
            raise self.counted
        return self.counted

    async def query_costs(self, spans: Collection[QuerySpan]) -> Mapping[QuerySpan, QueryCost]:
        self.cost_questions.append(list(spans))
        if isinstance(self.costs, Exception):
            raise self.costs
        return {span: self.costs[span] for span in spans if span in self.costs}

    async def close(self) -> None:
        self.closed = True
