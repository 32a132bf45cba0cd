"""The Data Sources API (data-apis.md section 2): reading, and truncate. Files are the source of
truth, so nothing here changes what a data source is."""

from __future__ import annotations

from pipewren.access.authorize import readable_pipes
from pipewren.access.caller import Caller
from pipewren.access.datasource_rights import may_count, may_see, require_replace, require_sight
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.inventory import count_rows
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.background import run_to_the_end
from pipewren.serve.call import DEPLOYMENT, STAGING
from pipewren.serve.datasource_descriptions import (
    Description,
    cut_description,
    describe_datasource,
    find_datasource,
    find_users,
    read_sizes,
)
from pipewren.serve.request_record import record_of
from pipewren.serve.route_request import TEXT_TYPE, RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.usage import Operation
from pipewren.sqltext import Sql, quote_identifier
from pipewren.storage.deployments import TableVersion
from pipewren.storage.table_times import list_table_times


async def list_datasources(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources`: those that the token may read or append to. `attrs` names the keys to
    show, separated by commas; absent or empty shows all."""
    caller, deployment = open_deployment(request, server)
    tables = [table for table in deployment.tables.values() if may_see(caller, table)]
    keys = _read_keys(request)
    described = await _describe(caller, deployment, tables, server)
    return json_answer(200, {"datasources": [cut_description(one, keys) for one in described]})


async def show_datasource(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources/NAME-OR-ID`. `attrs` cuts it where it names `columns` only: clients that
    ask for `used_by` want the rest too. Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    _, table = find_datasource(deployment, request.names["datasource"])
    require_sight(caller, table)
    keys = _read_keys(request)
    (described,) = await _describe(caller, deployment, [table], server)
    is_strict = keys is not None and "columns" in keys
    return json_answer(200, cut_description(described, keys if is_strict else None))


async def show_datafile(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/datasources/NAME.datasource`: the datafile's text. Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    datasource, table = find_datasource(deployment, request.names["datasource"])
    require_sight(caller, table)
    return Answer(200, (TEXT_TYPE,), datasource.content.encode())


async def truncate(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/datasources/NAME/truncate`: drop its rows, and nothing else. Raises NotFound,
    Forbidden."""
    caller, deployment = open_deployment(request, server)
    _, table = find_datasource(deployment, request.names["datasource"])
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
        datasource, table = find_datasource(deployment, resource_id)
        operation.tags = datasource.tags.names
        database = deployment.workspace.database
        name = f"{quote_identifier(database)}.{quote_identifier(table.table)}"
        with server.usage.operation(operation):
            rows = await count_rows(server.engine, database, table.table)
            await server.engine.execute(Sql(f"TRUNCATE TABLE {name}"))
            operation.rows = rows


async def list_connectors(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/connectors`: there are none to show yet."""
    open_deployment(request, server)
    return json_answer(200, {"connectors": []})


async def _describe(
    caller: Caller, deployment: Deployment, tables: list[TableVersion], server: Server
) -> list[Description]:
    with server.store.begin() as connection:
        times = list_table_times(connection, deployment.workspace.id)
    sizes = await read_sizes(deployment, server.engine) if tables else {}
    users = find_users(deployment)
    readable = set(readable_pipes(caller, deployment.pipe_ids))
    return [
        describe_datasource(
            deployment,
            deployment.project.datasources[table.datasource],
            table,
            size=sizes[table.datasource] if may_count(caller, table) else None,
            used_by=[name for name in users.get(table.datasource, ()) if name in readable],
            created_at=times.get(table.datasource),
        )
        for table in tables
    ]


def _read_keys(request: RouteRequest) -> tuple[str, ...] | None:
    value = request.text("attrs") or ""
    return tuple(key.strip() for key in value.split(",") if key.strip()) or None
