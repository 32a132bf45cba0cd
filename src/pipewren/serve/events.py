"""The Events API: `POST /v0/events` (data-apis.md section 1).

Rows are read by the schema of the data source, and answered for when they are safe: 202 when they
are in the event log, 200 with `wait=true` when they are in the table. Rows that do not fit go to
the quarantine, whole requests of them too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal

from pipewren.access.datasource_rights import require_append
from pipewren.access.rates import Rate
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.few_at_once import take_a_breath
from pipewren.errors import BadRequest, NotFound, ViewFailed
from pipewren.ingest.batch import Batch
from pipewren.ingest.quarantine_rows import quarantine_batch
from pipewren.ingest.row_judge import judge
from pipewren.ingest.row_reader import ReadRows, RowReader, cut_slices
from pipewren.project.model import Datasource
from pipewren.serve.answers import Answer, Header, json_answer, rate_limit_headers
from pipewren.serve.call import DEPLOYMENT, STAGING
from pipewren.serve.datasource_descriptions import find_datasource
from pipewren.serve.event_bodies import read_event_body
from pipewren.serve.request_record import EventFigures, record_of
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.storage.deployments import TableVersion
from pipewren.storage.quarantine import quarantine_version

# Of lines read at a time, some 0.3 ms, or 10 where all are bad; and how long the loop is held.
SLICE_BYTES = 64_000
_HELD_S = 0.002

Format = Literal["ndjson", "json"]
FORMATS: tuple[Format, ...] = ("ndjson", "json")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the rows go, as it is now."""

    deployment: Deployment
    datasource: Datasource
    table: TableVersion

    def is_same(self, other: _Place) -> bool:
        return self.table == other.table and (
            self.datasource is other.datasource or self.datasource == other.datasource
        )


async def append_events(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/events?name=...`. Raises BadRequest, Forbidden, NotFound, PayloadTooLarge,
    TooManyRequests, Unavailable, ViewFailed."""
    caller, deployment = open_deployment(request, server)
    name = request.text("name")
    if not name:
        raise BadRequest("The parameter name is missing: the data source that the rows are for")
    format = _read_format(request)
    place = _Place(deployment, *find_datasource(deployment, name))
    figures = _note_caller(request, caller, place.table)
    require_append(caller, place.table)
    headers = await _take_rate(server, place)
    is_staged = request.text(DEPLOYMENT) == STAGING
    waits = request.flag("wait")
    assert request.receive is not None  # the routes have this function in UPLOADS
    with server.event_room.share() as share:
        try:
            body = await read_event_body(
                request.receive, _coding_of(request), server.settings.max_events_bytes, share
            )
        finally:
            figures.received_bytes = share.received
        figures.decompressed_bytes = len(body)
        place, reader, read = await _read(server, place, body, format, is_staged=is_staged)
        figures.rows = read.count + len(read.bad)
        batches = _make_batches(place, reader, read)
        # Nothing is awaited between the look at the deployment and this.
        try:
            is_written = await server.ingestion.accept(
                place.deployment.workspace.id, batches, wait=waits
            )
        except ViewFailed:
            figures.accepted, figures.quarantined = read.count, len(read.bad)
            raise
    figures.accepted, figures.quarantined = read.count, len(read.bad)
    counts = {"successful_rows": read.count, "quarantined_rows": len(read.bad)}
    return json_answer(200 if waits and is_written else 202, counts, headers)


def _note_caller(request: RouteRequest, caller: Caller, table: TableVersion) -> EventFigures:
    """For what observes requests: whose it is, and where its figures will stand."""
    record = record_of(request.scope)
    record.workspace_id = caller.workspace_id
    record.token_id, record.token_name = caller.token_id, caller.token_name
    record.events = EventFigures(table.resource_id, table.datasource)
    return record.events


async def _read(
    server: Server, place: _Place, body: bytes, format: Format, *, is_staged: bool
) -> tuple[_Place, RowReader, ReadRows]:
    """The rows, and where they go: a deployment may go live while they are read."""
    workspace_id, resource_id = place.deployment.workspace.id, place.table.resource_id
    while True:
        reader = await server.row_readers.find(
            place.deployment, place.datasource, server.engine, is_staged=is_staged
        )
        read = await _read_rows(reader, body, format, server)
        await server.writes.opened(workspace_id)
        if workspace_id not in server.deployments:
            raise NotFound("The workspace was deleted")
        current = server.deployment_of(workspace_id, is_staged=is_staged)
        found = _Place(current, *find_datasource(current, resource_id))
        if found.is_same(place):
            return found, reader, read
        place = found


async def _read_rows(reader: RowReader, body: bytes, format: Format, server: Server) -> ReadRows:
    parts: list[ReadRows] = []
    if format == "json":
        large = len(body) > SLICE_BYTES
        parts.append(
            await asyncio.to_thread(reader.read_json, body) if large else reader.read_json(body)
        )
    else:
        began_s = perf_counter()
        for lines in cut_slices(body, SLICE_BYTES):
            if perf_counter() - began_s > _HELD_S:
                await take_a_breath()
                began_s = perf_counter()
            parts.append(reader.read(lines))
    unsure = [row for part in parts for row in part.unsure]
    if unsure:
        parts.append(await judge(reader, unsure, server.engine))
    if len(parts) == 1:
        return parts[0]
    return ReadRows(
        b"".join(part.good for part in parts),
        sum(part.count for part in parts),
        tuple(row for part in parts for row in part.bad),
    )


def _make_batches(place: _Place, reader: RowReader, read: ReadRows) -> list[Batch]:
    batches: list[Batch] = []
    if read.count:
        table = place.table.table
        batches.append(Batch(table, reader.columns, reader.format, read.good, read.count))
    if read.bad:
        table = quarantine_version(place.table).table
        batches.append(quarantine_batch(place.datasource, table, read.bad, datetime.now(UTC)))
    return batches


async def _take_rate(server: Server, place: _Place) -> tuple[Header, ...]:
    per_second = server.settings.rate_limit_events
    if not per_second:
        return ()
    key = ("events", place.deployment.workspace.id, place.table.resource_id)
    rate = Rate(f"the data source '{place.datasource.name}'", key, per_second)
    state = await server.rates.take([rate])
    return rate_limit_headers(state.limit, state.remaining, state.reset_s)


def _read_format(request: RouteRequest) -> Format:
    given = request.text("format") or "ndjson"
    for format in FORMATS:
        if given == format:
            return format
    raise BadRequest(f"format={given[:40]} is not known here: send ndjson or json")


def _coding_of(request: RouteRequest) -> str:
    headers: Mapping[bytes, bytes] = dict(request.scope["headers"])
    return headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
