"""SQL that callers send: the Query API, and `q` on endpoints (query-api.md; endpoints.md, `q`).

    call ──▶ caller ──▶ text ──▶ checked, once for a text ──▶ tables put in ──▶ engine ──▶ answer

What is accepted is `sql/caller_statement.py`'s to say; what a table's name means,
`query_tables.py`'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec.structs import replace

from pipewren.deploy.deployment import Endpoint
from pipewren.engine.contract import Lane
from pipewren.engine.options import count_cores
from pipewren.errors import BadRequest, EngineError, NotFound
from pipewren.serve.answers import Answer, Header, StreamedAnswer
from pipewren.serve.bodies import read_whole_body
from pipewren.serve.call import read_values
from pipewren.serve.callers import identify, require_room
from pipewren.serve.closed_pipes import check_closed
from pipewren.serve.counted_queries import check_types, count_results, needs_counting
from pipewren.serve.filtered_calls import learned_of
from pipewren.serve.formats import Format
from pipewren.serve.pace import Pace
from pipewren.serve.pipe_descriptions import find_pipe
from pipewren.serve.query_call import QueryCall, read_query_call
from pipewren.serve.query_formats import find_query_format
from pipewren.serve.query_settings import keep_rows_hidden, merge_settings
from pipewren.serve.query_tables import QueryTables
from pipewren.serve.rate_limits import take_rates
from pipewren.serve.request_record import note_caller, record_of
from pipewren.serve.results import Asked, answer_statement
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.secret_values import NO_SECRETS, with_secrets
from pipewren.serve.server import Server
from pipewren.serve.statements import check_size, make_statement
from pipewren.sql.caller_errors import query_error, refused
from pipewren.sql.caller_rules import load_caller_rules
from pipewren.sql.caller_statement import CallerStatement, read_caller_statement
from pipewren.sql.counted_results import describe
from pipewren.sql.function_list import load_functions
from pipewren.sql.lifting import join_parts
from pipewren.sql.pipes import CompiledPipe, CompiledStatement
from pipewren.sql.row_filters import NO_DATABASE, FilteredStatement
from pipewren.sqltext import Sql
from pipewren.template.limits import TemplateLimits
from pipewren.template.template import compile_template
from pipewren.usage.service_tables import QUERY_API


@dataclass(frozen=True, slots=True)
class KnownStatement:
    """A text that was seen before, and how long it takes."""

    statement: CallerStatement
    pace: Pace


async def answer_sql(request: RouteRequest, server: Server) -> Answer | StreamedAnswer:
    """`GET` and `POST /v0/sql`."""
    assert request.receive is not None
    body = await read_whole_body(request.scope, request.receive, server.settings.max_body_bytes)
    return await call_query_api(read_query_call(request.scope, body), server, request.scope)


async def call_query_api(
    call: QueryCall, server: Server, scope: Mapping[str, Any] | None = None
) -> Answer | StreamedAnswer:
    """Answer `/v0/sql`. Raises errors of `errors.py` only, as query-api.md section 4 has them."""
    require_room(call.token, None, server, scope)
    caller = identify(call.token, server, scope)
    deployment = server.deployment_of(caller.workspace_id, is_staged=call.is_staged)
    record = record_of(scope)
    note_caller(record, caller, QUERY_API, QUERY_API)
    rate_headers = await take_rates(caller, None, caller.rps, server)
    record.end_step("identify")
    tables = QueryTables(caller, deployment, server, call.values, record=record)
    tables.finalizes = call.finalizes
    if call.pipeline is not None:
        tables.open_pipe(_find_pipe(call.pipeline, tables))
    known = await _read(call.sql, tables)
    format = find_query_format(known.statement.format, from_=call.from_)
    id = f"{QUERY_API}:{caller.workspace_id}"
    asked = _ask(id, QUERY_API, format, known, tables)
    return await _answer(known.statement, asked, tables, call.switches, rate_headers)


async def answer_over_endpoint(
    sql: str,
    endpoint: Endpoint,
    format: Format,
    tables: QueryTables,
    switches: tuple[tuple[str, str], ...],
    headers: tuple[Header, ...],
) -> Answer | StreamedAnswer:
    """Answer `q` of an endpoint's call: `_` or the pipe's own name stands for its result. A FORMAT
    in it loses to the extension. `tables.pipe` is the endpoint's; the caller may call it."""
    known = await _read(sql, tables)
    asked = _ask(endpoint.id, endpoint.name, format, known, tables)
    return await _answer(known.statement, asked, tables, switches, headers)


def _find_pipe(name: str, tables: QueryTables) -> CompiledPipe:
    """The pipe of the parameter `pipeline`, by name or id. Raises NotFound, also for one that the
    caller may not read."""
    with contextlib.suppress(NotFound):
        pipe = find_pipe(tables.deployment, name)
        if tables.may_read_pipe(pipe.name):
            return pipe
    raise NotFound(f"The pipe '{name[:200]}' does not exist")


async def _read(text: str, tables: QueryTables) -> KnownStatement:
    """The statement of a text, checked. What was found of a text holds for all callers with the
    same rights."""
    server, deployment, caller = tables.server, tables.deployment, tables.caller
    most = server.settings.max_sql_bytes
    if 4 * len(text) > most and len(text.encode(errors="replace")) > most:
        raise BadRequest(
            f"The statement is larger than {most:,} bytes (max_sql_bytes): send a shorter one, or "
            "make it a pipe"
        )
    template = text.lstrip()
    if template.startswith("%"):
        text = _render(template[1:], tables)
    memory = learned_of(deployment, server).statements
    pipe = tables.pipe.name if tables.pipe is not None else ""
    rights = caller.is_user if caller.reads_all else caller.scopes
    key = (text, pipe, tables.has_nodes, rights)
    known: KnownStatement | None = memory.find(key)
    if known is None:
        version = server.engine.capabilities.version
        statement = await read_caller_statement(
            text,
            tables.resolve,
            parser=server.engine,
            functions=load_functions(version),
            rules=load_caller_rules(version),
            database=deployment.database,
            may_run_own_text=caller.reads_all,
        )
        known = KnownStatement(statement, Pace(takes_first=True))
        if len(text) <= most:  # what a template has made may be many times longer
            memory.keep(key, known)
    tables.record.end_step("compile")
    return known


def _render(source: str, tables: QueryTables) -> str:
    """A text that began with `%`. It sees no secrets: whoever writes a template could read them.
    `table()` may name anything, since what there is is for the statement's check to say."""
    server = tables.server
    template = compile_template(
        source, limits=TemplateLimits(max_output_bytes=server.settings.max_query_bytes)
    )
    values = read_values(template.array_parameters, tables.values)
    return template.render(values).sql


def _ask(id: str, name: str, format: Format, known: KnownStatement, tables: QueryTables) -> Asked:
    return Asked(
        id,
        name,
        format,
        known.pace,
        is_filtered=bool(tables.filters or tables.caller.pipe_filters),
        record=tables.record,
        hides_values=not tables.caller.reads_all and bool(known.statement.derived),
    )


async def _answer(
    statement: CallerStatement,
    asked: Asked,
    tables: QueryTables,
    switches: tuple[tuple[str, str], ...],
    headers: tuple[Header, ...],
) -> Answer | StreamedAnswer:
    server = tables.server
    filtered = await _put_together(statement, tables)
    tables.record.reads_usage = tables.reads_usage
    check_size(filtered.statement.sql, server.settings.max_query_bytes)
    lane = asked.pace.lane
    if server.light_queries >= _light_share(server.settings.light_connections):
        lane = Lane.HEAVY
    runnable = make_statement(filtered, asked, switches, server, lane)
    if filtered.statement.secrets:
        secrets = server.secrets.get(tables.caller.workspace_id, NO_SECRETS)
        workspace_id = tables.caller.workspace_id
        runnable = with_secrets(runnable, filtered.statement.secrets, secrets, workspace_id)
    tables.record.end_step("filter")
    server.light_queries += lane is Lane.LIGHT
    try:
        if statement.gives_names:
            await check_closed(runnable, asked, tables)
        counted = runnable
        if needs_counting(statement, tables):
            counted, asked = await count_results(runnable, asked, tables)
        answer = await answer_statement(counted, asked, server)
    except EngineError as error:
        check_types(error, runnable, tables)
        raise query_error(error) from None
    finally:
        server.light_queries -= lane is Lane.LIGHT
    return replace(answer, headers=answer.headers + headers) if headers else answer


@cache
def _light_share(connections: int) -> int:
    """How many statements of callers may be in the light lane at a time, so that texts of which
    nobody knows how slow they are leave room for endpoints; the others run in the heavy one."""
    return max(1, (connections or 2 * count_cores()) // 2)


async def _put_together(statement: CallerStatement, tables: QueryTables) -> FilteredStatement:
    """The statement with all its tables, and the database that it runs in."""
    deployment = tables.deployment
    is_open = statement.is_own_text
    texts: list[str] = []
    for derived in statement.derived:
        sealed = await tables.statement_of(derived)
        for name in sorted(sealed.names & statement.declared):
            raise refused(
                f"'{name}' is a function in '{derived.name}', and a name in the statement: give "
                "it another one there"
            )
        is_open = is_open or sealed.needs_database
        if sealed.needs_database and statement.has_open_names and not tables.caller.reads_all:
            raise refused(
                f"'{derived.name}' cannot be read beside a name right of IN: write a subquery there"
            )
        texts.append(f"(\n{sealed.sql}\n)")
    texts += [await tables.condition_of(name, of) for name, of in statement.filters]
    sql = join_parts(statement.parts, texts)
    if statement.is_description:
        sql = describe(sql)
    inner = tables.statements
    settings = merge_settings(inner, statement.settings)
    # Of what the server keeps of all workspaces, no token sees more than its own.
    sees_all = tables.caller.reads_all and not tables.reads_usage
    if (statement.derived or statement.filters) and not sees_all:
        settings = keep_rows_hidden(settings, filters=[name for name, _ in statement.filters])
    compiled = CompiledStatement(
        Sql(sql),
        max_threads=min((one.max_threads for one in inner if one.max_threads), default=None),
        max_execution_time_s=min(
            (one.max_execution_time_s for one in inner if one.max_execution_time_s), default=None
        ),
        settings=settings,
        secrets=tuple(dict.fromkeys(name for one in inner for name in one.secrets)),
    )
    return FilteredStatement(compiled, deployment.database if is_open else NO_DATABASE)
