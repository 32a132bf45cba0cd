"""`pipewren token`: reads values from the key files and the store, no server needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pipewren.access.startup import open_keyring
from pipewren.access.token_value import read_key
from pipewren.errors import StartError
from pipewren.settings_sources import read_settings
from pipewren.storage.secrets import read_secrets_key
from pipewren.storage.store import FILE_NAME, open_store
from pipewren.storage.tokens import list_tokens
from pipewren.storage.workspaces import ensure_workspace


def print_tokens(flags: Mapping[str, Any], name: str | None) -> None:
    """Print one value, or all names with their scopes. Raises StartError when there is no data."""
    settings = read_settings(flags)
    folder = settings.store_dir
    if not (folder / FILE_NAME).is_file():
        raise StartError(f"There is no data in {folder}: run `pipewren serve` first")
    given = settings.token_key
    key = read_key(folder, given.get_secret_value() if given else None)
    given = settings.secrets_key
    secrets_key = read_secrets_key(folder, given.get_secret_value() if given else None)
    store = open_store(folder)
    try:
        with store.begin() as connection:
            workspace = ensure_workspace(connection, settings.workspace)
            # Without the setting admin_token: the server's next start takes it, not this look.
            opened = open_keyring(connection, key, [workspace], secrets_key=secrets_key)
            tokens = list_tokens(connection, workspace.id)
    finally:
        store.close()
    if name is None:
        for token in tokens:
            scopes = ", ".join(
                ":".join(part for part in (scope.type, scope.resource) if part)
                for scope in sorted(token.scopes)
            )
            click.echo(f"{token.name}\t{scopes}")
        return
    value = opened.keyring.value_of(workspace.id, name)
    if value is None:
        names = ", ".join(token.name for token in tokens)
        raise StartError(f"There is no token {name!r}; there are: {names}")
    click.echo(value)
