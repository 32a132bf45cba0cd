"""A request of any route but an endpoint's call, and how such routes are written down."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipewren.access.caller import Caller, authenticate
from pipewren.deploy.deployment import Deployment
from pipewren.serve.answers import Answer
from pipewren.serve.call import Value, read_pairs
from pipewren.serve.server import Server

TEXT_TYPE = (
    b"content-type",
    b"text/plain",
)  # no charset: clients compare it (client-compat.md 1.4)

_HOST = re.compile(r"[A-Za-z0-9._\-]+(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?")


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """`names` are the parts of the path that the route names, `query` the decoded query string
    (a repeated name is a list), `base_url` this server as the caller reaches it, without a final
    slash."""

    method: str
    path: str
    names: Mapping[str, str]
    query: Mapping[str, Value]
    token: str | None
    base_url: str

    def text(self, name: str) -> str | None:
        """A parameter's value, the last one where it was repeated; None when it was not sent."""
        value = self.query.get(name)
        return value[-1] if isinstance(value, list) else value


Handler = Callable[[RouteRequest, Server], Awaitable[Answer]]


def read_route_request(scope: Mapping[str, Any], names: Mapping[str, str]) -> RouteRequest:
    """Raises BadRequest for a query string that is not percent-encoded UTF-8."""
    token = host = None
    for header, value in scope["headers"]:
        if header == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:].strip().decode("latin-1")
        elif header == b"host":
            host = value.decode("latin-1")
    raw: bytes = scope["query_string"]
    query = read_pairs(raw) if raw else {}
    request = RouteRequest(
        scope["method"], scope["path"], names, query, token, _base_url(scope, host)
    )
    if token is None and "token" in query:
        return RouteRequest(
            request.method, request.path, names, query, request.text("token"), request.base_url
        )
    return request


def open_deployment(request: RouteRequest, server: Server) -> tuple[Caller, Deployment]:
    """Who asks, and what is live in that workspace. Raises Forbidden."""
    caller = authenticate(request.token, server.keyring)
    return caller, server.deployments[caller.workspace_id]


def _base_url(scope: Mapping[str, Any], host: str | None) -> str:
    if host is None or _HOST.fullmatch(host) is None:
        name, port = scope.get("server") or ("localhost", None)
        host = f"{name}:{port}" if port else str(name)
    return f"{scope.get('scheme', 'http')}://{host}"
