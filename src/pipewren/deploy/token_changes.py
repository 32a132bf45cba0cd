"""What a deployment changes of the tokens that datafiles declare, as clients show it
(client-compat.md section 4)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pipewren.deploy.live import declared_tokens
from pipewren.project.model import Project, TokenGrant, Warning
from pipewren.storage.tokens import DEFAULT_NAMES, Scope, StoredToken


def find_kept_tokens(project: Project, present: Iterable[StoredToken]) -> list[Warning]:
    """TOKEN lines that have no effect, since the token of the name is none of datafiles: it stays
    as it is (tokens.md section 5). `present` are the workspace's tokens."""
    others = {token.name for token in present if token.origin != "datafile"} - DEFAULT_NAMES
    found: list[Warning] = []
    for grant in _grants(project):
        if grant.name in DEFAULT_NAMES:
            why, how = "is one of the server's own", "Give the token of this line another name"
        elif grant.name in others:
            why = "was made by the Tokens API"
            how = "Delete that token and deploy again, or give this one another name"
        else:
            continue
        message = (
            f"TOKEN {grant.name} {grant.permission} has no effect: the token '{grant.name}' {why}, "
            f"and keeps its scopes. {how}"
        )
        found.append(Warning(message, grant.position))
    return found


def describe_token_changes(
    before: Project, after: Project, *, kept: Collection[str] = ()
) -> list[dict[str, Any]]:
    """One item for each token that is new, deleted, or may do other things than before. `kept` are
    the names of tokens that files name and do not change."""
    old, new = declared_tokens(before), declared_tokens(after)
    changes: list[dict[str, Any]] = []
    for name in sorted((old.keys() | new.keys()) - set(kept)):
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


def _grants(project: Project) -> Iterator[TokenGrant]:
    for datasource in project.datasources.values():
        yield from datasource.tokens
    for pipe in project.pipes.values():
        yield from pipe.tokens


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
