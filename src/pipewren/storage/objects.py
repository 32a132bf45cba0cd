"""Our own copy of all DDL: with it a broken `.sql` file of the engine can be written again
(engine-chdb.md section 0: one such file keeps the whole directory from opening)."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from pipewren.sqltext import Sql
from pipewren.storage.schema import engine_objects
from pipewren.storage.store import now_text


def remember_object(connection: Connection, database: str, name: str, ddl: Sql) -> None:
    """Record the DDL of a table, view or (name "") database, before it is run."""
    forget_object(connection, database, name)
    connection.execute(
        insert(engine_objects).values(database=database, name=name, ddl=ddl, created_at=now_text())
    )


def forget_object(connection: Connection, database: str, name: str | None = None) -> None:
    """Forget one object, or with None a database and all that is in it."""
    condition = engine_objects.c.database == database
    if name is not None:
        condition = condition & (engine_objects.c.name == name)
    connection.execute(delete(engine_objects).where(condition))


def list_objects(connection: Connection) -> dict[tuple[str, str], str]:
    """(database, name) -> DDL of everything that should exist."""
    return {(row.database, row.name): row.ddl for row in connection.execute(select(engine_objects))}


def find_object(connection: Connection, database: str, name: str = "") -> Sql | None:
    """The DDL of one object, or of a database."""
    ddl = connection.execute(
        select(engine_objects.c.ddl).where(
            engine_objects.c.database == database, engine_objects.c.name == name
        )
    ).scalar()
    return None if ddl is None else Sql(ddl)
