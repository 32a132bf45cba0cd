"""Workspaces in the store: a name, an id and the deployment that is live. A branch is a workspace
that was made from another one, its `main`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, delete, insert, select

from pipewren.storage.deployments import forget_deployments, prepare_deployment, set_live
from pipewren.storage.schema import (
    fixtures,
    given_tokens,
    jobs,
    pipe_ids,
    secrets,
    table_versions,
    tokens,
    view_versions,
    workspaces,
)
from pipewren.storage.store import now_text


@dataclass(frozen=True, slots=True)
class Workspace:
    """`id` is 32 hex digits: it is part of database names (design, decision 10). `main` is the id
    of the workspace that a branch was made from. `created_at` is UTC."""

    id: str
    name: str
    live_deployment: int | None
    created_at: str = ""
    main: str | None = None

    @property
    def database(self) -> str:
        """The Atomic database of its tables."""
        return f"w_{self.id}"

    @property
    def uuid(self) -> str:
        """The id as tokens and answers write it."""
        return str(uuid.UUID(self.id))


def list_workspaces(connection: Connection) -> list[Workspace]:
    """All workspaces, branches too, oldest first."""
    return [
        _read(row)
        for row in connection.execute(select(workspaces).order_by(workspaces.c.created_at))
    ]


def find_workspace(connection: Connection, name: str) -> Workspace | None:
    """The workspace or branch of that name."""
    row = connection.execute(select(workspaces).where(workspaces.c.name == name)).one_or_none()
    return None if row is None else _read(row)


def create_workspace(connection: Connection, name: str, *, main: str | None = None) -> Workspace:
    """A new workspace with the empty deployment 0, which is live until the first deploy. The
    caller has checked that the name is free."""
    workspace = Workspace(uuid.uuid4().hex, name, None, now_text(), main)
    connection.execute(
        insert(workspaces).values(
            id=workspace.id, name=name, created_at=workspace.created_at, main=main
        )
    )
    seed = set_live(
        connection,
        prepare_deployment(connection, workspace.id, digest="", files={}, tables={}),
    )
    return replace(workspace, live_deployment=seed.id)


def ensure_workspace(connection: Connection, name: str) -> Workspace:
    """The workspace of that name, made when it is missing."""
    return find_workspace(connection, name) or create_workspace(connection, name)


def remove_workspace(connection: Connection, workspace: Workspace) -> None:
    """Forget a workspace and all that the store knows of it; what the engine has of it is dropped
    by the caller, or at the next start."""
    forget_deployments(connection, workspace.id)
    own = (tokens, given_tokens, secrets, table_versions, view_versions, pipe_ids, fixtures, jobs)
    for table in own:
        connection.execute(delete(table).where(table.c.workspace_id == workspace.id))
    connection.execute(delete(workspaces).where(workspaces.c.id == workspace.id))


def _read(row: Row[tuple[object, ...]]) -> Workspace:
    return Workspace(row.id, row.name, row.live_deployment, row.created_at, row.main)
