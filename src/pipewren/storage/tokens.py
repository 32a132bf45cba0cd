"""Static tokens in the store: id, generation and scopes, never a value (tokens.md section 2)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from pipewren.storage.schema import token_scopes, tokens
from pipewren.storage.store import now_text

# The default tokens (tokens.md section 3). No other token may take such a name: the first of them
# is the key of all JWTs.
ADMIN_TOKEN = "workspace admin token"
MEMBER_TOKEN = "admin local_testing@tinybird.co"
USER_TOKEN = "user token"
# What `GET /tokens` calls the admin token: no workspace's token reads it (serve/local_tokens.py).
ACCOUNT_TOKEN = "account admin token"
DEFAULT_NAMES = frozenset({ADMIN_TOKEN, MEMBER_TOKEN, USER_TOKEN, ACCOUNT_TOKEN})


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One right: `PIPES:READ` on `top_pages`, `ADMIN` on nothing in particular."""

    type: str
    resource: str = ""
    filter: str = ""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """`origin` is `default` (made with the workspace), `datafile` or `api`. A refresh raises
    `generation`, which gives the token another value."""

    id: str
    workspace_id: str
    name: str
    origin: str
    generation: int
    scopes: frozenset[Scope]
    description: str = ""


@dataclass(frozen=True, slots=True)
class TokenChanges:
    """Tokens that are new or have other scopes, the ids of those that are gone, and the names that
    files declare and that are tokens of another origin, which stay what they are."""

    changed: tuple[StoredToken, ...] = ()
    deleted: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def list_tokens(connection: Connection, workspace_id: str) -> list[StoredToken]:
    """All static tokens of a workspace, in order of their names."""
    scopes: dict[str, set[Scope]] = {}
    for row in connection.execute(
        select(token_scopes).join(tokens).where(tokens.c.workspace_id == workspace_id)
    ):
        scopes.setdefault(row.token_id, set()).add(Scope(row.type, row.resource, row.filter))
    return [
        _read_token(row, scopes.get(row.id, ()))
        for row in connection.execute(
            select(tokens).where(tokens.c.workspace_id == workspace_id).order_by(tokens.c.name)
        )
    ]


def find_token(connection: Connection, workspace_id: str, name_or_id: str) -> StoredToken | None:
    """One token of a workspace; an id goes before a name."""
    own = tokens.c.workspace_id == workspace_id
    row = connection.execute(
        select(tokens).where(own, tokens.c.id == name_or_id)
    ).one_or_none() or (
        connection.execute(select(tokens).where(own, tokens.c.name == name_or_id)).one_or_none()
    )
    if row is None:
        return None
    scopes = connection.execute(select(token_scopes).where(token_scopes.c.token_id == row.id))
    return _read_token(row, (Scope(one.type, one.resource, one.filter) for one in scopes))


def count_tokens(connection: Connection, workspace_id: str) -> int:
    """How many static tokens the workspace has."""
    query = select(func.count()).select_from(tokens).where(tokens.c.workspace_id == workspace_id)
    return connection.execute(query).scalar_one()


def create_token(
    connection: Connection,
    workspace_id: str,
    name: str,
    *,
    origin: str,
    scopes: Set[Scope],
    description: str = "",
) -> StoredToken:
    """A new token of generation 1. The caller has checked that the name is free."""
    token = StoredToken(
        str(uuid.uuid4()), workspace_id, name, origin, 1, frozenset(scopes), description
    )
    connection.execute(
        insert(tokens).values(
            id=token.id,
            workspace_id=workspace_id,
            name=name,
            description=description,
            origin=origin,
            generation=1,
            created_at=now_text(),
        )
    )
    _write_scopes(connection, token.id, scopes)
    return token


def update_token(
    connection: Connection,
    token: StoredToken,
    *,
    name: str | None = None,
    description: str | None = None,
    scopes: Set[Scope] | None = None,
) -> StoredToken:
    """Change what is given; scopes are replaced whole. The value stays. The caller has checked
    that the name is free."""
    changed = replace(
        token,
        name=token.name if name is None else name,
        description=token.description if description is None else description,
        scopes=token.scopes if scopes is None else frozenset(scopes),
    )
    connection.execute(
        update(tokens)
        .where(tokens.c.id == token.id)
        .values(name=changed.name, description=changed.description)
    )
    if changed.scopes != token.scopes:
        _replace_scopes(connection, token.id, changed.scopes)
    return changed


def refresh_token(connection: Connection, token: StoredToken) -> StoredToken:
    """Raise the generation: the same token with another value."""
    raised = replace(token, generation=token.generation + 1)
    connection.execute(
        update(tokens).where(tokens.c.id == token.id).values(generation=raised.generation)
    )
    return raised


def delete_token(connection: Connection, token: StoredToken) -> None:
    """The scopes go with it."""
    connection.execute(delete(tokens).where(tokens.c.id == token.id))


def merge_datafile_tokens(
    connection: Connection, workspace_id: str, declared: Mapping[str, Set[Scope]]
) -> TokenChanges:
    """Make the tokens of datafiles be exactly `declared`: created, updated, removed; values stay
    (tokens.md section 5). Tokens made by other ways are left alone, but a default or API token
    named in a datafile is not taken over: its scopes stay what they were."""
    changed: list[StoredToken] = []
    kept: list[str] = []
    present = {token.name: token for token in list_tokens(connection, workspace_id)}
    for name, scopes in declared.items():
        token = present.get(name)
        if token is None:
            if name not in DEFAULT_NAMES:  # they may be missing: a first start deploys before
                changed.append(
                    create_token(connection, workspace_id, name, origin="datafile", scopes=scopes)
                )
        elif token.origin != "datafile":
            kept.append(name)
        elif token.scopes != scopes:
            changed.append(update_token(connection, token, scopes=scopes))
    gone = [
        token.id
        for token in present.values()
        if token.origin == "datafile" and token.name not in declared
    ]
    if gone:
        connection.execute(delete(tokens).where(tokens.c.id.in_(gone)))
    return TokenChanges(tuple(changed), tuple(gone), tuple(kept))


def _read_token(row: Row[tuple[object, ...]], scopes: Iterable[Scope]) -> StoredToken:
    return StoredToken(
        id=row.id,
        workspace_id=row.workspace_id,
        name=row.name,
        origin=row.origin,
        generation=row.generation,
        scopes=frozenset(scopes),
        description=row.description,
    )


def _replace_scopes(connection: Connection, token_id: str, scopes: Set[Scope]) -> None:
    connection.execute(delete(token_scopes).where(token_scopes.c.token_id == token_id))
    _write_scopes(connection, token_id, scopes)


def _write_scopes(connection: Connection, token_id: str, scopes: Set[Scope]) -> None:
    if scopes:
        connection.execute(
            insert(token_scopes),
            [
                {
                    "token_id": token_id,
                    "type": scope.type,
                    "resource": scope.resource,
                    "filter": scope.filter,
                }
                for scope in sorted(scopes)
            ],
        )
