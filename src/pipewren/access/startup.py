"""The keyring as it is when the server starts: the default tokens are made, all values computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pipewren.access.caller import Keyring, build_keyring
from pipewren.storage.tokens import Scope, create_token, list_tokens
from pipewren.storage.workspaces import Workspace

ADMIN_TOKEN = "workspace admin token"  # tokens.md section 3


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
) -> OpenedKeyring:
    """`admin_token` is the first workspace's, given by setting; it is kept in memory only."""
    made = False
    tokens = []
    given: dict[str, str] = {}
    for index, workspace in enumerate(workspaces):
        known = list_tokens(connection, workspace.id)
        if not any(token.name == ADMIN_TOKEN for token in known):
            admin = create_token(
                connection, workspace.id, ADMIN_TOKEN, origin="default", scopes={Scope("ADMIN")}
            )
            known.append(admin)
            made = made or index == 0
        tokens += known
        if index == 0 and admin_token is not None:
            given |= {token.id: admin_token for token in known if token.name == ADMIN_TOKEN}
    uuids = {workspace.id: workspace.uuid for workspace in workspaces}
    keyring = build_keyring(key, tokens, workspace_uuids=uuids, given=given)
    return OpenedKeyring(keyring, made and admin_token is None)
