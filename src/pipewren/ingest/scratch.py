"""Tables that an import fills before any reader sees a row of it.

They stand in a database of their own, which is dropped at the start: what a killed server left
there belongs to nobody. A scratch table has the definition of the one that it is for, so that its
parts can be handed over (`ATTACH PARTITION`, which links files) and the two exchanged.
"""

from __future__ import annotations

import uuid

from pipewren.engine.contract import Engine, Statement
from pipewren.project.ddl import table_ddl
from pipewren.project.model import Datasource
from pipewren.sqltext import Sql, quote_identifier, quote_literal
from pipewren.storage import objects
from pipewren.storage.store import Store

# Of the form that error texts are cleaned of, and no workspace's: their ids are hexadecimal.
DATABASE = "w_imports"

Place = tuple[str, str]  # database and table


async def drop_scratch_tables(engine: Engine, store: Store) -> None:
    """At the start, before any import."""
    with store.begin() as connection:
        known = objects.find_object(connection, DATABASE)
    if known is None:  # it is recorded before it is made
        return
    await engine.execute(Sql(f"DROP DATABASE IF EXISTS {quote_identifier(DATABASE)} SYNC"))
    with store.begin() as connection:
        objects.forget_object(connection, DATABASE)


async def make_scratch_table(engine: Engine, store: Store, datasource: Datasource) -> str:
    """An empty table like that of `datasource`; its name in `DATABASE`."""
    table = f"{datasource.name}__{uuid.uuid4().int}"
    ddl = table_ddl(datasource, database=DATABASE, table=table, uuid=str(uuid.uuid4()))
    with store.begin() as connection:
        database_ddl = objects.find_object(connection, DATABASE)
        if database_ddl is None:
            database_ddl = Sql(
                f"CREATE DATABASE IF NOT EXISTS {quote_identifier(DATABASE)} "
                f"UUID '{uuid.uuid4()}' ENGINE = Atomic"
            )
            objects.remember_object(connection, DATABASE, "", database_ddl)
        objects.remember_object(connection, DATABASE, table, ddl)
    await engine.execute(database_ddl)
    await engine.execute(ddl)
    return table


async def drop_scratch_table(engine: Engine, store: Store, table: str) -> None:
    """Readers of a table that was exchanged go on; ClickHouse removes its files some minutes
    later."""
    await engine.execute(Sql(f"DROP TABLE IF EXISTS {_name(DATABASE, table)}"))
    with store.begin() as connection:
        objects.forget_object(connection, DATABASE, table)


async def hand_over(engine: Engine, source: Place, target: Place) -> None:
    """Add all rows of a table to another of the same definition, by linking files: what is there
    comes first. Views that read the target are not fed. Partition by partition: a kill leaves
    whole ones only where the target has several."""
    sql = f"ALTER TABLE {_name(*target)} ATTACH PARTITION ALL FROM {_name(*source)}"
    await engine.execute(Sql(sql))


async def count_parts(engine: Engine, place: Place) -> int:
    """Parts on disk that hold rows: what `hand_over` takes its time by."""
    database, table = map(quote_literal, place)
    sql = Sql(
        "SELECT count() FROM system.parts "
        f"WHERE active AND database = {database} AND table = {table}"
    )
    result = await engine.run(Statement(sql, "system", format="TSVRaw"))
    return int(result.body)


async def exchange(engine: Engine, store: Store, scratch: str, target: Place) -> None:
    """Put a scratch table in a table's place, and the other way round, in one step for readers and
    for a kill. Both keep their UUIDs."""
    sql = f"EXCHANGE TABLES {_name(*target)} AND {_name(DATABASE, scratch)}"
    await engine.execute(Sql(sql))
    with store.begin() as connection:
        # Of our copies the UUID is what counts when a definition is written again.
        new = objects.find_object(connection, DATABASE, scratch)
        old = objects.find_object(connection, *target)
        if new is not None:
            objects.remember_object(connection, *target, new)
        if old is not None:
            objects.remember_object(connection, DATABASE, scratch, old)


async def find_views(engine: Engine, database: str, table: str) -> list[str]:
    """Names of the materialised views that inserts into a table feed."""
    sql = Sql(
        "SELECT arrayJoin(dependencies_table) FROM system.tables "
        f"WHERE database = {quote_literal(database)} AND name = {quote_literal(table)}"
    )
    result = await engine.run(Statement(sql, "system", format="TSVRaw"))
    return result.body.decode().split("\n")[:-1]


def _name(database: str, table: str) -> str:
    return f"{quote_identifier(database)}.{quote_identifier(table)}"
