"""`GET /v0/pipes/NAME/explain`: the statement that a call would run, and ClickHouse's plan of it.

An EXPLAIN can run scalar subqueries and open what the statement reads, so it asks for the same
right as the call, and runs under the same limits.
"""

from __future__ import annotations

import re

from pipewren.access.authorize import authorize_endpoint
from pipewren.deploy.deployment import Deployment
from pipewren.engine.contract import Lane, Statement
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.call import OUTPUT_SWITCHES, RESERVED, Repeated, Value
from pipewren.serve.pipe_descriptions import find_node, find_pipe
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.secret_values import NO_SECRETS
from pipewren.serve.server import Server
from pipewren.sql.compile import compile_node
from pipewren.sql.pipes import CompiledPipe
from pipewren.sqltext import Sql
from pipewren.template.values import PLACEHOLDER_TEXT


async def explain_pipe(request: RouteRequest, server: Server) -> Answer:
    """Of the published node, else the last one, or of the node that the path names. Raises
    NotFound, Forbidden, TemplateError and EngineError."""
    caller, deployment = open_deployment(request, server)
    pipe = find_pipe(deployment, request.names["pipe"])
    authorize_endpoint(caller, pipe.name, deployment.pipe_ids[pipe.name])
    wanted = request.names.get("node")
    node = pipe.output if wanted is None else find_node(deployment, pipe, wanted)
    secrets = server.secrets.get(caller.workspace_id, NO_SECRETS)
    compiled = compile_node(
        pipe, node, _read_values(request, pipe), tables=deployment.names, secrets=secrets
    )
    statement = Statement(
        Sql(f"EXPLAIN\n{compiled.sql}"),
        deployment.database,
        "TSVRaw",
        server.limits[Lane.LIGHT],
        compiled.settings,
        # A plan shows what constants became, so no secret's value goes into it.
        tuple((name, PLACEHOLDER_TEXT) for name in compiled.secrets),
    )
    with server.admission.slot(deployment.pipe_ids[pipe.name]):
        result = await server.engine.run(statement)
    plan = hide_physical_names(result.body.decode(), deployment)
    return json_answer(200, {"debug_query": compiled.sql, "query_explain": plan})


def hide_physical_names(text: str, deployment: Deployment) -> str:
    """`w_<id>.flights__1` -> `flights`: where rows are kept is no caller's business."""
    database = re.escape(deployment.workspace.database)
    return re.sub(rf"\b{database}(?:_d\d+)?\.`?(\w+?)(?:__\d+)?`?(?!\w)", r"\1", text)


def _read_values(request: RouteRequest, pipe: CompiledPipe) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in request.query.items():
        if name in RESERVED or name in OUTPUT_SWITCHES:
            continue
        if isinstance(value, Repeated):
            value = list(value) if name in pipe.array_parameters else value[-1]
        values[name] = value
    return values
