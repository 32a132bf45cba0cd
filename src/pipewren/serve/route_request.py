"""A request of any route but an endpoint's call, and how such routes are written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipewren.access.caller import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.errors import Forbidden
from pipewren.serve.answers import Answer, StreamedAnswer
from pipewren.serve.bodies import Receive
from pipewren.serve.call import DEPLOYMENT, STAGING, Value, read_bearer, read_body, read_pairs
from pipewren.serve.callers import identify
from pipewren.serve.forwarded import base_url
from pipewren.serve.server import Server
from pipewren.settings import Settings

TEXT_TYPE = (
    b"content-type",
    b"text/plain",
)  # no charset: clients compare it (client-compat.md 1.4)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """`names` are the parts of the path that the route names, `query` the decoded query string
    (a repeated name is a list), `base_url` this server as the caller reaches it, without a final
    slash. `body` has the names of a form or JSON body, `scope` is ASGI's. `receive` gives the body
    to handlers that read it themselves (`routes.UPLOADS`)."""

    method: str
    path: str
    names: Mapping[str, str]
    query: Mapping[str, Value]
    token: str | None
    base_url: str
    scope: Mapping[str, Any]
    body: Mapping[str, Value] = field(default_factory=dict)
    receive: Receive | None = None

    def text(self, name: str) -> str | None:
        """A parameter's value of the query string, the last one where it was repeated; None when
        it was not sent."""
        value = self.query.get(name)
        return value[-1] if isinstance(value, list) else value

    def sent(self, name: str) -> str | None:
        """The same of a form or JSON body, else of the query string (client-compat.md section 1,
        rule 8). A JSON value that is no text is None."""
        value = self.body.get(name)
        if value is None:
            return self.text(name)
        value = value[-1] if isinstance(value, list) and value else value
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        """Whether a parameter says yes: `true` or `1`."""
        return (self.sent(name) or "").lower() in ("true", "1")


Handler = Callable[[RouteRequest, Server], Awaitable[Answer | StreamedAnswer]]


def read_route_request(
    scope: Mapping[str, Any],
    names: Mapping[str, str],
    settings: Settings,
    body: bytes = b"",
    *,
    receive: Receive | None = None,
) -> RouteRequest:
    """Raises BadRequest for a query string that is not percent-encoded UTF-8, and for a body that
    is neither a form nor a JSON object."""
    token = read_bearer(scope["headers"])
    raw: bytes = scope["query_string"]
    query = read_pairs(raw) if raw else {}
    url = base_url(scope, settings.trusted_proxies, settings.public_url)
    sent = read_body(body, scope["headers"]) if body else {}
    request = RouteRequest(
        scope["method"], scope["path"], names, query, token, url, scope, sent, receive
    )
    if token is None and "token" in query:
        return replace(request, token=request.text("token"))
    if token is None and isinstance(sent.get("token"), str):
        return replace(request, token=sent["token"])
    return request


def open_deployment(
    request: RouteRequest, server: Server, *, takes_jwt: bool = False
) -> tuple[Caller, Deployment]:
    """Who asks, and what is live in that workspace. Raises Forbidden, for a JWT too unless the
    route applies what a JWT narrows (tokens.md section 7, "usable for")."""
    caller = identify(request.token, server, request.scope)
    if not takes_jwt:
        refuse_jwt(caller)
    is_staged = request.text(DEPLOYMENT) == STAGING
    return caller, server.deployment_of(caller.workspace_id, is_staged=is_staged)


def refuse_jwt(caller: Caller) -> None:
    """Raises Forbidden for a JWT."""
    if caller.is_jwt:
        raise Forbidden("A JWT is not valid here: it opens endpoints' data. Send a static token")
