"""The Pipes API (pipes-api.md section 1): reading. Files are the source of truth, so that every
write to a pipe's structure is refused."""

from __future__ import annotations

from pipewren.access.authorize import authorize_endpoint, readable_pipes
from pipewren.errors import DOCS, Forbidden
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.pipe_descriptions import (
    LIST_KEYS,
    cut_description,
    describe_pipe,
    find_pipe,
)
from pipewren.serve.route_request import TEXT_TYPE, RouteRequest, open_deployment
from pipewren.serve.server import Server


async def list_pipes(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/pipes`: those that the token may read.

    `attrs` and `node_attrs` name the keys to show, separated by commas. An absent `attrs` shows
    those of `LIST_KEYS`, an empty `node_attrs` drops the nodes (pipes-api.md section 2), and both
    empty show all there is (client-compat.md section 5).
    """
    caller, deployment = open_deployment(request, server)
    keys = _read_keys(request, "attrs", absent=LIST_KEYS)
    node_keys = _read_keys(request, "node_attrs", absent=None)
    if request.text("node_attrs") == "" and request.text("attrs") != "":
        node_keys = ()
    names = readable_pipes(caller, {name: deployment.pipe_ids[name] for name in deployment.pipes})
    shown = [
        cut_description(
            describe_pipe(deployment, deployment.pipes[name], request.base_url), keys, node_keys
        )
        for name in names
    ]
    if (request.text("dependencies") or "").lower() in ("0", "false"):
        for pipe in shown:
            for node in pipe.get("nodes", ()):
                node.pop("dependencies", None)
    return json_answer(200, {"pipes": shown})


async def show_pipe(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/pipes/NAME`. Raises NotFound, Forbidden."""
    caller, deployment = open_deployment(request, server)
    pipe = find_pipe(deployment, request.names["pipe"])
    authorize_endpoint(caller, pipe.name, deployment.pipe_ids[pipe.name])
    return json_answer(200, describe_pipe(deployment, pipe, request.base_url))


async def show_datafile(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/pipes/NAME.pipe`: the datafile's text."""
    caller, deployment = open_deployment(request, server)
    pipe = find_pipe(deployment, request.names["pipe"])
    authorize_endpoint(caller, pipe.name, deployment.pipe_ids[pipe.name])
    return Answer(200, (TEXT_TYPE,), pipe.pipe.content.encode())


async def refuse_write(request: RouteRequest, server: Server) -> Answer:
    """Every write to a pipe's structure. Always raises Forbidden (tokens.md section 8)."""
    open_deployment(request, server)
    raise Forbidden(
        "Adding or modifying pipes to this workspace can only be done via deployments",
        documentation=f"{DOCS}/api-reference/pipe-api.html",
    )


def _read_keys(
    request: RouteRequest, name: str, *, absent: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """The keys of a comma-separated parameter; None, which is all, for an empty one."""
    value = request.text(name)
    if value is None:
        return absent
    return tuple(key.strip() for key in value.split(",") if key.strip()) or None
