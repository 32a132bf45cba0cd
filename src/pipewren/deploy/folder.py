"""Deploys a project's folder when the server starts: the small form of a deployment.

What is done for it is recorded in the store before it is done, and one transaction at the end
makes it live: a kill at any moment leaves the old deployment or the new one, and what no
deployment names is dropped at the next start. Tables with rows are never dropped.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from pipewren.deploy.checks import check_statements
from pipewren.deploy.deployment import Deployment, make_deployment
from pipewren.deploy.inventory import count_rows, list_databases, list_tables
from pipewren.deploy.tables import TablePlan, describe_change, plan_tables
from pipewren.engine.contract import Engine
from pipewren.errors import EngineError, ProjectErrors, ProjectMistake
from pipewren.project.ddl import table_ddl
from pipewren.project.model import Connection, Datasource, Pipe, Position, Project
from pipewren.sql.graph import CompiledPipe
from pipewren.sqltext import Sql, quote_identifier, quote_literal
from pipewren.storage import deployments as stored
from pipewren.storage import objects
from pipewren.storage.deployments import ENDED, State, StoredDeployment, TableVersion
from pipewren.storage.store import Store
from pipewren.storage.tokens import Scope, merge_datafile_tokens
from pipewren.storage.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class FolderDeploy:
    """Where a folder is deployed to. `progress` takes lines for the person who started it."""

    engine: Engine
    store: Store
    workspace: Workspace
    progress: Callable[[str], None]


async def deploy_folder(
    target: FolderDeploy, project: Project, pipes: Mapping[str, CompiledPipe]
) -> Deployment:
    """Make `project` live. Raises ProjectErrors with all mistakes; then nothing has changed."""
    digest = project_digest(project)
    await drop_leftovers(target)
    with target.store.begin() as connection:
        versions = stored.list_table_versions(connection, target.workspace.id)
        live = _live(stored.list_deployments(connection, target.workspace.id))
    plan = plan_tables(project, versions)
    await _refuse_changes_over_rows(target, plan)
    if live is not None and live.digest == digest and await _is_whole(target, live, plan):
        target.progress(f"deployment {live.number} is unchanged")
        deployment = _assemble(target, live, project, pipes, plan)
        return await check_statements(target.engine, deployment)

    with target.store.begin() as connection:
        for version in plan.new:
            stored.add_table_version(connection, target.workspace.id, version)
        prepared = stored.prepare_deployment(
            connection,
            target.workspace.id,
            digest=digest,
            files=_files(project),
            tables={name: version.version for name, version in plan.tables.items()},
        )
    try:
        await _create_tables(target, project, plan)
        await _create_aliases(target, prepared, plan)
        deployment = _assemble(target, prepared, project, pipes, plan)
        deployment = await check_statements(target.engine, deployment)
    except ProjectErrors:
        await _undo(target, prepared, plan)
        raise
    with target.store.begin() as connection:
        stored.set_live(connection, prepared)
        merge_datafile_tokens(connection, target.workspace.id, declared_tokens(project))
    endpoints = {endpoint.id for endpoint in deployment.endpoints.values()}
    target.progress(
        f"deployment {prepared.number} is live: {_counted(len(project.datasources), 'data source')}"
        f", {_counted(len(endpoints), 'endpoint')}"
    )
    for _, empty in plan.changed:
        await _drop_table(target, empty)
    await drop_leftovers(target)
    return deployment


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


async def drop_leftovers(target: FolderDeploy) -> None:
    """Forget deployments that are not live, and drop the databases that no deployment names."""
    with target.store.begin() as connection:
        for deployment in stored.list_deployments(connection, target.workspace.id):
            if not deployment.is_live and deployment.state not in ENDED:
                stored.set_state(connection, deployment, State.DELETED)
        live = _live(stored.list_deployments(connection, target.workspace.id))
    keep = {live.database} if live else set()
    prefix = f"{target.workspace.database}_d"
    for database in await list_databases(target.engine, prefix):
        if database not in keep:
            await target.engine.execute(Sql(f"DROP DATABASE {quote_identifier(database)}"))
            with target.store.begin() as connection:
                objects.forget_object(connection, database)


def declared_tokens(project: Project) -> dict[str, set[Scope]]:
    """The tokens of all datafiles, merged by name (tokens.md section 5)."""
    declared: dict[str, set[Scope]] = {}
    for datasource in project.datasources.values():
        for grant in datasource.tokens:
            scope = Scope(f"DATASOURCES:{grant.permission}", datasource.name)
            declared.setdefault(grant.name, set()).add(scope)
    for pipe in project.pipes.values():
        for grant in pipe.tokens:
            declared.setdefault(grant.name, set()).add(Scope("PIPES:READ", pipe.name))
    return declared


def project_digest(project: Project) -> str:
    """SHA-256 over all files, in order of their paths, as 64 hex digits."""
    digest = hashlib.sha256()
    for path, content in sorted(_files(project).items()):
        digest.update(msgspec.json.encode([path, content]))
    return digest.hexdigest()


def _files(project: Project) -> dict[str, str]:
    resources: tuple[Datasource | Pipe | Connection, ...] = (
        *project.datasources.values(),
        *project.pipes.values(),
        *project.connections.values(),
    )
    return {resource.position.file: resource.content for resource in resources}


def _live(deployments: Iterable[StoredDeployment]) -> StoredDeployment | None:
    return next((deployment for deployment in deployments if deployment.is_live), None)


def _assemble(
    target: FolderDeploy,
    deployment: StoredDeployment,
    project: Project,
    pipes: Mapping[str, CompiledPipe],
    plan: TablePlan,
) -> Deployment:
    with target.store.begin() as connection:
        ids = stored.ensure_pipe_ids(connection, target.workspace.id, list(project.pipes))
        times = stored.list_pipe_times(connection, target.workspace.id)
    return make_deployment(
        target.workspace,
        deployment,
        project,
        pipes,
        tables=plan.tables,
        pipe_ids=ids,
        pipe_times=times,
    )


async def _refuse_changes_over_rows(target: FolderDeploy, plan: TablePlan) -> None:
    mistakes: list[ProjectMistake] = []
    present = await list_tables(target.engine, target.workspace.database)
    for datasource, old in plan.changed:
        database = target.workspace.database
        rows = await count_rows(target.engine, database, old.table) if old.table in present else 0
        if rows:
            changes = describe_change(old.definition, plan.tables[datasource.name].definition)
            mistakes.append(
                ProjectMistake(
                    f"the schema of data source {datasource.name} has changed, and its table holds "
                    f"{rows:,} rows: {'; '.join(changes)}",
                    file=datasource.position.file,
                    line=datasource.position.line,
                    hint="Changing a table with rows is not supported yet: put the old schema "
                    "back, or give the new one another name. Nothing was changed or dropped.",
                )
            )
    if mistakes:
        raise ProjectErrors(mistakes)


async def _is_whole(target: FolderDeploy, live: StoredDeployment, plan: TablePlan) -> bool:
    tables = await list_tables(target.engine, target.workspace.database)
    aliases = await list_tables(target.engine, live.database)
    return aliases == set(plan.tables) and all(
        version.table in tables for version in plan.tables.values()
    )


async def _create_tables(target: FolderDeploy, project: Project, plan: TablePlan) -> None:
    database = target.workspace.database
    await _create_database(target, database)
    present = await list_tables(target.engine, database)
    mistakes: list[ProjectMistake] = []
    for name, version in plan.tables.items():
        if version.table in present:
            continue
        datasource = project.datasources[name]
        # The UUID ties a table to its rows: with it in our copy of the DDL, a definition that a
        # full disk has cut off can be written again.
        ddl = table_ddl(datasource, database=database, table=version.table, uuid=str(uuid.uuid4()))
        try:
            await _create(target, database, version.table, ddl)
        except EngineError as error:
            mistakes.append(_table_mistake(datasource, error))
    if mistakes:
        raise ProjectErrors(mistakes)


async def _create_aliases(
    target: FolderDeploy, deployment: StoredDeployment, plan: TablePlan
) -> None:
    await _create_database(target, deployment.database)
    for name, version in plan.tables.items():
        alias = f"{quote_identifier(deployment.database)}.{quote_identifier(name)}"
        source = f"{quote_literal(target.workspace.database)}, {quote_literal(version.table)}"
        ddl = Sql(f"CREATE TABLE {alias} UUID '{uuid.uuid4()}' ENGINE = Alias({source})")
        await _create(target, deployment.database, name, ddl)


async def _create_database(target: FolderDeploy, database: str) -> None:
    if database in await list_databases(target.engine, database):
        return
    name = quote_identifier(database)
    await _create(
        target, database, "", Sql(f"CREATE DATABASE {name} UUID '{uuid.uuid4()}' ENGINE = Atomic")
    )


async def _create(target: FolderDeploy, database: str, name: str, ddl: Sql) -> None:
    with target.store.begin() as connection:
        objects.remember_object(connection, database, name, ddl)
    try:
        await target.engine.execute(ddl)
    except EngineError:
        with target.store.begin() as connection:
            objects.forget_object(connection, database, name)
        raise


async def _undo(target: FolderDeploy, deployment: StoredDeployment, plan: TablePlan) -> None:
    """Drop what the failed deployment made: its database, and its new tables, which hold no row."""
    await target.engine.execute(
        Sql(f"DROP DATABASE IF EXISTS {quote_identifier(deployment.database)}")
    )
    with target.store.begin() as connection:
        stored.set_state(connection, deployment, State.DELETED)
        objects.forget_object(connection, deployment.database)
    for version in plan.new:
        await _drop_table(target, version)


async def _drop_table(target: FolderDeploy, version: TableVersion) -> None:
    """Only ever called for tables that hold no row."""
    database = target.workspace.database
    name = f"{quote_identifier(database)}.{quote_identifier(version.table)}"
    await target.engine.execute(Sql(f"DROP TABLE IF EXISTS {name}"))
    with target.store.begin() as connection:
        stored.remove_table_version(connection, target.workspace.id, version)
        objects.forget_object(connection, database, version.table)


def _table_mistake(datasource: Datasource, error: EngineError) -> ProjectMistake:
    place: Position = datasource.position
    return ProjectMistake(
        f"the table of data source {datasource.name} cannot be created: {error.message}",
        file=place.file,
        line=place.line,
    )
