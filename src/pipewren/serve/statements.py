"""Compiled statements as the engine takes them: in their lane, under their limits."""

from __future__ import annotations

from msgspec.structs import replace

from pipewren.engine.contract import Lane, Statement
from pipewren.errors import BadRequest
from pipewren.serve.results import Asked
from pipewren.serve.server import Server
from pipewren.sql.row_filters import FilteredStatement
from pipewren.sql.time_zones import names_special_file
from pipewren.sqltext import Sql


def check_size(sql: Sql, max_bytes: int) -> None:
    """Raises BadRequest for a statement that the engine would refuse to read."""
    if 4 * len(sql) > max_bytes and len(sql.encode()) > max_bytes:
        raise BadRequest(
            f"The statement is larger than {max_bytes:,} bytes (max_query_bytes): send fewer or "
            "shorter values"
        )


def check_texts(sql: str) -> None:
    """Raises BadRequest for a statement with a text that would, as a time zone, have the engine
    read what has no end. Authors' templates take zones as parameters."""
    if names_special_file(sql):
        raise BadRequest(
            "A value begins with file: and names a special file of the server: no time zone is one"
        )


def make_statement(
    filtered: FilteredStatement,
    asked: Asked,
    switches: tuple[tuple[str, str], ...],
    server: Server,
    lane: Lane | None = None,
) -> Statement:
    """The compiled statement as the engine takes it: in its lane, which its pace says unless it is
    given, under its limits."""
    compiled, format, lane = filtered.statement, asked.format, lane or asked.pace.lane
    limits = server.limits[lane]
    if compiled.max_threads is not None:
        limits = replace(limits, max_threads=min(compiled.max_threads, limits.max_threads))
    if compiled.max_execution_time_s is not None:
        seconds = min(compiled.max_execution_time_s, server.settings.longest_execution_time_s)
        limits = replace(limits, max_execution_time_s=seconds)
    settings = compiled.settings
    if switches or format.settings:
        given = {**dict(settings), **dict(switches), **dict(format.settings)}
        settings = tuple(sorted(given.items()))
    return Statement(
        compiled.sql, filtered.database, format.engine_format, limits, settings, lane=lane
    )
