"""Which fixture files were loaded into which table. The engine's deduplication window forgets
after some blocks (engine-chdb.md section 5); this does not."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from pipewren.storage.schema import fixtures
from pipewren.storage.store import now_text


@dataclass(frozen=True, slots=True)
class FixtureLoad:
    """`loaded` is False from the first block until the last one is in."""

    datasource: str
    version: int
    path: str
    digest: str
    loaded: bool


def find_load(
    connection: Connection, workspace_id: str, datasource: str, version: int, path: str
) -> FixtureLoad | None:
    row = connection.execute(
        select(fixtures).where(
            fixtures.c.workspace_id == workspace_id,
            fixtures.c.datasource == datasource,
            fixtures.c.version == version,
            fixtures.c.path == path,
        )
    ).one_or_none()
    if row is None:
        return None
    return FixtureLoad(row.datasource, row.version, row.path, row.digest, row.loaded)


def record_load(connection: Connection, workspace_id: str, load: FixtureLoad) -> None:
    """Write or replace the record of one file."""
    connection.execute(
        delete(fixtures).where(
            fixtures.c.workspace_id == workspace_id,
            fixtures.c.datasource == load.datasource,
            fixtures.c.version == load.version,
            fixtures.c.path == load.path,
        )
    )
    connection.execute(
        insert(fixtures).values(
            workspace_id=workspace_id,
            datasource=load.datasource,
            version=load.version,
            path=load.path,
            digest=load.digest,
            loaded=load.loaded,
            created_at=now_text(),
        )
    )
