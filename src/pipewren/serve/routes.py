"""The routes beside the hot one (`/v0/pipes/NAME.FORMAT`, see app.py): which function answers what.

Paths are matched without a final slash (client-compat.md section 1.7). What a path does not allow
is 405 with `Allow`; HEAD goes where GET does, and OPTIONS asks for no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import compile_path

from pipewren.errors import MethodNotAllowed, NotFound
from pipewren.serve import (
    append,
    branches,
    datasources,
    deployments,
    docs_page,
    events,
    examples,
    explain,
    jobs,
    local_tokens,
    metrics_page,
    openapi,
    pipes,
    query,
    query_helpers,
    tokens,
    variables,
    workspaces,
)
from pipewren.serve.answers import BROWSER_PATHS, PREFLIGHT, Answer, StreamedAnswer
from pipewren.serve.bodies import Receive, read_whole_body
from pipewren.serve.request_record import record_of
from pipewren.serve.route_request import Handler, read_route_request
from pipewren.serve.server import Server

PIPES = "/v0/pipes"
OPENAPI = "/v0/pipes/openapi.json"
TOKENS = "/v0/tokens"
VARIABLES = "/v0/variables"
DATASOURCES = "/v0/datasources"
JOBS = "/v0/jobs"
EVENTS = "/v0/events"

_WRITE = pipes.refuse_write
_WRITES = {"POST": _WRITE, "PUT": _WRITE, "DELETE": _WRITE}
_NODE = PIPES + "/{pipe}/nodes/{node}"

# The first pattern that fits counts. `.pipe`, `.datasource` and `openapi.json` stand before names.
_TABLE: tuple[tuple[str, Mapping[str, Handler]], ...] = (
    (PIPES, {"GET": pipes.list_pipes, "POST": _WRITE}),
    (OPENAPI, {"GET": openapi.describe_endpoints}),
    (PIPES + "/{pipe}.pipe", {"GET": pipes.show_datafile}),
    ("/v1/pipes/{pipe}.pipe", {"GET": pipes.show_datafile}),
    (PIPES + "/{pipe}", {"GET": pipes.show_pipe, "PUT": _WRITE, "DELETE": _WRITE}),
    (PIPES + "/{pipe}/explain", {"GET": explain.explain_pipe}),
    (PIPES + "/{pipe}/nodes", {"POST": _WRITE}),
    (PIPES + "/{pipe}/append", {"POST": _WRITE}),
    (PIPES + "/{pipe}/endpoint", {"PUT": _WRITE, "DELETE": _WRITE}),
    (_NODE, {"PUT": _WRITE, "DELETE": _WRITE}),
    (_NODE + "/explain", {"GET": explain.explain_pipe}),
    (_NODE + "/endpoint", _WRITES),
    (_NODE + "/copy", _WRITES),
    (_NODE + "/sink", _WRITES),
    (_NODE + "/materialization", _WRITES),
    ("/v0/sql", {"GET": query.answer_sql, "POST": query.answer_sql}),
    (TOKENS, {"GET": tokens.show_all, "POST": tokens.create}),
    (TOKENS + "/{token}/refresh", {"POST": tokens.refresh}),
    (TOKENS + "/{token}", {"GET": tokens.show, "PUT": tokens.update, "DELETE": tokens.remove}),
    ("/v1/build", {"POST": deployments.build}),
    ("/v1/deploy", {"POST": deployments.deploy}),
    ("/v1/deployments", {"GET": deployments.list_all}),
    ("/v1/deployments/{deployment}", {"GET": deployments.show, "DELETE": deployments.remove}),
    ("/v1/deployments/{deployment}/set-live", {"POST": deployments.set_live}),
    ("/v1/user/workspaces", {"GET": workspaces.list_all}),
    ("/v1/workspaces", {"POST": workspaces.create}),
    ("/v1/workspaces/{workspace}", {"DELETE": workspaces.remove}),
    ("/v1/workspace", {"GET": workspaces.show_current}),
    ("/v0/workspace", {"GET": workspaces.show_current_with_members}),
    ("/v0/auth", {"GET": workspaces.show_auth}),
    ("/v0/regions", {"GET": workspaces.list_regions}),
    ("/v0/organizations/{organization}", {"GET": workspaces.show_organization}),
    ("/v1/environments", {"GET": branches.list_branches, "POST": branches.create}),
    ("/v0/environments/{branch}", {"GET": branches.show, "DELETE": branches.remove}),
    ("/tokens", {"GET": local_tokens.show_tokens, "OPTIONS": local_tokens.refuse_preflight}),
    (VARIABLES, {"GET": variables.show_all, "POST": variables.create}),
    (
        VARIABLES + "/{name}",
        {"GET": variables.show, "PUT": variables.update, "DELETE": variables.remove},
    ),
    (DATASOURCES, {"GET": datasources.list_datasources}),
    (DATASOURCES + "/{datasource}.datasource", {"GET": datasources.show_datafile}),
    ("/v1/datasources/{datasource}.datasource", {"GET": datasources.show_datafile}),
    (DATASOURCES + "/{datasource}", {"GET": datasources.show_datasource}),
    (DATASOURCES + "/{datasource}/truncate", {"POST": datasources.truncate}),
    ("/v1/datasources/{datasource}/append", {"POST": append.append_file}),
    ("/v1/datasources/{datasource}/replace", {"POST": append.replace_file}),
    (EVENTS, {"POST": events.append_events}),
    (JOBS, {"GET": jobs.list_jobs}),
    (JOBS + "/{job}", {"GET": jobs.show_job}),
    (JOBS + "/{job}/cancel", {"POST": jobs.cancel_job}),
    ("/v0/sql_format", {"GET": query_helpers.format_query}),
    ("/v0/sql_tables", {"POST": query_helpers.list_tables}),
    ("/v0/sql_replace", {"POST": query_helpers.replace_tables}),
    ("/v0/connectors", {"GET": datasources.list_connectors}),
    ("/examples/query.http", {"GET": examples.show_url}),
    ("/version", {"GET": examples.show_version}),
    (metrics_page.PATH, {"GET": metrics_page.show_metrics}),
    ("/docs", {"GET": docs_page.show_page}),
    ("/docs/{file}", {"GET": docs_page.show_file}),
)

# Handlers that read the body themselves, by `RouteRequest.receive`.
UPLOADS: frozenset[Handler] = frozenset(
    (
        *(deployments.build, deployments.deploy, append.append_file, append.replace_file),
        query.answer_sql,
        events.append_events,
    )
)


@dataclass(frozen=True, slots=True)
class Route:
    """`methods` has HEAD where it has GET."""

    pattern: str
    methods: Mapping[str, Handler]

    @property
    def allowed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.methods, "OPTIONS")))


def _make_route(pattern: str, methods: Mapping[str, Handler]) -> Route:
    with_head = {**methods, "HEAD": methods["GET"]} if "GET" in methods else dict(methods)
    return Route(pattern, with_head)


ROUTES = tuple(_make_route(pattern, methods) for pattern, methods in _TABLE)
_MATCHERS = tuple((compile_path(route.pattern)[0], route) for route in ROUTES)
# Found at once; none of them fits a pattern that stands before it.
_WHOLE = {route.pattern: route for route in ROUTES if "{" not in route.pattern}


async def answer_route(
    scope: Mapping[str, Any], server: Server, receive: Receive
) -> Answer | StreamedAnswer:
    """Answer a request of any route but the hot one. Raises errors of `errors.py`.

    The body is read here, whole and as parameters, but for handlers that read it themselves, in
    parts: those of `UPLOADS`."""
    path: str = scope["path"]
    method: str = scope["method"]
    route, names = find_route(path)
    record_of(scope).route = route.pattern
    handler = route.methods.get(method)
    if handler is not None:
        body = b""
        if handler not in UPLOADS:
            body = await read_whole_body(scope, receive, server.settings.max_body_bytes)
        request = read_route_request(scope, names, server.settings, body, receive=receive)
        return await handler(request, server)
    if method == "OPTIONS":
        allow = (b"allow", ", ".join(route.allowed).encode())
        preflight = PREFLIGHT if path.startswith(BROWSER_PATHS) else ()
        return Answer(204, (allow, *preflight), b"")
    raise MethodNotAllowed(
        f"Method {method} is not allowed here, use {' or '.join(route.methods)}",
        allowed=route.allowed,
    )


def find_route(path: str) -> tuple[Route, Mapping[str, str]]:
    """The route of a path and the parts of it that the route names. Raises NotFound."""
    bare = path.rstrip("/") or "/"
    whole = _WHOLE.get(bare)
    if whole is not None:
        return whole, {}
    for matcher, route in _MATCHERS:
        match = matcher.match(bare)
        if match is not None:
            return route, match.groupdict()
    raise NotFound(f"There is no route {path}")
