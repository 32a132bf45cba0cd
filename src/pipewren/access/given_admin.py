"""The workspace admin token's value where the setting `admin_token` gives it, or gave it.

A value is taken once: it is kept, encrypted, and stays the token's without the setting. What ends
it (a refresh, the token's deletion) ends it for good, so that a setting which was forgotten in a
file does not bring back, at the next start, a value that somebody meant to be gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from pipewren.errors import StartError
from pipewren.storage.given_tokens import find_given, forget_given, keep_given
from pipewren.storage.store import FILE_NAME
from pipewren.storage.tokens import StoredToken, refresh_token


@dataclass(frozen=True, slots=True)
class GivenAdmin:
    """The token as it is now, and its value where one was given. `note` is a line for the log."""

    token: StoredToken
    value: str | None = None
    note: str | None = None


def read_given_admin(connection: Connection, token: StoredToken, secrets_key: bytes) -> GivenAdmin:
    """The token with the value that the store keeps. Raises StartError where it does not open."""
    kept = find_given(connection, token.workspace_id, token.name)
    if kept is None or not kept.is_of(token):
        return GivenAdmin(token)
    value = kept.open(secrets_key)
    if value is None:
        raise StartError(
            f"The value of the token '{token.name}', which the setting admin_token gave, cannot be "
            "decrypted: the key of secrets (the setting secrets_key, or the file secrets.key) is "
            "not the one that it was encrypted with, or the store was changed. Put that key back, "
            "or give the setting admin_token again. To have the server make a value of its own: "
            f"`sqlite3 {FILE_NAME} 'DELETE FROM given_tokens'` in the data directory."
        )
    return GivenAdmin(token, value)


def take_setting(
    connection: Connection, token: StoredToken, value: str, secrets_key: bytes, *, is_new: bool
) -> GivenAdmin:
    """Give the token the setting's `value`, unless it had that value before and it was ended.
    Another value than the one before raises the generation. `is_new`: the token was made just
    now."""
    kept = find_given(connection, token.workspace_id, token.name)
    before = None if kept is None else kept.open(secrets_key)
    if kept is not None and before == value:
        if kept.is_of(token):
            return GivenAdmin(token, value)
        return GivenAdmin(
            token,
            note=f"warning: the setting admin_token still gives the value that the token "
            f"'{token.name}' had before it was refreshed or deleted, and which is ended: it is not "
            "taken. Remove the setting, or give another value",
        )
    if (is_new and kept is None) or (kept is not None and before is None and kept.is_of(token)):
        # In the second case the key of secrets is another one: what is kept is written anew.
        keep_given(connection, token, value, key=secrets_key)
        return GivenAdmin(token, value)
    token = refresh_token(connection, token)
    keep_given(connection, token, value, key=secrets_key)
    return GivenAdmin(
        token,
        value,
        f"the token '{token.name}' has the value that the setting admin_token gives from now on; "
        "another one that it had is refused, and so are JWTs that were signed with that",
    )


def forget_admin(connection: Connection, token: StoredToken) -> None:
    """Let go of a kept value: another workspace's token has it now."""
    forget_given(connection, token.workspace_id, token.name)
