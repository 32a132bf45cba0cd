"""The tables of the tests of row filters: one with hidden rows, one that holds the visible ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from pipewren.engine.errors import withhold_details
from pipewren.errors import EngineError, PipewrenError
from pipewren.sql.function_list import load_functions
from pipewren.sql.pipes import CompiledStatement
from pipewren.sql.row_filters import FilteredStatement, RowFilters, Schema
from pipewren.sqltext import Sql

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

COLUMNS = ("tenant", "id", "flag", "secret", "arr", "ts")
ROWS = 24_000
FILTERS = {"ev": ["tenant = 'a'"], "rep": ["tenant = 'a'"]}
COLUMNS_SQL = (
    "(tenant LowCardinality(String), id UInt32, flag UInt8, secret String, arr Array(UInt8), "
    "ts DateTime)"
)
_DEFINITION = (
    COLUMNS_SQL + " ENGINE = {engine} ORDER BY (tenant, intHash32(id)) SAMPLE BY intHash32(id) "
    "SETTINGS min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0, index_granularity = 512"
)
# Of three rows one is visible; the hidden ones have a flag, a secret and an empty array.
_ROWS = (
    "SELECT if(number % 3 = 0, 'a', 'b') AS tenant, number AS id, number % 3 != 0 AS flag, "
    "if(number % 3 = 0, toString(number % 50), 'hidden-' || toString(number)) AS secret, "
    "if(number % 3 = 0, [toUInt8(1), toUInt8(number % 7)], []) AS arr, "
    "toDateTime('2024-01-01 00:00:00') + number AS ts FROM numbers({rows})"
)


@dataclass(frozen=True, slots=True)
class Tables:
    """`here` has all rows; `copy` holds, under the same names, the visible ones alone."""

    here: Workspace
    copy: Workspace
    filters: RowFilters

    async def filtered(
        self, sql: str, filters: dict[str, list[str]] = FILTERS, **changes: Any
    ) -> FilteredStatement:
        return await self.filters.apply(CompiledStatement(Sql(sql)), filters, **changes)

    async def run(self, sql: str, filters: dict[str, list[str]] = FILTERS, **changes: Any) -> bytes:
        made = await self.filtered(sql, filters)
        statement = self.here.statement(made.statement.sql, **changes)
        return (await self.here.engine.run(replace(statement, database=made.database))).body


async def outcome(run: Awaitable[bytes]) -> str:
    """What a caller under a filter is shown of a run."""
    try:
        return (await run).decode()
    except EngineError as error:
        return withhold_details(error).message
    except PipewrenError as error:
        return f"{type(error).__name__}: {error.message}"


async def _fill(workspace: Workspace, condition: str) -> None:
    for name, engine in (
        ("ev", "MergeTree"),
        ("rep", "ReplacingMergeTree"),
        ("other", "MergeTree"),
    ):
        store = f"{name}__1"
        await workspace.execute(f"CREATE TABLE {store} {_DEFINITION.format(engine=engine)}")
        if name == "other":
            await workspace.execute(f"INSERT INTO {store} SELECT * FROM ({_ROWS.format(rows=300)})")
            continue
        rows = _ROWS.format(rows=ROWS)
        await workspace.execute(f"INSERT INTO {store} SELECT * FROM ({rows}) WHERE {condition}")
        if name == "rep":  # a second version of each row
            await workspace.execute(
                f"INSERT INTO {store} SELECT * REPLACE (if(flag, secret, secret || '+') AS secret) "
                f"FROM ({rows}) WHERE {condition}"
            )


@asynccontextmanager
async def open_tables(workspace: Workspace) -> AsyncIterator[Tables]:
    await _fill(workspace, "1")
    names = await workspace.beside()
    for name in ("ev", "rep", "other"):
        await names.execute(
            f"CREATE TABLE {name} ENGINE = Alias('{workspace.database}', '{name}__1')"
        )
    store = dataclass_replace(workspace, database=f"{workspace.database}_c")
    await store.engine.execute(Sql(f"CREATE DATABASE {store.database} ENGINE = Atomic"))
    await _fill(store, "tenant = 'a'")
    copy = await store.beside()
    for name in ("ev", "rep", "other"):
        await copy.execute(f"CREATE TABLE {name} ENGINE = Alias('{store.database}', '{name}__1')")
    schema = Schema(names.database, {name: COLUMNS for name in ("ev", "rep", "other")}, {})
    functions = load_functions(workspace.engine.capabilities.version)
    yield Tables(names, copy, RowFilters(workspace.engine, schema, functions))
    for one in (copy, store, names):
        await one.drop()
