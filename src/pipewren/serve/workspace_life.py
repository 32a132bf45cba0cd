"""Workspaces that come and go while the server runs.

The store's transaction comes first and decides: killed after it, the next start makes the
databases that a new workspace lacks and drops those whose workspace is gone
(deploy/workspace_databases.py). What requests see, keyring and deployments, is replaced without
waiting in between.
"""

from __future__ import annotations

import logging

from pipewren.access.startup import make_default_tokens
from pipewren.access.workspace_keys import with_workspace, without_workspaces
from pipewren.deploy.deployment import Deployment, make_deployment
from pipewren.deploy.workspace_databases import drop_databases, make_databases
from pipewren.errors import BadRequest, Conflict, Forbidden, NotFound, PipewrenError
from pipewren.project.assembly import parse_project
from pipewren.serve.background import run_to_the_end
from pipewren.serve.server import Server
from pipewren.storage.deployments import StoredDeployment, list_deployments
from pipewren.storage.store import Store
from pipewren.storage.tokens import StoredToken, list_tokens
from pipewren.storage.workspaces import (
    Workspace,
    find_workspace,
    list_workspaces,
    remove_workspace,
)
from pipewren.storage.workspaces import create_workspace as store_workspace

_log = logging.getLogger("pipewren.serve")


async def create_workspace(server: Server, name: str, *, main: str | None = None) -> Workspace:
    """A new, empty workspace, or with `main` (a workspace's id) a branch, ready for requests.

    Raises Conflict for a name that is taken, BadRequest beyond `max_workspaces`, and what the
    engine raises, after which nothing is left of it.
    """
    with server.store.begin() as connection:
        if find_workspace(connection, name) is not None:
            raise Conflict(f"The name '{name}' is taken by another workspace or branch")
        most = server.settings.max_workspaces
        if len(list_workspaces(connection)) >= most:
            raise BadRequest(
                f"There are {most} workspaces and branches already, the most that the setting "
                "max_workspaces allows: delete some, or raise it"
            )
        workspace = store_workspace(connection, name, main=main)
        seed = list_deployments(connection, workspace.id)[-1]
        make_default_tokens(connection, workspace.id)
    return await run_to_the_end(server, _open_new(server, workspace, seed))


async def delete_workspace(server: Server, workspace: Workspace) -> None:
    """Remove a workspace with its rows, and its branches with it. From the store's commit on its
    tokens are unknown; requests that run already end well, or with the engine's error.

    Raises Forbidden for the workspace of the project's folder, NotFound for one that is gone, and
    Conflict while it or one of its branches is being deployed to.
    """
    if workspace.name == server.settings.workspace:
        raise Forbidden(
            f"The workspace '{workspace.name}' is the one that the server's project folder is "
            "deployed to, and cannot be deleted: remove its data sources with a deploy, or start "
            "the server with another --workspace"
        )
    with server.store.begin() as connection:
        present = list_workspaces(connection)
        if all(one.id != workspace.id for one in present):
            raise NotFound(f"The workspace '{workspace.name}' does not exist")
        gone = [one for one in present if workspace.id in (one.id, one.main)]
        for one in gone:
            if one.id in server.deploying:
                raise Conflict(
                    f"A deployment is in progress in '{one.name}': wait until it has ended"
                )
        for one in gone:
            remove_workspace(connection, one)
    ids = {one.id for one in gone}
    server.keyring = without_workspaces(server.keyring, ids)
    server.deployments = {
        workspace_id: deployment
        for workspace_id, deployment in server.deployments.items()
        if workspace_id not in ids
    }
    for workspace_id in ids:
        server.learned.pop(workspace_id, None)
        server.secrets.pop(workspace_id, None)
        server.staged.pop(workspace_id, None)
    await run_to_the_end(server, _drop_all(server, gone))


def empty_deployment(workspace: Workspace, seed: StoredDeployment) -> Deployment:
    """Of a workspace that nothing was deployed to yet."""
    return make_deployment(workspace, seed, parse_project({}), {}, tables={}, pipe_ids={})


async def _open_new(server: Server, workspace: Workspace, seed: StoredDeployment) -> Workspace:
    try:
        await make_databases(server.engine, server.store, workspace, seed)
    except PipewrenError:
        with server.store.begin() as connection:
            remove_workspace(connection, workspace)
        await _drop_all(server, [workspace])
        raise
    # Its main may have been deleted meanwhile, and it with it.
    tokens = _present_tokens(server.store, workspace)
    if tokens is None:
        await _drop_all(server, [workspace])
        raise NotFound(f"The workspace that '{workspace.name}' is a branch of was deleted")
    server.keyring = with_workspace(server.keyring, workspace, tokens)
    server.deployments = {
        **server.deployments,
        workspace.id: empty_deployment(workspace, seed),
    }
    return workspace


def _present_tokens(store: Store, workspace: Workspace) -> list[StoredToken] | None:
    with store.begin() as connection:
        present = find_workspace(connection, workspace.name)
        if present is None or present.id != workspace.id:
            return None
        return list_tokens(connection, workspace.id)


async def _drop_all(server: Server, gone: list[Workspace]) -> None:
    """What cannot be dropped now is dropped at the next start: the workspace is gone either way."""
    for workspace in gone:
        await server.jobs.stop(workspace.id)
        try:
            await server.ingestion.drop_workspace(workspace.id)
            await drop_databases(server.engine, server.store, workspace.id)
        except PipewrenError as error:
            _log.warning(
                "the databases of the deleted workspace %s are dropped at the next start: %s",
                workspace.id,
                error.message,
            )
