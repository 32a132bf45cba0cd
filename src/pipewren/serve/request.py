"""One request of an endpoint, from the call to the answer: the page to read first.

    call ──▶ caller ──▶ endpoint ──▶ grant ──▶ values ──▶ one statement ──▶ engine ──▶ answer

Everything before the engine is synchronous, pure and fast: no I/O, no globals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from pipewren.access.grants import fix_values
from pipewren.serve.answers import Answer, StreamedAnswer
from pipewren.serve.call import EndpointCall, read_values
from pipewren.serve.callers import authorize_call, choosable_tables, identify, require_room
from pipewren.serve.filtered_calls import filter_statement
from pipewren.serve.formats import find_format
from pipewren.serve.query import answer_over_endpoint
from pipewren.serve.query_tables import QueryTables
from pipewren.serve.rate_limits import take_rates
from pipewren.serve.request_record import note_caller, record_of
from pipewren.serve.results import Asked, answer_statement
from pipewren.serve.secret_values import NO_SECRETS, with_secrets
from pipewren.serve.server import Server
from pipewren.serve.statements import check_size, check_texts, make_statement
from pipewren.sql.compile import compile_endpoint
from pipewren.usage.service_tables import WORKSPACE_PARAMETER


async def call_endpoint(
    call: EndpointCall, server: Server, scope: Mapping[str, Any] | None = None
) -> Answer | StreamedAnswer:
    """Answer one call. `scope` (ASGI's) tells the client's address. Raises errors of `errors.py`
    only, each with its HTTP status."""
    require_room(call.token, call.name, server, scope)
    caller = identify(call.token, server, scope)
    deployment = server.deployment_of(caller.workspace_id, is_staged=call.is_staged)
    endpoint = deployment.endpoint(call.name)
    record = record_of(scope)
    note_caller(record, caller, endpoint.id, endpoint.name, endpoint.pipe.pipe.tags.names)
    grant = authorize_call(caller, endpoint, deployment, server, scope)
    record.end_step("identify")
    record.fixed = grant.fixed
    rate_headers = await take_rates(caller, endpoint, grant.rps, server)
    format = find_format(call.extension, call.csv_header)
    q = call.q
    if q is None and (grant.result_filters or call.finalizes):
        q = "SELECT * FROM _"
    if q is not None:
        tables = QueryTables(caller, deployment, server, call.values, endpoint.pipe, record=record)
        tables.finalizes = call.finalizes
        return await answer_over_endpoint(q, endpoint, format, tables, call.switches, rate_headers)
    values = fix_values(read_values(endpoint.array_parameters, call.values), grant.fixed)
    secrets = server.secrets.get(caller.workspace_id, NO_SECRETS)
    choosable = choosable_tables(caller, endpoint.pipe, deployment)
    compiled = compile_endpoint(endpoint.pipe, values, tables=choosable, secrets=secrets)
    check_size(compiled.sql, server.settings.max_query_bytes)
    check_texts(compiled.sql)
    record.end_step("compile")
    filtered = await filter_statement(compiled, grant.filters, deployment, server)
    asked = Asked(
        endpoint.id,
        endpoint.name,
        format,
        server.paces.of(endpoint),
        is_filtered=bool(grant.filters),
        record=record,
    )
    statement = make_statement(filtered, asked, call.switches, server)
    if compiled.secrets:
        statement = with_secrets(statement, compiled.secrets, secrets, caller.workspace_id)
        record.reads_usage = WORKSPACE_PARAMETER in compiled.secrets
    record.end_step("filter")
    answer = await answer_statement(statement, asked, server)
    return replace(answer, headers=answer.headers + rate_headers) if rate_headers else answer
