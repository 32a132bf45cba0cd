"""What names of tables mean for one caller, and the rows behind them (query-api.md section 3).

A data source is the deployment's table; a pipe stands for its result, with the request's
parameters and the token's fixed ones; `_` is the pipe of the request. What the token may not read
is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipewren.access.authorize import authorize_endpoint, may_read_pipe, row_filters
from pipewren.access.grants import fix_values, refuse_unapplied
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.errors import StatementError
from pipewren.serve.call import Value, read_values
from pipewren.serve.filtered_calls import filters_of
from pipewren.serve.request_record import RequestRecord, record_of
from pipewren.serve.secret_values import NO_SECRETS
from pipewren.serve.server import Server
from pipewren.serve.system_tables import SYSTEM_TABLES
from pipewren.sql.caller_statement import Datasource, Derived
from pipewren.sql.compile import compile_endpoint, compile_node
from pipewren.sql.pipes import CompiledNode, CompiledPipe, CompiledStatement
from pipewren.sql.row_filters import SealedStatement

RESULT = "_"  # the name of the request's pipe
_PIPE, _NODE, _SYSTEM = "pipe", "node", "system"


@dataclass(slots=True)
class QueryTables:
    """The tables of one request. `pipe` is the one that `_` stands for, which the caller may read,
    and `has_nodes` whether names of its nodes are tables too (client-compat.md section 3);
    `values` and `record` are the request's. `statements` are those that have been put in, in
    order."""

    caller: Caller
    deployment: Deployment
    server: Server
    values: Mapping[str, Value]
    pipe: CompiledPipe | None = None
    has_nodes: bool = False
    record: RequestRecord = field(default_factory=lambda: record_of(None))
    statements: list[CompiledStatement] = field(default_factory=list)
    filters: Mapping[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.filters = row_filters(self.caller, self.deployment.tables)

    def resolve(self, database: str, name: str) -> Datasource | Derived | None:
        """`caller_statement.Resolve`."""
        deployment = self.deployment
        if database == "system":
            return Derived(_SYSTEM, name) if name in SYSTEM_TABLES else None
        if database not in ("", deployment.workspace.name):
            return None
        if not database and self.pipe is not None:
            if name in (RESULT, self.pipe.name):
                return Derived(_PIPE, self.pipe.name)
            if self.has_nodes and name in self.pipe.nodes:
                return Derived(_NODE, name)
        if name in deployment.tables:
            if self.may_read_datasource(name):
                return Datasource(name, tuple(self.filters.get(name, ())))
        elif name in deployment.pipes and self.may_read_pipe(name):
            return Derived(_PIPE, name)
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
            sql = SYSTEM_TABLES[derived.name](self.deployment, self.may_read_datasource)
            return SealedStatement(sql, frozenset(), needs_database=False)
        deployment = self.deployment
        secrets = self.server.secrets.get(self.caller.workspace_id, NO_SECRETS)
        if derived.kind == _NODE:
            assert self.pipe is not None
            pipe, node = self.pipe, self.pipe.nodes[derived.name]
        else:
            pipe = deployment.pipes[derived.name]
            node = pipe.output
        values = self._values_for(pipe)
        if node is pipe.output:
            compiled = compile_endpoint(pipe, values, tables=deployment.names, secrets=secrets)
        else:
            compiled = compile_node(pipe, node, values, tables=deployment.names, secrets=secrets)
        self.statements.append(compiled)
        try:
            return await filters_of(deployment, self.server).seal(compiled, self.filters)
        except StatementError as error:
            raise StatementError(f"{_describe(pipe, node)}: {error.message}") from None

    def _values_for(self, pipe: CompiledPipe) -> Mapping[str, Value]:
        """The request's values with those that the token fixes for the pipe. Raises Forbidden."""
        values = read_values(pipe.array_parameters, self.values)
        grant = authorize_endpoint(
            self.caller,
            pipe.name,
            self.deployment.pipe_ids[pipe.name],
            tables=self.deployment.tables,
        )
        refuse_unapplied(grant)
        return fix_values(values, grant.fixed)


def _describe(pipe: CompiledPipe, node: CompiledNode) -> str:
    return f"Pipe '{pipe.name}'" if node is pipe.output else f"Node '{node.name}'"
