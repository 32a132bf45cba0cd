"""What a deployment changes of the tokens that datafiles declare, as clients show it
(client-compat.md section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipewren.deploy.live import declared_tokens
from pipewren.project.model import Project
from pipewren.storage.tokens import Scope


def describe_token_changes(before: Project, after: Project) -> list[dict[str, Any]]:
    """One item for each token that is new, deleted, or may do other things than before."""
    old, new = declared_tokens(before), declared_tokens(after)
    changes: list[dict[str, Any]] = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, set()), new.get(name, set())
        if was == now:
            continue
        kind = "new" if name not in old else "deleted" if name not in new else "changed"
        changes.append(
            {
                "token_name": name,
                "change_type": kind,
                "permission_changes": {
                    "added_permissions": _describe(now - was),
                    "removed_permissions": _describe(was - now),
                },
            }
        )
    return changes


def _describe(scopes: Iterable[Scope]) -> list[dict[str, str]]:
    described = []
    for scope in sorted(scopes):
        kind, _, permission = scope.type.partition(":")
        described.append(
            {
                "resource_name": scope.resource,
                "resource_type": "pipe" if kind == "PIPES" else "datasource",
                "permission": permission,
            }
        )
    return described
