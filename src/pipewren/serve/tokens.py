"""The Tokens API (tokens.md section 6): who may ask, and the answers.

A change is one transaction of the store, after which the keyring is replaced whole. A kill in
between loses nothing: values are computed, so the next start has the keyring of what was committed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from pipewren.access.audit import record_action
from pipewren.access.caller import Caller, change_keyring
from pipewren.access.scopes import ADMIN_TYPES, USER_TYPE, show_scope
from pipewren.errors import DOCS, BadRequest, Forbidden, NotFound, PipewrenError
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.callers import address_of, resources_of
from pipewren.serve.filtered_calls import filters_of
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.token_request import NewJwt, filters_of_scopes, read_new, read_update
from pipewren.storage import tokens as stored
from pipewren.storage.tokens import Scope, StoredToken

MAX_TOKENS = 100_000  # of a workspace (limits.md section 3)
_DOCUMENTATION = f"{DOCS}/api-reference/token-api.html"
_NO_STORE = ((b"cache-control", b"no-store"),)

_Handle = Callable[[RouteRequest, Server, Caller], Answer]


def _audited(
    action: str, *, takes_scopes: bool = False
) -> Callable[[_Handle], Callable[[RouteRequest, Server], Awaitable[Answer]]]:
    """A handler with its line in the audit log, whether it was allowed or not. What it does between
    reading the store and replacing the keyring is not interrupted: it never waits. So the filters
    of scopes are checked before, by the engine's own parser."""

    def wrap(handle: _Handle) -> Callable[[RouteRequest, Server], Awaitable[Answer]]:
        @functools.wraps(handle)
        async def answer(request: RouteRequest, server: Server) -> Answer:
            caller, _ = open_deployment(request, server, takes_jwt=True)  # refused below, and told
            record = functools.partial(
                record_action,
                action,
                caller=caller,
                address=address_of(request.scope, server),
                at_s=time.time(),
                target=_named(request) or _text_of(request, "name"),
            )
            try:
                if caller.is_jwt:
                    raise Forbidden("A JWT is not valid for the Tokens API: send a static token")
                if takes_scopes:
                    await _check_filters(request, server, caller)
                    open_deployment(request, server)  # the workspace may be deleted by now
                result = handle(request, server, caller)
            except PipewrenError as error:
                record(allowed=False, reason=error.message)
                raise
            record(allowed=True)
            return result

        return answer

    return wrap


async def _check_filters(request: RouteRequest, server: Server, caller: Caller) -> None:
    """Raises BadRequest for a filter that is none, or names what its data source has not."""
    _require_manager(caller)
    deployment = server.deployments[caller.workspace_id]
    resources = resources_of(deployment)
    wanted: list[tuple[str, str]]
    if request.names:
        scopes = read_update(request, _named(request), resources).scopes
        wanted = filters_of_scopes(scopes or ())
    else:
        wanted = read_new(request, resources, now_s=time.time()).filters()
    if wanted:
        filters = filters_of(deployment, server)
        for resource, text in wanted:
            await filters.check(resources.datasource_ids.get(resource, resource), text)


@_audited("token.list")
def show_all(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`GET /v0/tokens`: all static tokens that the caller may manage, with their values."""
    _require_manager(caller)
    with server.store.begin() as connection:
        found = stored.list_tokens(connection, caller.workspace_id)
    shown = [_show(token, server) for token in found if _may_manage(caller, token)]
    return json_answer(200, {"tokens": shown}, _NO_STORE)


@_audited("token.show")
def show(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`GET /v0/tokens/NAME-OR-ID`. A token may always read itself. What there is not is 403, as
    what the caller may not see (tokens.md section 6)."""
    with server.store.begin() as connection:
        token = stored.find_token(connection, caller.workspace_id, _named(request))
    if token is not None and (token.id == caller.token_id or _may_manage(caller, token)):
        return json_answer(200, _show(token, server), _NO_STORE)
    raise Forbidden(
        "Token has not enough permissions to get information about this token. It needs the scope "
        "TOKENS or ADMIN, and the token must exist",
        documentation=_DOCUMENTATION,
    )


@_audited("token.create", takes_scopes=True)
def create(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`POST /v0/tokens`: a static token, or with `expiration_time` a JWT. Raises BadRequest."""
    _require_manager(caller)
    deployment = server.deployments[caller.workspace_id]
    wanted = read_new(request, resources_of(deployment), now_s=time.time())
    if isinstance(wanted, NewJwt):
        return json_answer(200, wanted.sign(deployment, server.keyring), _NO_STORE)
    _refuse_escalation(caller, wanted.scopes)
    with server.store.begin() as connection:
        _refuse_taken(stored.find_token(connection, caller.workspace_id, wanted.name), wanted.name)
        if stored.count_tokens(connection, caller.workspace_id) >= MAX_TOKENS:
            raise BadRequest(
                f"The workspace has {MAX_TOKENS:,} tokens, which is the most there are"
            )
        token = stored.create_token(
            connection,
            caller.workspace_id,
            wanted.name,
            origin="api",
            scopes=wanted.scopes,
            description=wanted.description,
        )
        keyring = change_keyring(server.keyring, changed=[token])
    server.keyring = keyring
    return json_answer(200, _show(token, server), _NO_STORE)


@_audited("token.update", takes_scopes=True)
def update(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`PUT /v0/tokens/NAME-OR-ID`: scopes that are given replace all old ones; the value stays.
    Raises NotFound, BadRequest, and Forbidden where files or the server say what the token is."""
    _require_manager(caller)
    wanted = read_update(
        request, _named(request), resources_of(server.deployments[caller.workspace_id])
    )
    with server.store.begin() as connection:
        token = _find(connection, caller, _named(request))
        if wanted.scopes is not None or wanted.name not in (None, token.name):
            _refuse_fixed(token)
        if wanted.scopes is not None:
            _refuse_escalation(caller, wanted.scopes)
        if wanted.name not in (None, token.name):
            other = stored.find_token(connection, caller.workspace_id, wanted.name or "")
            _refuse_taken(other, wanted.name or "")
        token = stored.update_token(
            connection,
            token,
            name=wanted.name,
            description=wanted.description,
            scopes=wanted.scopes,
        )
        keyring = change_keyring(server.keyring, changed=[token])
    server.keyring = keyring
    return json_answer(200, _show(token, server), _NO_STORE)


@_audited("token.refresh")
def refresh(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`POST /v0/tokens/NAME-OR-ID/refresh`: a new value; the old one is refused from now on, and
    with the workspace admin token's every JWT. Raises NotFound, BadRequest."""
    _require_manager(caller)
    with server.store.begin() as connection:
        token = _find(connection, caller, _named(request))
        token = stored.refresh_token(connection, token)
        keyring = change_keyring(server.keyring, changed=[token])
    server.keyring = keyring
    return json_answer(200, _show(token, server), _NO_STORE)


@_audited("token.delete")
def remove(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`DELETE /v0/tokens/NAME-OR-ID`. A default token comes back, with another value, at the next
    start. Raises NotFound, BadRequest, Forbidden."""
    _require_manager(caller)
    with server.store.begin() as connection:
        token = _find(connection, caller, _named(request))
        if token.origin == "datafile":
            _refuse_fixed(token)
        stored.delete_token(connection, token)
        keyring = change_keyring(server.keyring, deleted=[token.id])
    server.keyring = keyring
    return json_answer(200, {"ok": True}, _NO_STORE)


def _show(token: StoredToken, server: Server) -> dict[str, object]:
    return {
        "id": token.id,
        "token": server.keyring.signer.value_of(token),
        "name": token.name,
        "description": token.description,
        "scopes": [show_scope(scope) for scope in sorted(token.scopes)],
        "origin": {"type": "C"},
        "host": "local",
        "is_internal": False,
    }


def _require_manager(caller: Caller) -> None:
    if not caller.manages_tokens:
        raise Forbidden(
            f"The token '{caller.token_name}' may not manage tokens: it needs the scope TOKENS or "
            "ADMIN",
            documentation=_DOCUMENTATION,
        )


def _may_manage(caller: Caller, token: StoredToken) -> bool:
    """TOKENS manages what is no admin's: the value of an admin token is every right there is. The
    user token is of the account, and is read by `pipewren token` only."""
    types = {scope.type for scope in token.scopes}
    if USER_TYPE in types:
        return False
    return caller.is_admin or (caller.manages_tokens and types.isdisjoint(ADMIN_TYPES))


def _find(connection: Connection, caller: Caller, name_or_id: str) -> StoredToken:
    token = stored.find_token(connection, caller.workspace_id, name_or_id)
    if token is None or not _may_manage(caller, token):
        raise NotFound(f"Token '{name_or_id}' does not exist", documentation=_DOCUMENTATION)
    return token


def _refuse_taken(other: StoredToken | None, name: str) -> None:
    if other is not None or name in stored.DEFAULT_NAMES:
        raise BadRequest(
            f'Token with name "{name}" already exists, or is one of the server\'s own',
            documentation=_DOCUMENTATION,
        )


def _refuse_escalation(caller: Caller, scopes: frozenset[Scope]) -> None:
    if not caller.is_admin and any(scope.type in ADMIN_TYPES for scope in scopes):
        raise Forbidden(
            "Only a token with the scope ADMIN gives the scope ADMIN", documentation=_DOCUMENTATION
        )


def _refuse_fixed(token: StoredToken) -> None:
    if token.origin == "datafile":
        raise Forbidden(
            f"Token '{token.name}' comes from TOKEN lines of the project's files: change it there "
            "and deploy",
            documentation=_DOCUMENTATION,
        )
    if token.origin == "default":
        raise Forbidden(
            f"Token '{token.name}' is one of the server's own: its name and scopes stay",
            documentation=_DOCUMENTATION,
        )


def _named(request: RouteRequest) -> str:
    """The token that the path names, empty where it names none: the only part with a name."""
    return next(iter(request.names.values()), "")


def _text_of(request: RouteRequest, name: str) -> str | None:
    value = request.body.get(name, request.text(name))
    return value if isinstance(value, str) else None
