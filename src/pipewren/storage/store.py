"""Opens the store: what the server remembers besides rows, in SQLite beside the engine's files.

`Store.begin()` is one transaction. Functions on records live in the modules named after them
(`workspaces`, `tokens`, `deployments`, `tables`, `fixtures`); they take the open connection, so
that several of them commit together: going live is one such transaction (design, decision 10).
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DatabaseError

from pipewren.errors import StartError

HEAD = "0004"  # the newest revision in `migrations/versions`; held by a test
FILE_NAME = "store.sqlite"


class Store:
    """One SQLite file. Not thread-safe by design: the server's one loop owns it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self) -> AbstractContextManager[Connection]:
        """A transaction: committed at the end of the block, undone on an exception."""
        return self._engine.begin()

    def close(self) -> None:
        self._engine.dispose()


def open_store(folder: Path) -> Store:
    """Open or create the store in `folder`. Raises StartError when the file cannot be used or was
    written by a newer Pipewren."""
    path = folder / FILE_NAME
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _set_pragmas)
    try:
        with engine.begin() as connection:
            _migrate(connection, path)
        os.chmod(path, 0o600)
    except (DatabaseError, OSError) as error:
        engine.dispose()
        reason = getattr(error, "orig", None) or error
        raise StartError(f"Cannot use the store {path}: {reason}") from None
    except StartError:
        engine.dispose()
        raise
    return Store(engine)


def now_text(now: datetime | None = None) -> str:
    """`YYYY-MM-DD HH:MM:SS.ffffff` in UTC: clients cut the last seven characters."""
    return (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S.%f")


def _set_pragmas(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # FULL: a committed deployment or generation of a token survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(connection: Connection, path: Path) -> None:
    if inspect(connection).has_table("alembic_version"):
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    else:
        revision = None
    if revision == HEAD:
        return  # importing alembic costs a quarter of a second: only when it has work
    if revision is not None and str(revision) > HEAD:
        raise StartError(
            f"The store {path} was written by a newer Pipewren (revision {revision}, this one "
            f"knows {HEAD}): install that version, or use another data directory."
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
