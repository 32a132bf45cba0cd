"""Build and deploy over HTTP (client-compat.md sections 3 and 4): who may, and the answers."""

from __future__ import annotations

from typing import Any

from pipewren.access.caller import Caller
from pipewren.deploy.changes import Changes
from pipewren.errors import BadRequest, Forbidden, NotFound
from pipewren.serve import deploying
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.bodies import read_parts
from pipewren.serve.deploying import DeployOrder, DeployOutcome
from pipewren.serve.project_upload import read_project_upload
from pipewren.serve.request_record import record_of
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import State, StoredDeployment


async def build(request: RouteRequest, server: Server) -> Answer:
    """`POST /v1/build`: the whole project, live at once. 200 also where it failed."""
    outcome = await _deploy(
        request, server, DeployOrder(is_build=True, request_id=record_of(request.scope).request_id)
    )
    if outcome.result == "failed":
        return json_answer(200, {"result": "failed", "errors": list(outcome.errors)})
    number = outcome.record.number if outcome.record is not None else 0
    described = {
        "id": str(number),
        "feedback": list(outcome.feedback),
        **_names(outcome.changes),
        "datasources": [],
        "data_linkers": [],
    }
    return json_answer(200, {"result": "success", "build": described})


async def deploy(request: RouteRequest, server: Server) -> Answer:
    """`POST /v1/deploy`, with `check`, `auto_promote` and `allow_destructive_operations`. The
    answer comes when all is done: a client need not wait for it again."""
    order = DeployOrder(
        check=request.flag("check"),
        promote=request.flag("auto_promote"),
        allow_destructive=request.flag("allow_destructive_operations"),
        request_id=record_of(request.scope).request_id,
    )
    outcome = await _deploy(request, server, order)
    record = outcome.record
    described: dict[str, Any] = describe(record) if record is not None else _of_a_check(outcome)
    described |= {
        "errors": list(outcome.errors),
        "feedback": list(outcome.feedback),
        **_names(outcome.changes),
        "disconnected_data_source_names": [],
        "new_data_connector_ids": [],
        "token_changes": list(outcome.token_changes),
        "data_movements": [],
    }
    body: dict[str, Any] = {"result": outcome.result, "deployment": described}
    if outcome.result == "failed":
        body["errors"] = list(outcome.errors)
    return json_answer(200, body)


async def list_all(request: RouteRequest, server: Server) -> Answer:
    """`GET /v1/deployments`: the live one and then a staged one; with `include_deleted` all there
    were, oldest first."""
    caller = _require_admin(request, server)
    with server.store.begin() as connection:
        known = stored.list_deployments(connection, caller.workspace_id)
    if not request.flag("include_deleted"):
        known = [one for one in known if one.is_live or one.state not in stored.ENDED]
    return json_answer(200, {"deployments": [describe(one) for one in known]})


async def show(request: RouteRequest, server: Server) -> Answer:
    """`GET /v1/deployments/ID`, also of one that is gone. Raises NotFound."""
    caller = _require_admin(request, server)
    record = deploying.find_record(server, caller.workspace_id, _number(request))
    return json_answer(200, {"deployment": describe(record)})


async def set_live(request: RouteRequest, server: Server) -> Answer:
    """`POST /v1/deployments/ID/set-live`: promote a staged one."""
    caller = _require_admin(request, server)
    request_id = record_of(request.scope).request_id
    number = _number(request)
    record = await deploying.promote(server, caller.workspace_id, number, request_id=request_id)
    return json_answer(200, {"result": "success", "deployment": describe(record)})


async def remove(request: RouteRequest, server: Server) -> Answer:
    """`DELETE /v1/deployments/ID`: discard a staged one; nothing for one that is gone."""
    caller = _require_admin(request, server)
    record = await deploying.discard(server, caller.workspace_id, _number(request))
    return json_answer(200, {"result": "success", "deployment": describe(record)})


def describe(record: StoredDeployment) -> dict[str, Any]:
    """A deployment as clients read it; `id` is a text of digits."""
    return {
        "id": str(record.number),
        "status": record.state.value,
        "live": record.is_live,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "errors": list(record.errors),
        "feedback": list(record.feedback),
    }


async def _deploy(request: RouteRequest, server: Server, order: DeployOrder) -> DeployOutcome:
    caller = _require_admin(request, server)
    assert request.receive is not None  # these handlers are among routes.UPLOADS
    limit = server.settings.max_project_bytes
    parts = read_parts(request.receive, limit, "max_project_bytes")
    upload = await read_project_upload(request.scope["headers"], parts, max_bytes=limit)
    if upload.vendored:
        raise BadRequest(
            "vendor/ has data sources of other workspaces, which cannot be shared here yet: "
            "take them out of the project"
        )
    return await deploying.deploy_files(server, caller.workspace_id, upload.files, order)


def _require_admin(request: RouteRequest, server: Server) -> Caller:
    caller, _ = open_deployment(request, server)
    if not caller.is_admin:
        raise Forbidden("Deployments need an admin token of the workspace")
    return caller


def _number(request: RouteRequest) -> int:
    text = request.names["deployment"]
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise NotFound(f"Deployment '{text[:50]}' not found")
    return int(text)


def _of_a_check(outcome: DeployOutcome) -> dict[str, Any]:
    status = State.FAILED if outcome.result == "failed" else State.CALCULATING
    return {"id": "0", "status": status.value, "live": False, "created_at": "", "updated_at": ""}


def _names(changes: Changes) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for kind, found in (
        ("datasource", changes.datasources),
        ("pipe", changes.pipes),
        ("data_connector", changes.connections),
    ):
        named[f"new_{kind}_names"] = list(found.new)
        named[f"changed_{kind}_names"] = list(found.changed)
        named[f"deleted_{kind}_names"] = list(found.deleted)
    return named
