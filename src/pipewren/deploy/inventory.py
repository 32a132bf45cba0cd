"""What is there in the engine: databases and tables of ours, and their rows."""

from __future__ import annotations

from pipewren.engine.contract import Engine, Statement
from pipewren.sqltext import Sql, quote_identifier, quote_literal


async def list_databases(engine: Engine, prefix: str) -> list[str]:
    """Databases whose names begin with `prefix`."""
    sql = Sql(f"SELECT name FROM system.databases WHERE startsWith(name, {quote_literal(prefix)})")
    return await _names(engine, sql)


async def list_tables(engine: Engine, database: str) -> set[str]:
    """Tables and views of a database; empty when there is no such database."""
    sql = Sql(f"SELECT name FROM system.tables WHERE database = {quote_literal(database)}")
    return set(await _names(engine, sql))


async def list_views(engine: Engine, database: str) -> set[str]:
    """Materialised views of a database."""
    sql = Sql(
        "SELECT name FROM system.tables WHERE engine = 'MaterializedView' AND database = "
        + quote_literal(database)
    )
    return set(await _names(engine, sql))


async def count_rows(engine: Engine, database: str, table: str) -> int:
    sql = Sql(f"SELECT count() FROM {quote_identifier(database)}.{quote_identifier(table)}")
    result = await engine.run(Statement(sql, "system", format="TSVRaw"))
    return int(result.body)


async def _names(engine: Engine, sql: Sql) -> list[str]:
    result = await engine.run(Statement(Sql(f"{sql} ORDER BY name"), "system", format="TSVRaw"))
    return result.body.decode().split("\n")[:-1]
