"""What a token lets its holder do, read off its scopes or claims once: `Caller`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipewren.access.claims import Claims
from pipewren.access.scopes import ADMIN_TYPES, USER_TYPE
from pipewren.storage.tokens import Scope, StoredToken

FixedParameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller, by a static token or a JWT. Resources are names or ids, as the token has
    them.

    `pipes` are those that it may read whole; `pipe_filters` those of which it may read the rows
    that meet any of the conditions. `datasources` are those that it may read, with the conditions
    of which any must be met: "" is one that is always met. `fixed` are, by pipe, the sets of fixed
    parameters that a JWT's scopes give. `reads_all` stands for ADMIN and WORKSPACE:READ_ALL.
    `token_id` is empty for a JWT, which the server does not store.
    """

    workspace_id: str
    token_id: str
    token_name: str
    is_admin: bool
    reads_all: bool
    pipes: frozenset[str]
    scopes: frozenset[Scope]
    pipe_filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: Mapping[str, tuple[FixedParameters, ...]] = field(default_factory=dict)
    rps: int | None = None
    is_jwt: bool = False
    is_user: bool = False
    manages_tokens: bool = False
    narrows: bool = False  # has filters, fixed parameters or a rate limit: a call needs its Grant


def caller_of(token: StoredToken) -> Caller:
    """What a static token's scopes allow. Who reads all is narrowed by no filter: an unfiltered
    scope wins (tokens.md section 7, "Filters")."""
    types = {scope.type for scope in token.scopes}
    is_admin = not types.isdisjoint(ADMIN_TYPES)
    reads_all = is_admin or "WORKSPACE:READ_ALL" in types
    pipes = _conditions(token.scopes, "PIPES:READ")
    datasources = _conditions(token.scopes, "DATASOURCES:READ")
    whole = frozenset(name for name, conditions in pipes.items() if "" in conditions)
    filtered = {name: conditions for name, conditions in pipes.items() if name not in whole}
    return Caller(
        workspace_id=token.workspace_id,
        token_id=token.id,
        token_name=token.name,
        is_admin=is_admin,
        reads_all=reads_all,
        pipes=whole,
        scopes=token.scopes,
        pipe_filters=filtered,
        datasources=datasources,
        is_user=USER_TYPE in types,
        manages_tokens=is_admin or "TOKENS" in types,
        narrows=not reads_all and (bool(filtered) or _has_conditions(datasources)),
    )


def jwt_caller(workspace_id: str, claims: Claims) -> Caller:
    """What a JWT's claims allow: pipes, each with its fixed parameters, and data sources."""
    fixed: dict[str, tuple[FixedParameters, ...]] = {}
    for scope in claims.scopes:
        if scope.type == "PIPES:READ":
            sets = fixed.get(scope.resource, ())
            if scope.fixed_params not in sets:
                fixed[scope.resource] = (*sets, scope.fixed_params)
    scopes = frozenset(Scope(one.type, one.resource, one.filter) for one in claims.scopes)
    datasources = _conditions(scopes, "DATASOURCES:READ")
    has_fixed = any(any(sets) or len(sets) > 1 for sets in fixed.values())
    return Caller(
        workspace_id=workspace_id,
        token_id="",
        token_name=claims.name,
        is_admin=False,
        reads_all=False,
        pipes=frozenset(fixed),
        scopes=scopes,
        datasources=datasources,
        fixed=fixed,
        rps=claims.rps,
        is_jwt=True,
        # Two spellings of one pipe, name and id, are found out only where the pipe is known.
        narrows=has_fixed or _has_conditions(datasources) or claims.rps is not None,
    )


def _conditions(scopes: Iterable[Scope], type: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for scope in sorted(scopes):
        if scope.type == type:
            found[scope.resource] = (*found.get(scope.resource, ()), scope.filter)
    return found


def _has_conditions(datasources: Mapping[str, tuple[str, ...]]) -> bool:
    return any(condition for conditions in datasources.values() for condition in conditions)
