"""Static tokens in the store: id, generation and scopes, never a value (tokens.md section 2)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from pipewren.storage.schema import token_scopes, tokens
from pipewren.storage.store import now_text


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """One right: `PIPES:READ` on `top_pages`, `ADMIN` on nothing in particular."""

    type: str
    resource: str = ""
    filter: str = ""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """`origin` is `default` (made with the workspace), `datafile` or `api`."""

    id: str
    workspace_id: str
    name: str
    origin: str
    generation: int
    scopes: frozenset[Scope]


def list_tokens(connection: Connection, workspace_id: str) -> list[StoredToken]:
    """All static tokens of a workspace, in order of their names."""
    scopes: dict[str, set[Scope]] = {}
    for row in connection.execute(
        select(token_scopes).join(tokens).where(tokens.c.workspace_id == workspace_id)
    ):
        scopes.setdefault(row.token_id, set()).add(Scope(row.type, row.resource, row.filter))
    return [
        StoredToken(
            id=row.id,
            workspace_id=row.workspace_id,
            name=row.name,
            origin=row.origin,
            generation=row.generation,
            scopes=frozenset(scopes.get(row.id, ())),
        )
        for row in connection.execute(
            select(tokens).where(tokens.c.workspace_id == workspace_id).order_by(tokens.c.name)
        )
    ]


def create_token(
    connection: Connection, workspace_id: str, name: str, *, origin: str, scopes: Set[Scope]
) -> StoredToken:
    """A new token of generation 1. The caller has checked that the name is free."""
    token = StoredToken(str(uuid.uuid4()), workspace_id, name, origin, 1, frozenset(scopes))
    connection.execute(
        insert(tokens).values(
            id=token.id,
            workspace_id=workspace_id,
            name=name,
            description="",
            origin=origin,
            generation=1,
            created_at=now_text(),
        )
    )
    _write_scopes(connection, token.id, scopes)
    return token


def merge_datafile_tokens(
    connection: Connection, workspace_id: str, declared: Mapping[str, Set[Scope]]
) -> None:
    """Make the tokens of datafiles be exactly `declared`: created, updated, removed; values stay
    (tokens.md section 5). Tokens made by other ways are left alone, but a default or API token
    named in a datafile is not taken over: its scopes stay what they were."""
    present = {token.name: token for token in list_tokens(connection, workspace_id)}
    for name, scopes in declared.items():
        token = present.get(name)
        if token is None:
            create_token(connection, workspace_id, name, origin="datafile", scopes=scopes)
        elif token.origin == "datafile" and token.scopes != scopes:
            connection.execute(delete(token_scopes).where(token_scopes.c.token_id == token.id))
            _write_scopes(connection, token.id, scopes)
    gone = [
        token.id
        for token in present.values()
        if token.origin == "datafile" and token.name not in declared
    ]
    if gone:
        connection.execute(delete(tokens).where(tokens.c.id.in_(gone)))


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
