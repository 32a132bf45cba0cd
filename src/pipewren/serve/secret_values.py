"""The values of secrets, put beside a statement: they are never part of its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pipewren.engine.contract import Statement
from pipewren.usage.service_tables import WORKSPACE_PARAMETER, workspace_uuid

NO_SECRETS: Mapping[str, str] = {}


def with_secrets(
    statement: Statement, names: Sequence[str], values: Mapping[str, str], workspace_id: str
) -> Statement:
    """`statement` with the values of the secrets that its text has a place for, by name, and with
    the workspace whose usage it may read."""
    used = tuple(
        (name, workspace_uuid(workspace_id) if name == WORKSPACE_PARAMETER else values[name])
        for name in names
    )
    hidden = tuple(value for name, value in used if name != WORKSPACE_PARAMETER)
    return replace(statement, parameters=(*statement.parameters, *used), hidden=hidden)
