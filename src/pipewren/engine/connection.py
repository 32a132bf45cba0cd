"""One chDB connection with a profile, used by one thread only.

After an error the next query on a connection can begin with the failed one's bytes, another
caller's data (engine-chdb.md section 3). So every exception passes through `_clean`, the only
place that decides whether a connection may go on: it is flushed by an empty query, or replaced.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from pipewren.engine.contract import Insert, QuerySpan, Result, Statement, Statistics
from pipewren.engine.errors import Scrubber, translate_error
from pipewren.engine.profile import Profile, set_statement
from pipewren.engine.query_log import SpanClock
from pipewren.errors import BadRequest, Unavailable
from pipewren.sqltext import Sql, quote_identifier, quote_literal, trusted_sql

_TSV = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"}
)
# `{name:Array(...)}`: quoted text inside has ClickHouse's own escapes, and TSV's are not undone.
_STRUCTURED = re.compile(r"\{\s*(\w+)\s*:\s*(?:Array|Map|Tuple|Nested|Identifier)\b")

# How chDB's binding refuses a str that UTF-8 cannot hold (half a surrogate pair).
_NOT_UNICODE = re.compile(r"^(Unable to cast Python instance|(send_)?query\(\): incompatible)")
_APPEND_BYTES = 8_000_000
_FAILED_INSERTS = "SELECT sum(value) FROM system.events WHERE event = 'FailedInsertQuery'"

_T = TypeVar("_T")


class RawConnection(Protocol):
    """What is used of chDB's own connection. It raises RuntimeError with ClickHouse's text, or
    UnicodeDecodeError where that text is not UTF-8 (its bytes are in `.object`)."""

    def query(
        self, query_str: str | bytes, format: str, *, params: dict[str, str] = ...
    ) -> Any: ...
    def send_query(self, query_str: str, format: str, *, params: dict[str, str] = ...) -> Any: ...
    def streaming_fetch_result(self, streaming_result: Any) -> Any: ...
    def streaming_cancel_query(self, streaming_result: Any) -> None: ...
    def send_insert(self, query_str: str, format: str) -> Any: ...
    def insert_append(self, insert_result: Any, data: bytes) -> None: ...
    def insert_done(self, insert_result: Any) -> Any: ...
    def insert_cancel(self, insert_result: Any) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ConnectionSource:
    """Where connections come from. chDB allows one `path` per process, in one spelling."""

    path: str
    config_file: str
    scrubber: Scrubber

    def connect(self) -> RawConnection:
        # Imported when used: importing chDB starts threads, and the supervisor must never do so.
        import chdb

        raw: RawConnection = chdb._chdb.connect(f"{self.path}?config-file={self.config_file}")
        return raw


class Connection:
    """`name` is its log_comment, by which KILL finds its query; `waited_s` for how long the work
    under way had waited for it; `span` is that of the last query, where queries are logged."""

    __slots__ = (
        "_clock",
        "_database",
        "_profile",
        "_raw",
        "_source",
        "name",
        "replaced",
        "span",
        "waited_s",
    )

    def __init__(self, source: ConnectionSource, profile: Profile, name: str) -> None:
        self._source = source
        self._profile = profile
        self.name = name
        self.replaced = 0
        self.waited_s = 0.0
        self.span: QuerySpan | None = None
        self._clock = SpanClock(name) if profile.is_logged else None
        self._raw: RawConnection | None = None
        self._database = ""
        self._open()

    def run(self, statement: Statement) -> Result:
        """The whole result of one SELECT."""
        try:
            raw = self._raw
            if raw is None or statement.database != self._database:
                raw = self._prepare(statement.database)
            if self._clock is not None:
                self._clock.begin()
            if statement.parameters:
                answer = raw.query(statement.sql, statement.format, params=_escape(statement))
            else:
                answer = raw.query(statement.sql, statement.format)
            if self._clock is not None:
                self.span = self._clock.end()
            # `bytes` copies; the memory view would dangle once `answer` is gone.
            return Result(answer.bytes(), self._count(answer))
        except Exception as error:  # noqa: BLE001 - whatever failed, the connection is dirty
            self._fail(error, statement.sql, statement.hidden)

    def stream(self, statement: Statement) -> Generator[Result, None, None]:
        """The engine's chunks with what each one scanned; closing the generator early ends the
        query, which must happen on this connection's thread."""
        sql, database = statement.sql, statement.database
        parameters = _escape(statement)

        def send(raw: RawConnection) -> Any:
            if self._clock is not None:
                self._clock.begin()
            return raw.send_query(sql, statement.format, params=parameters)

        handle = self._do(send, sql, database, statement.hidden)
        is_first, is_over = True, False
        try:
            while not is_over:
                is_over = True  # also when fetching fails, which ends the stream
                chunk = self._do(
                    lambda raw: raw.streaming_fetch_result(handle), sql, database, statement.hidden
                )
                is_over = chunk is None or chunk.rows_read() == 0
                # The last fetch holds bytes only when the result is empty: the format's head.
                if chunk is not None and (is_first or not is_over) and chunk.size():
                    yield Result(chunk.bytes(), self._count(chunk))
                is_first = False
        finally:
            if not is_over:
                self._do(
                    lambda raw: raw.streaming_cancel_query(handle), sql, database, statement.hidden
                )
                self._clean()
            if self._clock is not None:
                self.span = self._clock.end() or self.span

    def execute(self, sql: Sql, database: str | None) -> bytes:
        """Run DDL or an admin's statement; the answer as JSONCompactEachRow."""

        def query(raw: RawConnection) -> bytes:
            answer: bytes = raw.query(sql, "JSONCompactEachRow").bytes()
            return answer

        return self._do(query, sql, database or self._profile.database)

    def execute_all(self, statements: Sequence[Sql]) -> bytes:
        """One after the other; the answer to the last."""
        return [self.execute(sql, None) for sql in statements][-1]

    def insert(self, insert: Insert) -> int:
        """Rows written, views included. A body counts whole or, beyond one block, by blocks."""
        sql = insert_statement(insert)

        def append(raw: RawConnection) -> int:
            failed = _count_failed_inserts(raw)
            if self._clock is not None:
                self._clock.begin()
            handle = raw.send_insert(sql, insert.format)
            try:
                for part in _parts(insert.body):
                    raw.insert_append(handle, part)
                written: int = raw.insert_done(handle).rows_written()
                if self._clock is not None:
                    self.span = self._clock.end()
            except Exception:
                # Without it the connection refuses every later query.
                with contextlib.suppress(RuntimeError):
                    raw.insert_cancel(handle)
                raise
            if _count_failed_inserts(raw) != failed:
                # `insert_done` tells of rows that cannot be parsed, and of nothing that happens to
                # them later (a DEFAULT, a partition, a view that fails). An INSERT with the rows in
                # its text does; where it was another insert that failed, the token makes it do
                # nothing.
                raw.query(f"{sql} FORMAT {insert.format}\n".encode() + insert.body, "CSV")
            return written

        return self._do(append, sql, self._profile.database)

    def close(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def _open(self) -> None:
        raw = self._source.connect()
        try:
            raw.query(f"USE {quote_identifier(self._profile.database)}", "CSV")
            if self._profile.role is not None:
                raw.query(f"SET ROLE {self._profile.role}", "CSV")
            raw.query(set_statement(self._profile, self.name), "CSV")
        except (RuntimeError, UnicodeDecodeError) as error:
            raw.close()
            raise translate_error(_text(error), sql="", scrubber=self._source.scrubber) from None
        self._raw = raw
        self._database = self._profile.database

    def _do(
        self,
        act: Callable[[RawConnection], _T],
        sql: str,
        database: str,
        hidden: tuple[str, ...] = (),
    ) -> _T:
        try:
            return act(self._prepare(database))
        except Exception as error:  # noqa: BLE001 - whatever failed, the connection is dirty
            self._fail(error, sql, hidden)

    def _prepare(self, database: str) -> RawConnection:
        if self._raw is None:
            self._open()
        raw = self._raw
        if raw is None:
            raise Unavailable("The engine is closed.")
        if database and database != self._database:
            raw.query(f"USE {quote_identifier(database)}", "CSV")
            self._database = database
        return raw

    def _count(self, answer: Any) -> Statistics:
        return Statistics(
            elapsed_s=answer.elapsed(),
            rows_read=answer.storage_rows_read(),
            bytes_read=answer.storage_bytes_read(),
            result_rows=answer.rows_read(),
            connection=self.name,
            waited_s=self.waited_s,
            span=self.span,
        )

    def _fail(self, error: Exception, sql: str, hidden: tuple[str, ...] = ()) -> NoReturn:
        if self._clock is not None:
            self.span = self._clock.end()
        self._clean()
        if _NOT_UNICODE.search(str(error)):
            raise BadRequest("The statement or a parameter is not valid Unicode text.") from None
        if isinstance(error, RuntimeError | UnicodeDecodeError):
            scrubber = self._source.scrubber
            raise translate_error(_text(error), sql=sql, scrubber=scrubber, hidden=hidden) from None
        raise error

    def _clean(self) -> None:
        """Leave no byte of the last query behind: flush, or replace the connection."""
        if self._raw is None:
            return
        try:
            self._raw.query("", "CSV")
            is_clean = self._raw.query("", "CSV").size() == 0
        except (RuntimeError, UnicodeDecodeError):
            is_clean = False
        if not is_clean:
            self.close()  # the next statement opens a new one
            self.replaced += 1


def insert_statement(insert: Insert) -> Sql:
    """`INSERT INTO db.table (columns) SETTINGS ...`, without FORMAT, as `send_insert` wants it."""
    columns = ", ".join(quote_identifier(column) for column in insert.columns)
    settings = (("insert_deduplication_token", insert.token), *insert.settings)
    return trusted_sql(
        f"INSERT INTO {quote_identifier(insert.database)}.{quote_identifier(insert.table)}"
        + (f" ({columns})" if columns else "")
        + " SETTINGS "
        + ", ".join(f"{name} = {quote_literal(value)}" for name, value in settings)
    )


def _escape(statement: Statement) -> dict[str, str]:
    """Values as chDB reads them: TSV, but for what has a syntax of its own."""
    raw = set(_STRUCTURED.findall(statement.sql)) if statement.parameters else ()
    return {
        name: value if name in raw else value.translate(_TSV)
        for name, value in statement.parameters
    }


def _count_failed_inserts(raw: RawConnection) -> bytes:
    count: bytes = raw.query(_FAILED_INSERTS, "CSV").bytes()
    return count


def _parts(body: bytes) -> Iterator[bytes]:
    if len(body) <= _APPEND_BYTES:
        yield body
    else:
        for start in range(0, len(body), _APPEND_BYTES):
            yield body[start : start + _APPEND_BYTES]


def _text(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace")
    return str(error)
