"""Going live, and what happens to the deployment before.

Called while nothing is written to the workspace (`ingest/gate.py`): materialised views change with
the deployment, and a table that is replaced must still be empty at that moment. What answers
changes by one transaction of the store (design, decision 10); killed before it, the next start puts
the old views back, killed after it, the new ones (leftovers.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipewren.deploy.databases import create_object, drop_database, drop_object, remember_objects
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.inventory import list_tables, list_views
from pipewren.deploy.prepare import find_changes_over_rows
from pipewren.deploy.tables import TablePlan
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.views import view_object
from pipewren.errors import ProjectErrors
from pipewren.project.model import Project
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import State, StoredDeployment, TableVersion
from pipewren.storage.quarantine import quarantine_table
from pipewren.storage.tokens import Scope, TokenChanges, merge_datafile_tokens


@dataclass(frozen=True, slots=True)
class WentLive:
    """The deployment as it is now, the one that it replaced, and what became of tokens."""

    deployment: Deployment
    before: StoredDeployment | None
    tokens: TokenChanges


async def go_live(target: DeployTarget, deployment: Deployment, *, keep_removed: bool) -> WentLive:
    """Make a prepared deployment the one that answers. With `keep_removed` the tables of data
    sources that left the project stay, rows and all, for when they come back. Raises
    ProjectErrors where a table that is to be replaced has got rows since."""
    workspace = target.workspace
    with target.store.begin() as connection:
        known = stored.list_deployments(connection, workspace.id)
        versions = stored.list_table_versions(connection, workspace.id)
    before = stored.find_live(known)
    replaced, removed = _left_behind(before, deployment, versions)
    await _refuse_rows(target, deployment, replaced)
    await show_views(target, deployment.stored.views)
    doomed = replaced if keep_removed else [*replaced, *removed]
    with target.store.begin() as connection:
        record = stored.set_live(connection, deployment.stored)
        tokens = merge_datafile_tokens(
            connection, workspace.id, declared_tokens(deployment.project)
        )
        for version in doomed:
            stored.remove_table_version(connection, workspace.id, version)
        for view in stored.list_view_versions(connection, workspace.id):
            if not record.has_view(view):
                stored.remove_view_version(connection, workspace.id, view)
    if before is not None:
        before = replace(before, is_live=False, state=State.DELETING)
    return WentLive(replace(deployment, stored=record), before, tokens)


def stage(target: DeployTarget, deployment: Deployment) -> Deployment:
    """Have a prepared deployment wait to be promoted, over restarts too."""
    with target.store.begin() as connection:
        record = stored.set_state(connection, deployment.stored, State.DATA_READY)
    return replace(deployment, stored=record)


async def finish_deletion(target: DeployTarget, record: StoredDeployment) -> None:
    """Drop what a DELETING deployment leaves: its database, and the tables that it alone named and
    that going live gave up, quarantines too. Called when no request holds it any more."""
    database = target.workspace.database
    await drop_database(target.engine, target.store, record.database)
    with target.store.begin() as connection:
        known = stored.list_table_versions(connection, target.workspace.id)
    kept = {table for one in known for table in (one.table, quarantine_table(one))}
    for name, number in record.tables.items():
        version = TableVersion(name, number, resource_id="", definition="")
        for table in (version.table, quarantine_table(version)):
            if table not in kept:
                await drop_object(target.engine, target.store, database, table)
    with target.store.begin() as connection:
        stored.set_state(connection, record, State.DELETED)


async def show_views(target: DeployTarget, wanted: Mapping[str, int]) -> None:
    """Have exactly the materialised views of `wanted` (pipe -> version) in the engine. On an error
    those that were there come back."""
    workspace = target.workspace
    with target.store.begin() as connection:
        versions = stored.list_view_versions(connection, workspace.id)
    by_name = {version.view: version for version in versions}
    there = await list_views(target.engine, workspace.database)
    names = {one.view for one in versions if wanted.get(one.pipe) == one.version}
    made = [
        await view_object(target.engine, workspace, by_name[name]) for name in sorted(names - there)
    ]
    gone = sorted(there - names)
    remember_objects(target.store, made)
    for name in gone:
        await drop_object(target.engine, target.store, workspace.database, name)
    try:
        for one in made:
            await create_object(target.engine, target.store, one)
    except BaseException:
        for one in made:
            await drop_object(target.engine, target.store, workspace.database, one.name)
        back = [
            await view_object(target.engine, workspace, by_name[name])
            for name in gone
            if name in by_name
        ]
        remember_objects(target.store, back)
        for one in back:
            await create_object(target.engine, target.store, one)
        raise


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


def _left_behind(
    before: StoredDeployment | None, after: Deployment, versions: list[TableVersion]
) -> tuple[list[TableVersion], list[TableVersion]]:
    """The tables of the one before that are replaced by others, and those that have none."""
    old = [one for one in versions if before is not None and before.has_table(one)]
    replaced = [
        one
        for one in old
        if one.datasource in after.tables and after.tables[one.datasource].version != one.version
    ]
    removed = [one for one in old if one.datasource not in after.tables]
    return replaced, removed


async def _refuse_rows(
    target: DeployTarget, deployment: Deployment, replaced: list[TableVersion]
) -> None:
    plan = TablePlan(
        deployment.tables,
        (),
        tuple((deployment.project.datasources[one.datasource], one) for one in replaced),
    )
    present = await list_tables(target.engine, target.workspace.database)
    mistakes = await find_changes_over_rows(target, plan, present)
    if mistakes:
        raise ProjectErrors(mistakes)
