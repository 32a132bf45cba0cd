"""The keyring as it is when the server starts: the default tokens are made, all values computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sqlalchemy import Connection

from pipewren.access.brute_force import MAX_BAD_TOKENS_PER_MINUTE, Attempts
from pipewren.access.caller import Keyring, build_keyring
from pipewren.access.given_admin import (
    GivenAdmin,
    forget_admin,
    read_given_admin,
    take_setting,
)
from pipewren.access.scopes import USER_TYPE
from pipewren.storage.tokens import (
    ACCOUNT_TOKEN,
    ADMIN_TOKEN,
    MEMBER_TOKEN,
    USER_TOKEN,
    Scope,
    StoredToken,
    create_token,
    list_tokens,
)
from pipewren.storage.workspaces import Workspace

__all__ = ["ADMIN_TOKEN", "OpenedKeyring", "make_default_tokens", "open_keyring"]

_OF_WORKSPACE: Mapping[str, Set[Scope]] = {  # tokens.md section 3
    ADMIN_TOKEN: {Scope("ADMIN")},
    MEMBER_TOKEN: {Scope("ADMIN_USER")},
}
_OF_ACCOUNT: Mapping[str, Set[Scope]] = {
    USER_TOKEN: {Scope(USER_TYPE)},
    ACCOUNT_TOKEN: {Scope("ADMIN_USER"), Scope(USER_TYPE)},
}


@dataclass(frozen=True, slots=True)
class OpenedKeyring:
    """`admin_is_new` says that the admin token was made just now, to be printed this once; `notes`
    are lines for the log."""

    keyring: Keyring
    admin_is_new: bool
    notes: tuple[str, ...] = ()


def open_keyring(
    connection: Connection,
    key: bytes,
    workspaces: Sequence[Workspace],
    *,
    secrets_key: bytes,
    admin_token: str | None = None,
    max_bad_tokens_per_minute: int = MAX_BAD_TOKENS_PER_MINUTE,
) -> OpenedKeyring:
    """`admin_token` is the first workspace's, given by setting; it is kept, encrypted by
    `secrets_key`, for the starts that come without it.

    Every workspace has two default tokens of its own; those that are for the account belong to the
    first. Raises StartError where a value that was kept does not open.
    """
    made = False
    tokens = []
    given: dict[str, str] = {}
    notes: list[str] = []
    for index, workspace in enumerate(workspaces):
        known = list_tokens(connection, workspace.id)
        new = make_default_tokens(connection, workspace.id, known, of_account=index == 0)
        is_new = any(token.name == ADMIN_TOKEN for token in new)
        for token in (*known, *new):
            if token.name == ADMIN_TOKEN and token.origin == "default":
                if index == 0 and admin_token is not None:
                    found = take_setting(connection, token, admin_token, secrets_key, is_new=is_new)
                else:
                    found = read_given_admin(connection, token, secrets_key)
                if found.value is not None and found.value in given.values():
                    forget_admin(connection, token)
                    found = GivenAdmin(token)
                if found.value is not None:
                    given[token.id] = found.value
                if found.note is not None:
                    notes.append(found.note)
                if index == 0:
                    made = is_new and found.value is None
                token = found.token
            tokens.append(token)
    keyring = build_keyring(
        key,
        tokens,
        workspace_uuids={workspace.id: workspace.uuid for workspace in workspaces},
        given=given,
        attempts=Attempts(max_bad_tokens_per_minute),
    )
    return OpenedKeyring(keyring, made, tuple(notes))


def make_default_tokens(
    connection: Connection,
    workspace_id: str,
    known: Sequence[StoredToken] = (),
    *,
    of_account: bool = False,
) -> list[StoredToken]:
    """The default tokens that a workspace lacks, made now; `of_account` those of the account too.
    What is returned is the new ones."""
    names = {token.name for token in known}
    wanted = {**_OF_WORKSPACE, **_OF_ACCOUNT} if of_account else _OF_WORKSPACE
    return [
        create_token(connection, workspace_id, name, origin="default", scopes=scopes)
        for name, scopes in wanted.items()
        if name not in names
    ]
