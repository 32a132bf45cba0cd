"""Branches over HTTP (client-compat.md section 8). A branch is a workspace that was made from
another one, its main: with main's files, and on request with some of its rows.

They are for main's admin tokens and the account's. The job that fills a branch is main's.
"""

from __future__ import annotations

from pipewren.access.caller import Caller
from pipewren.errors import BadRequest, Forbidden, NotFound, PipewrenError
from pipewren.serve.account import show_branch, visible_workspaces
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.audited import audited
from pipewren.serve.branch_content import fill_branch
from pipewren.serve.job_runner import RunningJob
from pipewren.serve.jobs import describe_job
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.workspace_life import create_workspace, delete_workspace
from pipewren.serve.workspaces import NO_STORE, find_by_id, read_name
from pipewren.storage.workspaces import Workspace

LAST_PARTITION = "last_partition"


async def list_branches(request: RouteRequest, server: Server) -> Answer:
    """`GET /v1/environments`: the branches of the token's workspace, all of them for a token of
    the account."""
    caller, _ = open_deployment(request, server)
    shown = [show_branch(server, caller, one, request) for one in _branches(server, caller)]
    return json_answer(200, {"environments": shown}, NO_STORE)


async def show(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/environments/NAME`, by name or id; `with_token=true` adds its admin token. Raises
    NotFound."""
    caller, _ = open_deployment(request, server)
    branch = _find(server, caller, request.names["branch"])
    with_token = request.flag("with_token")
    shown = show_branch(server, caller, branch, request, with_token=with_token)
    return json_answer(200, shown, NO_STORE)


@audited("branch.create")
async def create(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`POST /v1/environments?name=&data=`: the branch is there at once, and filled by a job.
    Raises Forbidden, BadRequest, Conflict."""
    _require_admin(caller)
    main = server.deployments[caller.workspace_id].workspace
    if main.main is not None:
        raise BadRequest(
            f"'{main.name}' is a branch: make branches from the workspace that it is of"
        )
    name = read_name(request, "branch")
    data = request.sent("data") or ""
    if data not in ("", LAST_PARTITION):
        raise BadRequest(f"The parameter data is {LAST_PARTITION} or empty: it says which rows")
    branch = await create_workspace(server, name, main=main.id)

    async def run(_: RunningJob) -> None:
        try:
            await fill_branch(server, main.id, branch, with_rows=data == LAST_PARTITION)
        except PipewrenError as error:
            raise BadRequest(
                f"The branch {name} was made, but not filled: {error.message}"
            ) from error

    detail = {"token_id": caller.token_id, "branch_id": branch.uuid, "branch_name": branch.name}
    job = server.jobs.start("branch", main.id, run, queue=f"branch {branch.id}", detail=detail)
    body = {
        **show_branch(server, caller, branch, request),
        "job": describe_job(job, request.base_url),
    }
    return json_answer(200, body, NO_STORE)


@audited("branch.delete")
async def remove(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`DELETE /v0/environments/ID`: with its rows and tokens. Raises Forbidden, NotFound."""
    _require_admin(caller)
    await delete_workspace(server, _find(server, caller, request.names["branch"]))
    return json_answer(200, {"ok": True})


def _branches(server: Server, caller: Caller) -> list[Workspace]:
    return [one for one in visible_workspaces(server, caller) if one.main is not None]


def _find(server: Server, caller: Caller, name_or_id: str) -> Workspace:
    branches = _branches(server, caller)
    by_id = find_by_id(branches, name_or_id)
    found = by_id or next((one for one in branches if one.name == name_or_id), None)
    if found is None:
        raise NotFound(f"The branch '{name_or_id}' does not exist")
    return found


def _require_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise Forbidden(
            f"The token '{caller.token_name}' may not make or delete branches: that takes an admin "
            "token of the workspace"
        )
