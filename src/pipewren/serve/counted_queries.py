"""Callers' statements whose rows may be larger than the engine counts: described, then written so
that every row counts (sql/counted_results.py)."""

from __future__ import annotations

from dataclasses import replace as replace_record

import msgspec
from msgspec.structs import replace

from pipewren.engine.contract import Statement
from pipewren.errors import EngineError
from pipewren.serve.filtered_calls import learned_of
from pipewren.serve.query_settings import Settings
from pipewren.serve.query_tables import QueryTables
from pipewren.serve.results import Asked, hide_values
from pipewren.sql.caller_errors import refused
from pipewren.sql.caller_statement import CallerStatement
from pipewren.sql.counted_results import (
    COUNTED_SETTINGS,
    DESCRIBE_SETTINGS,
    TYPES_CHANGED,
    Counted,
    count_all,
    describe,
)
from pipewren.sqltext import trusted_sql

_MAX_DESCRIPTION_BYTES = 2_000_000
_MAX_VALUE_BYTES = 250  # of the request's values, which a pipe may show in every row
_MAX_KEPT_CHARACTERS = 32_768
_THROWN = 395  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
_ROW = msgspec.json.Decoder(list[str])


def needs_counting(statement: CallerStatement, tables: QueryTables) -> bool:
    """Whether it must run as `count_results` has it."""
    if statement.is_description:
        return False
    if statement.may_be_large or tables.finalizes:
        return True
    if not statement.derived:
        return False
    return sum(len(str(value)) for value in tables.values.values()) > _MAX_VALUE_BYTES


async def count_results(
    runnable: Statement, asked: Asked, tables: QueryTables
) -> tuple[Statement, Asked]:
    """The statement that runs in place of `runnable`, under which bounds. Raises BadRequest for
    results that no limit would hold, and EngineError."""
    server = tables.server
    memory = learned_of(tables.deployment, server).counted
    key = _key_of(runnable, tables)
    counted: Counted | None = memory.find(key)
    if counted is None:
        description = replace(
            runnable,
            sql=trusted_sql(describe(runnable.sql)),
            format="JSONCompactEachRow",
            settings=_with(runnable, DESCRIBE_SETTINGS),
            limits=replace(runnable.limits, max_result_bytes=_MAX_DESCRIPTION_BYTES),
        )
        asked.record.sql = runnable.sql  # it may be this that takes long
        try:
            with server.admission.slot(asked.id):
                result = await server.engine.run(description)
        except EngineError as error:  # describing evaluates scalar subqueries, over rows
            raise hide_values(error, asked) from None
        columns = [(row[0], row[1]) for row in _ROW.decode_lines(result.body)]
        counted = count_all(runnable.sql, columns, finalize_states=tables.finalizes)
        if len(runnable.sql) <= _MAX_KEPT_CHARACTERS:
            memory.keep(key, counted)
    written = replace(
        runnable, sql=trusted_sql(counted.sql), settings=_with(runnable, COUNTED_SETTINGS)
    )
    bounded = replace_record(asked, divisor=counted.divisor, row_bytes=counted.names_bytes)
    return written, bounded


def check_types(error: EngineError, runnable: Statement, tables: QueryTables) -> None:
    """Raises BadRequest where `error` ended the counted form of `runnable` because its columns had
    other types than before; the next call describes it again."""
    if error.engine_code == _THROWN:  # of which some callers are told no more
        learned_of(tables.deployment, tables.server).counted.forget(_key_of(runnable, tables))
    if TYPES_CHANGED in error.message:
        raise refused(
            "The types of the result's columns depend on the time or on rows, and changed while "
            "the statement ran: write them out"
        ) from None


def _key_of(runnable: Statement, tables: QueryTables) -> tuple[object, ...]:
    return runnable.sql, runnable.settings, tables.finalizes


def _with(runnable: Statement, settings: Settings) -> Settings:
    return tuple(sorted({**dict(runnable.settings), **dict(settings)}.items()))
