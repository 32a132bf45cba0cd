"""`GET /metrics` for Prometheus: on the server's port behind `metrics_token`, or alone on
`metrics_port`. Neither is there by default.

Pipes' and workspaces' names stand in it, of all workspaces, so it is the operator's: no token of a
workspace opens it.
"""

from __future__ import annotations

import asyncio
import hmac
import platform
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pipewren import __version__
from pipewren.access.audit import record_action
from pipewren.access.caller import digest_of
from pipewren.deploy.deployment import Deployment
from pipewren.errors import Forbidden, MethodNotAllowed, NotFound
from pipewren.serve.answers import Answer
from pipewren.serve.call import read_bearer
from pipewren.serve.callers import address_of
from pipewren.serve.metric_families import (
    CONTENT_TYPE,
    FAMILIES,
    Histogram,
    Rows,
    Value,
    write_families,
)
from pipewren.serve.metrics import OTHER, Key
from pipewren.serve.process_figures import process_figures
from pipewren.serve.request_record import ENDPOINT_ROUTE
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.server import Server
from pipewren.settings import Settings

Counts = dict[tuple[str, ...], int]

PATH = "/metrics"
_HEADERS = ((b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store"))
# Against DNS rebinding, where no token is asked for.
_LOCAL_HOST = re.compile(rb"(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


def is_measured(settings: Settings) -> bool:
    """Whether anybody can ask for metrics, so that they are counted."""
    return settings.metrics_token is not None or settings.metrics_port is not None


async def show_metrics(request: RouteRequest, server: Server) -> Answer:
    """On the server's port. Raises NotFound where it is not switched on or has a port of its own,
    Forbidden, and TooManyRequests for an address that guesses."""
    settings = server.settings
    if settings.metrics_token is None or settings.metrics_port is not None:
        raise NotFound(f"There is no route {request.path}")
    _require_token(request.scope, server, settings.metrics_token.get_secret_value())
    return await _answer(server)


async def answer_own_port(scope: Mapping[str, Any], server: Server) -> Answer:
    """On `metrics_port`, where nothing else is. Raises NotFound, MethodNotAllowed, Forbidden."""
    if scope["path"].rstrip("/") != PATH:
        raise NotFound(f"There is no route {scope['path']} on this port: it has {PATH} only")
    if scope["method"] not in ("GET", "HEAD"):
        raise MethodNotAllowed(
            f"Method {scope['method']} is not allowed here, use GET", allowed=("GET", "HEAD")
        )
    token = server.settings.metrics_token
    if token is not None:
        _require_token(scope, server, token.get_secret_value())
    elif not _is_for_loopback(scope):
        raise Forbidden("The Host header must be localhost, 127.0.0.1 or [::1]")
    return await _answer(server)


def _require_token(scope: Mapping[str, Any], server: Server, token: str) -> None:
    """In the header only: URLs stand in logs."""
    sent = read_bearer(scope["headers"])
    address, attempts, now_s = address_of(scope, server), server.keyring.attempts, time.time()
    digest = digest_of((sent or "").encode("utf-8", "surrogatepass"))
    if sent and address is not None:
        attempts.check(address, digest, now_s)
    if sent and hmac.compare_digest(digest, digest_of(token.encode())):
        if address is not None and attempts.is_watching:
            attempts.prove(address, digest)
        return
    reason = "this is not metrics_token" if sent else "no token was sent"
    if sent and address is not None:
        attempts.count(address, now_s)
    record_action(
        "metrics.show", allowed=False, caller=None, address=address, at_s=now_s, reason=reason
    )
    raise Forbidden(f"Metrics need the header Authorization: Bearer <metrics_token>; {reason}")


def _is_for_loopback(scope: Mapping[str, Any]) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return len(hosts) == 1 and _LOCAL_HOST.fullmatch(hosts[0]) is not None


async def _answer(server: Server) -> Answer:
    figures = await server.metrics.figures.read(server.engine)
    server.metrics.forget(lambda key: _is_gone(key, server))
    server.metrics.forget_rows(lambda id, name: not _has_datasource(server, id, name))
    # Thousands of endpoints are some 100 ms of writing, which no request has to wait for.
    body = await asyncio.to_thread(write_families, collect(server, figures))
    return Answer(200, _HEADERS, body)


def collect(server: Server, figures: Mapping[str, int] | None) -> dict[str, Rows]:
    """All samples by the names of `FAMILIES`; without the engine's own figures where they are
    None."""
    collected: dict[str, Rows] = {
        **_collect_requests(server),
        **_collect_state(server),
        **_collect_engine(server),
        **_collect_events(server),
        "pipewren_engine_figures_read": _one(int(figures is not None)),
    }
    if figures is not None:
        for family in FAMILIES.values():
            if family.figure:
                collected[family.name] = _one(figures[family.figure])
    for name, value in process_figures().items():
        collected[name] = _one(value)
    return collected


def _collect_requests(server: Server) -> dict[str, Rows]:
    requests: Counts = defaultdict(int)
    durations: dict[tuple[str, ...], Histogram] = defaultdict(Histogram)
    rows: Counts = defaultdict(int)
    scanned: Counts = defaultdict(int)
    for key, series in server.metrics.series():
        workspace_id, route, name, status = key
        deployment = server.deployments.get(workspace_id)
        workspace = deployment.workspace.name if deployment is not None else ""
        pipe = name if name == OTHER or route == ENDPOINT_ROUTE else ""
        labels = (workspace, route, pipe)
        requests[*labels, str(status)] += sum(series.counts)
        durations[*labels, f"{status // 100}xx"].add(series)
        if series.rows or series.bytes:
            rows[labels] += series.rows
            scanned[labels] += series.bytes
    return {
        "pipewren_http_requests_total": requests.items(),
        "pipewren_http_request_duration_seconds": durations.items(),
        "pipewren_http_read_rows_total": rows.items(),
        "pipewren_http_read_bytes_total": scanned.items(),
    }


def _collect_state(server: Server) -> dict[str, Rows]:
    settings, attempts, admission = server.settings, server.keyring.attempts, server.admission
    late = sum(pool.refused for pool in server.engine.pools())
    refusals = {
        "max_waiting_requests": admission.refused,
        "max_concurrent_per_endpoint": admission.refused_by_endpoint,
        "max_wait_s": late,
        "max_bad_tokens_per_minute": attempts.refused,
        **{f"rate_limit_{kind}": number for kind, number in server.rates.refused.items()},
    }
    numbers = [
        ((one.workspace.name, state), one.stored.number)
        for state, all in (("live", server.deployments), ("staged", server.staged))
        for one in all.values()
    ]
    capabilities = server.engine.capabilities
    build = (__version__, capabilities.name, capabilities.version, platform.python_version())
    return {
        "pipewren_http_refusals_total": [
            ((reason,), number) for reason, number in refusals.items()
        ],
        "pipewren_bad_tokens_total": _one(attempts.counted),
        "pipewren_admitted_requests": _one(admission.inside),
        "pipewren_admitted_requests_max": _one(settings.max_waiting_requests),
        "pipewren_disk_reserve_bytes": _one(settings.disk_reserve_bytes),
        "pipewren_spool_bytes": _one(server.spool_room.used_bytes),
        "pipewren_spool_max_bytes": _one(settings.max_spool_bytes),
        "pipewren_workspaces": _one(len(server.deployments)),
        "pipewren_deployment_number": numbers,
        "pipewren_deploys_total": list(server.metrics.deploys.items()),
        "pipewren_jobs": server.jobs.count_running().items(),
        "pipewren_jobs_ended_total": list(server.jobs.ended.items()),
        "pipewren_event_loop_lag_seconds": _one(server.metrics.loop_lag),
        "pipewren_build_info": [(build, 1)],
    }


def _collect_engine(server: Server) -> dict[str, Rows]:
    pools, health = server.engine.pools(), server.engine.health()
    collected: dict[str, Rows] = {
        "pipewren_pool_workers": [
            ((pool.name, state), number)
            for pool in pools
            for state, number in (("busy", pool.busy), ("idle", pool.idle), ("lost", pool.lost))
        ],
        "pipewren_pool_waiting": [((pool.name,), pool.waiting) for pool in pools],
        "pipewren_engine_ready": _one(int(health.ready)),
        "pipewren_engine_writable": _one(int(health.writable)),
    }
    for name, key in (
        ("pipewren_query_kills_total", "kills"),
        ("pipewren_disk_free_bytes", "disk_free_bytes"),
    ):
        if key in health.detail:
            collected[name] = _one(health.detail[key])
    return collected


def _collect_events(server: Server) -> dict[str, Rows]:
    rows: Counts = defaultdict(int)
    for (workspace_id, datasource, result), number in server.metrics.event_rows.items():
        deployment = server.deployments.get(workspace_id)
        if deployment is not None:
            rows[deployment.workspace.name, datasource, result] += number
    state, room = server.ingestion.state(), server.event_room
    groups = {
        "written": state.groups_written,
        "failed": state.groups_failed,
        "view_failed": state.groups_view_failed,
        "set_aside": state.groups_set_aside,
    }
    refusals = {"max_events_memory_bytes": room.refused, "max_event_log_bytes": state.refused}
    return {
        "pipewren_events_rows_total": rows.items(),
        "pipewren_events_pending_rows": _one(state.pending_rows),
        "pipewren_events_lag_seconds": _one(round(state.oldest_age_s, 3)),
        "pipewren_events_groups_total": [((result,), number) for result, number in groups.items()],
        "pipewren_events_inserted_rows_total": _one(state.rows_written),
        "pipewren_events_log_bytes": _one(state.log_bytes),
        "pipewren_events_log_max_bytes": _one(state.log_max_bytes),
        "pipewren_events_memory_bytes": _one(room.used),
        "pipewren_events_memory_max_bytes": _one(room.max_bytes),
        "pipewren_events_refusals_total": [
            ((reason,), number) for reason, number in refusals.items()
        ],
    }


def _one(value: Value) -> Rows:
    return [((), value)]


def _known(server: Server, workspace_id: str) -> list[Deployment]:
    found = (server.deployments.get(workspace_id), server.staged.get(workspace_id))
    return [one for one in found if one is not None]


def _has_datasource(server: Server, workspace_id: str, name: str) -> bool:
    return any(name in one.tables for one in _known(server, workspace_id))


def _is_gone(key: Key, server: Server) -> bool:
    """Whether the key's workspace or endpoint is there no more."""
    workspace_id, route, name, _ = key
    if not workspace_id:
        return False
    known = _known(server, workspace_id)
    return not known or (
        route == ENDPOINT_ROUTE and not any(name in one.endpoints for one in known)
    )
