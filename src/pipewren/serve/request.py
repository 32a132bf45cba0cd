"""One request of an endpoint, from the call to the answer: the page to read first.

    call ──▶ caller ──▶ endpoint ──▶ values ──▶ one statement ──▶ engine ──▶ answer

Everything before the engine is synchronous, pure and fast: no I/O, no globals.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import authenticate
from pipewren.deploy.deployment import Deployment, Endpoint
from pipewren.engine.contract import Statement
from pipewren.errors import BadRequest
from pipewren.serve.answers import Answer, StreamedAnswer
from pipewren.serve.call import EndpointCall, Repeated, Value
from pipewren.serve.formats import Format, find_format
from pipewren.serve.pace import Pace
from pipewren.serve.results import answer_statement
from pipewren.serve.server import Server
from pipewren.sql.compile import CompiledStatement, compile_endpoint
from pipewren.sqltext import Sql


async def call_endpoint(call: EndpointCall, server: Server) -> Answer | StreamedAnswer:
    """Answer one call. Raises errors of `errors.py` only, each with its HTTP status."""
    caller = authenticate(call.token, server.keyring)
    deployment = server.deployments[caller.workspace_id]
    endpoint = deployment.endpoint(call.name)
    authorize_endpoint(caller, endpoint.name, endpoint.id)
    format = find_format(call.extension, call.csv_header)
    values = read_values(endpoint, call.values)
    compiled = compile_endpoint(endpoint.pipe, values, tables=deployment.names)
    check_size(compiled.sql, server.settings.max_query_bytes)
    pace = server.paces.of(endpoint)
    statement = make_statement(compiled, deployment, format, call, pace, server)
    return await answer_statement(statement, endpoint, format, pace, server)


def read_values(endpoint: Endpoint, given: Mapping[str, Value]) -> Mapping[str, Value]:
    """A repeated name is a list for `Array` parameters; for the others its last value counts
    (endpoints.md section 1). Lists of a JSON body stay what they are."""
    if not any(type(value) is Repeated for value in given.values()):
        return given
    arrays = endpoint.array_parameters
    return {
        name: (list(value) if name in arrays else value[-1]) if type(value) is Repeated else value
        for name, value in given.items()
    }


def check_size(sql: Sql, max_bytes: int) -> None:
    """Raises BadRequest for a statement that the engine would refuse to read."""
    if 4 * len(sql) > max_bytes and len(sql.encode()) > max_bytes:
        raise BadRequest(
            f"The statement is larger than {max_bytes:,} bytes (max_query_bytes): send fewer or "
            "shorter values"
        )


def make_statement(
    compiled: CompiledStatement,
    deployment: Deployment,
    format: Format,
    call: EndpointCall,
    pace: Pace,
    server: Server,
) -> Statement:
    """The compiled statement as the engine takes it: in the endpoint's lane, under its limits."""
    limits = server.limits[pace.lane]
    if compiled.max_threads is not None:
        limits = replace(limits, max_threads=min(compiled.max_threads, limits.max_threads))
    if compiled.max_execution_time_s is not None:
        seconds = min(compiled.max_execution_time_s, server.settings.longest_execution_time_s)
        limits = replace(limits, max_execution_time_s=seconds)
    settings = compiled.settings
    if call.switches or format.settings:
        given = {**dict(settings), **dict(call.switches), **dict(format.settings)}
        settings = tuple(sorted(given.items()))
    return Statement(
        compiled.sql,
        deployment.database,
        format.engine_format,
        limits,
        settings,
        lane=pace.lane,
    )
