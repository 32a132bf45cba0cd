"""The databases of a whole workspace, from its first to its last day: `w_<id>` with its tables, and
one of aliases for each deployment."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipewren.deploy.databases import (
    create_object,
    database_object,
    drop_database,
    remember_objects,
)
from pipewren.deploy.inventory import list_databases
from pipewren.engine.contract import Engine
from pipewren.storage.deployments import StoredDeployment
from pipewren.storage.store import Store
from pipewren.storage.workspaces import Workspace, list_workspaces

_DATABASE = re.compile(r"w_(?P<id>[0-9a-f]{32})(?:_d[0-9]+)?")


async def make_databases(
    engine: Engine, store: Store, workspace: Workspace, deployment: StoredDeployment
) -> None:
    """The databases of a workspace and of one deployment, those of them that are missing: of a new
    workspace all, after a kill perhaps some. Raises EngineError, Unavailable."""
    present = await list_databases(engine, workspace.database)
    missing = [
        database_object(name)
        for name in (workspace.database, deployment.database)
        if name not in present
    ]
    remember_objects(store, missing)
    for database in missing:
        await create_object(engine, store, database)


async def drop_databases(engine: Engine, store: Store, workspace_id: str) -> None:
    """All databases of one workspace, rows and all. Raises EngineError."""
    await _drop(engine, store, await list_databases(engine, f"w_{workspace_id}"))


async def drop_orphans(engine: Engine, store: Store) -> list[str]:
    """Drop the databases of workspaces that the store does not know, and return their names: a
    kill left them while a workspace was removed. For the start, before anybody makes a workspace.
    Raises EngineError."""
    with store.begin() as connection:
        known = {workspace.id for workspace in list_workspaces(connection)}
    gone = []
    for database in await list_databases(engine, "w_"):
        match = _DATABASE.fullmatch(database)
        if match is not None and match["id"] not in known:
            gone.append(database)
    await _drop(engine, store, gone)
    return gone


async def _drop(engine: Engine, store: Store, databases: Iterable[str]) -> None:
    """Those of deployments first: their aliases name tables of the other one."""
    # By the number of parts: a workspace's id may itself begin with a `d`.
    for database in sorted(databases, key=lambda name: (-name.count("_"), name)):
        await drop_database(engine, store, database)
