"""Loads the files under `fixtures/` into their tables, each file once.

Once, also after a kill -9 in the middle: the file is cut into the same bodies every time, each
with a deduplication token made of table, path, bytes and position, which the engine honours over
restarts; a whole load is recorded in the store, since the engine's window forgets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pipewren.engine.contract import Engine, Insert
from pipewren.errors import BadRequest, EngineError, StartError
from pipewren.ingest.row_files import INPUT_SETTINGS, RowFile, cut_file
from pipewren.ingest.scratch import find_views
from pipewren.project.model import Fixture, Project
from pipewren.storage.deployments import TableVersion
from pipewren.storage.fixtures import FixtureLoad, find_load, record_load
from pipewren.storage.store import Store
from pipewren.storage.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file whose rows are in. `written_rows` includes those of views; `rows` are those of the
    table alone, None where views stand in the way of knowing."""

    table: TableVersion
    path: str
    written_rows: int
    rows: int | None
    elapsed_s: float


async def load_fixtures(
    engine: Engine,
    store: Store,
    workspace: Workspace,
    project: Project,
    tables: Mapping[str, TableVersion],
    progress: Callable[[str], None],
    loaded: Callable[[Loaded], None] | None = None,
) -> None:
    """Load what was not loaded yet; `loaded` is told of each file. Raises StartError naming the
    file and what is wrong in it."""
    for fixture in project.fixtures:
        table = tables[fixture.datasource]
        path = fixture.path.relative_to(project.root).as_posix()
        digest = _digest(fixture.path)
        with store.begin() as connection:
            known = find_load(connection, workspace.id, table.datasource, table.version, path)
        if known is not None and known.loaded:
            if known.digest != digest:
                progress(
                    f"{path} has changed since its rows were loaded; the rows of the earlier file "
                    f"are kept and the new ones are not loaded"
                )
            continue
        if known is not None and known.digest != digest:
            raise StartError(
                f"{path} was changed after a load of it was interrupted: put the earlier file "
                f"back, or start with an empty data directory"
            )
        began_s = perf_counter()
        written = await _load(engine, store, workspace, project, fixture, table, digest, progress)
        elapsed_s = perf_counter() - began_s
        has_views = await find_views(engine, workspace.database, table.table)
        if loaded is not None:
            loaded(Loaded(table, path, written, None if has_views else written, elapsed_s))


async def _load(
    engine: Engine,
    store: Store,
    workspace: Workspace,
    project: Project,
    fixture: Fixture,
    table: TableVersion,
    digest: str,
    progress: Callable[[str], None],
) -> int:
    path = fixture.path.relative_to(project.root).as_posix()
    datasource = project.datasources[fixture.datasource]
    load = FixtureLoad(table.datasource, table.version, path, digest, loaded=False)
    with store.begin() as connection:
        record_load(connection, workspace.id, load)
    file = RowFile(fixture.path, fixture.format, fixture.compression)
    place = ""
    written = 0
    try:
        for number, piece in enumerate(cut_file(file, datasource)):
            place = f" (row 1 below is line {piece.line:,} of the file)" if number else ""
            name = f"{workspace.database}.{table.table}:{path}:{digest}:{number}"
            written += await engine.insert(
                Insert(
                    database=workspace.database,
                    table=table.table,
                    columns=piece.encoding.columns,
                    format=piece.encoding.format,
                    body=piece.encoding.encode(piece.rows),
                    token=hashlib.sha256(name.encode()).hexdigest(),
                    settings=INPUT_SETTINGS,
                )
            )
            progress(f"loading {path}: {piece.share:.0%}")
    except (EngineError, BadRequest, OSError, EOFError) as error:
        raise StartError(f"The fixture {path} cannot be loaded{place}: {error}") from None
    with store.begin() as connection:
        record_load(
            connection,
            workspace.id,
            FixtureLoad(table.datasource, table.version, path, digest, loaded=True),
        )
    return written


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
