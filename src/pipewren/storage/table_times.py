"""When data sources came to be."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from pipewren.storage.schema import table_versions


def list_table_times(connection: Connection, workspace_id: str) -> dict[str, str]:
    """Name -> when its first table that is still known was made (UTC)."""
    rows = connection.execute(
        select(table_versions.c.datasource, func.min(table_versions.c.created_at))
        .where(table_versions.c.workspace_id == workspace_id)
        .group_by(table_versions.c.datasource)
    )
    return {row[0]: row[1] for row in rows}
