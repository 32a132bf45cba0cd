"""Imports a file of rows into a data source, whole or not at all.

The file goes into a scratch table first, which finds bad rows before anyone sees one. Then

- nothing reads the table by a materialised view: a table that has the old rows and the new ones
  (append) or the new ones (replace) takes its place in one step, which a kill cannot halve. To a
  table of more than `_MAX_LINKED_PARTS` parts the new ones are added, partition by partition: a
  kill in those milliseconds leaves some partitions;
- views read it: they are fed by inserts only, so the file, now known to be good, is inserted piece
  by piece. A kill in that time leaves whole pieces (about 1 MB each) and no half ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pipewren.engine.contract import Engine, Insert
from pipewren.errors import BadRequest, EngineError, PipewrenError
from pipewren.ingest import scratch
from pipewren.ingest.bad_rows import describe_bad_row, is_of_rows, reason_of
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.row_files import INPUT_SETTINGS, Piece, RowFile, cut_file
from pipewren.project.engines import ENGINES
from pipewren.project.model import Datasource
from pipewren.storage.deployments import TableVersion
from pipewren.storage.store import Store

# Several copies of a piece are in memory while requests are served.
_CHUNK_BYTES = 1_000_000
_MAX_LINKED_PARTS = 100  # a few milliseconds each, in which nothing is written

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Import:
    """What is loaded where. `table` is the physical one, in `database`, as `datasource` describes
    it; `find_table` looks it up anew, since a deployment may go live meanwhile, and raises NotFound
    where the data source is gone; `find_feeders` are the physical tables whose rows reach it, by
    views too, and itself. `id` makes the import one of its own: the same file sent again
    is other rows."""

    engine: Engine
    store: Store
    ingestion: Ingestion
    id: str
    file: RowFile
    workspace_id: str
    database: str
    datasource: Datasource
    table: TableVersion
    find_table: Callable[[], TableVersion]
    find_feeders: Callable[[], Collection[str]]
    replaces: bool = False


class Report(Protocol):
    """Told how far an import is: keys of the job's answer (client-compat.md section 6)."""

    def __call__(self, **detail: Any) -> None: ...


async def import_file(target: Import, report: Report) -> int:
    """The number of rows that were written, those of views included. Raises BadRequest naming line
    and column of a row that does not fit, EngineError and Unavailable; then the table is as it was,
    but for what the module's text says of views."""
    if target.replaces:
        await _refuse_views(target, target.table)
    made: list[str] = []  # scratch tables
    try:
        table = await _make(target, made)
        written = await _fill(target, table, report)
        report(is_cancellable=False)
        if target.replaces:
            await _to_its_end(_replace(target, table))
        elif not await _to_its_end(_append(target, table, made)):
            written = await _insert_all(target)
        return written
    finally:
        await _to_its_end(_drop(target, made))


async def _make(target: Import, made: list[str]) -> str:
    table = await scratch.make_scratch_table(target.engine, target.store, target.datasource)
    made.append(table)
    return table


async def _drop(target: Import, made: list[str]) -> None:
    for table in made:
        await scratch.drop_scratch_table(target.engine, target.store, table)


async def _replace(target: Import, table: str) -> None:
    async with target.ingestion.gate.closed(target.workspace_id):
        current = _current_table(target)
        await _refuse_views(target, current)
        place = (target.database, current.table)
        # Of all whose rows reach it: its tokens go with it.
        async with target.ingestion.flushed(target.workspace_id, target.find_feeders()):
            await scratch.exchange(target.engine, target.store, table, place)


async def _append(target: Import, table: str, made: list[str]) -> bool:
    """Whether the rows could be handed over, which feeds no view."""
    if not ENGINES[target.datasource.engine.name].is_stored:
        return False
    engine, store = target.engine, target.store
    async with target.ingestion.gate.closed(target.workspace_id):
        current = _current_table(target)
        if await _views(target, current):
            return False
        async with target.ingestion.flushed(target.workspace_id, target.find_feeders()):
            place = (target.database, current.table)
            parts = await scratch.count_parts(engine, place)
            if not parts:
                await scratch.exchange(engine, store, table, place)
            elif parts <= _MAX_LINKED_PARTS:
                whole = await _make(target, made)
                for source in (place, (scratch.DATABASE, table)):
                    await scratch.hand_over(engine, source, (scratch.DATABASE, whole))
                await scratch.exchange(engine, store, whole, place)
            else:
                await scratch.hand_over(engine, (scratch.DATABASE, table), place)
        return True


def _current_table(target: Import) -> TableVersion:
    """To be called inside the gate. Raises BadRequest where the file was read for another table."""
    current = target.find_table()
    if current.definition != target.table.definition:
        raise BadRequest(
            f"'{target.datasource.name}' was changed by a deployment meanwhile: send the file again"
        )
    return current


async def _to_its_end(step: Coroutine[Any, Any, _T]) -> _T:
    """A step that is not broken off where the import is."""
    return await asyncio.shield(asyncio.create_task(step))


async def _fill(target: Import, table: str, report: Report) -> int:
    """The file into the scratch table; its rows."""

    async def attempt(format: str, columns: tuple[str, ...], body: bytes) -> int:
        name = f"{target.id}:{time.monotonic_ns()}"
        return await _insert(target, scratch.DATABASE, table, (format, columns, body), name)

    blocks: list[dict[str, Any]] = []
    written = 0
    pieces = _open(target)
    while (piece := await _read(target, pieces)) is not None:
        begun_s = time.monotonic()
        encoding = piece.encoding
        try:
            body = await asyncio.to_thread(encoding.encode, piece.rows)
            rows = await attempt(encoding.format, encoding.columns, body)
        except (EngineError, BadRequest) as error:
            raise await _explain(target, piece, error, attempt) from None
        written += rows
        counts = {"lines": rows, "quarantine": 0, "invalid_lines": 0, "bytes": len(piece.rows)}
        blocks.append(
            {
                "block_id": f"b{len(blocks)}",
                "process_return": [counts],
                "processing_time": round(time.monotonic() - begun_s, 6),
                "processing_error": None,
            }
        )
        report(blocks=blocks, progress_percentage=round(piece.share * 90, 1))
    return written


async def _insert_all(target: Import) -> int:
    """The file, which is known to be good, into the table itself, and so through its views; the
    rows of all of them."""
    number = written = 0
    pieces = _open(target)
    while (piece := await _read(target, pieces)) is not None:
        encoding = piece.encoding
        body = await asyncio.to_thread(encoding.encode, piece.rows)
        try:
            async with target.ingestion.gate.writing(target.workspace_id):
                table = _current_table(target).table
                name = f"{target.database}.{table}:{target.id}:{number}"
                content = (encoding.format, encoding.columns, body)
                written += await _insert(target, target.database, table, content, name)
        except EngineError as error:
            last = piece.line + piece.rows.count(b"\n") - 1
            raise BadRequest(
                f"The import broke off at lines {piece.line} to {last} of the file, while its rows "
                f"went through materialised views. Those before are in; those lines may be in "
                f"'{target.datasource.name}' and in some views only. {error.message}"
            ) from None
        number += 1
    return written


async def _insert(
    target: Import,
    database: str,
    table: str,
    body: tuple[str, tuple[str, ...], bytes],
    name: str,
) -> int:
    format, columns, rows = body
    return await target.engine.insert(
        Insert(
            database=database,
            table=table,
            columns=columns,
            format=format,
            body=rows,
            token=hashlib.sha256(name.encode()).hexdigest(),
            settings=INPUT_SETTINGS,
        )
    )


def _open(target: Import) -> Iterator[Piece]:
    return cut_file(target.file, target.datasource, chunk_bytes=_CHUNK_BYTES)


async def _read(target: Import, pieces: Iterator[Piece]) -> Piece | None:
    """The next piece; in a thread, since the loop serves requests meanwhile."""
    try:
        return await asyncio.to_thread(next, pieces, None)
    except BadRequest as error:
        raise _refused(target, error.message) from None
    except (OSError, EOFError, zlib.error) as error:
        if target.file.compression is None:
            raise
        raise _refused(target, f"it is not a whole gzip file ({error})") from None


async def _explain(target: Import, piece: Piece, error: PipewrenError, attempt: Any) -> Exception:
    """A refused body as an error about the file."""
    if not is_of_rows(error):
        return error
    if piece.encoding.format == "Parquet":
        return _refused(target, reason_of(error))
    found = await describe_bad_row(piece, target.datasource, attempt)
    if found is None:
        found = f"from line {piece.line} on: {reason_of(error)}"
    return _refused(target, found)


def _refused(target: Import, reason: str) -> BadRequest:
    return BadRequest(
        f"There was an error with file contents, and no row of it was imported into "
        f"'{target.datasource.name}': {reason}"
    )


async def _views(target: Import, table: TableVersion) -> list[str]:
    return await scratch.find_views(target.engine, target.database, table.table)


async def _refuse_views(target: Import, table: TableVersion) -> None:
    if await _views(target, table):
        raise BadRequest(
            f"'{target.datasource.name}' cannot be replaced: materialised views read it, and would "
            "keep the rows of before. Truncate it and what the views write to, then append"
        )
