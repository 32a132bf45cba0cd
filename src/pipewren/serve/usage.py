"""What a server records of itself, for the service data sources (service-data-sources.md):
requests, what is done to data sources, their sizes, and jobs.

Each `note_...` and `observe` costs a few microseconds: rows are made later (usage/recorder.py).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pipewren.engine.contract import Engine, QueryCost, QuerySpan
from pipewren.engine.query_log import inserts_noted
from pipewren.errors import PipewrenError
from pipewren.ingest.fixtures import Loaded
from pipewren.serve.datasource_descriptions import Size
from pipewren.serve.forwarded import Network
from pipewren.serve.query_costs import QueryCosts
from pipewren.serve.request_record import RequestRecord
from pipewren.serve.request_rows import MAX_TEXT, request_row
from pipewren.settings import Settings
from pipewren.storage.deployments import TableVersion
from pipewren.storage.jobs import Job, JobStatus
from pipewren.storage.store import Store
from pipewren.usage.recorder import Recorder, Row
from pipewren.usage.service_tables import (
    BLOCKS,
    EVENT_REQUESTS,
    JOBS,
    OPERATIONS,
    REQUESTS,
    STORAGE,
    workspace_uuid,
)
from pipewren.usage.tables import make_tables

MAX_METADATA_BYTES = 8192
_NOT_METADATA = frozenset(
    {"token_id", "request_id", "error", "errors", "blocks", "is_cancellable", "progress_percentage"}
)


@dataclass(slots=True)
class Operation:
    """Something that is done to a data source: a row of `tinybird.datasources_ops_log`. `inserts`
    are those that it made, where there is a query log. Its `rows`
    and `written_rows`, those of views included and those of a quarantine not, are filled in when
    they are known; `error` says what went wrong. `event_type` is one of section 2."""

    event_type: str
    workspace_id: str
    datasource_id: str
    datasource_name: str
    request_id: str = ""
    job_id: str | None = None  # of imports also the import's
    tags: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    rows_quarantine: int = 0
    written_rows: int = 0
    blocks: tuple[str, ...] = ()
    error: str | None = None
    elapsed_s: float = 0.0
    ended_at_s: float = 0.0
    operation_id: str = ""
    inserts: Sequence[QuerySpan] = ()


class Usage:
    """`recorder` is None where nothing is to be recorded."""

    def __init__(
        self,
        recorder: Recorder | None = None,
        trusted_proxies: Collection[Network] = (),
        costs: QueryCosts | None = None,
    ) -> None:
        """`costs`, where there is a query log, is what `recorder` looks them up by."""
        self.recorder = recorder
        self._costs = costs or QueryCosts()
        self._trusted_proxies = trusted_proxies
        self._started: dict[str, str] = {}  # when a job began to work, by its id
        self._sampling: asyncio.Task[None] | None = None

    def start(self, sampling: Coroutine[Any, Any, None]) -> None:
        """Begin to write; `sampling` records sizes until it is cancelled."""
        if self.recorder is None:
            sampling.close()
            return
        self.recorder.start()
        self._sampling = asyncio.create_task(sampling)

    async def close(self) -> None:
        """Write what was recorded; before the engine closes."""
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)
        if self.recorder is not None:
            await self.recorder.close()

    def observe(self, record: RequestRecord) -> None:
        """A request that is over. One whose endpoint or caller is not known leaves nothing, and one
        that read usage neither."""
        if self.recorder is not None and record.resource_id and not record.reads_usage:
            self.recorder.record(REQUESTS, self._request_row, record)

    @contextmanager
    def operation(self, operation: Operation) -> Iterator[Operation]:
        """Around what is done, which is recorded with its time and its error."""
        began_s = time.perf_counter()
        try:
            with inserts_noted() as operation.inserts:
                yield operation
        except PipewrenError as error:
            operation.error = error.message
            raise
        except asyncio.CancelledError:
            operation.error = "It was cancelled"
            raise
        except BaseException:
            operation.error = "Internal error"
            raise
        finally:
            operation.elapsed_s = time.perf_counter() - began_s
            self.note_operation(operation)

    def note_operation(self, operation: Operation) -> None:
        """One that has ended."""
        if self.recorder is not None:
            operation.ended_at_s = operation.ended_at_s or time.time()
            operation.operation_id = operation.operation_id or str(uuid.uuid4())
            self.recorder.record(OPERATIONS, self._operation_row, operation)

    def note_group(self, operation: Operation) -> None:
        """A group of events that is in, or is given up."""
        self.note_operation(operation)
        if self.recorder is not None and operation.error is None:
            self.recorder.record(EVENT_REQUESTS, self._written_row, operation)

    def note_tables(
        self,
        workspace_id: str,
        before: Mapping[str, TableVersion],
        after: Mapping[str, TableVersion],
        *,
        elapsed_s: float,
        request_id: str = "",
    ) -> None:
        """A deployment that went live: data sources that it made, changed and deleted, by the
        tables that they have, as one operation."""
        operation_id = str(uuid.uuid4())
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            table = new or old
            if table is None or (old and new and old.version == new.version):
                continue
            event_type = "create" if old is None else "delete" if new is None else "alter"
            self.note_operation(
                Operation(
                    event_type,
                    workspace_id,
                    table.resource_id,
                    name,
                    request_id=request_id,
                    elapsed_s=elapsed_s,
                    operation_id=operation_id,
                )
            )

    def note_fixture(self, workspace_id: str, loaded: Loaded) -> None:
        """A file of the project's folder that was loaded at the start."""
        self.note_operation(
            Operation(
                "append",
                workspace_id,
                loaded.table.resource_id,
                loaded.table.datasource,
                options={"fixture": loaded.path},
                rows=loaded.rows,
                written_rows=loaded.written_rows,
                elapsed_s=loaded.elapsed_s,
            )
        )

    def note_job(self, job: Job) -> None:
        """A job in a new state."""
        if self.recorder is None:
            return
        if job.status is JobStatus.WORKING:
            self._started[job.id] = job.updated_at
        started_at = self._started.get(job.id)
        if job.is_over:
            self._started.pop(job.id, None)
        self.recorder.record(JOBS, _job_row, (job, started_at))
        if job.is_over:
            for block in job.detail.get("blocks", ()):
                self.recorder.record(BLOCKS, _block_row, (job, block))

    def note_size(
        self,
        workspace_id: str,
        table: TableVersion,
        size: Size,
        quarantine: Size,
        *,
        at_s: float,
    ) -> None:
        """How large a data source and its quarantine are."""
        if self.recorder is not None:
            row = {
                "workspace_id": workspace_uuid(workspace_id),
                "datasource_id": table.resource_id,
                "datasource_name": table.datasource,
                "timestamp": int(at_s),
                "bytes": size.bytes,
                "rows": size.rows,
                "bytes_quarantine": quarantine.bytes,
                "rows_quarantine": quarantine.rows,
            }
            self.recorder.record(STORAGE, _as_it_is, row)

    def _request_row(self, record: RequestRecord) -> Row:
        return request_row(record, self._trusted_proxies, self._costs.of(record.span))

    def _operation_row(self, operation: Operation) -> Row:
        return _operation_row(operation, self._costs.of_all(operation.inserts))

    def _written_row(self, operation: Operation) -> Row:
        return {
            "event_time": int(operation.ended_at_s),
            "workspace_id": workspace_uuid(operation.workspace_id),
            "datasource_id": operation.datasource_id,
            "ch_written_rows": operation.written_rows + operation.rows_quarantine,
            "ch_cpu_time": self._costs.of_all(operation.inserts).cpu_s,
        }


async def open_usage(
    settings: Settings, engine: Engine, store: Store, progress: Callable[[str], None]
) -> Usage:
    """Make the tables, which are read also where nothing is recorded. Where the disk has no room
    for them the server starts without, and makes them when there is."""

    async def prepare() -> None:
        await make_tables(engine, store, settings.usage_retention_days)

    costs = QueryCosts(engine) if engine.capabilities.knows_cpu_time else QueryCosts()
    recorder = Recorder(engine, prepare, look_up=costs.look_up if costs.engine else None)
    try:
        await recorder.prepare()
    except PipewrenError as error:
        progress(f"warning: usage is not recorded yet: {error.message}")
    return Usage(recorder if settings.usage else None, settings.trusted_proxies, costs)


def _as_it_is(row: Row) -> Row:
    return row


def _operation_row(operation: Operation, cost: QueryCost) -> Row:
    error = operation.error
    return {
        "workspace_id": workspace_uuid(operation.workspace_id),
        "timestamp": int(operation.ended_at_s),
        "event_type": operation.event_type,
        "datasource_id": operation.datasource_id,
        "datasource_name": operation.datasource_name,
        "result": "ok" if error is None else "error",
        "elapsed_time": round(operation.elapsed_s, 6),
        "error": error and error[:MAX_TEXT],
        "Options.Names": list(operation.options),
        "Options.Values": list(operation.options.values()),
        "request_id": operation.request_id,
        "import_id": operation.job_id,
        "job_id": operation.job_id,
        "rows": operation.rows,
        "rows_quarantine": None if operation.rows is None else operation.rows_quarantine,
        "blocks_ids": operation.blocks,
        "operation_id": operation.operation_id,
        "written_rows": operation.written_rows,
        "written_rows_quarantine": operation.rows_quarantine,
        "cpu_time": cost.cpu_s,
        "memory_usage": cost.memory_bytes,
        "resource_tags": operation.tags,
    }


def _job_row(noted: tuple[Job, str | None]) -> Row:
    job, started_at = noted
    detail = job.detail
    metadata = {key: value for key, value in detail.items() if key not in _NOT_METADATA}
    text = msgspec.json.encode(metadata)
    datasource = detail.get("datasource") or {}
    error = detail.get("error")
    return {
        "workspace_id": workspace_uuid(job.workspace_id),
        "job_id": job.id,
        "job_type": job.kind,
        "status": job.status.value,
        "error": error and error[:MAX_TEXT],
        "request_id": detail.get("request_id"),
        "datasource_id": datasource.get("id"),
        "created_at": _milliseconds(job.created_at),
        "started_at": started_at and _milliseconds(started_at),
        "updated_at": _milliseconds(job.updated_at),
        "job_metadata": text.decode() if len(text) <= MAX_METADATA_BYTES else "{}",
    }


def _block_row(noted: tuple[Job, Mapping[str, Any]]) -> Row:
    job, block = noted
    counts = block["process_return"][0]
    datasource = job.detail["datasource"]
    return {
        "workspace_id": workspace_uuid(job.workspace_id),
        "timestamp": job.updated_at[:19],
        "request_id": job.detail.get("request_id", ""),
        "import_id": job.id,
        "job_id": job.id,
        "source": "stream",
        "block_id": block_name(job.id, block),
        "status": "done",
        "datasource_id": datasource["id"],
        "datasource_name": datasource["name"],
        "rows": counts["lines"],
        "parser": job.detail.get("format"),
        "quarantine_lines": counts["quarantine"],
        "bytes": counts["bytes"],
        "processing_time": block["processing_time"],
        "processing_error": block["processing_error"],
    }


def block_name(job_id: str, block: Mapping[str, Any]) -> str:
    """A block's name among those of all imports."""
    return f"{job_id}:{block['block_id']}"


def _milliseconds(text: str) -> str:
    """`YYYY-MM-DD HH:MM:SS.mmm` of a time of the store's."""
    return text[:23]
