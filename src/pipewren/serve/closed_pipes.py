"""Pipes inside a caller's statement must mean what they mean alone.

A name that a pipe's own tables do not have is looked for in the statement around it (26.9, tried):
with `WITH 'a' AS tenant SELECT * FROM p`, where the request's parameters leave the column `tenant`
out of a node of `p`, the pipe's own `WHERE tenant = 'a'` is true of all rows; so is a filter on the
pipe's rows. Alone such a pipe fails. So each is described by itself first, once for all texts that
differ in their values only, where the statement has names that it could find.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from pipewren.engine.contract import Statement
from pipewren.errors import EngineError
from pipewren.serve.filtered_calls import learned_of
from pipewren.serve.query_settings import merge_settings
from pipewren.serve.query_tables import QueryTables, Sealed
from pipewren.serve.results import Asked, hide_values
from pipewren.serve.secret_values import NO_SECRETS, with_secrets
from pipewren.sql.counted_results import describe
from pipewren.sql.lifting import lift
from pipewren.sql.row_filters import NO_DATABASE
from pipewren.sqltext import trusted_sql

_MAX_KEPT_CHARACTERS = 65_536
# Texts that can say which names there are: a list of columns, a type with names in it.
_MAY_HAVE_NAMES = re.compile(r"[\s(]").search


async def check_closed(runnable: Statement, asked: Asked, tables: QueryTables) -> None:
    """Raises EngineError, with what the caller may be told, for a pipe of `tables` that names what
    is not in it. `runnable` is the statement that they were put into."""
    server = tables.server
    memory = learned_of(tables.deployment, server).closed
    for sealed in tables.sealed:
        key = _key_of(sealed)
        if memory.find(key) is not None:
            continue
        description = replace(
            runnable,
            sql=trusted_sql(describe(sealed.statement.sql)),
            database=(
                tables.deployment.database if sealed.statement.needs_database else NO_DATABASE
            ),
            format="JSONCompactEachRow",
            settings=merge_settings([sealed.compiled], ()),
            parameters=(),
            hidden=(),
        )
        if sealed.compiled.secrets:
            workspace_id = tables.caller.workspace_id
            secrets = server.secrets.get(workspace_id, NO_SECRETS)
            description = with_secrets(description, sealed.compiled.secrets, secrets, workspace_id)
        try:
            with server.admission.slot(asked.id):
                await server.engine.run(description)
        except EngineError as error:
            raise hide_values(error, asked) from None
        if len(sealed.statement.sql) <= _MAX_KEPT_CHARACTERS:
            memory.keep(key, True)


def _key_of(sealed: Sealed) -> tuple[str, ...]:
    """By what is known that a pipe is closed: its text without values that can give no names."""
    lifted = lift(sealed.statement.sql)
    settings = [f"{name}={value}" for name, value in sealed.compiled.settings]
    return (
        lifted.skeleton,
        *[value if _MAY_HAVE_NAMES(value) else "" for value in lifted.values],
        *settings,
    )
