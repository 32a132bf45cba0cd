"""Databases and tables of the engine, made and dropped with our own copy of their DDL kept beside
(engine-chdb.md section 0: one broken definition file keeps the whole directory from opening).

Every object gets a UUID of ours: with it in the copy, a definition that a full disk has cut off
can be written again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from pipewren.engine.contract import Engine
from pipewren.errors import EngineError
from pipewren.sqltext import Sql, quote_identifier
from pipewren.storage import objects
from pipewren.storage.store import Store


@dataclass(frozen=True, slots=True)
class EngineObject:
    """A table, a view, or with the name "" the database itself, and the statement that makes it."""

    database: str
    name: str
    ddl: Sql


def new_uuid() -> str:
    return str(uuid.uuid4())


def database_object(database: str) -> EngineObject:
    """An Atomic database."""
    name = quote_identifier(database)
    return EngineObject(
        database, "", Sql(f"CREATE DATABASE {name} UUID '{new_uuid()}' ENGINE = Atomic")
    )


def remember_objects(store: Store, made: Iterable[EngineObject]) -> None:
    """Record them, in one transaction, before they are made."""
    with store.begin() as connection:
        for one in made:
            objects.remember_object(connection, one.database, one.name, one.ddl)


async def create_object(engine: Engine, store: Store, made: EngineObject) -> None:
    """Make one that was remembered; forgotten again where the engine refuses. Raises EngineError,
    Unavailable."""
    try:
        await engine.execute(made.ddl)
    except EngineError:
        with store.begin() as connection:
            objects.forget_object(connection, made.database, made.name)
        raise


async def drop_database(engine: Engine, store: Store, database: str) -> None:
    """Drop a database with all that is in it. Plain DROP: statements that run on it finish."""
    await engine.execute(Sql(f"DROP DATABASE IF EXISTS {quote_identifier(database)}"))
    with store.begin() as connection:
        objects.forget_object(connection, database)


async def drop_object(engine: Engine, store: Store, database: str, name: str) -> None:
    """Drop a table or a view."""
    table = f"{quote_identifier(database)}.{quote_identifier(name)}"
    await engine.execute(Sql(f"DROP TABLE IF EXISTS {table}"))
    with store.begin() as connection:
        objects.forget_object(connection, database, name)
