"""The guard of the disk, over a connection that says what the engine would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipewren.engine.disk import DiskReserve, kept_free_bytes
from pipewren.engine.disk_guard import DiskGuard
from pipewren.errors import EngineError, Unavailable

if TYPE_CHECKING:
    from pipewren.engine.connection import Connection
    from tests.engine.conftest import Workspace


class Engine:
    """`failed` writes so far, and bytes that merges have still to write."""

    def __init__(self) -> None:
        self.failed = 0
        self.merging = 0
        self.executed: list[str] = []

    def execute(self, sql: str, database: str | None) -> bytes:
        self.executed.append(sql)
        if "system.merges" in sql:
            return json.dumps([self.failed, self.merging]).encode()
        return json.dumps([str(self.failed)]).encode()

    @property
    def connection(self) -> Connection:
        return cast("Connection", self)


def make_guard(path: Path, *, room: int, before: int = 0) -> DiskGuard:
    """With `room` bytes, more or less, above the reserve."""
    return DiskGuard(path, DiskReserve(path, 0).free_bytes() - room, before)


def test_what_merges_are_about_to_write_counts(tmp_path: Path) -> None:
    engine, guard = Engine(), make_guard(tmp_path, room=10**9)
    guard.require(10**6)
    engine.merging = 10**10
    guard.watch(engine.connection)
    with pytest.raises(Unavailable, match="nearly full"):
        guard.require(10**6)
    assert "nearly full" in str(guard.reason_not_to_write())
    assert guard.reason is None
    engine.merging = 0
    guard.watch(engine.connection)
    guard.require(10**6)
    assert guard.reason_not_to_write() is None


def test_a_write_that_fails_in_a_merge_stops_merges_and_all_writing(tmp_path: Path) -> None:
    engine, guard = Engine(), make_guard(tmp_path, room=10**9)
    guard.watch(engine.connection)
    engine.failed = 2
    for _ in range(2):
        with pytest.raises(Unavailable, match="refused a write"):
            guard.watch(engine.connection)
    assert [sql for sql in engine.executed if "STOP" in sql] == ["SYSTEM STOP MERGES"]
    assert guard.failed_writes == 2
    assert "starts again" in str(guard.reason)
    with pytest.raises(Unavailable, match="refused a write"):
        guard.require()


def test_a_write_that_failed_is_told_even_where_the_insert_failed_for_another_reason(
    tmp_path: Path,
) -> None:
    engine, guard = Engine(), make_guard(tmp_path, room=10**9)

    def act(connection: Any) -> None:
        connection.failed = 1
        raise EngineError("no", engine_code=395, engine_name="X", status=400)

    with pytest.raises(Unavailable, match="refused a write"):
        guard.run(engine.connection, act)
    assert guard.failed_writes == 1


def test_an_error_without_a_failed_write_is_told_as_it_is(tmp_path: Path) -> None:
    engine, guard = Engine(), make_guard(tmp_path, room=10**9)

    def act(_: Any) -> None:
        raise EngineError("no", engine_code=395, engine_name="X", status=400)

    with pytest.raises(EngineError, match="no"):
        guard.run(engine.connection, act)
    assert guard.failed_writes == 0


def test_writes_that_failed_before_the_engine_was_open_do_not_count(tmp_path: Path) -> None:
    engine, guard = Engine(), make_guard(tmp_path, room=10**9, before=3)
    engine.failed = 3
    assert guard.run(engine.connection, lambda _: 7) == 7


def test_the_engine_keeps_a_part_of_the_reserve_so_that_it_refuses_after_us() -> None:
    assert 0 < kept_free_bytes(1_000_000_000) < 1_000_000_000 // 2


async def test_the_engine_keeps_its_part_and_says_what_merges_write(workspace: Workspace) -> None:
    guard = workspace.engine._disk
    await workspace.engine._figures.run(guard.watch)
    workspace.engine.require_room(1)
    with pytest.raises(Unavailable):
        workspace.engine.require_room(10**18)
