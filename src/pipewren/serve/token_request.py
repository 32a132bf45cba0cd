"""What a request of the Tokens API asks for, from query string, form or JSON (tokens.md section 6,
client-compat.md section 7). Where both have a name, the body wins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pipewren.access.caller import Keyring
from pipewren.access.claims import (
    MAX_CLAIMS_BYTES,
    MAX_TIME_S,
    ClaimError,
    read_claims,
    read_name,
)
from pipewren.access.jwt import JwtError, sign_jwt
from pipewren.access.rights import jwt_caller
from pipewren.access.scopes import Resources, read_scopes
from pipewren.access.unused_claims import find_unused
from pipewren.deploy.deployment import Deployment
from pipewren.errors import BadRequest
from pipewren.serve.call import Repeated
from pipewren.serve.route_request import RouteRequest
from pipewren.storage.tokens import Scope

MAX_DESCRIPTION_LENGTH = 2000
_SECONDS = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A static token to be made."""

    name: str
    description: str
    scopes: frozenset[Scope]

    def filters(self) -> list[tuple[str, str]]:
        """(data source, filter) of each scope that has one."""
        return filters_of_scopes(self.scopes)


@dataclass(frozen=True, slots=True)
class NewJwt:
    """A JWT to be made: its claims but for the workspace, checked when they are signed."""

    claims: dict[str, Any]
    resources: Resources

    def filters(self) -> list[tuple[str, str]]:
        """(data source, filter) of each scope that has one; what is no text is refused later."""
        scopes = [one for one in self.claims.get("scopes") or () if isinstance(one, dict)]
        pairs = [
            (one.get("resource"), one.get("filter"))
            for one in scopes
            if one.get("type") == "DATASOURCES:READ"
        ]
        return [(str(resource), text) for resource, text in pairs if text and isinstance(text, str)]

    def sign(self, deployment: Deployment, keyring: Keyring) -> dict[str, object]:
        """`{"token": ...}`, with `warnings` where it names something in vain. Raises BadRequest."""
        workspace = deployment.workspace
        payload = {"workspace_id": workspace.uuid, **self.claims}
        key = keyring.jwt_keys.get(workspace.id)
        if key is None:
            raise BadRequest(
                "The workspace has no workspace admin token, which signs JWTs: start the server "
                "again to have one made"
            )
        try:
            claims = read_claims(payload)
            token = sign_jwt(payload, key)
        except ClaimError as error:
            raise BadRequest(f"The JWT cannot be made: {error}") from None
        except JwtError as error:
            raise BadRequest(error.reason) from None
        if len(token) * 3 // 4 > MAX_CLAIMS_BYTES:
            raise BadRequest(
                f"The JWT would be larger than {MAX_CLAIMS_BYTES:,} bytes: give it fewer scopes or "
                "shorter values"
            )
        answer: dict[str, object] = {"token": token}
        caller = jwt_caller(workspace.id, claims)
        warnings = find_unused(caller, self.resources, deployment.pipes)
        if warnings:
            answer["warnings"] = warnings
        return answer


@dataclass(frozen=True, slots=True)
class TokenUpdate:
    """What is to change; None leaves it."""

    name: str | None
    description: str | None
    scopes: frozenset[Scope] | None


def filters_of_scopes(scopes: Iterable[Scope]) -> list[tuple[str, str]]:
    return [
        (scope.resource, scope.filter)
        for scope in scopes
        if scope.type == "DATASOURCES:READ" and scope.filter and scope.resource
    ]


def read_new(request: RouteRequest, resources: Resources, *, now_s: float) -> NewToken | NewJwt:
    """A JWT where `expiration_time` is sent, else a static token. Raises BadRequest."""
    sent = _merge(request)
    name = _read_name(sent.get("name"))
    if name is None:
        raise BadRequest("The parameter name is missing: it names the token")
    if "expiration_time" in sent:
        return _read_jwt(sent, name, resources, now_s)
    for key in ("limits", "fixed_params", "filter"):
        if key in sent:
            raise BadRequest(
                f"A static token has no {key}: send expiration_time for a JWT, or write a filter "
                "as part of a scope"
            )
    scopes = _read_scopes(sent, resources)
    _refuse_uuid(name)
    return NewToken(name, _read_description(sent) or "", scopes or frozenset())


def read_update(request: RouteRequest, token: str, resources: Resources) -> TokenUpdate:
    """What is to change of `token`, a name or an id. Raises BadRequest, also for no change."""
    sent = _merge(request)
    name = _read_name(sent.get("name"))
    if name is not None and name != token:
        _refuse_uuid(name)
    update = TokenUpdate(name, _read_description(sent), _read_scopes(sent, resources))
    if update == TokenUpdate(None, None, None):
        raise BadRequest("Nothing to change was sent: give name, scope or description")
    return update


def _read_jwt(sent: dict[str, Any], name: str, resources: Resources, now_s: float) -> NewJwt:
    if "scope" in sent:
        raise BadRequest("The scopes of a JWT are a list of objects: send them as scopes, in JSON")
    claims: dict[str, Any] = {
        "name": name,
        "exp": _read_expiration(sent["expiration_time"], now_s),
        "scopes": sent.get("scopes"),
    }
    if "limits" in sent:
        claims["limits"] = sent["limits"]
    return NewJwt(claims, resources)


def _read_expiration(value: Any, now_s: float) -> int:
    value = _last(value)
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_TIME_S:
        raise BadRequest(
            "The parameter expiration_time must be a whole number of seconds since 1970, such as "
            f"{int(now_s) + 3600}"
        )
    if value <= now_s:
        raise BadRequest("The parameter expiration_time is in the past")
    return value


def _merge(request: RouteRequest) -> dict[str, Any]:
    return {**request.query, **request.body}


def _read_name(value: Any) -> str | None:
    value = _last(value)
    if value is None:
        return None
    try:
        name = read_name(value)
    except ClaimError as error:
        raise BadRequest(f"The parameter name: {error}") from None
    if "/" in name:
        raise BadRequest("The parameter name must have no /: the name is part of the token's URL")
    return name


def _refuse_uuid(name: str) -> None:
    try:
        UUID(name)
    except ValueError:
        return
    raise BadRequest("The parameter name must not look like an id: tokens are found by both")


def _read_description(sent: dict[str, Any]) -> str | None:
    value = _last(sent.get("description"))
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_DESCRIPTION_LENGTH:
        raise BadRequest(
            "The parameter description must be a text of at most "
            f"{MAX_DESCRIPTION_LENGTH} characters"
        )
    return value


def _read_scopes(sent: dict[str, Any], resources: Resources) -> frozenset[Scope] | None:
    """`scope` once or several times, as a text or a list, or `scopes`; None when neither is
    sent. An empty text is no scope, which is how a form says of none."""
    if "scope" in sent and "scopes" in sent:
        raise BadRequest("Send either scope or scopes")
    given = sent.get("scope", sent.get("scopes"))
    if given is None:
        return None
    if isinstance(given, str):
        given = [given] if given else []
    if not isinstance(given, list):
        raise BadRequest("The parameter scope must be a text or a list")
    return read_scopes(given, resources)


def _last(value: Any) -> Any:
    return value[-1] if isinstance(value, Repeated) else value
