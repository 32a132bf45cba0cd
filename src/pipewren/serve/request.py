"""One request of an endpoint, from the call to the answer: the page to read first.

    call ──▶ caller ──▶ endpoint ──▶ values ──▶ one statement ──▶ engine ──▶ answer

Everything before the engine is synchronous, pure and fast: no I/O, no globals.
"""

from __future__ import annotations

from dataclasses import replace

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import authenticate
from pipewren.deploy.deployment import Deployment, Endpoint
from pipewren.deploy.names import logical_names
from pipewren.engine.contract import Limits, Result, Statement
from pipewren.errors import BadRequest, EngineError
from pipewren.serve.answers import Answer
from pipewren.serve.call import EndpointCall, Value
from pipewren.serve.formats import Format, find_format
from pipewren.serve.pace import Pace
from pipewren.serve.server import Server
from pipewren.settings import Settings
from pipewren.sql.compile import CompiledStatement, compile_endpoint

TOO_LARGE = 396  # TOO_MANY_ROWS_OR_BYTES: the engine's word for max_result_rows and _bytes


async def call_endpoint(call: EndpointCall, server: Server) -> Answer:
    """Answer one call. Raises errors of `errors.py` only, each with its HTTP status."""
    caller = authenticate(call.token, server.keyring)
    deployment = server.deployments[caller.workspace_id]
    endpoint = deployment.endpoint(call.name)
    authorize_endpoint(caller, endpoint.name, endpoint.id)
    format = find_format(call.extension)
    values = read_values(endpoint, call.values)
    compiled = compile_endpoint(endpoint.pipe, values, tables=deployment.names)
    pace = server.paces.of(endpoint.id)
    statement = prepare_statement(compiled, deployment, format, pace, server.settings)
    if call.switches:
        settings = tuple(sorted({**dict(statement.settings), **dict(call.switches)}.items()))
        statement = replace(statement, settings=settings)
    with server.admission:
        result = await run_statement(statement, deployment, endpoint, pace, server)
    return Answer(200, ((b"content-type", format.content_type),), result.body)


def read_values(endpoint: Endpoint, given: dict[str, Value]) -> dict[str, Value]:
    """A repeated name is a list for `Array` parameters; for the others its last value counts
    (endpoints.md section 1)."""
    if not any(type(value) is list for value in given.values()):
        return given
    arrays = endpoint.pipe.array_parameters
    return {
        name: value[-1] if type(value) is list and value and name not in arrays else value
        for name, value in given.items()
    }
