"""Who may write to a workspace's tables: many writers, or one deployment that goes live.

A deployment that goes live swaps tables and materialised views. A row that is written meanwhile
would be lost with a replaced table, or seen by the old view and the new one: so going live waits
for the inserts under way, and the next ones wait for it. It takes some tens of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Door:
    writers: int = 0
    is_closed: bool = False
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


@dataclass(slots=True)
class WriteGate:
    """By workspace id. The tables to write to are looked up inside `writing`."""

    _doors: dict[str, _Door] = field(default_factory=dict)

    @asynccontextmanager
    async def writing(self, workspace_id: str) -> AsyncGenerator[None, None]:
        """Around one insert, truncate or swap of tables."""
        door = self._doors.setdefault(workspace_id, _Door())
        while door.is_closed:
            await _wait(door)
        door.writers += 1
        try:
            yield
        finally:
            door.writers -= 1
            door.wake()

    async def opened(self, workspace_id: str) -> None:
        """Until no deployment is going live."""
        door = self._doors.get(workspace_id)
        while door is not None and door.is_closed:
            await _wait(door)

    @asynccontextmanager
    async def closed(self, workspace_id: str) -> AsyncGenerator[None, None]:
        """Nothing is written inside; one at a time."""
        door = self._doors.setdefault(workspace_id, _Door())
        while door.is_closed:
            await _wait(door)
        door.is_closed = True
        try:
            while door.writers:
                await _wait(door)
            yield
        finally:
            door.is_closed = False
            door.wake()


async def _wait(door: _Door) -> None:
    told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    door.waiting.append(told)
    await told
