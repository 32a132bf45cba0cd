"""The keyring when a workspace comes or goes: its UUID, which is part of every value, and its
tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipewren.access.caller import Keyring, change_keyring
from pipewren.storage.tokens import StoredToken
from pipewren.storage.workspaces import Workspace


def with_workspace(
    keyring: Keyring, workspace: Workspace, tokens: Iterable[StoredToken]
) -> Keyring:
    """The keyring with a workspace and its tokens in it."""
    uuids = {**keyring.signer.workspace_uuids, workspace.id: workspace.uuid}
    signer = replace(keyring.signer, workspace_uuids=uuids)
    return change_keyring(replace(keyring, signer=signer), changed=tokens)


def without_workspaces(keyring: Keyring, gone: Iterable[str]) -> Keyring:
    """The keyring without the workspaces of these ids. Their static tokens are unknown from now
    on, and so are their JWTs, verified before or not, since the keys that signed them are gone."""
    ids = set(gone)
    tokens = [
        caller.token_id for _, caller in keyring.entries.values() if caller.workspace_id in ids
    ]
    left = change_keyring(keyring, deleted=tokens)
    uuids = {
        workspace_id: uuid
        for workspace_id, uuid in keyring.signer.workspace_uuids.items()
        if workspace_id not in ids
    }
    return replace(left, signer=replace(left.signer, workspace_uuids=uuids))
