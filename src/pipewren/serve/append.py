"""Rows in a file: `POST /v1/datasources/NAME/append` and `/replace` (data-apis.md section 2.2).

The body goes to a file first, whole; a job then imports it, and the answer names the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipewren.access.datasource_rights import require_append, require_replace
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.views import feeding_tables
from pipewren.errors import BadRequest, NotFound, PayloadTooLarge
from pipewren.ingest.imports import Import, import_file
from pipewren.ingest.row_files import FORMATS, RowFile, RowFormat
from pipewren.project.model import Datasource
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.bodies import read_parts
from pipewren.serve.call import DEPLOYMENT, STAGING
from pipewren.serve.datasource_descriptions import find_datasource, read_sizes
from pipewren.serve.job_runner import RunningJob
from pipewren.serve.jobs import describe_job
from pipewren.serve.request_record import record_of
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server
from pipewren.serve.uploads import UploadFile
from pipewren.serve.usage import Operation, block_name
from pipewren.storage.deployments import TableVersion
from pipewren.storage.jobs import find_job

_QUICK_S = 1.0
_TYPES: Mapping[str, RowFormat] = {
    "application/x-ndjson": "ndjson",
    "application/json": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}


async def append_file(request: RouteRequest, server: Server) -> Answer:
    """`POST /v1/datasources/NAME/append?format=...`: add the rows of the body, all or none. Raises
    NotFound, Forbidden, BadRequest, PayloadTooLarge, Unavailable; of the rows the job tells."""
    caller, deployment = open_deployment(request, server)
    datasource, table = find_datasource(deployment, request.names["datasource"])
    require_append(caller, table)
    return await _begin(request, server, deployment, (datasource, table), caller.token_id, "append")


async def replace_file(request: RouteRequest, server: Server) -> Answer:
    """`POST /v1/datasources/NAME/replace?format=...`: the rows of the body instead of those that
    are there, in one step for readers. Raises as `append_file`."""
    caller, deployment = open_deployment(request, server)
    datasource, table = find_datasource(deployment, request.names["datasource"])
    require_replace(caller)
    return await _begin(
        request, server, deployment, (datasource, table), caller.token_id, "replace"
    )


async def _begin(
    request: RouteRequest,
    server: Server,
    deployment: Deployment,
    resource: tuple[Datasource, TableVersion],
    token_id: str,
    mode: Literal["append", "replace"],
) -> Answer:
    datasource, table = resource
    format = _read_format(request)
    compression = _read_compression(request)
    for name in ("url", "replace_condition"):
        if request.text(name):
            raise BadRequest(f"{name} is not supported here yet: send the rows as the body")
    is_staged = request.text(DEPLOYMENT) == STAGING
    workspace_id = deployment.workspace.id
    request_id = record_of(request.scope).request_id

    def find() -> tuple[Deployment, Datasource, TableVersion]:
        if workspace_id not in server.deployments:
            raise NotFound("The workspace was deleted")
        current = server.deployment_of(workspace_id, is_staged=is_staged)
        return current, *find_datasource(current, table.resource_id)

    def find_feeding_tables() -> set[str]:
        current, found, _ = find()
        return feeding_tables(current.pipes, current.tables, found.name)

    async def run(job: RunningJob) -> None:
        current, found, version = find()
        target = Import(
            engine=server.engine,
            store=server.store,
            ingestion=server.ingestion,
            id=job.id,
            file=file,
            workspace_id=workspace_id,
            database=current.workspace.database,
            datasource=found,
            table=version,
            find_table=lambda: find()[2],
            find_feeders=find_feeding_tables,
            replaces=mode == "replace",
        )
        operation = Operation(
            mode,
            workspace_id,
            version.resource_id,
            found.name,
            request_id=request_id,
            job_id=job.id,
            tags=found.tags.names,
            options={"format": format},
        )
        with server.usage.operation(operation):
            operation.written_rows = await import_file(target, job.update)
            blocks = job.job.detail["blocks"]
            operation.rows = sum(block["process_return"][0]["lines"] for block in blocks)
            operation.blocks = tuple(block_name(job.id, block) for block in blocks)
        current, found, _ = find()
        size = (await read_sizes(current, server.engine))[found.name]
        statistics = {"bytes": size.bytes, "row_count": size.rows}
        job.update(statistics=statistics, progress_percentage=100.0)

    upload = UploadFile(server.settings.store_dir, server.settings.disk_reserve_bytes)
    file = RowFile(upload.path, format, compression)
    try:
        size = await _receive(request, server, upload)
        job = server.jobs.start(
            "import",
            workspace_id,
            run,
            queue=f"{workspace_id}.{table.resource_id}",
            detail={
                **_first_detail(datasource, table, token_id, mode, format, size),
                "request_id": request_id,
            },
            cleanup=upload.discard,
        )
    except BaseException:
        upload.discard()
        raise
    # Clients ask at once and then every two seconds: a small file is in by their first look.
    await server.jobs.wait(job.id, _QUICK_S)
    with server.store.begin() as connection:
        job = find_job(connection, workspace_id, job.id) or job
    described = describe_job(job, request.base_url)
    keys = ("id", "job_id", "import_id", "job_url", "status", "datasource")
    return json_answer(200, {**{key: described[key] for key in keys}, "job": described})


def _first_detail(
    datasource: Datasource,
    table: TableVersion,
    token_id: str,
    mode: str,
    format: RowFormat,
    size: int,
) -> Mapping[str, Any]:
    return {
        "token_id": token_id,
        "mode": mode,
        "format": format,
        "datasource": {"id": table.resource_id, "name": datasource.name},
        "statistics": {"bytes": size, "row_count": 0},
        "quarantine_rows": 0,
        "invalid_lines": 0,
        "progress_percentage": 0.0,
        "blocks": [],
    }


async def _receive(request: RouteRequest, server: Server, upload: UploadFile) -> int:
    bound = server.settings.max_upload_bytes
    length = _header(request, b"content-length")
    if length.isdigit() and int(length) > bound:
        raise PayloadTooLarge(f"The body is larger than {bound:,} bytes (max_upload_bytes)")
    assert request.receive is not None  # the routes have these functions in UPLOADS
    return await upload.receive(read_parts(request.receive, bound, "max_upload_bytes"))


def _read_format(request: RouteRequest) -> RowFormat:
    given = request.text("format")
    if not given:
        media_type = _header(request, b"content-type").partition(";")[0].strip().lower()
        given = _TYPES.get(media_type, "")
    for format in FORMATS:
        if given == format:
            return format
    raise BadRequest("The format of the rows is not known: send format=ndjson, csv or parquet")


def _read_compression(request: RouteRequest) -> Literal["gzip"] | None:
    given = _header(request, b"content-encoding").strip().lower()
    if given in ("", "identity"):
        return None
    if given == "gzip":
        return "gzip"
    raise BadRequest(f"Content-Encoding {given[:40]} is not supported: send gzip, or none")


def _header(request: RouteRequest, name: bytes) -> str:
    for key, value in request.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""
