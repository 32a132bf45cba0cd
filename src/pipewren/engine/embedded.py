"""ClickHouse in this process (chDB): the `Engine` that a single server uses.

    light workers   2 per core, the pooled read-only connections of quick queries
    heavy workers   1 or 2, long queries on all cores
    writer          inserts
    admin           DDL
    figures         what ClickHouse counts of itself, so that it waits for nobody
    canceller       KILL QUERY, on a connection of its own so that it waits for nobody

One engine per process, and never a fork after it was opened. `close` stops everything; where
`health().lost_connections` is not 0 after it, a query did not stop, and the process must leave by
`os._exit`, since chDB crashes when the interpreter is torn down around a running query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from pipewren.engine import config, datadir, definitions, insert_tokens, query_log
from pipewren.engine.cancel import Canceller
from pipewren.engine.connection import Connection, ConnectionSource
from pipewren.engine.contract import (
    Capabilities,
    EngineHealth,
    Insert,
    Lane,
    Limits,
    PoolState,
    QueryCost,
    QuerySpan,
    Result,
    Statement,
)
from pipewren.engine.delivery import Delivery
from pipewren.engine.disk import frees_space, kept_free_bytes
from pipewren.engine.disk_guard import DiskGuard, count_failed_writes
from pipewren.engine.errors import make_scrubber
from pipewren.engine.figures import FIGURES_QUERY, read_figures
from pipewren.engine.options import EngineOptions, heavy_limits, light_connections
from pipewren.engine.pool import WorkerPool
from pipewren.engine.profile import (
    Profile,
    make_admin_profile,
    make_reader_profile,
    make_rows_profile,
)
from pipewren.engine.stream import EmbeddedStream
from pipewren.engine.trees import decode_tree
from pipewren.errors import BadRequest, EngineError, PipewrenError, StartError
from pipewren.sqltext import Sql, trusted_sql

_log = logging.getLogger("pipewren.engine")

_WATCH_PAUSE_S = 0.05
_DISK_PAUSE_S = 1.0
_FIGURES_S = 5.0  # at most, for waiting and for running
_KEPT_FREE = trusted_sql("SELECT toString(keep_free_space) FROM system.disks")
_PARSE = trusted_sql("SELECT parseQueryToJSON({q:String})")


class EmbeddedEngine:
    """Made by `EmbeddedEngine.open`; its methods are those of `contract.Engine`."""

    def __init__(
        self,
        options: EngineOptions,
        data_dir: datadir.DataDir,
        source: ConnectionSource,
        first: Connection,
        version: str,
        disk: DiskGuard,
    ) -> None:
        self._options = options
        self._data_dir = data_dir
        self._source = source
        self._version = version
        self._disk = disk
        self._is_closed = False
        self._lost_at_close = 0
        delivery = self._delivery = Delivery(asyncio.get_running_loop())
        canceller = self._canceller = Canceller(first)
        canceller.start()

        def make_pool(
            name: str, size: int, profile: Profile, max_wait_s: float = 0.0
        ) -> WorkerPool:
            return WorkerPool(
                name,
                size,
                profile,
                connect=self._connect,
                delivery=delivery,
                canceller=canceller,
                max_profiles=options.profiles_per_worker,
                stuck_after_s=options.stuck_after_s,
                max_wait_s=max_wait_s,
            )

        self._limits = {Lane.LIGHT: options.light_limits, Lane.HEAVY: heavy_limits(options)}
        self._lanes = {
            Lane.LIGHT: make_pool(
                "light",
                light_connections(options),
                self._reader(self._limits[Lane.LIGHT]),
                options.max_wait_s,
            ),
            Lane.HEAVY: make_pool(
                "heavy",
                options.heavy_connections,
                self._reader(self._limits[Lane.HEAVY]),
                options.max_wait_s,
            ),
        }
        admin = make_admin_profile(options)
        self._writer = make_pool("writer", 1, make_admin_profile(options, writes=True))
        self._admin = make_pool("admin", 1, admin)
        self._figures = make_pool("figures", 1, admin, _FIGURES_S)
        self._watchers = (
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._watch_disk()),
        )

    @classmethod
    async def open(cls, options: EngineOptions) -> EmbeddedEngine:
        """Lock the data directory and start ClickHouse on it, on the running event loop.

        Raises StartError: the directory is in use or not writable, of another format, has a
        broken definition (see `definitions.restore_definitions`), or ClickHouse refuses it.
        """
        data_dir = datadir.open_data_dir(options)
        first: Connection | None = None
        try:
            definitions.require_definitions(data_dir.path)
            definitions.remove_broken_mutations(data_dir.path)
            insert_tokens.mend_token_logs(data_dir.path)
            source = ConnectionSource(
                str(data_dir.engine_path),
                str(data_dir.config_file),
                make_scrubber(str(data_dir.path)),
            )
            try:
                first = await asyncio.to_thread(
                    Connection, source, make_admin_profile(options), "cancel-1"
                )
                version = await asyncio.to_thread(_check_server, first, options)
                disk = await asyncio.to_thread(_guard_disk, first, data_dir.path, options)
                if options.query_log:
                    await asyncio.to_thread(first.execute_all, query_log.MAKE)
            except (RuntimeError, EngineError) as error:
                raise StartError(
                    f"ClickHouse does not start on {data_dir.engine_path}: {error}"
                ) from None
            return cls(options, data_dir, source, first, version, disk)
        except BaseException:
            if first is not None:
                first.close()
            datadir.close_data_dir(data_dir)
            raise

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("chdb", self._version, knows_cpu_time=self._options.query_log)

    @property
    def connection_string(self) -> str:
        """What another raw connection of this process must be opened with (chDB allows one path
        per process, in one spelling); for benchmarks and tests."""
        return f"{self._source.path}?config-file={self._source.config_file}"

    async def run(self, statement: Statement) -> Result:
        """Run one SELECT; the whole result is in memory. See `contract.Engine`."""
        return await self._run(statement, self._profile(statement))

    def stream(self, statement: Statement) -> EmbeddedStream:
        """Run one SELECT in chunks. See `contract.Engine`."""
        return EmbeddedStream(
            statement, self._lanes[statement.lane], self._delivery, self._profile(statement)
        )

    async def read_rows(self, statement: Statement) -> Result:
        """Run one SELECT over rows that come with it. See `contract.Engine`."""
        profile = make_rows_profile(self._reader(statement.limits, statement.settings))
        return await self._run(statement, profile)

    async def execute(self, sql: Sql, *, database: str | None = None) -> None:
        """Run one DDL or admin statement. See `contract.Engine`."""
        if not frees_space(sql):
            self._disk.require()
        await self._admin.run(
            lambda connection: self._disk.run(connection, lambda on: on.execute(sql, database))
        )

    async def insert(self, insert: Insert) -> int:
        """Insert rows; returns the rows written. See `contract.Engine`.

        An insert that has begun is not killed when its caller is cancelled: it would leave some
        of its blocks. It ends by itself, and the token makes a repetition exact.
        """
        if not insert.format.isalnum():
            raise BadRequest(f"Unknown input format {insert.format!r}.")
        self._disk.require(len(insert.body))

        def write(connection: Connection) -> tuple[int, QuerySpan | None]:
            written = self._disk.run(connection, lambda on: on.insert(insert))
            return written, connection.span

        rows: int
        rows, span = await asyncio.shield(asyncio.ensure_future(self._writer.run(write)))
        query_log.note_insert(span)
        return rows

    def require_room(self, coming_bytes: int) -> None:
        """See `contract.Engine`."""
        self._disk.require(coming_bytes)

    async def parse(self, sql: str) -> dict[str, Any]:
        """The tree of ClickHouse's own parser. See `contract.Engine`."""
        answer = await self.run(Statement(_PARSE, "", format="RawBLOB", parameters=(("q", sql),)))
        return decode_tree(answer.body)

    async def describe_objects(self, database: str) -> list[tuple[str, str]]:
        """(name, CREATE statement with its UUID) of every object, and of the database itself
        under the name "": what `definitions.restore_definitions` can write again."""
        sql = definitions.describe_objects_query(database)
        body: bytes = await self._admin.run(lambda connection: connection.execute(sql, None))
        pairs = map(msgspec.json.decode, body.splitlines())
        return sorted((name, text) for name, text in pairs if text)

    def health(self) -> EngineHealth:
        """What the engine can do now; costs one statvfs."""
        pools = (*self._lanes.values(), self._writer, self._admin)
        lost = sum(pool.lost for pool in pools)
        reason = None
        if self._is_closed:
            lost, reason = self._lost_at_close, "The engine is closed."
        elif self._disk.reason is not None:
            reason = self._disk.reason
        elif any(pool.is_exhausted for pool in pools) or self._has_lost_half():
            reason = "Queries that do not stop hold every connection: restart the server."
        elif self._canceller.failure is not None:
            reason = "Queries cannot be cancelled: restart the server."
        is_ready = reason is None
        reason = reason or self._disk.reason_not_to_write()
        return EngineHealth(
            ready=is_ready,
            writable=reason is None,
            reason=reason,
            lost_connections=lost,
            detail={
                "disk_free_bytes": self._disk.free_bytes(),
                "failed_writes": self._disk.failed_writes,
                "kills": self._canceller.kills,
            },
        )

    def pools(self) -> Sequence[PoolState]:
        """See `contract.Engine`."""
        return [pool.state() for pool in (*self._lanes.values(), self._writer, self._admin)]

    async def figures(self) -> Mapping[str, int]:
        """See `contract.Engine`."""
        body: bytes = await self._figures.run(
            lambda connection: connection.execute(FIGURES_QUERY, None), limit_s=_FIGURES_S
        )
        return read_figures(body)

    async def query_costs(self, spans: Collection[QuerySpan]) -> Mapping[QuerySpan, QueryCost]:
        """See `contract.Engine`."""
        if not self._options.query_log or not spans:
            return {}
        statements = (query_log.FLUSH, query_log.costs_query(spans))
        body: bytes = await self._figures.run(
            lambda connection: connection.execute_all(statements), limit_s=_FIGURES_S
        )
        return query_log.match_costs(spans, body)

    async def close(self) -> None:
        """Stop taking work, let inserts and DDL end, kill queries, close all connections.

        Takes at most `close_timeout_s` twice. See the module's text for what may remain.
        """
        if self._is_closed:
            return
        self._is_closed = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for pool in (*self._lanes.values(), self._figures):
            pool.begin_close()
        for pool in (self._writer, self._admin):
            pool.begin_close(kill=False)
        pools = (*self._lanes.values(), self._writer, self._admin, self._figures)
        if not await asyncio.to_thread(_join, pools, self._options.close_timeout_s):
            for pool in (self._writer, self._admin):
                pool.kill_running()
            await asyncio.to_thread(_join, pools, self._options.close_timeout_s)
        for pool in pools:
            pool.watch(monotonic())
        self._lost_at_close = sum(pool.count_alive() for pool in pools)
        self._canceller.stop()
        await asyncio.to_thread(self._canceller.join, self._options.close_timeout_s)
        datadir.close_data_dir(self._data_dir)

    def _has_lost_half(self) -> bool:
        readers = self._lanes.values()
        return 2 * sum(pool.lost for pool in readers) > sum(pool.size for pool in readers)

    def _connect(self, profile: Profile, name: str) -> Connection:
        return Connection(self._source, profile, name)

    def _reader(self, limits: Limits, settings: tuple[tuple[str, str], ...] = ()) -> Profile:
        return make_reader_profile(limits, settings, self._options)

    async def _run(self, statement: Statement, profile: Profile | None) -> Result:
        result: Result = await self._lanes[statement.lane].run(
            lambda connection: connection.run(statement),
            profile=profile,
            limit_s=statement.limits.max_execution_time_s,
        )
        return result

    def _profile(self, statement: Statement) -> Profile | None:
        """None for the lane's own profile, which is the common and cheap case."""
        if not statement.settings and statement.limits == self._limits[statement.lane]:
            return None
        return self._reader(statement.limits, statement.settings)

    async def _watch(self) -> None:
        pools = (*self._lanes.values(), self._writer, self._admin, self._figures)
        while True:
            await asyncio.sleep(_WATCH_PAUSE_S)
            self._delivery.flush()
            now = monotonic()
            for pool in pools:
                pool.watch(now)

    async def _watch_disk(self) -> None:
        """A merge that fails tells nobody."""
        while True:
            await asyncio.sleep(_DISK_PAUSE_S)
            with contextlib.suppress(PipewrenError):
                await self._figures.run(self._disk.watch, limit_s=_FIGURES_S)


def _check_server(connection: Connection, options: EngineOptions) -> str:
    """The server's version. Raises StartError where it has not taken the configuration, which
    ClickHouse ignores silently when it does not know or cannot find it."""

    def read(table: str) -> Mapping[str, str]:
        body = connection.execute(trusted_sql(f"SELECT name, value FROM system.{table}"), None)
        return dict(map(msgspec.json.decode, body.splitlines()))

    for table, expected in (
        ("server_settings", config.server_settings(options)),
        ("merge_tree_settings", config.table_settings(options)),
    ):
        for name, value, actual in config.find_unapplied(expected, read(table)):
            raise StartError(
                f"ClickHouse did not take the configuration: {name} is {actual}, not {value}. "
                "Was another engine opened in this process before?"
            )
    kept = kept_free_bytes(options.disk_reserve_bytes)
    if [str(kept)] != msgspec.json.decode(connection.execute(_KEPT_FREE, None)):
        raise StartError("ClickHouse did not take the configuration: keep_free_space_bytes.")
    body = connection.execute(trusted_sql("SELECT version()"), None)
    version: str = msgspec.json.decode(body)[0]
    return version


def _guard_disk(connection: Connection, path: Path, options: EngineOptions) -> DiskGuard:
    """After a full disk: see that the repetition of lost inserts is no duplicate."""
    for lost in insert_tokens.forget_lost_inserts(lambda sql: connection.execute(sql, None)):
        _log.warning(
            "%d inserts into %s.%s could not be written and count as not made",
            lost.tokens,
            lost.database,
            lost.table,
        )
    return DiskGuard(path, options.disk_reserve_bytes, count_failed_writes(connection))


def _join(pools: tuple[WorkerPool, ...], timeout_s: float) -> bool:
    deadline = monotonic() + timeout_s
    return all([pool.join(deadline) for pool in pools])
