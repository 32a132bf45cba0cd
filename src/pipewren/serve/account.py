"""What workspaces, branches and users look like in answers (client-compat.md sections 5 and 8).

One server is one account: one user, one organization, whose ids are the same on every server.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from pipewren.access.caller import Caller
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.server import Server
from pipewren.storage.workspaces import Workspace, list_workspaces

USER_ID = str(uuid5(NAMESPACE_URL, "pipewren:user"))
USER_EMAIL = "local_testing@tinybird.co"  # as in the name of the token that people look for
ORGANIZATION_ID = str(uuid5(NAMESPACE_URL, "pipewren:organization"))
ORGANIZATION_NAME = "pipewren"
ORGANIZATION = {"id": ORGANIZATION_ID, "name": ORGANIZATION_NAME}
MEMBERS = [{"id": USER_ID, "email": USER_EMAIL, "role": "admin"}]


def is_strict(request: RouteRequest) -> bool:
    """Whether the Python SDK asks, which breaks on a key that it does not know. The command line
    says `from=python-sdk` too, but always with its version, and needs more."""
    return request.sent("from") == "python-sdk" and request.sent("cli_version") is None


def visible_workspaces(server: Server, caller: Caller) -> list[Workspace]:
    """Those that a caller may know of, oldest first: the account's tokens all, a workspace's own
    token that one, and its branches where it is an admin's."""
    with server.store.begin() as connection:
        present = list_workspaces(connection)
    ready = [one for one in present if one.id in server.deployments]
    if caller.is_user:
        return ready
    own = caller.workspace_id
    return [one for one in ready if one.id == own or (caller.is_admin and one.main == own)]


def token_for(server: Server, caller: Caller, workspace: Workspace, sent: str | None) -> str:
    """The token that a listing shows: the workspace's admin token where the caller is the account's
    or an admin, else what the caller has already."""
    if caller.is_user or caller.is_admin:
        key = server.keyring.jwt_keys.get(workspace.id)
        if key is not None:
            return key.decode()
    return (sent or "") if workspace.id == caller.workspace_id else ""


def show_workspace(
    server: Server, caller: Caller, workspace: Workspace, request: RouteRequest
) -> dict[str, object]:
    """An item of the lists, with the three keys alone where the Python SDK asks."""
    token = token_for(server, caller, workspace, request.token)
    shown: dict[str, object] = {"id": workspace.uuid, "name": workspace.name, "token": token}
    if is_strict(request):
        return shown
    return {
        **shown,
        "role": "admin" if caller.is_admin or caller.is_user else "viewer",
        "plan": "dev",
        "is_branch": workspace.main is not None,
        "main": main_of(server, workspace),
        "current": workspace.id == caller.workspace_id,
        "owner": USER_ID,
        "user_id": USER_ID,
        "user_email": USER_EMAIL,
        "created_at": workspace.created_at,
        "organization": ORGANIZATION,
        "members": MEMBERS,
    }


def show_branch(
    server: Server,
    caller: Caller,
    workspace: Workspace,
    request: RouteRequest,
    *,
    with_token: bool = True,
) -> dict[str, object]:
    """A branch in the lists of branches, with four keys at most where the Python SDK asks."""
    shown: dict[str, object] = {
        "id": workspace.uuid,
        "name": workspace.name,
        "created_at": workspace.created_at,
    }
    if with_token:
        shown["token"] = token_for(server, caller, workspace, request.token)
    if is_strict(request):
        return shown
    return {**shown, "main": main_of(server, workspace), "owner": USER_ID, "members": MEMBERS}


def main_of(server: Server, workspace: Workspace) -> str | None:
    """The id of a branch's main workspace as answers write it."""
    main = server.deployments.get(workspace.main or "")
    return main.workspace.uuid if main is not None else None
