"""Deploys a project's folder when the server starts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from pipewren.deploy.candidate import Candidate
from pipewren.deploy.checks import check_statements
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.inventory import list_tables
from pipewren.deploy.live import finish_deletion, go_live
from pipewren.deploy.prepare import assemble, prepare
from pipewren.deploy.table_objects import physical_tables
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.token_changes import find_kept_tokens
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import StoredDeployment, TableVersion
from pipewren.storage.tokens import list_tokens


async def deploy_folder(
    target: DeployTarget,
    candidate: Candidate,
    *,
    quiet: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Deployment:
    """Make the folder's project live, or find that it is. Tables with rows of data sources that
    have left the folder are kept. Inside `quiet` nothing writes to the workspace. Raises
    ProjectErrors with all mistakes; then nothing has changed."""
    with target.store.begin() as connection:
        known = stored.list_deployments(connection, target.workspace.id)
        versions = stored.list_table_versions(connection, target.workspace.id)
        tokens = list_tokens(connection, target.workspace.id)
    for one in find_kept_tokens(candidate.project, tokens):
        target.progress(f"warning: {one.position.file}:{one.position.line}: {one.message}")
    live = stored.find_live(known)
    if live is not None and live.digest == candidate.digest:
        tables = {one.datasource: one for one in versions if live.has_table(one)}
        if await _is_whole(target, live, tables):
            target.progress(f"deployment {live.number} is unchanged")
            deployment = assemble(target, live, candidate, tables)
            return await check_statements(
                target.engine, deployment, refused={}, with_branches=False
            )
    prepared = await prepare(target, candidate)
    async with quiet():
        went = await go_live(target, prepared, keep_removed=True)
    if went.before is not None:
        await finish_deletion(target, went.before)
    project, endpoints = candidate.project, went.deployment.endpoints.values()
    target.progress(
        f"deployment {went.deployment.stored.number} is live: "
        f"{_counted(len(project.datasources), 'data source')}"
        f", {_counted(len({endpoint.id for endpoint in endpoints}), 'endpoint')}"
    )
    return went.deployment


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


async def _is_whole(
    target: DeployTarget, live: StoredDeployment, tables: dict[str, TableVersion]
) -> bool:
    present = await list_tables(target.engine, target.workspace.database)
    aliases = await list_tables(target.engine, live.database)
    wanted = physical_tables(tables)
    return (
        tables.keys() == live.tables.keys()
        and aliases == wanted.keys()
        and present.issuperset(wanted.values())
    )
