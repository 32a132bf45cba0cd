"""Deployments in the store: their files, their tables' versions, and which one is live.

Going live is one update of one row (design, decision 10).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from pipewren.storage.schema import (
    deployment_files,
    deployment_tables,
    deployments,
    pipe_ids,
    table_versions,
    workspaces,
)
from pipewren.storage.store import now_text


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """`number` counts per workspace; its database is `w_<workspace id>_d<number>`. `digest` is of
    all its files. `tables` maps a data source to the version of its table. `created_at` is UTC."""

    id: int
    workspace_id: str
    number: int
    digest: str
    state: str
    tables: Mapping[str, int]
    created_at: str

    @property
    def database(self) -> str:
        return f"w_{self.workspace_id}_d{self.number}"


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One physical table of a data source, `NAME__VERSION` in the workspace's database."""

    datasource: str
    version: int
    resource_id: str
    definition: str

    @property
    def table(self) -> str:
        return f"{self.datasource}__{self.version}"


def list_deployments(connection: Connection, workspace_id: str) -> list[StoredDeployment]:
    """All deployments that are not forgotten, oldest first."""
    versions: dict[int, dict[str, int]] = {}
    for row in connection.execute(select(deployment_tables)):
        versions.setdefault(row.deployment_id, {})[row.datasource] = row.version
    return [
        StoredDeployment(
            id=row.id,
            workspace_id=row.workspace_id,
            number=row.number,
            digest=row.digest,
            state=row.state,
            tables=versions.get(row.id, {}),
            created_at=row.created_at,
        )
        for row in connection.execute(
            select(deployments)
            .where(deployments.c.workspace_id == workspace_id)
            .order_by(deployments.c.number)
        )
    ]


def prepare_deployment(
    connection: Connection,
    workspace_id: str,
    *,
    digest: str,
    files: Mapping[str, str],
    tables: Mapping[str, int],
) -> StoredDeployment:
    """Record a deployment before anything is done for it, so that a kill leaves no nameless
    database behind."""
    highest = connection.execute(
        select(func.max(deployments.c.number)).where(deployments.c.workspace_id == workspace_id)
    ).scalar()
    number = int(highest or 0) + 1
    created_at = now_text()
    inserted = connection.execute(
        insert(deployments).values(
            workspace_id=workspace_id,
            number=number,
            digest=digest,
            state="preparing",
            created_at=created_at,
        )
    )
    key = inserted.inserted_primary_key
    assert key is not None  # SQLite always tells the key of a single row
    deployment_id = int(key[0])
    if files:
        connection.execute(
            insert(deployment_files),
            [
                {"deployment_id": deployment_id, "path": path, "content": content}
                for path, content in files.items()
            ],
        )
    if tables:
        connection.execute(
            insert(deployment_tables),
            [
                {"deployment_id": deployment_id, "datasource": name, "version": version}
                for name, version in tables.items()
            ],
        )
    return StoredDeployment(
        deployment_id, workspace_id, number, digest, "preparing", dict(tables), created_at
    )


def set_live(connection: Connection, deployment: StoredDeployment) -> None:
    """The one pointer: from the commit on, `deployment` answers."""
    connection.execute(
        update(deployments)
        .where(deployments.c.workspace_id == deployment.workspace_id, deployments.c.state == "live")
        .values(state="retired")
    )
    connection.execute(
        update(deployments).where(deployments.c.id == deployment.id).values(state="live")
    )
    connection.execute(
        update(workspaces)
        .where(workspaces.c.id == deployment.workspace_id)
        .values(live_deployment=deployment.id)
    )


def forget_deployment(connection: Connection, deployment: StoredDeployment) -> None:
    """Remove a deployment that is not live; its tables' versions stay recorded."""
    connection.execute(delete(deployments).where(deployments.c.id == deployment.id))


def read_files(connection: Connection, deployment_id: int) -> dict[str, str]:
    """The deployed files: path in the project -> text."""
    return {
        row.path: row.content
        for row in connection.execute(
            select(deployment_files)
            .where(deployment_files.c.deployment_id == deployment_id)
            .order_by(deployment_files.c.path)
        )
    }


def list_table_versions(connection: Connection, workspace_id: str) -> list[TableVersion]:
    """Every physical table that was ever made and not dropped, oldest version first."""
    return [
        TableVersion(row.datasource, row.version, row.resource_id, row.definition)
        for row in connection.execute(
            select(table_versions)
            .where(table_versions.c.workspace_id == workspace_id)
            .order_by(table_versions.c.datasource, table_versions.c.version)
        )
    ]


def add_table_version(connection: Connection, workspace_id: str, version: TableVersion) -> None:
    connection.execute(
        insert(table_versions).values(
            workspace_id=workspace_id,
            datasource=version.datasource,
            version=version.version,
            resource_id=version.resource_id,
            definition=version.definition,
            created_at=now_text(),
        )
    )


def remove_table_version(connection: Connection, workspace_id: str, version: TableVersion) -> None:
    connection.execute(
        delete(table_versions).where(
            table_versions.c.workspace_id == workspace_id,
            table_versions.c.datasource == version.datasource,
            table_versions.c.version == version.version,
        )
    )


def new_resource_id() -> str:
    """`t_` and 32 hex digits (pipes-api.md section 2)."""
    return f"t_{uuid.uuid4().hex}"


def ensure_pipe_ids(connection: Connection, workspace_id: str, names: list[str]) -> dict[str, str]:
    """Name -> id of each pipe; ids are made once and kept, since clients may call by id."""
    known = {
        row.name: row.id
        for row in connection.execute(
            select(pipe_ids).where(pipe_ids.c.workspace_id == workspace_id)
        )
    }
    new = [
        {
            "workspace_id": workspace_id,
            "name": name,
            "id": new_resource_id(),
            "created_at": now_text(),
        }
        for name in names
        if name not in known
    ]
    if new:
        connection.execute(insert(pipe_ids), new)
        known.update({row["name"]: row["id"] for row in new})
    return {name: known[name] for name in names}


def list_pipe_times(connection: Connection, workspace_id: str) -> dict[str, str]:
    """Name -> when the pipe of that name was first deployed (UTC), of all pipes with an id."""
    return {
        row.name: row.created_at
        for row in connection.execute(
            select(pipe_ids).where(pipe_ids.c.workspace_id == workspace_id)
        )
    }
