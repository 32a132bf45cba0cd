"""The Events API: `POST /v0/events` (data-apis.md section 1).

Rows are read by the schema of the data source, and answered for when they are safe: 202 when they
are in the event log, 200 with `wait=true` when they are in the table. Rows that do not fit go to
the quarantine, whole requests of them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipewren.access.datasource_rights import require_append
from pipewren.access.rates import Rate
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.errors import BadRequest, NotFound, ViewFailed
from pipewren.project.model import Datasource
from pipewren.serve.answers import Answer, Header, json_answer
from pipewren.serve.call import DEPLOYMENT, STAGING
from pipewren.serve.datasource_descriptions import find_datasource
from pipewren.serve.event_bodies import Share, read_event_body
from pipewren.serve.event_rows import EventRows, Format, read_event_rows
from pipewren.serve.rate_limits import count_towards
from pipewren.serve.request_record import EventFigures, record_of
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.storage.deployments import TableVersion

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
        place, rows = await _read(server, place, body, format, share, is_staged=is_staged)
        accepted, quarantined = rows.count, rows.bad_count
        figures.rows = accepted + quarantined
        batches = rows.batches(place.table)
        del body, rows
        # Nothing is awaited between the look at the deployment and this.
        try:
            is_written = await server.ingestion.accept(
                place.deployment.workspace.id, batches, wait=waits
            )
        except ViewFailed:
            figures.accepted, figures.quarantined = accepted, quarantined
            raise
    figures.accepted, figures.quarantined = accepted, quarantined
    counts = {"successful_rows": accepted, "quarantined_rows": quarantined}
    return json_answer(200 if waits and is_written else 202, counts, headers)


def _note_caller(request: RouteRequest, caller: Caller, table: TableVersion) -> EventFigures:
    """For what observes requests: whose it is, and where its figures will stand."""
    record = record_of(request.scope)
    record.workspace_id = caller.workspace_id
    record.token_id, record.token_name = caller.token_id, caller.token_name
    record.events = EventFigures(table.resource_id, table.datasource)
    return record.events


async def _read(
    server: Server, place: _Place, body: bytes, format: Format, share: Share, *, is_staged: bool
) -> tuple[_Place, EventRows]:
    """The rows, and where they go: a deployment may go live while they are read."""
    workspace_id, resource_id = place.deployment.workspace.id, place.table.resource_id
    while True:
        reader = await server.row_readers.find(
            place.deployment, place.datasource, server.engine, is_staged=is_staged
        )
        rows = await read_event_rows(reader, place.datasource, body, format, server.engine, share)
        await server.writes.opened(workspace_id)
        if workspace_id not in server.deployments:
            raise NotFound("The workspace was deleted")
        current = server.deployment_of(workspace_id, is_staged=is_staged)
        found = _Place(current, *find_datasource(current, resource_id))
        if found.is_same(place):
            return found, rows
        rows.let_go()
        place = found


async def _take_rate(server: Server, place: _Place) -> tuple[Header, ...]:
    per_second = server.settings.rate_limit_events
    if not per_second:
        return ()
    key = ("events", place.deployment.workspace.id, place.table.resource_id)
    rate = Rate(f"the data source '{place.datasource.name}'", key, per_second)
    return await count_towards([rate], server)


def _read_format(request: RouteRequest) -> Format:
    given = request.text("format") or "ndjson"
    for format in FORMATS:
        if given == format:
            return format
    raise BadRequest(f"format={given[:40]} is not known here: send ndjson or json")


def _coding_of(request: RouteRequest) -> str:
    headers: Mapping[bytes, bytes] = dict(request.scope["headers"])
    return headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
