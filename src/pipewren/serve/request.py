"""One request of an endpoint, from the call to the answer: the page to read first.

    call ──▶ caller ──▶ endpoint ──▶ grant ──▶ values ──▶ one statement ──▶ engine ──▶ answer

Everything before the engine is synchronous, pure and fast: no I/O, no globals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from pipewren.access.grants import fix_values
from pipewren.deploy.deployment import Endpoint
from pipewren.engine.contract import Statement
from pipewren.errors import BadRequest
from pipewren.serve.answers import Answer, StreamedAnswer
from pipewren.serve.call import EndpointCall, Repeated, Value
from pipewren.serve.callers import authorize_call, identify
from pipewren.serve.filtered_calls import filter_statement
from pipewren.serve.formats import find_format
from pipewren.serve.rate_limits import take_rates
from pipewren.serve.results import Asked, answer_statement
from pipewren.serve.secret_values import NO_SECRETS, with_secrets
from pipewren.serve.server import Server
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.row_filters import FilteredStatement
from pipewren.sqltext import Sql


async def call_endpoint(
    call: EndpointCall, server: Server, scope: Mapping[str, Any] | None = None
) -> Answer | StreamedAnswer:
    """Answer one call. `scope` (ASGI's) tells the client's address. Raises errors of `errors.py`
    only, each with its HTTP status."""
    server.admission.require_room()
    caller = identify(call.token, server, scope)
    deployment = server.deployment_of(caller.workspace_id, is_staged=call.is_staged)
    endpoint = deployment.endpoint(call.name)
    grant = authorize_call(caller, endpoint, deployment, server, scope)
    rate_headers = await take_rates(caller, endpoint, grant, server)
    format = find_format(call.extension, call.csv_header)
    values = fix_values(read_values(endpoint, call.values), grant.fixed)
    secrets = server.secrets.get(caller.workspace_id, NO_SECRETS)
    compiled = compile_endpoint(endpoint.pipe, values, tables=deployment.names, secrets=secrets)
    check_size(compiled.sql, server.settings.max_query_bytes)
    filtered = await filter_statement(compiled, grant.filters, deployment, server)
    asked = Asked(endpoint, format, server.paces.of(endpoint), is_filtered=bool(grant.filters))
    statement = make_statement(filtered, asked, call, server)
    if compiled.secrets:
        statement = with_secrets(statement, compiled.secrets, secrets)
    answer = await answer_statement(statement, asked, server)
    return replace(answer, headers=answer.headers + rate_headers) if rate_headers else answer


def read_values(endpoint: Endpoint, given: Mapping[str, Value]) -> Mapping[str, Value]:
    """A repeated name is a list for `Array` parameters; for the others its last value counts
    (endpoints.md section 1). Lists of a JSON body stay what they are."""
    for value in given.values():
        if type(value) is Repeated:
            break
    else:
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
    filtered: FilteredStatement, asked: Asked, call: EndpointCall, server: Server
) -> Statement:
    """The compiled statement as the engine takes it: in the endpoint's lane, under its limits."""
    compiled, format, lane = filtered.statement, asked.format, asked.pace.lane
    limits = server.limits[lane]
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
        compiled.sql, filtered.database, format.engine_format, limits, settings, lane=lane
    )
