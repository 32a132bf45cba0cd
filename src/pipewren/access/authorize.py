"""What a caller may read, and how it is narrowed (tokens.md sections 4 and 7)."""

from __future__ import annotations

from collections.abc import Mapping

from pipewren.access.grants import PLAIN, Grant
from pipewren.access.rights import Caller
from pipewren.errors import Forbidden
from pipewren.storage.deployments import TableVersion


def authorize_endpoint(
    caller: Caller,
    name: str,
    pipe_id: str,
    *,
    tables: Mapping[str, TableVersion] | None = None,
) -> Grant:
    """Let `caller` call the endpoint, named or by id in the token's scopes. Raises Forbidden.

    Who gives `tables`, the deployment's by data source, applies the grant. Without them the caller
    of this function applies none, so a token that narrows is refused.
    """
    if not caller.narrows:
        if caller.reads_all or name in caller.pipes or pipe_id in caller.pipes:
            return PLAIN
        raise _lacking(caller, name)
    grant = _narrowed(caller, name, pipe_id, tables or {})
    if tables is None and not grant.is_plain:
        raise Forbidden(
            f"The token is not valid for this: token '{caller.token_name}' reads '{name}' only "
            "under a filter, a limit or with fixed parameters, which apply to calls of the endpoint"
        )
    return grant


def may_read_pipe(caller: Caller, name: str, pipe_id: str) -> bool:
    """Whether `caller` may read all of the pipe, and its description."""
    return caller.reads_all or name in caller.pipes or pipe_id in caller.pipes


def readable_pipes(caller: Caller, pipe_ids: Mapping[str, str]) -> list[str]:
    """The names that `caller` may read, of those in `pipe_ids` (name -> id), in their order."""
    return [name for name, pipe_id in pipe_ids.items() if may_read_pipe(caller, name, pipe_id)]


def row_filters(caller: Caller, tables: Mapping[str, TableVersion]) -> dict[str, list[str]]:
    """The conditions by data source, of which a row must meet any one, for all that the token
    runs. A source that some scope gives unfiltered has none; one that no scope names, neither: a
    pipe reads it with its author's rights."""
    if caller.reads_all:
        return {}
    names = {table.resource_id: name for name, table in tables.items()}
    merged: dict[str, list[str]] = {}
    for resource, conditions in caller.datasources.items():
        name = resource if resource in tables else names.get(resource, resource)
        merged.setdefault(name, []).extend(conditions)
    return {name: found for name, found in merged.items() if "" not in found}


def _narrowed(caller: Caller, name: str, pipe_id: str, tables: Mapping[str, TableVersion]) -> Grant:
    spellings = (name, pipe_id) if name != pipe_id else (name,)
    result_filters: list[str] = []
    if not may_read_pipe(caller, name, pipe_id):
        for spelling in spellings:
            result_filters += caller.pipe_filters.get(spelling, ())
        if not result_filters:
            raise _lacking(caller, name)
    fixed: Mapping[str, str] | None = None
    for spelling in spellings:
        for one in caller.fixed.get(spelling, ()):
            if fixed is not None and one != fixed:
                raise Forbidden(
                    f"The JWT '{caller.token_name}' names the endpoint '{name}' in several scopes "
                    "with different fixed_params: which of them hold is not clear, so none does"
                )
            fixed = one
    return Grant(
        fixed=fixed or {},
        filters=row_filters(caller, tables),
        result_filters=tuple(result_filters),
        rps=caller.rps,
    )


def _lacking(caller: Caller, name: str) -> Forbidden:
    return Forbidden(
        f"The token is not valid for this endpoint: token '{caller.token_name}' lacks the scope "
        f"PIPES:READ:{name}"
    )
