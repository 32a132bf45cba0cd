"""Row filters around a call: put into its statement, kept out of its errors and statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipewren.deploy.deployment import Deployment
from pipewren.project.engines import ENGINES
from pipewren.project.quarantine import quarantine_of
from pipewren.serve.server import Learned, Server
from pipewren.sql.function_list import load_functions
from pipewren.sql.pipes import CompiledStatement
from pipewren.sql.recent import Recent
from pipewren.sql.row_filters import FilteredStatement, RowFilters, Schema
from pipewren.sql.unfilterable import find_derived, find_unfilterable

MAX_STATEMENTS = 1024  # of callers, each at most `max_sql_bytes` long
MAX_COUNTED = 256
MAX_CLOSED = 1024


async def filter_statement(
    compiled: CompiledStatement,
    filters: Mapping[str, Sequence[str]],
    deployment: Deployment,
    server: Server,
) -> FilteredStatement:
    """Raises Forbidden where a filter cannot act, BadRequest for a filter's own text."""
    if not filters:
        return FilteredStatement(compiled, deployment.database)
    return await filters_of(deployment, server).apply(compiled, filters)


def filters_of(deployment: Deployment, server: Server) -> RowFilters:
    """The filters of a deployment."""
    return learned_of(deployment, server).filters


def learned_of(deployment: Deployment, server: Server) -> Learned:
    """Made when a deployment's first call comes that needs it, and kept with it."""
    kept = server.learned.get(deployment.workspace.id)
    if kept is not None and kept.deployment is deployment:
        return kept
    project = deployment.project
    sources = project.datasources.values()
    schema = Schema(
        deployment.database,
        {
            table.name: [column.name for column in table.columns]
            for table in (*sources, *map(quarantine_of, sources))
        },
        find_derived(project, deployment.pipes),
        {name: quarantine for quarantine, name in deployment.quarantines.items()},
        frozenset(source.name for source in sources if not ENGINES[source.engine.name].is_stored),
    )
    functions = load_functions(server.engine.capabilities.version)
    filters = RowFilters(server.engine, schema, functions)
    made = Learned(
        *(deployment, filters, Recent(MAX_STATEMENTS), Recent(MAX_COUNTED)),
        closed=Recent(MAX_CLOSED),
    )
    server.learned[deployment.workspace.id] = made
    return made


async def tell_unfilterable(server: Server, say: Callable[[str], None]) -> None:
    """Say of each node in which some filter could not act that tokens with one are refused there.
    Parses every node, so it is for the time after the start."""
    for deployment in server.deployments.values():
        filters = filters_of(deployment, server)
        for one in await find_unfilterable(filters, deployment.pipes, tables=deployment.names):
            say(f"note: {one}")
