"""Workspaces in the store: a name, an id and the deployment that is live."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from pipewren.storage.schema import workspaces
from pipewren.storage.store import now_text


@dataclass(frozen=True, slots=True)
class Workspace:
    """`id` is 32 hex digits: it is part of database names (design, decision 10)."""

    id: str
    name: str
    live_deployment: int | None

    @property
    def database(self) -> str:
        """The Atomic database of its tables."""
        return f"w_{self.id}"

    @property
    def uuid(self) -> str:
        """The id as tokens and answers write it."""
        return str(uuid.UUID(self.id))


def ensure_workspace(connection: Connection, name: str) -> Workspace:
    """The workspace of that name, made when it is missing."""
    row = connection.execute(select(workspaces).where(workspaces.c.name == name)).one_or_none()
    if row is None:
        workspace = Workspace(uuid.uuid4().hex, name, None)
        connection.execute(
            insert(workspaces).values(id=workspace.id, name=name, created_at=now_text())
        )
        return workspace
    return Workspace(row.id, row.name, row.live_deployment)
