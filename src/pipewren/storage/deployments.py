"""Deployments in the store: their files, their tables' versions, and which one is live.

Going live is one update of one row (design, decision 10).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from pipewren.storage.schema import (
    deployment_files,
    deployment_tables,
    deployment_views,
    deployments,
    pipe_ids,
    table_versions,
    view_versions,
    workspaces,
)
from pipewren.storage.store import now_text

# Small JSON objects that clients read as they are: {"filename", "error"}, {"level", "message"}.
Notes = tuple[Mapping[str, Any], ...]


class State(Enum):
    """What becomes of a deployment, in this order (client-compat.md section 4). One that is
    DATA_READY is live where its workspace says so, else staged."""

    CALCULATING = "calculating"
    CREATING_SCHEMA = "creating_schema"
    SCHEMA_READY = "schema_ready"
    DATA_READY = "data_ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


_PARTS = (deployment_files, deployment_tables, deployment_views)
ENDED = frozenset({State.FAILED, State.DELETING, State.DELETED})


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """`number` counts per workspace; its database is `w_<workspace id>_d<number>`. `digest` is of
    all its files. `tables` maps a data source, `views` a pipe to the version of its table or
    materialised view. Times are UTC."""

    id: int
    workspace_id: str
    number: int
    digest: str
    state: State
    is_live: bool
    tables: Mapping[str, int]
    created_at: str
    updated_at: str
    views: Mapping[str, int] = field(default_factory=dict)
    errors: Notes = ()
    feedback: Notes = ()

    @property
    def database(self) -> str:
        return f"w_{self.workspace_id}_d{self.number}"

    def has_table(self, version: TableVersion) -> bool:
        """Whether the data source's table is that version of it."""
        return self.tables.get(version.datasource) == version.version

    def has_view(self, version: ViewVersion) -> bool:
        return self.views.get(version.pipe) == version.version


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One physical table of a data source, `NAME__VERSION` in the workspace's database.
    `created_at` is that of the deployment which made it."""

    datasource: str
    version: int
    resource_id: str
    definition: str
    created_at: str = ""

    @property
    def table(self) -> str:
        return f"{self.datasource}__{self.version}"


@dataclass(frozen=True, slots=True)
class ViewVersion:
    """One physical materialised view, `PIPE__mvVERSION` in the workspace's database."""

    pipe: str
    version: int
    definition: str

    @property
    def view(self) -> str:
        return f"{self.pipe}__mv{self.version}"


def list_deployments(connection: Connection, workspace_id: str) -> list[StoredDeployment]:
    """All deployments of a workspace, those that are gone too, oldest first."""
    own = deployments.c.workspace_id == workspace_id
    live = connection.execute(
        select(workspaces.c.live_deployment).where(workspaces.c.id == workspace_id)
    ).scalar()
    tables: dict[int, dict[str, int]] = {}
    for row in connection.execute(select(deployment_tables).join(deployments).where(own)):
        tables.setdefault(row.deployment_id, {})[row.datasource] = row.version
    views: dict[int, dict[str, int]] = {}
    for row in connection.execute(select(deployment_views).join(deployments).where(own)):
        views.setdefault(row.deployment_id, {})[row.pipe] = row.version
    return [
        StoredDeployment(
            id=row.id,
            workspace_id=row.workspace_id,
            number=row.number,
            digest=row.digest,
            state=State(row.state),
            is_live=row.id == live,
            tables=tables.get(row.id, {}),
            created_at=row.created_at,
            updated_at=row.updated_at,
            views=views.get(row.id, {}),
            errors=tuple(msgspec.json.decode(row.errors)),
            feedback=tuple(msgspec.json.decode(row.feedback)),
        )
        for row in connection.execute(select(deployments).where(own).order_by(deployments.c.number))
    ]


def find_live(known: Iterable[StoredDeployment]) -> StoredDeployment | None:
    """The one of a workspace's deployments that answers."""
    return next((one for one in known if one.is_live), None)


def next_number(connection: Connection, workspace_id: str) -> int:
    """The number of the next deployment: 0 is the empty one that a workspace begins with."""
    highest = connection.execute(
        select(func.max(deployments.c.number)).where(deployments.c.workspace_id == workspace_id)
    ).scalar()
    return 0 if highest is None else int(highest) + 1


def prepare_deployment(
    connection: Connection,
    workspace_id: str,
    *,
    digest: str,
    files: Mapping[str, str],
    tables: Mapping[str, int],
    views: Mapping[str, int] | None = None,
    feedback: Notes = (),
    created_at: str | None = None,
) -> StoredDeployment:
    """Record a deployment before anything is done for it, so that a kill leaves no nameless
    database behind."""
    created_at = created_at or now_text()
    deployment = StoredDeployment(
        id=0,
        workspace_id=workspace_id,
        number=next_number(connection, workspace_id),
        digest=digest,
        state=State.CREATING_SCHEMA,
        is_live=False,
        tables=dict(tables),
        created_at=created_at,
        updated_at=created_at,
        views=dict(views or {}),
        feedback=feedback,
    )
    inserted = connection.execute(
        insert(deployments).values(
            workspace_id=workspace_id,
            number=deployment.number,
            digest=digest,
            state=deployment.state.value,
            created_at=created_at,
            updated_at=created_at,
            errors="[]",
            feedback=msgspec.json.encode(feedback).decode(),
        )
    )
    key = inserted.inserted_primary_key
    assert key is not None  # SQLite always tells the key of a single row
    deployment = replace(deployment, id=int(key[0]))
    for table, column, given in (
        (deployment_files, "content", files),
        (deployment_tables, "version", deployment.tables),
        (deployment_views, "version", deployment.views),
    ):
        name = {deployment_files: "path", deployment_tables: "datasource"}.get(table, "pipe")
        rows = [
            {"deployment_id": deployment.id, name: key, column: value}
            for key, value in given.items()
        ]
        if rows:
            connection.execute(insert(table), rows)
    return deployment


def set_state(
    connection: Connection, deployment: StoredDeployment, state: State, *, errors: Notes = ()
) -> StoredDeployment:
    """The same deployment in another state. The files of one that has ended are forgotten, and
    what it stood on as soon as it is gone."""
    changed = replace(
        deployment,
        state=state,
        is_live=deployment.is_live and state not in ENDED,
        updated_at=now_text(),
        errors=errors or deployment.errors,
    )
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment.id)
        .values(
            state=state.value,
            updated_at=changed.updated_at,
            errors=msgspec.json.encode(changed.errors).decode(),
        )
    )
    forgotten = (deployment_files,) if state is State.DELETING else _PARTS
    if state in ENDED:
        for table in forgotten:
            connection.execute(delete(table).where(table.c.deployment_id == deployment.id))
    return changed


def set_live(connection: Connection, deployment: StoredDeployment) -> StoredDeployment:
    """The one pointer: from the commit on, `deployment` answers. The one before is DELETING, which
    its database still has to be."""
    for known in list_deployments(connection, deployment.workspace_id):
        if known.is_live and known.id != deployment.id:
            set_state(connection, known, State.DELETING)
    connection.execute(
        update(workspaces)
        .where(workspaces.c.id == deployment.workspace_id)
        .values(live_deployment=deployment.id)
    )
    return replace(set_state(connection, deployment, State.DATA_READY), is_live=True)


def forget_deployments(connection: Connection, workspace_id: str) -> None:
    """Remove the record of all deployments of a workspace that goes."""
    connection.execute(delete(deployments).where(deployments.c.workspace_id == workspace_id))


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
        TableVersion(row.datasource, row.version, row.resource_id, row.definition, row.created_at)
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
            created_at=version.created_at or now_text(),
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


def list_view_versions(connection: Connection, workspace_id: str) -> list[ViewVersion]:
    """Every physical view that was ever made and not dropped, oldest version first."""
    return [
        ViewVersion(row.pipe, row.version, row.definition)
        for row in connection.execute(
            select(view_versions)
            .where(view_versions.c.workspace_id == workspace_id)
            .order_by(view_versions.c.pipe, view_versions.c.version)
        )
    ]


def add_view_version(connection: Connection, workspace_id: str, version: ViewVersion) -> None:
    connection.execute(
        insert(view_versions).values(
            workspace_id=workspace_id,
            pipe=version.pipe,
            version=version.version,
            definition=version.definition,
            created_at=now_text(),
        )
    )


def remove_view_version(connection: Connection, workspace_id: str, version: ViewVersion) -> None:
    connection.execute(
        delete(view_versions).where(
            view_versions.c.workspace_id == workspace_id,
            view_versions.c.pipe == version.pipe,
            view_versions.c.version == version.version,
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
