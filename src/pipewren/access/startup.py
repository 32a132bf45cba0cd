"""The keyring as it is when the server starts: the default tokens are made, all values computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pipewren.access.brute_force import MAX_BAD_TOKENS_PER_MINUTE, Attempts
from pipewren.access.caller import Keyring, build_keyring
from pipewren.access.scopes import USER_TYPE
from pipewren.storage.tokens import (
    ADMIN_TOKEN,
    MEMBER_TOKEN,
    USER_TOKEN,
    Scope,
    create_token,
    list_tokens,
)
from pipewren.storage.workspaces import Workspace

__all__ = ["ADMIN_TOKEN", "OpenedKeyring", "open_keyring"]

_DEFAULTS: Mapping[str, Scope] = {  # tokens.md section 3
    ADMIN_TOKEN: Scope("ADMIN"),
    MEMBER_TOKEN: Scope("ADMIN_USER"),
    USER_TOKEN: Scope(USER_TYPE),
}


@dataclass(frozen=True, slots=True)
class OpenedKeyring:
    """`admin_is_new` says that the admin token was made just now, to be printed this once."""

    keyring: Keyring
    admin_is_new: bool


def open_keyring(
    connection: Connection,
    key: bytes,
    workspaces: Sequence[Workspace],
    *,
    admin_token: str | None,
    max_bad_tokens_per_minute: int = MAX_BAD_TOKENS_PER_MINUTE,
) -> OpenedKeyring:
    """`admin_token` is the first workspace's, given by setting; it is kept in memory only.

    Every workspace has two default tokens of its own; the user token, which is for the account,
    belongs to the first.
    """
    made = False
    tokens = []
    given: dict[str, str] = {}
    for index, workspace in enumerate(workspaces):
        known = list_tokens(connection, workspace.id)
        names = {token.name for token in known}
        for name, scope in _DEFAULTS.items():
            if name in names or (name == USER_TOKEN and index > 0):
                continue
            known.append(
                create_token(connection, workspace.id, name, origin="default", scopes={scope})
            )
            made = made or (index == 0 and name == ADMIN_TOKEN)
        tokens += known
        if index == 0 and admin_token is not None:
            given |= {
                token.id: admin_token
                for token in known
                if token.name == ADMIN_TOKEN and token.origin == "default"
            }
    keyring = build_keyring(
        key,
        tokens,
        workspace_uuids={workspace.id: workspace.uuid for workspace in workspaces},
        given=given,
        attempts=Attempts(max_bad_tokens_per_minute),
    )
    return OpenedKeyring(keyring, made and admin_token is None)
