"""Workspaces over HTTP (client-compat.md sections 2 and 8): the account's tokens list, make and
delete them; a workspace's own token sees itself, and its branches."""

from __future__ import annotations

import re
from uuid import UUID

from pipewren.access.caller import Caller
from pipewren.errors import BadRequest, Forbidden, NotFound
from pipewren.serve.account import (
    MEMBERS,
    ORGANIZATION,
    ORGANIZATION_ID,
    ORGANIZATION_NAME,
    USER_EMAIL,
    USER_ID,
    main_of,
    show_workspace,
    visible_workspaces,
)
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.audited import audited
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.workspace_life import create_workspace, delete_workspace
from pipewren.storage.workspaces import Workspace

NO_STORE = ((b"cache-control", b"no-store"),)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]{0,254}")


async def list_all(request: RouteRequest, server: Server) -> Answer:
    """`GET /v1/user/workspaces`: those that the token may know of, branches too unless
    `with_environments=false`, and nothing else with `only_environments=true`."""
    caller, _ = open_deployment(request, server)
    has_branches = (request.text("with_environments") or "").lower() not in ("false", "0")
    has_others = not request.flag("only_environments")
    shown = [
        show_workspace(server, caller, workspace, request)
        for workspace in visible_workspaces(server, caller)
        if (has_others if workspace.main is None else has_branches)
    ]
    body = {
        # `tb` takes it for the current workspace's, where it has no `.tinyb` file.
        "id": str(UUID(caller.workspace_id)),
        "email": USER_EMAIL,
        "organization_id": ORGANIZATION_ID,
        "organization_name": ORGANIZATION_NAME,
        "workspaces": shown,
    }
    return json_answer(200, body, NO_STORE)


@audited("workspace.create")
async def create(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`POST /v1/workspaces`: a new, empty workspace. Raises Forbidden, BadRequest, Conflict."""
    _require_user(caller, "make")
    workspace = await create_workspace(server, read_name(request, "workspace"))
    return json_answer(200, show_workspace(server, caller, workspace, request), NO_STORE)


@audited("workspace.delete")
async def remove(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`DELETE /v1/workspaces/ID`: with its rows, tokens and branches. Raises Forbidden, NotFound,
    Conflict."""
    _require_user(caller, "delete")
    wanted = request.names["workspace"]
    workspace = find_by_id(visible_workspaces(server, caller), wanted)
    if workspace is None:
        raise NotFound(f"The workspace '{wanted}' does not exist: it is named by its id")
    await delete_workspace(server, workspace)
    return json_answer(200, {"ok": True})


async def show_current(request: RouteRequest, server: Server) -> Answer:
    """`GET /v1/workspace`: the one that the token is of. Exactly these keys, for all clients."""
    caller, deployment = open_deployment(request, server)
    return json_answer(200, _describe(server, caller, deployment.workspace))


async def show_current_with_members(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/workspace`: the same with more keys."""
    caller, deployment = open_deployment(request, server)
    workspace = deployment.workspace
    body = {
        **_describe(server, caller, workspace),
        "main": main_of(server, workspace),
        "is_branch": workspace.main is not None,
        "created_at": workspace.created_at,
        "organization": ORGANIZATION,
        "members": MEMBERS,
    }
    return json_answer(200, body)


async def show_auth(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/auth`: whether the token is a user's. One that is none is 403, as everywhere."""
    caller, _ = open_deployment(request, server)
    return json_answer(200, {"is_valid": True, "is_user": caller.is_user})


async def list_regions(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/regions`: this server, as the caller reaches it."""
    open_deployment(request, server)
    url = request.base_url
    region = {"name": "local", "host": url, "api_host": url, "provider": "local"}
    return json_answer(200, {"regions": [region]})


async def show_organization(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/organizations/ID`. Raises NotFound for any but the server's own."""
    open_deployment(request, server)
    if request.names["organization"] != ORGANIZATION_ID:
        raise NotFound(f"The organization '{request.names['organization']}' does not exist")
    return json_answer(200, ORGANIZATION)


def read_name(request: RouteRequest, noun: str) -> str:
    """The parameter `name`. Raises BadRequest where it is missing or no name."""
    name = request.sent("name")
    if not name:
        raise BadRequest(f"The parameter name is missing: it names the new {noun}")
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"The name of a {noun} has letters of ASCII, digits, _ and -, 255 at most, and does "
            "not begin with -"
        )
    return name


def find_by_id(workspaces: list[Workspace], wanted: str) -> Workspace | None:
    """By its UUID, with dashes or without."""
    try:
        wanted_id = UUID(wanted).hex
    except ValueError:
        return None
    return next((one for one in workspaces if one.id == wanted_id), None)


def _describe(server: Server, caller: Caller, workspace: Workspace) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": workspace.uuid,
        "name": workspace.name,
        "user_id": USER_ID,
        "user_email": USER_EMAIL,
        "scope": "admin" if caller.is_admin else "user",
    }
    if workspace.main is not None:
        shown["main"] = main_of(server, workspace)
    return shown


def _require_user(caller: Caller, verb: str) -> None:
    if not caller.is_user:
        raise Forbidden(
            f"The token '{caller.token_name}' may not {verb} workspaces: that takes the user "
            'token, which `pipewren token . "user token"` prints'
        )
