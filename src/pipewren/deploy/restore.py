"""Opens what was deployed before: from its files in the store, compiled again."""

from __future__ import annotations

from dataclasses import dataclass

from pipewren.deploy.candidate import read_candidate
from pipewren.deploy.checks import check_statements
from pipewren.deploy.deployment import Deployment, make_deployment, with_columns
from pipewren.deploy.prepare import assemble
from pipewren.deploy.table_objects import add_quarantines
from pipewren.deploy.tables import without_quarantine
from pipewren.deploy.target import DeployTarget
from pipewren.engine.contract import Engine
from pipewren.errors import PipewrenError
from pipewren.project.assembly import parse_project
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import State, StoredDeployment
from pipewren.template.limits import TemplateLimits


@dataclass(frozen=True, slots=True)
class OpenedWorkspace:
    """The live deployment of a workspace, and the one that waits to be promoted."""

    live: Deployment
    staged: Deployment | None = None


async def open_workspace(target: DeployTarget, *, limits: TemplateLimits) -> OpenedWorkspace:
    """What the store knows, after `leftovers.drop_leftovers`. Nothing is checked again: it was
    when it was deployed, and a secret that a datafile names may be gone since. Raises
    ProjectErrors where this version of Pipewren does not take the live files any more."""
    with target.store.begin() as connection:
        known = stored.list_deployments(connection, target.workspace.id)
    live = next(record for record in known if record.is_live)
    opened = await _restore(target, live, limits)
    waiting = [one for one in known if one.state is State.DATA_READY and not one.is_live]
    if not waiting:
        return OpenedWorkspace(opened)
    return OpenedWorkspace(opened, await _restore(target, waiting[-1], limits))


def empty_deployment(target: DeployTarget, record: StoredDeployment) -> Deployment:
    """The one that a workspace begins with: no files."""
    return make_deployment(target.workspace, record, parse_project({}), {}, tables={}, pipe_ids={})


async def describe_endpoints(engine: Engine, deployment: Deployment) -> Deployment:
    """The same with its endpoints' columns, which only the engine knows; as it is where the engine
    refuses a statement that it took before."""
    try:
        return await check_statements(engine, deployment, refused={}, with_branches=False)
    except PipewrenError:
        return with_columns(deployment, {})


async def _restore(
    target: DeployTarget,
    record: StoredDeployment,
    limits: TemplateLimits,
) -> Deployment:
    with target.store.begin() as connection:
        files = stored.read_files(connection, record.id)
        versions = stored.list_table_versions(connection, target.workspace.id)
    candidate = await read_candidate(
        {path: text.encode() for path, text in files.items()}, secrets=None, limits=limits
    )
    tables = {one.datasource: one for one in versions if record.has_table(one)}
    taken = without_quarantine(tables.values(), versions)
    for one in taken:
        target.progress(
            f"warning: the data source {one.datasource} has no quarantine, since a table has its "
            "name that was deployed before"
        )
    wanted = {name: one for name, one in tables.items() if one not in taken}
    await add_quarantines(target, record, candidate.project, wanted)
    return assemble(target, record, candidate, tables)
