"""`GET /tokens`: the account's tokens for whoever asks on this machine, as clients need it
(client-compat.md section 2, tokens.md section 3).

It is as dangerous as it sounds, so a request must show every sign of coming from a program on this
machine, and no sign of a browser's page or a proxy. Answers have no CORS headers, whatever comes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from pipewren.access.audit import record_action
from pipewren.errors import Forbidden, Unavailable
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.forwarded import read_address
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.server import Server
from pipewren.settings import Settings, is_loopback_host
from pipewren.storage.tokens import ACCOUNT_TOKEN, ADMIN_TOKEN, USER_TOKEN

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Against DNS rebinding: a page of any other name is not served, wherever the name points.
_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
# Written by proxies, whose client may be anybody.
_PROXYS = frozenset(
    {
        *(b"via", b"forwarded", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip"),
        *(b"true-client-ip", b"cf-connecting-ip", b"x-original-host", b"x-original-url"),
    }
)
_NAMES = {
    "user_token": USER_TOKEN,
    "admin_token": ACCOUNT_TOKEN,
    "workspace_admin_token": ADMIN_TOKEN,
}
_PROXYS_PREFIX = b"x-forwarded"


async def show_tokens(request: RouteRequest, server: Server) -> Answer:
    """Exactly three keys: a client breaks on a fourth. Raises Forbidden, and Unavailable where one
    of the tokens was deleted."""
    reason = why_off(server.settings) or why_refused(request.scope)
    if reason is not None:
        _record(request, reason)
        raise Forbidden(f"GET /tokens is refused: {reason}")
    values = {key: _value(server, name) for key, name in _NAMES.items()}
    if None in values.values():
        raise Unavailable("A default token was deleted: start the server again to have it made")
    _record(request, None)
    return json_answer(200, values, _HEADERS)


async def refuse_preflight(request: RouteRequest, server: Server) -> Answer:
    """`OPTIONS /tokens`: only a browser's page asks that."""
    raise Forbidden("GET /tokens is refused: it is not for pages in a browser")


def why_off(settings: Settings) -> str | None:
    """Why the page does not exist on this server; None where it does."""
    if settings.local_tokens is not None:
        return None if settings.local_tokens else "the setting local_tokens switches it off"
    if not is_loopback_host(settings.host):
        return "the server listens beyond loopback (the setting local_tokens says otherwise)"
    if settings.public_url is not None:
        return "public_url is set (the setting local_tokens says otherwise)"
    if settings.trusted_proxies:
        return "trusted_proxies is set (the setting local_tokens says otherwise)"
    return None


def why_refused(scope: Mapping[str, Any]) -> str | None:
    """Why this request gets no tokens; None where it does. `scope` is ASGI's."""
    peer = read_address(scope["client"][0]) if scope.get("client") else None
    if peer is None or not peer.is_loopback:
        return "the connection does not come from this machine"
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        return "the Host header is not localhost, 127.0.0.1 or [::1]"
    for name, value in scope["headers"]:
        if name in _PROXYS or name.startswith(_PROXYS_PREFIX):
            return "a proxy stands in between"
        if name == b"origin":
            return "it is not for pages in a browser"
        # `none` is what a person typed into the address bar.
        if name == b"sec-fetch-site" and value != b"none":
            return "it is not for pages in a browser"
    return None


def _value(server: Server, name: str) -> str | None:
    """Of the workspace of the project's folder, which has the account's tokens too."""
    for workspace_id, deployment in server.deployments.items():
        if deployment.workspace.name == server.settings.workspace:
            return server.keyring.value_of(workspace_id, name)
    return None


def _record(request: RouteRequest, reason: str | None) -> None:
    client = request.scope.get("client")
    record_action(
        "local_tokens.show",
        allowed=reason is None,
        caller=None,
        address=client[0] if client else None,
        at_s=time.time(),
        reason=reason,
    )
