"""From settings to a running `Server`, and back: what happens before the first request and after
the last one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from pipewren.access.audit import open_audit
from pipewren.access.rates import RateLimiter
from pipewren.access.startup import ADMIN_TOKEN, open_keyring
from pipewren.access.token_value import TokenValue, read_key
from pipewren.deploy.candidate import Candidate
from pipewren.deploy.deployment import Deployment
from pipewren.deploy.folder import deploy_folder
from pipewren.deploy.target import DeployTarget
from pipewren.engine import definitions
from pipewren.engine.contract import Lane, Limits
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions, heavy_limits
from pipewren.errors import StartError
from pipewren.ingest.fixtures import load_fixtures
from pipewren.ingest.gate import WriteGate
from pipewren.ingest.ingestion import Ingestion
from pipewren.ingest.log import open_log
from pipewren.ingest.scratch import drop_scratch_tables
from pipewren.project.loader import read_project
from pipewren.serve.admission import Admission
from pipewren.serve.background import finish_work, start_work
from pipewren.serve.call import KEPT_FROM_TEMPLATES
from pipewren.serve.event_usage import EventRequests, make_group_observer, tables_with_tags
from pipewren.serve.metrics_page import is_measured
from pipewren.serve.open_workspaces import describe_all, open_workspaces
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.serve.storage_samples import sample_for_ever
from pipewren.serve.uploads import clear_uploads
from pipewren.serve.usage import Usage, open_usage
from pipewren.settings import Settings
from pipewren.sql.function_list import load_functions
from pipewren.sql.graph import compile_pipes
from pipewren.storage.deployments import (
    TableVersion,
    find_live,
    list_deployments,
    list_table_versions,
)
from pipewren.storage.jobs import fail_interrupted_jobs
from pipewren.storage.objects import list_objects
from pipewren.storage.secrets import open_secrets
from pipewren.storage.store import FILE_NAME, Store, open_store
from pipewren.storage.workspaces import Workspace, ensure_workspace, list_workspaces
from pipewren.template.limits import TemplateLimits

SMALL_RESULT_BYTES = 8_000_000  # design, decision 12
SMALL_RESULT_ROWS = 10_000
JOB_GRACE_S = 5.0  # for jobs that run when the server stops


@dataclass(frozen=True, slots=True)
class StartedServer:
    """`new_admin_token` is the admin token when it was made by this start, to be printed once."""

    server: Server
    new_admin_token: TokenValue | None


async def start_server(settings: Settings, progress: Callable[[str], None]) -> StartedServer:
    """Open the data directory and make the project's folder live.

    Raises StartError, or ProjectErrors with all mistakes of the project; nothing is left open
    then, and the rows that were there are untouched.
    """
    open_audit()
    project, mistakes = read_project(settings.project_dir.resolve())
    limits = TemplateLimits(max_output_bytes=settings.max_query_bytes)
    pipes = compile_pipes(project, limits=limits, earlier=mistakes)
    for warning in project.warnings:
        progress(f"warning: {warning.position.file}:{warning.position.line}: {warning.message}")
    for pipe in pipes.values():
        for conflict in pipe.conflicts:
            progress(f"warning: {pipe.pipe.position.file}: {conflict}")
        for parameter in pipe.parameters:
            if parameter.name in KEPT_FROM_TEMPLATES:
                progress(
                    f"warning: {pipe.pipe.position.file}: {parameter.name} is a reserved name, "
                    "which no request can give a value: choose another"
                )
    rates = RateLimiter(settings.rate_limit_storage.get_secret_value())
    options = _engine_options(settings)
    _make_data_dir(options.data_dir)
    engine = await _open_engine(options)
    try:
        load_functions(engine.capabilities.version)  # that there is a list for this version
        store = open_store(options.data_dir)
        try:
            given = settings.token_key
            key = read_key(options.data_dir, given.get_secret_value() if given else None)
            secrets_given = settings.secrets_key
            secrets_key, secrets = open_secrets(
                store,
                options.data_dir,
                secrets_given.get_secret_value() if secrets_given else None,
            )
            usage = await open_usage(settings, engine, store, progress)
            with store.begin() as connection:
                workspace = ensure_workspace(connection, settings.workspace)
                failed = fail_interrupted_jobs(connection)
            for job in failed:
                usage.note_job(job)
            clear_uploads(options.data_dir)
            await drop_scratch_tables(engine, store)
            target = DeployTarget(engine, store, workspace, progress)
            has_files = bool(project.datasources or project.pipes or project.connections)
            spaces = await open_workspaces(target, limits, has_folder=has_files)
            ingestion = await _start_ingestion(settings, engine, store, usage, progress)
            if has_files:
                before, began_s = _live_tables(store, workspace), perf_counter()
                deployment = await deploy_folder(
                    target,
                    Candidate(project, pipes),
                    quiet=partial(ingestion.quiet, workspace.id),
                )
                tables = deployment.tables
                elapsed_s = perf_counter() - began_s
                usage.note_tables(workspace.id, before, tables, elapsed_s=elapsed_s)
                note = partial(usage.note_fixture, workspace.id)
                await load_fixtures(engine, store, workspace, project, tables, progress, note)
                spaces[workspace.id] = replace(spaces[workspace.id], live=deployment)
            admin = settings.admin_token
            with store.begin() as connection:
                opened = open_keyring(
                    connection,
                    key,
                    _first(list_workspaces(connection), workspace),
                    secrets_key=secrets_key,
                    admin_token=admin.get_secret_value() if admin else None,
                    max_bad_tokens_per_minute=settings.max_bad_tokens_per_minute,
                )
            for line in opened.notes:
                progress(line)
        except BaseException:
            store.close()
            raise
    except BaseException:
        await engine.close()
        raise
    server = Server(
        settings=settings,
        engine=engine,
        store=store,
        keyring=opened.keyring,
        deployments={key: one.live for key, one in spaces.items()},
        admission=Admission(settings.max_waiting_requests, settings.max_concurrent_per_endpoint),
        rates=rates,
        limits={Lane.LIGHT: options.light_limits, Lane.HEAVY: heavy_limits(options)},
        spool_room=SpoolRoom(
            settings.store_dir / "spool", settings.max_spool_bytes, settings.disk_reserve_bytes
        ),
        secrets=secrets,
        secrets_key=secrets_key,
        usage=usage,
        writes=ingestion.gate,
    )
    server.ingestion = ingestion
    ingestion.observe = make_group_observer(
        usage,
        lambda id: tables_with_tags((server.deployments.get(id), server.staged.get(id))),
    )
    server.observers.append(usage.observe)
    server.observers.append(EventRequests(usage.recorder, settings.trusted_proxies).observe)
    if is_measured(settings):
        server.observers.append(server.metrics.observe)
    server.staged = {key: one.staged for key, one in spaces.items() if one.staged is not None}
    start_work(server, describe_all(server))
    usage.start(sample_for_ever(server, settings.usage_storage_sample_s))
    value = server.keyring.value_of(workspace.id, ADMIN_TOKEN) if opened.admin_is_new else None
    return StartedServer(server, value)


async def stop_server(server: Server) -> None:
    """Called when no request runs any more."""
    await server.jobs.close(JOB_GRACE_S)
    await finish_work(server)
    await server.ingestion.close()
    await server.usage.close()
    await server.engine.close()
    await server.rates.close()
    server.store.close()


async def _start_ingestion(
    settings: Settings,
    engine: EmbeddedEngine,
    store: Store,
    usage: Usage,
    progress: Callable[[str], None],
) -> Ingestion:
    """Insert what was acknowledged before the server ended, before anything else is inserted."""
    log = open_log(settings.store_dir, fsync=settings.fsync, require_room=engine.require_room)
    ingestion = Ingestion(
        engine,
        log,
        WriteGate(),
        settings.store_dir,
        max_log_bytes=settings.max_event_log_bytes,
        flush_s=settings.events_flush_s,
    )
    with store.begin() as connection:
        known = [workspace.id for workspace in list_workspaces(connection)]
        versions = {id: list_table_versions(connection, id) for id in known}
    # Nothing is live yet: of what is, the store knows the tables.
    ingestion.observe = make_group_observer(
        usage, lambda id: [(version, ()) for version in versions.get(id, ())]
    )
    rows = await ingestion.start(known)
    if rows:
        progress(f"{rows:,} events that were acknowledged before the server ended are inserted")
    return ingestion


def _live_tables(store: Store, workspace: Workspace) -> dict[str, TableVersion]:
    """The tables of what was live when the server ended, by data source."""
    with store.begin() as connection:
        live = find_live(list_deployments(connection, workspace.id))
        versions = list_table_versions(connection, workspace.id)
    return {one.datasource: one for one in versions if live is not None and live.has_table(one)}


def _first(workspaces: Sequence[Workspace], first: Workspace) -> list[Workspace]:
    return [first, *(one for one in workspaces if one.id != first.id)]


def example_curl(deployment: Deployment, server: Server, base_url: str) -> str | None:
    """A line that works: the first endpoint without a required parameter that a token of the
    project's files may read. None when there is none."""
    for name, pipe in deployment.project.pipes.items():
        endpoint = deployment.endpoints.get(name)
        if endpoint is None or not pipe.tokens or endpoint.pipe.requires_parameters:
            continue
        value = server.keyring.value_of(deployment.workspace.id, pipe.tokens[0].name)
        if value is not None:
            return f"curl '{base_url}/v0/pipes/{name}.json?token={value}'"
    return None


def _engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        data_dir=settings.store_dir,
        light_connections=settings.light_connections,
        heavy_connections=settings.heavy_connections,
        light_limits=Limits(
            max_execution_time_s=settings.max_execution_time_s,
            max_memory_bytes=settings.max_memory_bytes,
            max_result_rows=SMALL_RESULT_ROWS,
            max_result_bytes=min(SMALL_RESULT_BYTES, settings.max_result_bytes),
            max_rows_to_read=settings.max_rows_to_read,
        ),
        heavy_threads=settings.max_threads,
        max_server_memory_bytes=settings.max_server_memory_bytes,
        max_query_bytes=settings.max_query_bytes,
        disk_reserve_bytes=settings.disk_reserve_bytes,
        fsync=settings.fsync,
        query_log=settings.query_log and settings.usage,
        max_wait_s=settings.max_wait_s,
    )


def _make_data_dir(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ignore = folder / ".gitignore"  # the default place is inside the project's checkout
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise StartError(
            f"The data directory {folder} cannot be written: {error.strerror}. Choose another with "
            "--data-dir."
        ) from None


async def _open_engine(options: EngineOptions) -> EmbeddedEngine:
    """Open the engine; where a full disk has cut off a definition, write it again from our copy
    of all DDL and open it then."""
    try:
        return await EmbeddedEngine.open(options)
    except definitions.BrokenDefinitions:
        if not (options.data_dir / FILE_NAME).is_file():
            raise
        store: Store = open_store(options.data_dir)
        try:
            with store.begin() as connection:
                copies = list_objects(connection)
        finally:
            store.close()
        definitions.restore_definitions(options.data_dir, copies)
        return await EmbeddedEngine.open(options)
