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
from pipewren.engine.contract import Lane, Limits, Result, Statement
from pipewren.engine.errors import RESULT_TOO_LARGE
from pipewren.errors import BadRequest, EngineError
from pipewren.serve.answers import Answer
from pipewren.serve.call import EndpointCall, Repeated, Value
from pipewren.serve.formats import Format, find_format
from pipewren.serve.pace import Pace
from pipewren.serve.server import Server
from pipewren.sql.compile import CompiledStatement, compile_endpoint
from pipewren.sqltext import Sql


async def call_endpoint(call: EndpointCall, server: Server) -> Answer:
    """Answer one call. Raises errors of `errors.py` only, each with its HTTP status."""
    caller = authenticate(call.token, server.keyring)
    deployment = server.deployments[caller.workspace_id]
    endpoint = deployment.endpoint(call.name)
    authorize_endpoint(caller, endpoint.name, endpoint.id)
    format = find_format(call.extension)
    values = read_values(endpoint, call.values)
    compiled = compile_endpoint(endpoint.pipe, values, tables=deployment.names)
    check_size(compiled.sql, server.settings.max_query_bytes)
    pace = server.paces.of(endpoint.id)
    statement = make_statement(compiled, deployment, format, call, server.limits[pace.lane], pace)
    with server.admission:
        result = await run_statement(statement, endpoint, pace, server)
    return Answer(200, ((b"content-type", format.content_type),), result.body)


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
    limits: Limits,
    pace: Pace,
) -> Statement:
    """The compiled statement as the engine takes it: in the endpoint's lane, under its limits."""
    if compiled.max_threads is not None:
        limits = replace(limits, max_threads=min(compiled.max_threads, limits.max_threads))
    settings = compiled.settings
    if call.switches:
        settings = tuple(sorted({**dict(settings), **dict(call.switches)}.items()))
    return Statement(
        compiled.sql,
        deployment.database,
        format.engine_format,
        limits,
        settings,
        lane=pace.lane,
    )


async def run_statement(
    statement: Statement, endpoint: Endpoint, pace: Pace, server: Server
) -> Result:
    """Run it small; where the result passes that bound, run it again under the answer's limit, and
    remember the endpoint as large. Raises EngineError, TimedOut or BadRequest."""
    if not pace.is_large:
        try:
            result = await server.engine.run(statement)
        except EngineError as error:
            if error.engine_code != RESULT_TOO_LARGE:
                raise
            pace.is_large = True
        else:
            pace.observe(result.statistics.elapsed_s)
            return result
    max_bytes = server.settings.max_result_bytes
    limits = replace(statement.limits, max_result_rows=0, max_result_bytes=max_bytes)
    result = await server.engine.run(replace(statement, limits=limits, lane=Lane.HEAVY))
    pace.observe(result.statistics.elapsed_s)
    if len(result.body) > max_bytes:  # names and constant columns escape the engine's own count
        raise BadRequest(
            f"The result of {endpoint.name} is larger than {max_bytes:,} bytes (max_result_bytes): "
            "add a LIMIT or select fewer columns"
        )
    return result
