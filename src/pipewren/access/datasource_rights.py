"""What a token may do with a data source (tokens.md section 4)."""

from __future__ import annotations

from pipewren.access.rights import Caller
from pipewren.errors import Forbidden
from pipewren.storage.deployments import TableVersion
from pipewren.storage.tokens import Scope


def may_append(caller: Caller, table: TableVersion) -> bool:
    return may_replace(caller) or any(
        Scope("DATASOURCES:APPEND", name) in caller.scopes
        for name in (table.datasource, table.resource_id)
    )


def may_replace(caller: Caller) -> bool:
    """Whether `caller` may take rows away, which replace and truncate do."""
    return caller.is_admin or Scope("DATASOURCES:CREATE") in caller.scopes


def may_see(caller: Caller, table: TableVersion) -> bool:
    """Whether `caller` may read the description: who reads rows, some or all, or adds some."""
    return (
        caller.reads_all
        or table.datasource in caller.datasources
        or table.resource_id in caller.datasources
        or may_append(caller, table)
    )


def may_count(caller: Caller, table: TableVersion) -> bool:
    """Whether the number of all rows tells `caller` nothing that a row filter hides."""
    if caller.reads_all or may_replace(caller):
        return True
    conditions = (
        *caller.datasources.get(table.datasource, ()),
        *caller.datasources.get(table.resource_id, ()),
    )
    return not conditions or "" in conditions


def require_append(caller: Caller, table: TableVersion) -> None:
    if not may_append(caller, table):
        raise _lacking(
            caller,
            f"append to '{table.datasource}'",
            f"DATASOURCES:APPEND:{table.datasource}, DATASOURCES:CREATE or ADMIN",
        )


def require_replace(caller: Caller) -> None:
    if not may_replace(caller):
        raise _lacking(caller, "take rows away", "DATASOURCES:CREATE or ADMIN")


def require_sight(caller: Caller, table: TableVersion) -> None:
    if not may_see(caller, table):
        raise _lacking(
            caller,
            f"read '{table.datasource}'",
            f"DATASOURCES:READ:{table.datasource} or DATASOURCES:APPEND:{table.datasource}",
        )


def _lacking(caller: Caller, action: str, scopes: str) -> Forbidden:
    return Forbidden(
        f"The token '{caller.token_name}' may not {action}: it needs the scope {scopes}"
    )
