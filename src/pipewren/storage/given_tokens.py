"""The value of a token that a setting gave, encrypted by the key of secrets.

It is kept for one generation of one token: what is refreshed or deleted leaves the row behind,
which then opens nothing and still tells that its value is not to come back. Sealed as secrets are
(`secrets.py`), and bound to workspace, token and generation: moved to another row it does not open.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from pipewren.storage.schema import given_tokens
from pipewren.storage.secrets import SealBroken, seal, unseal
from pipewren.storage.tokens import StoredToken


@dataclass(frozen=True, slots=True)
class GivenToken:
    """One row. `sealed` is the value, encrypted."""

    workspace_id: str
    name: str
    token_id: str
    generation: int
    sealed: str

    def is_of(self, token: StoredToken) -> bool:
        """Whether it is the value of the token as it is now."""
        return (self.token_id, self.generation) == (token.id, token.generation)

    def open(self, key: bytes) -> str | None:
        """The value; None for another key, and for a row that was changed."""
        try:
            return unseal(
                key, self.workspace_id, _bound(self.token_id, self.generation), self.sealed
            )
        except SealBroken:
            return None


def find_given(connection: Connection, workspace_id: str, name: str) -> GivenToken | None:
    """What was last given for the workspace's token of that name."""
    row = connection.execute(
        select(given_tokens).where(
            given_tokens.c.workspace_id == workspace_id, given_tokens.c.name == name
        )
    ).one_or_none()
    if row is None:
        return None
    return GivenToken(row.workspace_id, row.name, row.token_id, row.generation, row.value)


def keep_given(connection: Connection, token: StoredToken, value: str, *, key: bytes) -> None:
    """Keep the value for the token as it is now, in place of the one before."""
    forget_given(connection, token.workspace_id, token.name)
    sealed = seal(key, token.workspace_id, _bound(token.id, token.generation), value)
    connection.execute(
        insert(given_tokens).values(
            workspace_id=token.workspace_id,
            name=token.name,
            token_id=token.id,
            generation=token.generation,
            value=sealed,
        )
    )


def forget_given(connection: Connection, workspace_id: str, name: str) -> None:
    connection.execute(
        delete(given_tokens).where(
            given_tokens.c.workspace_id == workspace_id, given_tokens.c.name == name
        )
    )


def _bound(token_id: str, generation: int) -> str:
    return f"token\0{token_id}\0{generation}"  # a secret's name has no NUL
