"""Materialised views: pipes of `TYPE materialized`, which the engine runs at every insert.

A view binds physical tables (design, decision 10): made over a deployment's aliases it would fire
only for inserts through the alias. It lives beside its tables, in the workspace's database, and
comes and goes with the deployment that is live, while nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from pipewren.deploy.databases import EngineObject, new_uuid
from pipewren.deploy.table_objects import physical_tables
from pipewren.engine.contract import Engine, Statement
from pipewren.errors import BadRequest, EngineError, PipewrenError, ProjectMistake
from pipewren.project.model import Datasource, NodeType, Project
from pipewren.sql.compile import compile_node
from pipewren.sql.function_list import load_functions
from pipewren.sql.parser import format_tree
from pipewren.sql.physical_names import bind_tables
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.sqltext import Sql, quote_identifier
from pipewren.storage.deployments import TableVersion, ViewVersion
from pipewren.storage.workspaces import Workspace
from pipewren.template.run import ANY_SECRET
from pipewren.usage.service_tables import WORKSPACE_PARAMETER


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """`views` maps each materialised pipe to its version; `new` are those that are not there."""

    views: Mapping[str, ViewVersion]
    new: tuple[ViewVersion, ...] = ()


def materialized_node(pipe: CompiledPipe) -> CompiledNode | None:
    """The node that a view is made of."""
    output = pipe.pipe.output
    if output is None or output.type is not NodeType.MATERIALIZED:
        return None
    return pipe.nodes[output.name]


def find_feeders(pipes: Mapping[str, CompiledPipe], name: str) -> set[str]:
    """Data sources whose inserts reach the data source `name`: itself, and what the views that
    write to it read, and so on."""
    feeders = {name}
    while True:
        found = set(feeders)
        for pipe in pipes.values():
            node = materialized_node(pipe)
            if node is not None and node.node.attributes.get("datasource") in feeders:
                found |= _names_read(pipes, pipe)
        if found == feeders:
            return feeders
        feeders = found


def feeding_tables(
    pipes: Mapping[str, CompiledPipe], tables: Mapping[str, TableVersion], name: str
) -> set[str]:
    """The physical tables of `find_feeders`."""
    physical = physical_tables(tables)
    return {physical[one] for one in find_feeders(pipes, name) & physical.keys()}


def feeds_views(pipes: Mapping[str, CompiledPipe], name: str) -> bool:
    """Whether a materialised view reads the data source."""
    return any(
        name in _names_read(pipes, pipe)
        for pipe in pipes.values()
        if materialized_node(pipe) is not None
    )


def _names_read(pipes: Mapping[str, CompiledPipe], pipe: CompiledPipe) -> set[str]:
    """What a pipe's nodes name, and what the pipes that are among these name."""
    names: set[str] = set()
    waiting = [pipe]
    while waiting:
        found = {one for node in waiting.pop().nodes.values() for one in node.reads.names}
        waiting += [pipes[one] for one in found - names if one in pipes]
        names |= found
    return names


async def plan_views(
    engine: Engine,
    workspace: Workspace,
    project: Project,
    pipes: Mapping[str, CompiledPipe],
    tables: Mapping[str, TableVersion],
    versions: Iterable[ViewVersion],
) -> tuple[ViewPlan, list[ProjectMistake]]:
    """What each view is, and those that cannot be one. One whose statement, source and target are
    the same keeps its version."""
    known: dict[str, list[ViewVersion]] = {}
    for version in versions:
        known.setdefault(version.pipe, []).append(version)
    views: dict[str, ViewVersion] = {}
    new: list[ViewVersion] = []
    mistakes: list[ProjectMistake] = []
    for name, pipe in pipes.items():
        node = materialized_node(pipe)
        if node is None:
            continue
        try:
            definition = await _define(engine, workspace, pipe, node, tables)
        except PipewrenError as error:
            mistakes.append(_mistake(pipe, node, error.message))
            continue
        before = known.get(name, [])
        same = next((one for one in before if one.definition == definition), None)
        if same is None:
            number = max((one.version for one in before), default=0) + 1
            same = ViewVersion(name, number, definition)
            new.append(same)
        views[name] = same
    return ViewPlan(views, tuple(new)), mistakes


async def check_view(
    engine: Engine, database: str, pipe: CompiledPipe, node: CompiledNode, target: Datasource
) -> ProjectMistake | None:
    """Whether the view's columns are its target's, and the engine takes it: made over the aliases
    of the deployment, where nothing fires it, and dropped again."""
    name = f"{quote_identifier(database)}.{quote_identifier(f'{pipe.name}__check')}"
    statement = compile_node(pipe, node, {})
    try:
        described = await engine.run(
            Statement(
                Sql(f"DESCRIBE TABLE (\n{statement.sql}\n)"),
                database,
                "JSONCompactEachRow",
                settings=statement.settings,
            )
        )
        columns = [row[0] for row in msgspec.json.Decoder(list[str]).decode_lines(described.body)]
        known = [column.name for column in target.columns]
        unknown = [column for column in columns if column not in known]
        if unknown:
            return _mistake(
                pipe,
                node,
                f"the data source {target.name} has no column {', '.join(unknown)}: its columns "
                f"are {', '.join(known)}. Give each column of the view the name of one, with AS",
            )
        await engine.execute(
            Sql(
                f"CREATE MATERIALIZED VIEW {name} UUID '{new_uuid()}' TO "
                f"{quote_identifier(database)}.{quote_identifier(target.name)} AS\n{statement.sql}"
            ),
            database=database,
        )
    except EngineError as error:
        return _mistake(pipe, node, error.message)
    await engine.execute(Sql(f"DROP TABLE {name}"))
    return None


async def view_object(engine: Engine, workspace: Workspace, version: ViewVersion) -> EngineObject:
    """The statement that makes the view. It lists the columns: a definition without them makes a
    view, but cannot be attached (`engine/definitions.py`). Raises EngineError."""
    definition = msgspec.json.decode(version.definition)
    database = quote_identifier(workspace.database)
    name = f"{database}.{quote_identifier(version.view)}"
    target = f"{database}.{quote_identifier(definition['target'])}"
    described = await engine.run(
        Statement(
            Sql(f"DESCRIBE TABLE (\n{definition['select']}\n)"),
            workspace.database,
            "JSONCompactEachRow",
        )
    )
    rows = msgspec.json.Decoder(list[str]).decode_lines(described.body)
    columns = ", ".join(f"{quote_identifier(row[0])} {row[1]}" for row in rows)
    ddl = Sql(
        f"CREATE MATERIALIZED VIEW {name} UUID '{new_uuid()}' TO {target} ({columns}) AS\n"
        f"{definition['select']}"
    )
    return EngineObject(workspace.database, version.view, ddl)


async def _define(
    engine: Engine,
    workspace: Workspace,
    pipe: CompiledPipe,
    node: CompiledNode,
    tables: Mapping[str, TableVersion],
) -> str:
    target = tables.get(node.node.attributes.get("datasource", ""))
    if target is None:
        raise BadRequest("its target data source is not in the project")
    statement = compile_node(pipe, node, {}, secrets=ANY_SECRET)
    if WORKSPACE_PARAMETER in statement.secrets:
        raise BadRequest(
            "a materialised view cannot read service data sources (tinybird.*): read them in an "
            "endpoint"
        )
    if statement.secrets:
        raise BadRequest(
            "a materialised view cannot use tb_secret(): the engine would keep the value in the "
            "view's definition"
        )
    tree = bind_tables(
        await engine.parse(statement.sql),
        load_functions(engine.capabilities.version),
        database=workspace.database,
        tables=physical_tables(tables),
        where=node.where,
    )
    select = await format_tree(engine, tree)
    return msgspec.json.encode({"select": select, "target": target.table}).decode()


def _mistake(pipe: CompiledPipe, node: CompiledNode, message: str) -> ProjectMistake:
    return ProjectMistake(
        f'materialized node "{node.name}" of pipe "{pipe.name}": {message}',
        file=pipe.pipe.position.file,
        line=node.node.sql_line,
    )
