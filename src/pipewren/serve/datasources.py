"""The Data Sources API (data-apis.md section 2): reading, and truncate. Files are the source of
truth, so nothing here changes what a data source is."""

from __future__ import annotations

from pipewren.access.authorize import readable_pipes
from pipewren.access.caller import Caller
from pipewren.access.datasource_rights import may_count, may_see, require_replace, require_sight
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.inventory import count_rows
from pipewren.deploy.views import feeding_tables, feeds_views
from pipewren.project.quarantine import quarantine_name
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.background import run_to_the_end
from pipewren.serve.call import DEPLOYMENT, STAGING
from pipewren.serve.datasource_descriptions import (
    Described,
    Description,
    cut_description,
    describe_datasource,
    find_datasource,
    find_described,
    find_users,
    read_sizes,
)
from pipewren.serve.request_record import record_of
from pipewren.serve.route_request import TEXT_TYPE, RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.usage import Operation
from pipewren.sqltext import Sql, quote_identifier
from pipewren.storage.table_times import list_table_times


async def list_datasources(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources`: those that the token may read or append to. `attrs` names the keys to
    show, separated by commas; absent or empty shows all. Quarantines are not listed."""
    caller, deployment = open_deployment(request, server)
    found = [
        Described(deployment.project.datasources[name], table, table)
        for name, table in deployment.tables.items()
        if may_see(caller, table)
    ]
    keys = _read_keys(request)
    described = await _describe(caller, deployment, found, server)
    return json_answer(200, {"datasources": [cut_description(one, keys) for one in described]})


async def show_datasource(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources/NAME-OR-ID`. `attrs` cuts it where it names `columns` only: clients that
    ask for `used_by` want the rest too. A quarantine is shown to who may see its data source.
    Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    found = find_described(deployment, request.names["datasource"])
    require_sight(caller, found.owner)
    keys = _read_keys(request)
    (described,) = await _describe(caller, deployment, [found], server)
    is_strict = keys is not None and "columns" in keys
    return json_answer(200, cut_description(described, keys if is_strict else None))


async def show_datafile(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources/NAME.datasource`: the datafile's text. Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    datasource, table = find_datasource(deployment, request.names["datasource"])
    require_sight(caller, table)
    return Answer(200, (TEXT_TYPE,), datasource.content.encode())


async def truncate(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/datasources/NAME/truncate`: drop its rows, and nothing else: its quarantine is
    truncated by its own name. Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    table = find_described(deployment, request.names["datasource"]).table
    require_replace(caller)
    is_staged = request.text(DEPLOYMENT) == STAGING
    operation = Operation(
        "truncate",
        deployment.workspace.id,
        table.resource_id,
        table.datasource,
        request_id=record_of(request.scope).request_id,
    )
    work = _truncate(server, operation, is_staged=is_staged)
    await run_to_the_end(server, work)
    return Answer(205, (), b"")


async def _truncate(server: Server, operation: Operation, *, is_staged: bool) -> None:
    workspace_id, resource_id = operation.workspace_id, operation.datasource_id
    async with server.writes.writing(workspace_id):
        # As it is now: a deployment may have gone live while this waited.
        deployment = server.deployment_of(workspace_id, is_staged=is_staged)
        found = find_described(deployment, resource_id)
        operation.tags = found.datasource.tags.names
        database, table = deployment.workspace.database, found.table.table
        name = f"{quote_identifier(database)}.{quote_identifier(table)}"
        tables = feeding_tables(deployment.pipes, deployment.tables, found.datasource.name)
        may_drop = len(tables) == 1 and not feeds_views(deployment.pipes, found.datasource.name)
        with server.usage.operation(operation):
            # What was acknowledged before goes with the rows; what is still in the log would come
            # back, since the engine forgets the tokens of inserts too.
            async with server.ingestion.flushed(workspace_id, tables, or_drop=may_drop):
                rows = await count_rows(server.engine, database, table)
                await server.engine.execute(Sql(f"TRUNCATE TABLE {name}"))
                operation.rows = rows


async def list_connectors(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/connectors`: there are none to show yet."""
    open_deployment(request, server)
    return json_answer(200, {"connectors": []})


async def _describe(
    caller: Caller, deployment: Deployment, found: list[Described], server: Server
) -> list[Description]:
    with server.store.begin() as connection:
        times = list_table_times(connection, deployment.workspace.id)
    sizes = await read_sizes(deployment, server.engine) if found else {}
    users = find_users(deployment)
    readable = set(readable_pipes(caller, deployment.pipe_ids))
    described = []
    for one in found:
        name, counts = one.datasource.name, may_count(caller, one.owner)
        rows = 0 if one.is_quarantine else sizes[quarantine_name(name)].rows
        described.append(
            describe_datasource(
                deployment,
                one.datasource,
                one.table,
                size=sizes[name] if counts else None,
                quarantine_rows=rows if counts else None,
                used_by=[pipe for pipe in users.get(name, ()) if pipe in readable],
                created_at=times.get(one.owner.datasource),
            )
        )
    return described


def _read_keys(request: RouteRequest) -> tuple[str, ...] | None:
    value = request.text("attrs") or ""
    return tuple(key.strip() for key in value.split(",") if key.strip()) or None
