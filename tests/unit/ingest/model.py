"""An engine in memory with what matters of ClickHouse to ingestion: tokens that are kept by table
for a while, views with targets of their own, and a kill at any step."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from pipewren.engine.contract import Insert, Result, Statement, Statistics
from pipewren.errors import EngineError, Unavailable


class Killed(BaseException):
    """The process is gone in this moment."""


def engine_error(code: int, text: str, view: str = "") -> EngineError:
    return EngineError(text, engine_code=code, engine_name="X", status=400, view=view)


@dataclass(frozen=True)
class View:
    """Rows of `source` go to `target`; `fails` says of which inserts they do not."""

    name: str
    source: str
    target: str
    fails: Callable[[bytes], bool] = lambda body: False


@dataclass
class ViewedEngine:
    """One token (by view's name, for targets) is one block; the last `window` of a table are known.
    `step` is called between any two things that stay, and may raise Killed."""

    views: list[View] = field(default_factory=list)
    window: int = 1000
    step: Callable[[str], None] = lambda name: None
    refuse: Callable[[Insert], None] = lambda insert: None
    tables: dict[str, list[bytes]] = field(default_factory=dict)
    tokens: dict[str, OrderedDict[str, None]] = field(default_factory=dict)
    inserts: list[Insert] = field(default_factory=list)
    blocks: int = 0
    is_dead: bool = False

    async def insert(self, insert: Insert) -> int:
        await asyncio.sleep(0)
        if self.is_dead:
            await asyncio.Event().wait()
        self.inserts.append(insert)
        self.step("before")
        self.refuse(insert)
        self._put(insert.table, insert.token, insert.body)
        self.step("in source")
        views = [view for view in self.views if view.source == insert.table]
        failing = [view for view in views if view.fails(insert.body)]
        if failing and ("materialized_views_ignore_errors", "1") not in insert.settings:
            raise engine_error(395, "no", failing[0].name)
        for view in views:
            if view not in failing:
                self._put(view.target, f"{insert.token} {view.name}", insert.body)
                self.step("in view")
        return insert.body.count(b"\n")

    async def run(self, statement: Statement) -> Result:
        assert "MergeTreeDataWriterBlocks" in statement.sql
        statistics = Statistics(0.0, 0, 0, 1)
        return Result(b"%d\n" % self.blocks, statistics)

    def truncate(self, table: str) -> None:
        self.step("before truncate")
        self.tables.pop(table, None)
        self.tokens.pop(table, None)
        self.step("after truncate")

    def rows(self, table: str) -> list[bytes]:
        return self.tables.get(table, [])

    def values(self, table: str) -> list[int]:
        return [json.loads(row)[0] for row in self.rows(table)]

    def _put(self, table: str, token: str, body: bytes) -> None:
        self.blocks += 1
        known = self.tokens.setdefault(table, OrderedDict())
        if token in known:
            return
        known[token] = None
        if len(known) > self.window:
            known.popitem(last=False)
        self.tables.setdefault(table, []).extend(body.splitlines())


def busy(insert: Insert) -> None:
    raise Unavailable("The disk is nearly full")
