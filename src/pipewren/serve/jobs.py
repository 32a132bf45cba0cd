"""The Jobs API (data-apis.md section 4): `/v0/jobs`. A token sees the jobs that it began, an admin
token all of its workspace (tokens.md section 4)."""

from __future__ import annotations

from typing import Any

from pipewren.access.caller import Caller
from pipewren.errors import BadRequest, NotFound
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.storage.jobs import MAX_LISTED, Job, JobStatus
from pipewren.storage.jobs import find_job as find_stored
from pipewren.storage.jobs import list_jobs as list_stored

_HIDDEN = frozenset({"token_id", "request_id"})
_NOT_LISTED = frozenset({"blocks"})  # a large file has many


async def list_jobs(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/jobs`: newest first, filtered by `status` and `kind`."""
    caller, _ = open_deployment(request, server)
    with server.store.begin() as connection:
        found = list_stored(
            connection,
            caller.workspace_id,
            status=request.text("status") or None,
            kind=request.text("kind") or None,
        )
    shown = [job for job in found if _may_see(caller, job)][:MAX_LISTED]
    listed = [
        {key: value for key, value in described.items() if key not in _NOT_LISTED}
        for described in (describe_job(job, request.base_url) for job in shown)
    ]
    return json_answer(200, {"jobs": listed})


async def show_job(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/jobs/ID`. Raises NotFound."""
    caller, _ = open_deployment(request, server)
    return json_answer(200, describe_job(_find(request, server, caller), request.base_url))


async def cancel_job(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/jobs/ID/cancel`: a waiting job, or a working one that can be broken off. Raises
    NotFound, BadRequest."""
    caller, _ = open_deployment(request, server)
    job = _find(request, server, caller)
    if not server.jobs.cancel(job.id):
        raise BadRequest(
            f"The job {job.id} cannot be cancelled: it is {job.status.value}"
            + ("" if job.is_over else " and would leave a part of what it does")
        )
    described = describe_job(job, request.base_url)
    is_working = job.status is JobStatus.WORKING
    status = "cancelling" if is_working else "cancelled"
    return json_answer(200, {**described, "status": status, "is_cancellable": False})


def describe_job(job: Job, base_url: str) -> dict[str, Any]:
    """A job as clients read it (client-compat.md section 6): the common keys and its kind's. One
    that has not failed has no key `error`."""
    described: dict[str, Any] = {
        "id": job.id,
        "job_id": job.id,
        "kind": job.kind,
        "status": job.status.value,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "job_url": f"{base_url}/v0/jobs/{job.id}",
        "is_cancellable": False,
    }
    if job.kind == "import":
        described["import_id"] = job.id
    return described | {key: value for key, value in job.detail.items() if key not in _HIDDEN}


def _find(request: RouteRequest, server: Server, caller: Caller) -> Job:
    job_id = request.names["job"]
    with server.store.begin() as connection:
        job = find_stored(connection, caller.workspace_id, job_id)
    if job is None or not _may_see(caller, job):
        raise NotFound(f"Job '{job_id}' not found")
    return job


def _may_see(caller: Caller, job: Job) -> bool:
    return caller.is_admin or job.detail.get("token_id") == caller.token_id
