"""The values of secrets, put beside a statement: they are never part of its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pipewren.engine.contract import Statement

NO_SECRETS: Mapping[str, str] = {}


def with_secrets(
    statement: Statement, names: Sequence[str], values: Mapping[str, str]
) -> Statement:
    """`statement` with the values of the secrets that its text has a place for, by name."""
    used = tuple((name, values[name]) for name in names)
    hidden = tuple(value for _, value in used)
    return replace(statement, parameters=(*statement.parameters, *used), hidden=hidden)
