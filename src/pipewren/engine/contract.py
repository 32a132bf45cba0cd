"""What the rest of Pipewren may ask of a ClickHouse: a `Protocol` and plain records.

Implemented by `embedded.py` (chDB, in this process) and, later, by a cluster over HTTP. The
records hold text, numbers and bytes only, so that they can be sent over a wire; those that every
request makes are msgspec's, which are made several times as fast as frozen dataclasses. Nothing
here knows of pipes, tokens or HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import msgspec

from pipewren.sqltext import Sql


class Lane(Enum):
    """Which connections a query runs on. Waiting happens in Python, never in the engine."""

    LIGHT = "light"  # quick queries: about 2 connections per core, one thread each
    HEAVY = "heavy"  # long ones: 1 or 2 connections, all cores


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one query (limits.md section 2). They travel as connection options, since a
    `readonly=1` connection refuses SETTINGS (engine-chdb.md section 8)."""

    max_execution_time_s: float = 10.0
    max_memory_bytes: int = 2_000_000_000
    max_result_rows: int = 10_000
    max_result_bytes: int = 8_000_000
    max_threads: int = 1
    max_rows_to_read: int = 0  # scanned, not returned; 0 is no limit


class Statement(msgspec.Struct, frozen=True):
    """One read-only statement, ready to run: one SELECT, which the engine does not check.

    `database` is the current one for bare names; "" for a statement that names no table.
    `settings` are ClickHouse settings beyond `limits`, already checked against an allow list, as
    (name, value) pairs in name order: together with the limits they are the *profile*, and
    statements of the same profile share connections. `parameters` fill `{name:Type}`; `hidden` are
    values of theirs that no error's text may show.
    """

    sql: Sql
    database: str
    format: str = "JSON"
    limits: Limits = Limits()
    settings: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    lane: Lane = Lane.LIGHT
    hidden: tuple[str, ...] = ()


class QuerySpan(msgspec.Struct, frozen=True):
    """By what a query is found in the query log: the connection that ran it, and when, in
    microseconds of Unix time. A connection runs one query at a time."""

    connection: str
    began_us: int
    ended_us: int


class QueryCost(msgspec.Struct, frozen=True):
    """What the query log tells of a query: CPU time of all its threads, and its peak of memory."""

    cpu_s: float
    memory_bytes: int


class Statistics(msgspec.Struct, frozen=True):
    """What the engine counted: seconds, rows and bytes *scanned*, rows of the result. `connection`
    is the name by which the engine knows the connection that ran it (its log_comment), `waited_s`
    for how long the statement waited for one. `span` is None where no query log is kept."""

    elapsed_s: float = 0.0
    rows_read: int = 0
    bytes_read: int = 0
    result_rows: int = 0
    connection: str = ""
    waited_s: float = 0.0
    span: QuerySpan | None = None


class Result(msgspec.Struct, frozen=True):
    """A whole result: the engine's own bytes in the asked format."""

    body: bytes
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, as bytes in a ClickHouse input format.

    `token` is ClickHouse's insert_deduplication_token: the same token is inserted once, over
    restarts too, while the table's window remembers it (engine-chdb.md section 5). A body is
    atomic only up to one block (1,048,449 rows or 256 MB).
    """

    database: str
    table: str
    columns: tuple[str, ...]
    format: str
    body: bytes
    token: str
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this engine is and cannot do. `knows_cpu_time`: it keeps a query log."""

    name: str
    version: str
    knows_cpu_time: bool = False


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """`ready` answers queries; `writable` is False below the disk reserve; `reason` says why not,
    of either."""

    ready: bool
    writable: bool
    reason: str | None = None
    lost_connections: int = 0
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PoolState:
    """Workers and jobs of one pool. `lost` are workers whose query does not stop, beside the
    others; `waiting` jobs have none yet; `refused` are those that waited too long, so far."""

    name: str
    busy: int
    idle: int
    lost: int
    waiting: int
    refused: int


class ResultStream(Protocol):
    """An async iterator of the engine's chunks. `statistics` are whole when it has ended."""

    @property
    def statistics(self) -> Statistics: ...

    def __aiter__(self) -> ResultStream: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """End the query now, if it is not over; may be called again."""
        ...


class Engine(Protocol):
    """A running ClickHouse. Every method raises `errors.EngineError` (scrubbed), `errors.TimedOut`
    or `errors.Unavailable`; cancelling the awaiting task cancels the query in the engine."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def run(self, statement: Statement) -> Result:
        """Run one SELECT on a read-only connection; the whole result is in memory."""
        ...

    def stream(self, statement: Statement) -> ResultStream:
        """Run one SELECT and yield the engine's chunks; in formats with a head each chunk is a
        whole document (engine-chdb.md section 1). The caller must exhaust or close it."""
        ...

    async def read_rows(self, statement: Statement) -> Result:
        """Run one SELECT over rows that come with it as parameters, by the table function
        `format`, which readers may not call. The statement is Pipewren's own text: it runs with
        all rights, and can still write nothing."""
        ...

    async def execute(self, sql: Sql, *, database: str | None = None) -> None:
        """Run one DDL or admin statement on the admin connection. Raises `Unavailable` when the
        free disk space is below the reserve (DROP, TRUNCATE and DETACH still run)."""
        ...

    async def insert(self, insert: Insert) -> int:
        """Insert rows on the writer connection; returns the rows written, views included (also
        those that deduplication dropped). Raises `Unavailable` below the disk reserve, and where
        rows may not have reached the disk: repeated with its token, after the restart that
        follows, the insert is exact. `insert_errors.classify_insert_error` tells failures apart."""
        ...

    def require_room(self, coming_bytes: int) -> None:
        """Raise `Unavailable` unless the process may write so many bytes beside the engine: for
        all that it writes into the data directory. From any thread; costs a statvfs."""
        ...

    async def parse(self, sql: str) -> dict[str, Any]:
        """The tree of ClickHouse's own parser (`parseQueryToJSON`); executes nothing."""
        ...

    def health(self) -> EngineHealth: ...

    def pools(self) -> Sequence[PoolState]:
        """What the connections are doing now; costs microseconds."""
        ...

    async def figures(self) -> Mapping[str, int]:
        """What ClickHouse counts of itself, by the names of `figures.FIGURES`; costs a query of
        some milliseconds, which waits for no other."""
        ...

    async def query_costs(self, spans: Collection[QuerySpan]) -> Mapping[QuerySpan, QueryCost]:
        """What queries that are over have cost; none for those of which that is not certain, and
        without a query log. Costs a query of some milliseconds."""
        ...

    async def close(self) -> None:
        """Stop taking work, kill what runs, join the workers, close the connections."""
        ...
