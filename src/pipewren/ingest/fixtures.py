"""Loads the files under `fixtures/` into their tables, each file once.

Once, also after a kill -9 in the middle: the file is cut into the same bodies every time, each
with a deduplication token made of table, path, bytes and position, which the engine honours over
restarts; a whole load is recorded in the store, since the engine's window forgets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipewren.engine.contract import Engine, Insert
from pipewren.errors import BadRequest, EngineError, StartError
from pipewren.ingest.chunks import cut_lines, open_rows, read_csv_header, read_first_row, read_whole
from pipewren.ingest.jsonpaths import compile_rows, is_flat
from pipewren.project.model import Datasource, Fixture, Project
from pipewren.storage.deployments import TableVersion
from pipewren.storage.fixtures import FixtureLoad, find_load, record_load
from pipewren.storage.store import Store
from pipewren.storage.workspaces import Workspace

INPUT_SETTINGS = (
    ("date_time_input_format", "best_effort"),
    ("input_format_skip_unknown_fields", "1"),
)


@dataclass(frozen=True, slots=True)
class Body:
    """What one insert takes: format, columns (none for all) and bytes. `has_header` says that the
    file's header line was put in front of the rows."""

    format: str
    columns: tuple[str, ...]
    rows: bytes
    has_header: bool = False


async def load_fixtures(
    engine: Engine,
    store: Store,
    workspace: Workspace,
    project: Project,
    tables: Mapping[str, TableVersion],
    progress: Callable[[str], None],
) -> None:
    """Load what was not loaded yet. Raises StartError naming the file and what is wrong in it."""
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
        await _load(engine, store, workspace, project, fixture, table, digest, progress)


async def _load(
    engine: Engine,
    store: Store,
    workspace: Workspace,
    project: Project,
    fixture: Fixture,
    table: TableVersion,
    digest: str,
    progress: Callable[[str], None],
) -> None:
    path = fixture.path.relative_to(project.root).as_posix()
    datasource = project.datasources[fixture.datasource]
    load = FixtureLoad(table.datasource, table.version, path, digest, loaded=False)
    with store.begin() as connection:
        record_load(connection, workspace.id, load)
    line = 1
    place = ""
    try:
        for number, (body, share) in enumerate(cut_bodies(fixture, datasource)):
            place = f" (row 1 below is line {line:,} of the file)" if number else ""
            name = f"{workspace.database}.{table.table}:{path}:{digest}:{number}"
            await engine.insert(
                Insert(
                    database=workspace.database,
                    table=table.table,
                    columns=body.columns,
                    format=body.format,
                    body=body.rows,
                    token=hashlib.sha256(name.encode()).hexdigest(),
                    settings=INPUT_SETTINGS,
                )
            )
            line += body.rows.count(b"\n") - (1 if number and body.has_header else 0)
            progress(f"loading {path}: {share:.0%}")
    except (EngineError, BadRequest, OSError, EOFError) as error:
        raise StartError(f"The fixture {path} cannot be loaded{place}: {error}") from None
    with store.begin() as connection:
        record_load(
            connection,
            workspace.id,
            FixtureLoad(table.datasource, table.version, path, digest, loaded=True),
        )


def cut_bodies(fixture: Fixture, datasource: Datasource) -> Iterator[tuple[Body, float]]:
    """The bodies of a file, each with the share (0 to 1) of the file that is read after it.
    The same file gives the same bodies: their numbers are part of the deduplication tokens."""
    size = max(fixture.path.stat().st_size, 1)
    names = tuple(column.name for column in datasource.columns)
    if fixture.format == "parquet":
        yield Body("Parquet", (), read_whole(fixture.path)), 1.0
        return
    with fixture.path.open("rb", buffering=0) as raw, open_rows(fixture, raw) as file:
        if fixture.format == "csv":
            first = read_first_row(file)
            header = read_csv_header(first, names)
            head = b"" if header else first
            given = header or names
            known = tuple(name for name in given if name in set(names))
            prefix = first if header else b""
            format = "CSVWithNames" if header else "CSV"
            for rows in cut_lines(file, quoted=True):
                yield (
                    Body(format, known, prefix + head + rows, bool(header)),
                    min(raw.tell() / size, 1.0),
                )
                head = b""
            if head:
                yield Body(format, known, head), 1.0
            return
        convert = None if is_flat(datasource.columns) else compile_rows(datasource.columns)
        for rows in cut_lines(file, quoted=False):
            body = convert(rows) if convert else rows
            yield Body("JSONEachRow", (), body), min(raw.tell() / size, 1.0)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
