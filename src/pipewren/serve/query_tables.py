"""What names of tables mean for one caller, and the rows behind them (query-api.md section 3).

A data source is the deployment's table, and its quarantine another one for the same readers; a pipe
stands for its result, with the request's parameters and the token's fixed ones; `_` is the pipe of
the request. What the token may not read is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipewren.access.authorize import authorize_endpoint, may_read_pipe, row_filters
from pipewren.access.grants import Grant, fix_values
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.errors import Forbidden, StatementError
from pipewren.project.engines import ENGINES
from pipewren.serve.call import Value, read_values
from pipewren.serve.callers import choosable_tables
from pipewren.serve.filtered_calls import filters_of
from pipewren.serve.request_record import RequestRecord, record_of
from pipewren.serve.secret_values import NO_SECRETS
from pipewren.serve.server import Server
from pipewren.serve.statements import check_texts
from pipewren.serve.system_tables import SYSTEM_TABLES
from pipewren.sql.caller_errors import QUERY_API
from pipewren.sql.caller_statement import Datasource, Derived
from pipewren.sql.compile import compile_endpoint, compile_node
from pipewren.sql.pipes import CompiledNode, CompiledPipe, CompiledStatement
from pipewren.sql.row_filters import SealedStatement
from pipewren.sql.service_datasources import ORGANIZATION, SERVICE
from pipewren.sqltext import Sql, quote_identifier
from pipewren.usage.service_tables import (
    SERVICE_TABLES,
    WORKSPACE_PARAMETER,
    is_of_organization,
    select_rows,
)

_STATE = re.compile(r"\bAggregateFunction\(").search
RESULT = "_"  # the name of the request's pipe
_PIPE, _NODE, _SYSTEM, _SERVICE = "pipe", "node", "system", "service"


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was put in for a table, and the statement that it was made of."""

    statement: SealedStatement
    compiled: CompiledStatement


@dataclass(slots=True)
class QueryTables:
    """The tables of one request. `pipe` is the one that `_` stands for, which the caller may read,
    and `has_nodes` whether names of its nodes are tables too (client-compat.md section 3);
    `values` and `record` are the request's. `statements` are those that have been put in, in
    order, and `sealed` as they were put in; `reads_usage`: service data sources were among them."""

    caller: Caller
    deployment: Deployment
    server: Server
    values: Mapping[str, Value]
    pipe: CompiledPipe | None = None
    has_nodes: bool = False
    finalizes: bool = False
    record: RequestRecord = field(default_factory=lambda: record_of(None))
    statements: list[CompiledStatement] = field(default_factory=list)
    sealed: list[Sealed] = field(default_factory=list)
    reads_usage: bool = False
    filters: Mapping[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.filters = row_filters(self.caller, self.deployment.tables)

    def resolve(self, database: str, name: str) -> Datasource | Derived | None:
        """`caller_statement.Resolve`. Raises Forbidden for the quarantine of a data source that the
        caller reads under a filter."""
        deployment = self.deployment
        if database in (SERVICE, ORGANIZATION):
            may_read = self.caller.is_user if database == ORGANIZATION else self.caller.reads_all
            columns = SERVICE_TABLES.get(f"{database}.{name}") if may_read else None
            if columns is None:
                return None
            has_states = _have_states(column.type for column in columns)
            return Derived(_SERVICE, f"{database}.{name}", has_states)
        if database == "system":
            return Derived(_SYSTEM, name) if name in SYSTEM_TABLES else None
        if database not in ("", deployment.workspace.name):
            return None
        if not database and self.pipe is not None:
            if name in (RESULT, self.pipe.name):
                return self._derive(self.pipe.name)
            if self.has_nodes and name in self.pipe.nodes:
                return Derived(_NODE, name, has_states=True)
        if name in deployment.tables:
            if self.may_read_datasource(name):
                filters = tuple(self.filters.get(name, ()))
                table = deployment.project.datasources[name]
                has_states = _have_states(column.type for column in table.columns)
                is_stored = ENGINES[table.engine.name].is_stored
                return Datasource(name, filters, has_states, is_stored)
        elif name in deployment.quarantines:
            source = deployment.quarantines[name]
            if source in deployment.tables and self.may_read_datasource(source):
                if source in self.filters:
                    raise Forbidden(
                        f"The token has a row filter on '{source}', and the rows of '{name}' "
                        "cannot be filtered: use a token without the filter",
                        documentation=QUERY_API,
                    )
                return Datasource(name)
        elif name in deployment.pipes and self.may_read_pipe(name):
            return self._derive(name)
        return None

    def open_pipe(self, pipe: CompiledPipe) -> None:
        """Have `_` stand for `pipe`, which the caller may read. What its nodes hold on the way to
        the result is for those who may read everything."""
        self.pipe = pipe
        self.has_nodes = self.caller.reads_all

    def may_read_datasource(self, name: str) -> bool:
        """Whether the caller may read rows of it, by a scope of its own."""
        caller = self.caller
        table = self.deployment.tables[name]
        return (
            caller.reads_all
            or name in caller.datasources
            or table.resource_id in caller.datasources
        )

    def may_read_table(self, name: str) -> bool:
        """The same of a data source or a quarantine, whose rows no filter can be applied to."""
        source = self.deployment.quarantines.get(name)
        if source is None:
            return self.may_read_datasource(name)
        return self.may_read_datasource(source) and source not in self.filters

    def may_read_pipe(self, name: str) -> bool:
        """Whether the caller may read rows of the pipe's result."""
        pipe_id = self.deployment.pipe_ids[name]
        caller = self.caller
        return may_read_pipe(caller, name, pipe_id) or not caller.pipe_filters.keys().isdisjoint(
            (name, pipe_id)
        )

    async def statement_of(self, derived: Derived) -> SealedStatement:
        """The statement whose rows `derived` is. Raises TemplateError for its parameters,
        StatementError where it cannot be read as a table."""
        if derived.kind == _SYSTEM:
            sql = SYSTEM_TABLES[derived.name](self.deployment, self.may_read_table)
            return SealedStatement(sql, frozenset(), needs_database=False)
        if derived.kind == _SERVICE:
            self.reads_usage = True
            is_for_all = is_of_organization(derived.name)
            sql = select_rows(derived.name, None if is_for_all else self.caller.workspace_id)
            return SealedStatement(sql, frozenset(), needs_database=False)
        deployment = self.deployment
        secrets = self.server.secrets.get(self.caller.workspace_id, NO_SECRETS)
        if derived.kind == _NODE:
            assert self.pipe is not None
            pipe, node = self.pipe, self.pipe.nodes[derived.name]
        else:
            pipe = deployment.pipes[derived.name]
            node = pipe.output
        grant = self._grant_for(pipe)
        values = fix_values(read_values(pipe.array_parameters, self.values), grant.fixed)
        tables = choosable_tables(self.caller, pipe, deployment)
        if node is pipe.output:
            compiled = compile_endpoint(pipe, values, tables=tables, secrets=secrets)
        else:
            compiled = compile_node(pipe, node, values, tables=tables, secrets=secrets)
        check_texts(compiled.sql)
        self.statements.append(compiled)
        if WORKSPACE_PARAMETER in compiled.secrets:
            self.reads_usage = True
        filters = filters_of(deployment, self.server)
        try:
            sealed = await filters.seal(compiled, self.filters)
        except StatementError as error:
            raise StatementError(f"{_describe(pipe, node)}: {error.message}") from None
        if grant.result_filters:
            columns = self._columns_of(pipe)
            condition = await filters.condition(pipe.name, grant.result_filters, columns)
            name = quote_identifier(pipe.name)
            sql = Sql(f"SELECT * FROM (\n{sealed.sql}\n) AS {name} WHERE {condition}")
            sealed = replace(sealed, sql=sql)
        self.sealed.append(Sealed(sealed, compiled))
        return sealed

    async def condition_of(self, name: str, filters: tuple[str, ...]) -> str:
        """The condition that the rows of a data source must meet. Raises BadRequest."""
        condition = await filters_of(self.deployment, self.server).condition(name, filters)
        if "." in condition:  # a part of a column, which it may have no more
            table = f"{quote_identifier(self.deployment.database)}.{quote_identifier(name)}"
            sql = Sql(f"SELECT * FROM {table} WHERE {condition}")
            sealed = SealedStatement(sql, frozenset(), needs_database=False)
            self.sealed.append(Sealed(sealed, CompiledStatement(sql)))
        return condition

    def _derive(self, name: str) -> Derived:
        """A pipe's result, which may hold states where its columns are not known."""
        endpoint = self.deployment.endpoints.get(name)
        columns = endpoint.columns if endpoint is not None else None
        has_states = columns is None or _have_states(column.type for column in columns)
        return Derived(_PIPE, name, has_states)

    def _grant_for(self, pipe: CompiledPipe) -> Grant:
        """How the token narrows the pipe. Raises Forbidden."""
        pipe_id = self.deployment.pipe_ids[pipe.name]
        return authorize_endpoint(self.caller, pipe.name, pipe_id, tables=self.deployment.tables)

    def _columns_of(self, pipe: CompiledPipe) -> list[str]:
        """Those that a filter on the pipe's rows may name. Raises Forbidden."""
        endpoint = self.deployment.endpoints.get(pipe.name)
        if endpoint is None or endpoint.columns is None:
            raise Forbidden(
                f"The token has a filter on the rows of '{pipe.name}', whose columns are not known "
                "before it is called: put the filter on the data source (DATASOURCES:READ)"
            )
        return [column.name for column in endpoint.columns]


def _have_states(types: Iterable[str]) -> bool:
    return any(_STATE(type) for type in types)


def _describe(pipe: CompiledPipe, node: CompiledNode) -> str:
    return f"Pipe '{pipe.name}'" if node is pipe.output else f"Node '{node.name}'"
