"""`GET /v0/pipes/NAME/explain`: the statement that a call would run, ClickHouse's plan of it, and
hints where the plan reads far more than its filter keeps (pipes-api.md section 1).

An EXPLAIN can run scalar subqueries and open what the statement reads, so it asks for the same
right as the call, counts towards the same rates, and runs under the same limits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.grants import Grant
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Deployment
from pipewren.engine.contract import Lane, Statement
from pipewren.errors import EngineError, Forbidden
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.call import OUTPUT_SWITCHES, RESERVED, Repeated, Value
from pipewren.serve.pipe_descriptions import find_node, find_pipe
from pipewren.serve.plan_hints import MIN_ROWS, Scan, describe_scan, read_scans
from pipewren.serve.rate_limits import take_rates
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.secret_values import NO_SECRETS
from pipewren.serve.server import Server
from pipewren.sql.compile import compile_node
from pipewren.sql.pipes import CompiledPipe, CompiledStatement
from pipewren.sqltext import Sql
from pipewren.template.values import PLACEHOLDER_TEXT

_PLAN = "EXPLAIN indexes = 1"
_PLAN_AS_JSON = "EXPLAIN json = 1, indexes = 1, actions = 1"
_ROWS = "EXPLAIN ESTIMATE"


@dataclass(frozen=True, slots=True)
class _Explained:
    """What is explained, and where it would run."""

    compiled: CompiledStatement
    deployment: Deployment
    server: Server

    async def ask(self, head: str, format: str = "TSVRaw") -> bytes:
        """The engine's answer to an EXPLAIN. Raises EngineError and TimedOut."""
        compiled = self.compiled
        statement = Statement(
            Sql(f"{head}\n{compiled.sql}"),
            self.deployment.database,
            format,
            self.server.limits[Lane.LIGHT],
            compiled.settings,
            # A plan shows what constants became, so no secret's value goes into it.
            tuple((name, PLACEHOLDER_TEXT) for name in compiled.secrets),
        )
        return (await self.server.engine.run(statement)).body


async def explain_pipe(request: RouteRequest, server: Server) -> Answer:
    """Of the published node, else the last one, or of the node that the path names. Raises
    NotFound, Forbidden, TooManyRequests, TemplateError and EngineError."""
    caller, deployment = open_deployment(request, server)
    pipe = find_pipe(deployment, request.names["pipe"])
    pipe_id = deployment.pipe_ids[pipe.name]
    grant = authorize_endpoint(caller, pipe.name, pipe_id, tables=deployment.tables)
    _refuse_narrowed(caller, pipe, grant)
    endpoint = deployment.endpoints.get(pipe.name)
    rate_headers = await take_rates(caller, endpoint, grant.rps, server)
    wanted = request.names.get("node")
    node = pipe.output if wanted is None else find_node(deployment, pipe, wanted)
    secrets = server.secrets.get(caller.workspace_id, NO_SECRETS)
    compiled = compile_node(
        pipe, node, _read_values(request, pipe), tables=deployment.names, secrets=secrets
    )
    explained = _Explained(compiled, deployment, server)
    with server.admission.slot(pipe_id):
        plan = await explained.ask(_PLAN)
        hints = await _find_hints(explained)
    body = {
        "debug_query": compiled.sql,
        "query_explain": hide_physical_names(plan.decode(errors="replace"), deployment),
        "hints": hints,
    }
    return json_answer(200, body, rate_headers)


def hide_physical_names(text: str, deployment: Deployment) -> str:
    """`w_<id>.flights__1` -> `flights`: where rows are kept is no caller's business."""
    database = re.escape(deployment.workspace.database)
    return re.sub(rf"\b{database}(?:_d\d+)?\.`?(\w+?)(?:__\d+)?`?(?!\w)", r"\1", text)


def _refuse_narrowed(caller: Caller, pipe: CompiledPipe, grant: Grant) -> None:
    """A plan counts parts and granules of whole tables, and its estimates tell of values in them:
    of rows too that a filter hides, or that fixed parameters leave out."""
    if grant.fixed or grant.filters or grant.result_filters:
        raise Forbidden(
            f"The token is not valid for this: token '{caller.token_name}' reads '{pipe.name}' "
            "only under a filter or with fixed parameters, and a plan tells of rows that these "
            "hide. Explain it with a token that reads all of it"
        )


async def _find_hints(explained: _Explained) -> list[str]:
    """None where the plan cannot be read: they are an extra."""
    deployment = explained.deployment
    datasources = {table.table: name for name, table in deployment.tables.items()}
    try:
        scans = read_scans(await explained.ask(_PLAN_AS_JSON))
        missing = [scan for scan in scans if scan.misses]
        rows = await _count_rows(explained) if missing else {}
    except EngineError:
        return []
    hints: list[str] = []
    for scan in missing:
        name = datasources.get(_bare(scan))
        datasource = deployment.project.datasources.get(name or "")
        read = rows.get(scan.table, 0)
        if datasource is not None and read >= MIN_ROWS:
            hints.append(describe_scan(scan, datasource, read))
    return [hint for hint in dict.fromkeys(hints) if hint]


async def _count_rows(explained: _Explained) -> dict[str, int]:
    """The rows that are read of each table, by its physical name."""
    lines = (await explained.ask(_ROWS, "JSONCompactEachRow")).splitlines()
    tables = [msgspec.json.decode(line) for line in lines]
    return {f"{database}.{table}": int(rows) for database, table, _, rows, *_ in tables}


def _bare(scan: Scan) -> str:
    return scan.table.rpartition(".")[2]


def _read_values(request: RouteRequest, pipe: CompiledPipe) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in request.query.items():
        if name in RESERVED or name in OUTPUT_SWITCHES:
            continue
        if isinstance(value, Repeated):
            value = list(value) if name in pipe.array_parameters else value[-1]
        values[name] = value
    return values
