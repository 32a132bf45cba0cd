"""From a statement to its answer: small results whole, large ones as they are produced.

Small results are the engine's own bytes in one piece. Where one passes that bound nothing is sent
yet: the statement runs again as a stream, and the endpoint is remembered as large (design,
decision 12). A stream is drained by a task of its own into a `Spool`, whatever its reader does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from pipewren.engine.contract import Lane, Result, Statement
from pipewren.engine.errors import RESULT_TOO_LARGE, tells_no_value, withhold_details
from pipewren.errors import EngineError, TimedOut
from pipewren.serve.answers import Answer, StreamedAnswer
from pipewren.serve.documents import Joiner, make_joiner
from pipewren.serve.formats import Format, finish_body
from pipewren.serve.pace import Pace
from pipewren.serve.request_record import RequestRecord, record_of
from pipewren.serve.server import Server
from pipewren.serve.spool import Spool
from pipewren.sql.filtered_answers import hide_counts, hide_scanned

STREAM_BLOCK_ROWS = 8192
# A value of the statement can be a column of its own in every row, which the engine's bounds on
# results do not count (engine-chdb.md section 4). So a long statement gets fewer rows at a time.
_MAX_CONSTANT_BYTES = 64_000_000
_MAX_BLOCK_BYTES = 8_000_000  # of which a handful are in memory at a time
_TOTALS = re.compile(r"\bTOTALS\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for besides rows. `id` is by what the requests inside are counted, `name` is
    told to the caller. `is_filtered`: there are rows that the caller must not know of, so errors
    and statistics tell nothing of what was read; `hides_values`: errors tell no value of a row.
    `record` is the request's. The engine's count of the result is too small by a factor of up to
    `divisor`, and by `row_bytes` in every row."""

    id: str
    name: str
    format: Format
    pace: Pace
    is_filtered: bool = False
    hides_values: bool = False
    record: RequestRecord = field(default_factory=lambda: record_of(None))
    divisor: int = 1
    row_bytes: int = 0


async def answer_statement(
    statement: Statement, asked: Asked, server: Server
) -> Answer | StreamedAnswer:
    """Raises EngineError, TimedOut or TooManyRequests while nothing is sent."""
    asked.record.sql = statement.sql
    if not (asked.is_filtered or asked.hides_values):
        return await _answer(statement, asked, server)
    try:
        return await _answer(statement, asked, server)
    except EngineError as error:
        raise hide_values(error, asked) from None


def hide_values(error: EngineError, asked: Asked) -> EngineError:
    """What the caller is told of an error, of whatever was run for its statement."""
    if not (asked.is_filtered or asked.hides_values):
        return error
    if not asked.is_filtered and tells_no_value(error):
        return error
    return withhold_details(error)


async def _answer(statement: Statement, asked: Asked, server: Server) -> Answer | StreamedAnswer:
    pace = asked.pace
    if not pace.is_large:
        try:
            with server.admission.slot(asked.id):
                result = await server.engine.run(bound_small(statement, asked))
        except TimedOut:
            pace.observe(statement.limits.max_execution_time_s)
            raise
        except EngineError as error:
            if error.engine_code != RESULT_TOO_LARGE:
                raise
            if max_rows(statement, asked) >= statement.limits.max_result_rows:
                pace.observe_large()
        else:
            pace.observe(result.statistics.elapsed_s)
            return await _whole(result, asked, server)
    format = asked.format
    joiner = make_joiner(format.engine_format) if format.rewrite is None else None
    if joiner is None or _has_totals(statement):
        with server.admission.slot(asked.id):
            result = await server.engine.run(bound_large(statement, asked, server))
        pace.observe(result.statistics.elapsed_s)
        return await _whole(result, asked, server)
    return await _stream(statement, asked, joiner, server)


def _has_totals(statement: Statement) -> bool:
    """Whether there are rows apart from the result's, which a stream knows nothing of."""
    has_extremes = dict(statement.settings).get("extremes", "0") not in ("0", "false")
    return has_extremes or _TOTALS.search(statement.sql) is not None


def bound_small(statement: Statement, asked: Asked) -> Statement:
    """Its limits are the pooled connections' own, unless it is long."""
    rows = max_rows(statement, asked)
    limits = statement.limits
    if rows >= limits.max_result_rows and asked.divisor == 1:
        return statement
    limits = replace(
        limits,
        max_result_rows=min(rows, limits.max_result_rows),
        max_result_bytes=limits.max_result_bytes // asked.divisor,
    )
    return replace(statement, limits=limits)


def bound_large(statement: Statement, asked: Asked, server: Server) -> Statement:
    """For one piece: the answer's own limit, and of a long statement fewer rows."""
    rows = max_rows(statement, asked)
    limits = replace(
        statement.limits,
        max_result_rows=0 if rows >= statement.limits.max_result_rows else rows,
        max_result_bytes=server.settings.max_result_bytes // asked.divisor,
    )
    return replace(statement, limits=limits, lane=Lane.HEAVY)


def bound_stream(statement: Statement, asked: Asked, server: Server) -> Statement:
    """For chunks: bounded blocks. The bytes that are produced are counted here, not there."""
    settings = dict(statement.settings)
    rows = min(
        int(settings.get("max_block_size", STREAM_BLOCK_ROWS)),
        STREAM_BLOCK_ROWS,
        max_rows(statement, asked, _MAX_BLOCK_BYTES),
    )
    settings["max_block_size"] = str(rows)
    limits = replace(
        statement.limits,
        max_result_rows=0,
        max_result_bytes=server.settings.max_result_bytes // asked.divisor,
    )
    return replace(
        statement, limits=limits, lane=Lane.HEAVY, settings=tuple(sorted(settings.items()))
    )


def max_rows(statement: Statement, asked: Asked, max_bytes: int = _MAX_CONSTANT_BYTES) -> int:
    """How many rows may hold the statement's text once, or the names of all columns; a power of
    two, for few profiles."""
    rows = max_bytes // max(len(statement.sql), asked.row_bytes)
    return 1 << (rows.bit_length() - 1) if rows > 1 else 1


def too_large(name: str, server: Server) -> EngineError:
    """As the engine's own, whose count leaves out names and constant columns."""
    return EngineError(
        f"[Error] The result of {name} is larger than "
        f"{server.settings.max_result_bytes:,} bytes (max_result_bytes): add a LIMIT or select "
        "fewer columns. (TOO_MANY_ROWS_OR_BYTES)",
        engine_code=RESULT_TOO_LARGE,
        engine_name="TOO_MANY_ROWS_OR_BYTES",
        status=400,
    )


async def _whole(result: Result, asked: Asked, server: Server) -> Answer:
    if len(result.body) > server.settings.max_result_bytes:
        raise too_large(asked.name, server)
    asked.record.statistics = result.statistics
    if asked.is_filtered:
        result = hide_scanned(result, asked.format.engine_format)
    body = await finish_body(asked.format, result.body)
    return Answer(200, ((b"content-type", asked.format.content_type),), body)


async def _stream(
    statement: Statement, asked: Asked, joiner: Joiner, server: Server
) -> StreamedAnswer:
    spool = Spool(server.spool_room)
    drain = asyncio.create_task(_drain(statement, asked, joiner, spool, server))
    try:
        # Until the first bytes are there an error still has its status.
        first = await spool.take()
    except BaseException:
        drain.cancel()
        spool.close()
        raise
    return StreamedAnswer(
        200, ((b"content-type", asked.format.content_type),), _Parts(first, spool, drain)
    )


async def _drain(
    statement: Statement, asked: Asked, joiner: Joiner, spool: Spool, server: Server
) -> None:
    """The stream into the spool. What goes wrong reaches the reader through it."""
    loop = asyncio.get_running_loop()
    max_bytes = server.settings.max_result_bytes
    size = 0
    try:
        with server.admission.slot(asked.id):
            began = loop.time()
            stream = server.engine.stream(bound_stream(statement, asked, server))
            try:
                async for chunk in stream:
                    part = joiner.join(chunk)
                    size += len(part)
                    if size > max_bytes:
                        raise too_large(asked.name, server)
                    await spool.put(part)
            finally:
                await stream.aclose()
        # A stream's chunks know no time of the whole.
        statistics = replace(stream.statistics, elapsed_s=loop.time() - began)
        asked.record.statistics = statistics
        asked.pace.observe(statistics.elapsed_s)
        asked.pace.observe_streamed(statistics.result_rows, size)
        await spool.put(joiner.end(hide_counts(statistics) if asked.is_filtered else statistics))
        spool.end()
    except Exception as error:  # noqa: BLE001 - it is raised again at the reader's side
        spool.end(error)


class _Parts(AsyncGenerator[bytes, None]):
    """What the reader takes of a spool. No generator function: one that was not begun, for HEAD and
    for clients who hang up early, would close nothing."""

    def __init__(self, first: bytes, spool: Spool, drain: asyncio.Task[None]) -> None:
        self._first = first
        self._spool = spool
        self._drain = drain

    async def asend(self, value: None) -> bytes:
        part, self._first = self._first, b""
        try:
            part = part or await self._spool.take()
        except BaseException:
            self._close()
            raise
        if not part:
            self._close()
            raise StopAsyncIteration
        return part

    async def athrow(self, *error: Any) -> bytes:
        self._close()
        return await super().athrow(*error)

    async def aclose(self) -> None:
        self._close()

    def _close(self) -> None:
        self._drain.cancel()
        self._spool.close()
