"""Who calls, as every route finds it out: the token's `Caller`, with bad tokens counted by address
and what is refused in the audit log."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from typing import Any

from pipewren.access.audit import record_action
from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import Caller, Refusal, digest_of, find_caller
from pipewren.access.grants import Grant
from pipewren.access.scopes import Resources
from pipewren.access.unused_claims import find_unused
from pipewren.deploy.deployment import Deployment, Endpoint
from pipewren.errors import Forbidden, PipewrenError, TooManyRequests
from pipewren.serve.forwarded import client_address
from pipewren.serve.request_record import note_caller, record_of
from pipewren.serve.server import Server
from pipewren.sql.pipes import CompiledPipe
from pipewren.usage.service_tables import QUERY_API

_log = logging.getLogger("pipewren.serve")


def identify(token: str | None, server: Server, scope: Mapping[str, Any] | None) -> Caller:
    """The caller behind a token. Raises Forbidden, and TooManyRequests where the address that
    `scope` (ASGI's) tells of has sent too many bad tokens."""
    now_s = time.time()
    keyring = server.keyring
    is_watched = keyring.attempts.is_watching and scope is not None
    if is_watched:
        _check_address(token, server, scope, now_s)
    found = find_caller(
        token, keyring, now_s, on_first_use=functools.partial(log_unused, server=server)
    )
    if isinstance(found, Refusal):
        raise _refuse(found, server, scope, now_s)
    if is_watched and token:
        address = address_of(scope, server)
        if address is not None:
            keyring.attempts.prove(address, digest_of(token.encode("utf-8", "surrogatepass")))
    return found


def require_room(
    token: str | None, endpoint: str | None, server: Server, scope: Mapping[str, Any] | None
) -> None:
    """Before anything is computed for a call; `endpoint` None is the Query API. Raises
    TooManyRequests, and then notes whose call it was."""
    try:
        server.admission.require_room()
    except TooManyRequests:
        _note_refused(token, endpoint, server, scope)
        raise


def _note_refused(
    token: str | None, endpoint: str | None, server: Server, scope: Mapping[str, Any] | None
) -> None:
    """For the usage record. What cannot be known is left out: nobody waits for it."""
    try:
        caller = identify(token, server, scope)
        if endpoint is None:
            note_caller(record_of(scope), caller, QUERY_API, QUERY_API)
            return
        found = server.deployment_of(caller.workspace_id).endpoint(endpoint)
    except PipewrenError as error:
        _log.debug("a request without room is not recorded: %s", error.message)
        return
    note_caller(record_of(scope), caller, found.id, found.name, found.pipe.pipe.tags.names)


def authorize_call(
    caller: Caller,
    endpoint: Endpoint,
    deployment: Deployment,
    server: Server,
    scope: Mapping[str, Any] | None,
) -> Grant:
    """What a call of the endpoint is granted. Raises Forbidden, with a line in the audit log."""
    try:
        grant = authorize_endpoint(caller, endpoint.name, endpoint.id, tables=deployment.tables)
    except Forbidden as error:
        record_action(
            "endpoint.call",
            allowed=False,
            caller=caller,
            address=address_of(scope, server),
            at_s=time.time(),
            target=endpoint.name,
            reason=error.message,
        )
        raise
    return grant


def choosable_tables(caller: Caller, pipe: CompiledPipe, deployment: Deployment) -> frozenset[str]:
    """What `table()` may name in a call of the pipe. Where a parameter may choose anything, it is
    what the author's template mentions, and what the caller may read by a scope of its own, which
    never names a quarantine: who reads its data source reads it."""
    mentioned = pipe.open_names
    if mentioned is None or caller.reads_all:
        return deployment.names
    quarantines = deployment.quarantines
    granted = {*caller.datasources, *caller.pipes} - quarantines.keys()
    for name, table in deployment.tables.items():
        if table.resource_id in granted:
            granted.add(name)
    for name, pipe_id in deployment.pipe_ids.items():
        if pipe_id in granted:
            granted.add(name)
    granted |= {quarantine for quarantine, name in quarantines.items() if name in granted}
    return deployment.names & (mentioned | granted)


def resources_of(deployment: Deployment) -> Resources:
    """What a token of the workspace can name."""
    tables = deployment.tables
    return Resources(
        pipes=deployment.pipes.keys(),
        datasources=(deployment.names - deployment.pipes.keys() - deployment.quarantines.keys())
        | tables.keys(),
        pipe_ids={pipe_id: name for name, pipe_id in deployment.pipe_ids.items()},
        datasource_ids={table.resource_id: name for name, table in tables.items()},
    )


def log_unused(caller: Caller, server: Server) -> None:
    """The first use of a JWT that was made elsewhere tells what it names in vain."""
    deployment = server.deployments.get(caller.workspace_id)
    if deployment is None:
        return
    for warning in find_unused(caller, resources_of(deployment), deployment.pipes):
        _log.warning("JWT %s: %s", ascii(caller.token_name), warning)


def _check_address(
    token: str | None, server: Server, scope: Mapping[str, Any] | None, now_s: float
) -> None:
    address = address_of(scope, server)
    if address is None or not token:
        return
    try:
        digest = digest_of(token.encode("utf-8", "surrogatepass"))
        server.keyring.attempts.check(address, digest, now_s)
    except TooManyRequests:
        _log.debug("a token from %s was not looked at", address)
        raise


def _refuse(
    refusal: Refusal, server: Server, scope: Mapping[str, Any] | None, now_s: float
) -> Forbidden:
    address = address_of(scope, server)
    if refusal.is_guess:
        if address is not None:
            server.keyring.attempts.count(address, now_s)
        # Bounded by what an address may send before its tokens are not looked at any more.
        record_action(
            "authenticate",
            allowed=False,
            caller=None,
            address=address,
            at_s=now_s,
            target=scope["path"] if scope is not None else None,
            reason=refusal.message,
        )
    return Forbidden(refusal.message)


def address_of(scope: Mapping[str, Any] | None, server: Server) -> str | None:
    """The client's address, behind trusted proxies too; None where it is not known."""
    return client_address(scope, server.settings.trusted_proxies) if scope is not None else None
