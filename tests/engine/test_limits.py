"""Limits of one statement: each is the statement's own, also on a connection that others share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.engine.contract import Lane, Limits
from pipewren.engine.profile import RESERVED_SETTINGS
from pipewren.errors import EngineError, PipewrenError, TimedOut

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROKEN = [
    ({"max_rows_to_read": 1000}, "SELECT sum(number) FROM numbers(10000)", 158),
    ({"max_result_rows": 10}, "SELECT number FROM numbers(1000)", 396),
    ({"max_result_bytes": 1000}, "SELECT number FROM numbers(1000)", 396),
    ({"max_memory_bytes": 20_000_000}, "SELECT uniqExact(number) FROM numbers(10000000)", 241),
]


@pytest.mark.parametrize(("limits", "sql", "code"), BROKEN)
@pytest.mark.parametrize("lane", list(Lane))
async def test_a_broken_limit_is_the_callers_error_and_the_next_statement_is_answered(
    workspace: Workspace, limits: dict[str, Any], sql: str, code: int, lane: Lane
) -> None:
    with pytest.raises(EngineError) as caught:
        await workspace.query(sql, limits=Limits(**limits), lane=lane)

    assert (caught.value.status, caught.value.engine_code) == (400, code)
    generous = Limits(max_memory_bytes=1_000_000_000)
    assert (
        await workspace.query("SELECT 1 AS a", limits=Limits(**limits), lane=lane) == b'{"a":1}\n'
    )
    assert await workspace.query(f"SELECT count() AS c FROM ({sql})", limits=generous, lane=lane)


async def test_rows_are_not_limited_by_default(workspace: Workspace) -> None:
    rows = await workspace.query("SELECT count(number) AS c FROM numbers(5000000)")

    assert rows == b'{"c":5000000}\n'
    assert Limits().max_rows_to_read == 0


@pytest.mark.parametrize("threads", [1, 2])
async def test_a_statement_has_the_threads_of_its_limits(
    workspace: Workspace, threads: int
) -> None:
    sql = "SELECT toUInt32(getSetting('max_threads')) AS n"

    rows = await workspace.query(sql, limits=Limits(max_threads=threads))

    assert rows == f'{{"n":{threads}}}\n'.encode()


@pytest.mark.parametrize(
    "name",
    [
        *("max_rows_to_read", "read_overflow_mode", "max_threads", "max_memory_usage"),
        *("max_result_rows", "max_result_bytes", "max_execution_time", "result_overflow_mode"),
    ],
)
async def test_a_statements_settings_cannot_lift_a_limit(workspace: Workspace, name: str) -> None:
    assert name in RESERVED_SETTINGS
    with pytest.raises(EngineError) as caught:
        await workspace.query("SELECT 1", settings=((name, "0"),))

    assert (caught.value.engine_code, caught.value.status) == (164, 400)


async def test_the_engine_reads_the_limits_and_settings_in_sql_cannot_change_them(
    workspace: Workspace,
) -> None:
    with pytest.raises(EngineError, match="READONLY"):
        await workspace.query(
            "SELECT sum(number) FROM numbers(10000) SETTINGS max_rows_to_read = 0",
            limits=Limits(max_rows_to_read=1000),
        )


async def test_statements_that_break_different_limits_at_once_get_each_their_own_error(
    workspace: Workspace,
) -> None:
    async def fail(limits: dict[str, Any], sql: str) -> PipewrenError:
        with pytest.raises(PipewrenError) as caught:
            await workspace.query(sql, limits=Limits(**limits))
        return caught.value

    slow = ({"max_execution_time_s": 0.2}, "SELECT count() FROM numbers(1e15) WHERE number % 7 = 3")
    cases = [(limits, sql, code) for limits, sql, code in BROKEN for _ in range(4)]

    errors = await asyncio.gather(
        fail(*slow), *(fail(limits, sql) for limits, sql, _ in cases), fail(*slow)
    )

    assert isinstance(errors[0], TimedOut)
    assert isinstance(errors[-1], TimedOut)
    codes = [error.engine_code for error in errors[1:-1] if isinstance(error, EngineError)]
    assert codes == [code for _, _, code in cases]
