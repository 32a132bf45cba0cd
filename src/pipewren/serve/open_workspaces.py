"""Every workspace of the store, opened when the server starts."""

from __future__ import annotations

from dataclasses import replace

from pipewren.deploy.deployment import outlive
from pipewren.deploy.leftovers import drop_leftovers
from pipewren.deploy.restore import (
    OpenedWorkspace,
    describe_endpoints,
    empty_deployment,
    open_workspace,
)
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.workspace_databases import drop_orphans, make_databases
from pipewren.errors import ProjectErrors
from pipewren.serve.server import Server
from pipewren.storage.deployments import State, list_deployments
from pipewren.storage.workspaces import list_workspaces
from pipewren.template.limits import TemplateLimits


async def open_workspaces(
    target: DeployTarget,
    limits: TemplateLimits,
    *,
    has_folder: bool,
) -> dict[str, OpenedWorkspace]:
    """By workspace id, what a kill has left of each put right before. With `has_folder` the live
    deployment of the target's workspace is not compiled: the folder's will take its place."""
    engine, store = target.engine, target.store
    await drop_orphans(engine, store)
    with store.begin() as connection:
        workspaces = list_workspaces(connection)
    opened: dict[str, OpenedWorkspace] = {}
    for workspace in workspaces:
        one = replace(target, workspace=workspace)
        await drop_leftovers(one)
        with store.begin() as connection:
            known = list_deployments(connection, workspace.id)
        live = next(record for record in known if record.is_live)
        await make_databases(engine, store, workspace, live)
        waiting = [one for one in known if one.state is State.DATA_READY and not one.is_live]
        if has_folder and workspace.id == target.workspace.id and not waiting:
            opened[workspace.id] = OpenedWorkspace(empty_deployment(one, live))
            continue
        try:
            opened[workspace.id] = await open_workspace(one, limits=limits)
        except ProjectErrors as errors:
            target.progress(
                f"warning: what was deployed to workspace {workspace.name} cannot be opened, and "
                f"its endpoints answer 404 until the next deploy: {errors}"
            )
            opened[workspace.id] = OpenedWorkspace(empty_deployment(one, live))
    return opened


async def describe_all(server: Server) -> None:
    """Learn the columns of endpoints that were deployed before this start, beside the requests."""
    for workspace_id, deployment in server.deployments.items():
        if any(one.columns is not None for one in deployment.endpoints.values()):
            continue
        described = await describe_endpoints(server.engine, deployment)
        if server.deployments.get(workspace_id) is deployment:
            outlive(deployment, described)
            server.deployments = {**server.deployments, workspace_id: described}
