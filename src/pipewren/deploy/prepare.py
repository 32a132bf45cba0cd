"""Makes what a deployment needs beside what is live: tables, a database of aliases, and the checks
of every statement in it. Nothing that callers see changes until it goes live (live.py).

What is done is recorded in the store before it is done: killed at any moment, the next start
drops what no deployment names (leftovers.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipewren.deploy.author_checks import find_author_mistakes, in_file_order
from pipewren.deploy.candidate import Candidate, project_files
from pipewren.deploy.changes import changed_names
from pipewren.deploy.checks import check_statements
from pipewren.deploy.databases import (
    create_object,
    database_object,
    drop_database,
    drop_object,
    remember_objects,
)
from pipewren.deploy.deployment import Deployment, known_columns, make_deployment
from pipewren.deploy.inventory import count_rows, list_databases, list_tables
from pipewren.deploy.table_objects import alias_objects, table_objects
from pipewren.deploy.tables import TablePlan, describe_change, plan_tables, without_quarantine
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.views import ViewPlan, check_view, materialized_node, plan_views
from pipewren.errors import EngineError, ProjectErrors, ProjectMistake
from pipewren.project.model import Datasource, Position
from pipewren.project.quarantine import quarantine_name
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import Notes, State, StoredDeployment, TableVersion
from pipewren.storage.quarantine import quarantine_table
from pipewren.storage.store import now_text


async def prepare(
    target: DeployTarget,
    candidate: Candidate,
    *,
    before: Deployment | None = None,
    feedback: Notes = (),
) -> Deployment:
    """A deployment that is SCHEMA_READY: it could go live at once, or be staged, and until then a
    kill makes it a leftover. Against `before`, which was checked when it was deployed, only what
    has changed is. Raises ProjectErrors with all mistakes; what was made is dropped again then."""
    only = None if before is None else changed_names(before.project, candidate.project)
    # Making a table runs expressions of its file: what they may not do is told before.
    refused = await find_author_mistakes(
        target.engine, candidate.project, candidate.pipes, only=only
    )
    with target.store.begin() as connection:
        versions = stored.list_table_versions(connection, target.workspace.id)
        known_views = stored.list_view_versions(connection, target.workspace.id)
        live = stored.find_live(stored.list_deployments(connection, target.workspace.id))
    database = target.workspace.database
    present = await list_tables(target.engine, database)
    tables = plan_tables(
        candidate.project, versions, live=live.tables if live else None, present=present
    )
    mistakes = await find_changes_over_rows(target, tables, present)
    mistakes += [
        _quarantine_mistake(candidate.project.datasources[one.datasource])
        for one in without_quarantine(tables.tables.values(), versions)
    ]
    views, view_mistakes = await plan_views(
        target.engine,
        target.workspace,
        candidate.project,
        candidate.pipes,
        tables.tables,
        known_views,
    )
    mistakes += view_mistakes
    if mistakes or refused.keys() & candidate.project.datasources.keys():
        raise in_order([*mistakes, *in_file_order(refused)])
    record = _record(target, candidate, tables, views, feedback)
    try:
        await _create_all(target, candidate, record, tables, present)
        deployment = assemble(target, record, candidate, tables.tables)
        deployment = await check_statements(
            target.engine,
            deployment,
            only=only,
            known=known_columns(before) if before is not None else None,
            refused=refused,
        )
        await _check_views(target, deployment)
    except BaseException as error:
        notes = errors_of(error) if isinstance(error, ProjectErrors) else ()
        await undo(target, record, notes)
        raise
    with target.store.begin() as connection:
        record = stored.set_state(connection, record, State.SCHEMA_READY)
    return replace(deployment, stored=record)


async def undo(target: DeployTarget, record: StoredDeployment, errors: Notes = ()) -> None:
    """Drop what was made for a deployment that does not go live: its database, and the tables and
    views that it alone has; with a table goes its quarantine. With `errors` it is FAILED, else
    DELETED."""
    database = target.workspace.database
    with target.store.begin() as connection:
        tables = stored.list_table_versions(connection, target.workspace.id)
        views = stored.list_view_versions(connection, target.workspace.id)
        others = [
            one
            for one in stored.list_deployments(connection, target.workspace.id)
            if one.id != record.id and one.state not in stored.ENDED
        ]
    await drop_database(target.engine, target.store, record.database)
    own = [
        version
        for version in tables
        if record.has_table(version)
        and version.created_at == record.created_at
        and not any(one.has_table(version) for one in others)
    ]
    for version in own:
        for table in (version.table, quarantine_table(version)):
            await drop_object(target.engine, target.store, database, table)
    with target.store.begin() as connection:
        for version in own:
            stored.remove_table_version(connection, target.workspace.id, version)
        for view in views:
            if record.has_view(view) and not any(one.has_view(view) for one in others):
                stored.remove_view_version(connection, target.workspace.id, view)
        state = State.FAILED if errors else State.DELETED
        stored.set_state(connection, record, state, errors=errors)


async def find_changes_over_rows(
    target: DeployTarget, plan: TablePlan, present: set[str]
) -> list[ProjectMistake]:
    """Data sources whose schema changes while their tables hold rows."""
    mistakes: list[ProjectMistake] = []
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
    return mistakes


def in_order(mistakes: Iterable[ProjectMistake]) -> ProjectErrors:
    """To be raised: each once, in order of the files."""
    once = dict.fromkeys(mistakes)
    return ProjectErrors(sorted(once, key=lambda one: (one.file or "", one.line or 0)))


def errors_of(errors: ProjectErrors) -> Notes:
    """The mistakes as clients read them: `filename` and `error`."""
    return tuple(describe_mistake(mistake) for mistake in errors.mistakes)


def describe_mistake(mistake: ProjectMistake) -> Mapping[str, str]:
    """`filename` is the path in the project; the place and the hint are part of the text."""
    place = f" (line {mistake.line})" if mistake.line else ""
    hint = f". {mistake.hint}" if mistake.hint else ""
    context = f"\n{mistake.context}" if mistake.context else ""
    return {
        "filename": mistake.file or "",
        "error": f"{mistake.message}{place}{hint}{context}",
    }


def assemble(
    target: DeployTarget,
    record: StoredDeployment,
    candidate: Candidate,
    tables: Mapping[str, TableVersion],
) -> Deployment:
    """The compiled project with what the store knows of it."""
    with target.store.begin() as connection:
        names = list(candidate.project.pipes)
        ids = stored.ensure_pipe_ids(connection, target.workspace.id, names)
        times = stored.list_pipe_times(connection, target.workspace.id)
    return make_deployment(
        target.workspace,
        record,
        candidate.project,
        candidate.pipes,
        tables=tables,
        pipe_ids=ids,
        pipe_times=times,
    )


def _record(
    target: DeployTarget,
    candidate: Candidate,
    tables: TablePlan,
    views: ViewPlan,
    feedback: Notes,
) -> StoredDeployment:
    now = now_text()  # the same for both: what a deployment made is told by its time
    with target.store.begin() as connection:
        for version in tables.new:
            made = replace(version, created_at=now)
            stored.add_table_version(connection, target.workspace.id, made)
        for view in views.new:
            stored.add_view_version(connection, target.workspace.id, view)
        return stored.prepare_deployment(
            connection,
            target.workspace.id,
            digest=candidate.digest,
            files=project_files(candidate.project),
            tables={name: one.version for name, one in tables.tables.items()},
            views={name: one.version for name, one in views.views.items()},
            feedback=feedback,
            created_at=now,
        )


async def _create_all(
    target: DeployTarget,
    candidate: Candidate,
    record: StoredDeployment,
    plan: TablePlan,
    present: set[str],
) -> None:
    database = target.workspace.database
    there = await list_databases(target.engine, database)
    made = [database_object(one) for one in (database, record.database) if one not in there]
    made += table_objects(candidate.project, database, plan.tables, present)
    made += alias_objects(record.database, database, plan.tables)
    remember_objects(target.store, made)
    by_table = {
        table: name
        for name, version in plan.tables.items()
        for table in (version.table, quarantine_table(version))
    }
    mistakes: list[ProjectMistake] = []
    for one in made:
        if one.database == record.database and mistakes:
            break  # an alias of a table that is not there would only say so again
        try:
            await create_object(target.engine, target.store, one)
        except EngineError as error:
            name = by_table.get(one.name)
            if name is None or one.database != database:
                raise
            mistakes.append(_table_mistake(candidate.project.datasources[name], error))
    if mistakes:
        raise ProjectErrors(mistakes)


async def _check_views(target: DeployTarget, deployment: Deployment) -> None:
    mistakes: list[ProjectMistake] = []
    for pipe in deployment.pipes.values():
        node = materialized_node(pipe)
        if node is not None:
            datasource = deployment.project.datasources[node.node.attributes["datasource"]]
            mistake = await check_view(target.engine, deployment.database, pipe, node, datasource)
            if mistake is not None:
                mistakes.append(mistake)
    if mistakes:
        raise ProjectErrors(mistakes)


def _quarantine_mistake(datasource: Datasource) -> ProjectMistake:
    name = quarantine_name(datasource.name)
    return ProjectMistake(
        f"the data source {datasource.name} cannot have a quarantine: {name} is the table of a "
        "data source that was deployed before",
        file=datasource.position.file,
        line=datasource.position.line,
        hint="Give the data source another name",
    )


def _table_mistake(datasource: Datasource, error: EngineError) -> ProjectMistake:
    place: Position = datasource.position
    return ProjectMistake(
        f"the table of data source {datasource.name} cannot be created: {error.message}",
        file=place.file,
        line=place.line,
    )
