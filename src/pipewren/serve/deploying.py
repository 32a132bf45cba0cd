"""Deployments of a running server: from uploaded files to what answers, and back out.

One deploy of a workspace runs at a time, in a task of its own, so that a client that hangs up
leaves nothing half done. The live `Deployment` is replaced by one assignment; its database is
dropped when no request holds the old one any more, which its end as an object tells.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from pipewren.access.caller import change_keyring
from pipewren.deploy.candidate import files_without_mistakes, read_candidate
from pipewren.deploy.changes import Changes, compare_projects
from pipewren.deploy.deployment import Deployment, outlive
from pipewren.deploy.live import WentLive, declared_tokens, finish_deletion, go_live, stage
from pipewren.deploy.prepare import errors_of, in_order, prepare, undo
from pipewren.deploy.target import DeployTarget
from pipewren.deploy.token_changes import describe_token_changes, find_kept_tokens
from pipewren.errors import Conflict, NotFound, PipewrenError, ProjectErrors, ProjectMistake
from pipewren.serve.background import run_to_the_end, start_work
from pipewren.serve.deploy_feedback import collect_feedback
from pipewren.serve.server import Server
from pipewren.serve.storage_samples import sample_sizes
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import Notes, State, StoredDeployment
from pipewren.storage.tokens import (
    DEFAULT_NAMES,
    TokenChanges,
    list_tokens,
    merge_datafile_tokens,
)
from pipewren.template.limits import TemplateLimits

T = TypeVar("T")
_log = logging.getLogger("pipewren.serve")


@dataclass(frozen=True, slots=True)
class DeployOrder:
    """What a client asks for. `is_build`: a project under development, whose data sources come and
    go without asking, and which is live at once (client-compat.md section 3)."""

    check: bool = False
    promote: bool = True
    allow_destructive: bool = False
    is_build: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class DeployOutcome:
    """`result` is `success`, `no_changes` or `failed`; `record` is None for a check and for a
    build that failed."""

    result: str
    changes: Changes
    record: StoredDeployment | None
    errors: Notes = ()
    feedback: Notes = ()
    token_changes: Notes = ()


async def deploy_files(
    server: Server, workspace_id: str, files: Mapping[str, bytes], order: DeployOrder
) -> DeployOutcome:
    """Deploy a whole project, its files by their paths in it. Raises Conflict while another deploy
    of the workspace runs or waits to be promoted; mistakes of the project are in the outcome."""
    return await _alone(server, workspace_id, _count(server, workspace_id, files, order))


async def promote(
    server: Server, workspace_id: str, number: int, *, request_id: str = ""
) -> StoredDeployment:
    """Have a staged deployment answer. Raises NotFound, Conflict, ProjectErrors."""

    async def work() -> StoredDeployment:
        staged = server.staged.get(workspace_id)
        if staged is None or staged.stored.number != number:
            record = find_record(server, workspace_id, number)
            if record.is_live:
                return record
            raise Conflict(
                f"Deployment {number} is {record.state.value}: only one that is staged can go live"
            )
        return await _promote(server, staged, request_id)

    return await _alone(server, workspace_id, work())


async def discard(server: Server, workspace_id: str, number: int) -> StoredDeployment:
    """Drop a staged deployment; one that has ended stays what it is. Raises NotFound, Conflict."""

    async def work() -> StoredDeployment:
        record = find_record(server, workspace_id, number)
        if record.is_live:
            raise Conflict(
                f"Deployment {number} is live and cannot be discarded: deploy another one first"
            )
        staged = server.staged.pop(workspace_id, None)
        if staged is not None and staged.stored.number == number:
            await undo(target_of(server, staged), staged.stored)
        elif staged is not None:
            server.staged[workspace_id] = staged
        return find_record(server, workspace_id, number)

    return await _alone(server, workspace_id, work())


def find_record(server: Server, workspace_id: str, number: int) -> StoredDeployment:
    """A deployment of the workspace by its number, gone or not. Raises NotFound."""
    with server.store.begin() as connection:
        known = stored.list_deployments(connection, workspace_id)
    for record in known:
        if record.number == number:
            return record
    raise NotFound(f"Deployment '{number}' not found")


def target_of(server: Server, deployment: Deployment) -> DeployTarget:
    return DeployTarget(server.engine, server.store, deployment.workspace)


def template_limits(server: Server) -> TemplateLimits:
    return TemplateLimits(max_output_bytes=server.settings.max_query_bytes)


async def _alone(server: Server, workspace_id: str, work: Coroutine[Any, Any, T]) -> T:
    busy = server.deploying
    if workspace_id not in server.deployments:
        work.close()
        raise NotFound("The workspace was deleted")
    if workspace_id in busy:
        work.close()
        raise Conflict(
            "A deployment is already in progress in this workspace: wait until it has ended"
        )
    busy.add(workspace_id)

    async def run() -> T:
        try:
            return await work
        finally:
            busy.discard(workspace_id)

    return await run_to_the_end(server, run())


async def _count(
    server: Server, workspace_id: str, files: Mapping[str, bytes], order: DeployOrder
) -> DeployOutcome:
    kind = "check" if order.check else "build" if order.is_build else "deploy"
    result = "error"
    try:
        outcome = await _deploy(server, workspace_id, files, order)
        result = outcome.result
        return outcome
    finally:
        server.metrics.deploys[kind, result] += 1


async def _deploy(
    server: Server, workspace_id: str, files: Mapping[str, bytes], order: DeployOrder
) -> DeployOutcome:
    live = server.deployments[workspace_id]
    target = target_of(server, live)
    nothing = compare_projects(live.project, live.project)
    try:
        candidate = await read_candidate(
            files,
            secrets=server.secrets.get(workspace_id, {}),
            limits=template_limits(server),
            live=live,
        )
    except ProjectErrors as errors:
        more = await _check_the_rest(server, live, files, errors)
        return _failed(server, workspace_id, nothing, more, order)
    changes = compare_projects(live.project, candidate.project)
    with server.store.begin() as connection:
        present = list_tokens(connection, workspace_id)
    unheeded = find_kept_tokens(candidate.project, present)
    feedback = collect_feedback(candidate, live, unheeded)
    kept = DEFAULT_NAMES.union(token.name for token in present if token.origin != "datafile")
    tokens = tuple(describe_token_changes(live.project, candidate.project, kept=kept))
    if candidate.digest == live.stored.digest or (changes.is_none and live.stored.digest):
        if not order.check:
            _merge_tokens(server, live)
        return DeployOutcome("no_changes", changes, live.stored, (), feedback)
    removed = changes.datasources.deleted
    if removed and not (order.allow_destructive or order.is_build):
        return _failed(server, workspace_id, changes, _destructive(live, removed), order)
    staged = server.staged.get(workspace_id)
    if staged is not None and not order.is_build and not order.check:
        raise Conflict(
            f"Deployment {staged.stored.number} is staged: promote or discard it before the next"
        )
    try:
        prepared = await prepare(target, candidate, before=live, feedback=feedback)
    except ProjectErrors as errors:
        return _failed(server, workspace_id, changes, errors, order)
    if order.check:
        await undo(target, prepared.stored)
        return DeployOutcome("success", changes, None, (), feedback, tokens)
    if not order.promote and not order.is_build:
        staged = server.staged[workspace_id] = stage(target, prepared)
        return DeployOutcome("success", changes, staged.stored, (), feedback, tokens)
    try:
        record = await _promote(server, prepared, order.request_id)
    except BaseException as error:
        notes = errors_of(error) if isinstance(error, ProjectErrors) else ()
        await undo(target, prepared.stored, notes)
        if not isinstance(error, ProjectErrors):
            raise
        return _failed(server, workspace_id, changes, error, order)
    if staged is not None and server.staged.get(workspace_id) is staged:  # of a build
        del server.staged[workspace_id]
        await undo(target_of(server, staged), staged.stored)
    return DeployOutcome("success", changes, record, (), feedback, tokens)


async def _check_the_rest(
    server: Server, live: Deployment, files: Mapping[str, bytes], errors: ProjectErrors
) -> ProjectErrors:
    """The mistakes of files that cannot be read, and with them what the engine says of the others,
    so that all are told at once."""
    target = target_of(server, live)
    rest = files_without_mistakes(files, errors.mistakes)
    secrets = server.secrets.get(live.workspace.id, {})
    try:
        candidate = await read_candidate(
            rest, secrets=secrets, limits=template_limits(server), live=live
        )
        prepared = await prepare(target, candidate, before=live)
    except ProjectErrors as more:
        return in_order([*errors.mistakes, *more.mistakes])
    await undo(target, prepared.stored)
    return errors


async def _promote(server: Server, prepared: Deployment, request_id: str) -> StoredDeployment:
    workspace_id = prepared.workspace.id
    began_s = perf_counter()
    target = target_of(server, prepared)
    async with server.ingestion.quiet(workspace_id):
        went = await go_live(target, prepared, keep_removed=False)
        for name in went.tokens.kept:  # it may have been made since the deployment was staged
            _log.warning(
                "TOKEN %s of the project's files has no effect: it is no token of theirs", name
            )
        outlive(prepared, went.deployment)
        old = server.deployments.get(workspace_id)
        tables = old.tables if old is not None else {}
        del old  # its end tells that its database can go
        _swap(server, went)
    server.usage.note_tables(
        workspace_id,
        tables,
        went.deployment.tables,
        elapsed_s=perf_counter() - began_s,
        request_id=request_id,
    )
    if server.usage.recorder is not None:
        start_work(server, sample_sizes(server, [workspace_id]))
    return went.deployment.stored


def _swap(server: Server, went: WentLive) -> None:
    """From here on the new deployment answers. Nothing waits in between."""
    workspace_id = went.deployment.workspace.id
    old = server.deployments.get(workspace_id)
    server.deployments = {**server.deployments, workspace_id: went.deployment}
    staged = server.staged.get(workspace_id)
    if staged is not None and staged.stored.id == went.deployment.stored.id:
        del server.staged[workspace_id]
    _take_tokens(server, went.tokens)
    server.learned.pop(workspace_id, None)
    for endpoint in went.deployment.endpoints.values():
        before = old.endpoints.get(endpoint.id) if old is not None else None
        if before is not None and before.columns != endpoint.columns:
            server.paces.by_endpoint.pop(endpoint.id, None)  # how wide its rows are is part of it
    if old is not None and went.before is not None:
        loop = asyncio.get_running_loop()
        target = target_of(server, went.deployment)
        # The last reference may end on another thread.
        weakref.finalize(
            old, loop.call_soon_threadsafe, _start_deletion, server, target, went.before
        ).atexit = False


def _merge_tokens(server: Server, live: Deployment) -> None:
    """Make tokens of what is live whose names were taken when it was deployed, and are free now."""
    declared = declared_tokens(live.project)
    with server.store.begin() as connection:
        tokens = merge_datafile_tokens(connection, live.workspace.id, declared)
    _take_tokens(server, tokens)


def _take_tokens(server: Server, tokens: TokenChanges) -> None:
    if tokens.changed or tokens.deleted:
        server.keyring = change_keyring(
            server.keyring, changed=tokens.changed, deleted=tokens.deleted
        )


def _start_deletion(server: Server, target: DeployTarget, record: StoredDeployment) -> None:
    start_work(server, _delete(target, record))


async def _delete(target: DeployTarget, record: StoredDeployment) -> None:
    try:
        await finish_deletion(target, record)
    except PipewrenError as error:  # the next start does it
        _log.warning("deployment %s is not dropped yet: %s", record.number, error.message)


def _failed(
    server: Server,
    workspace_id: str,
    changes: Changes,
    errors: ProjectErrors,
    order: DeployOrder,
) -> DeployOutcome:
    """One that came as far as the engine is recorded already."""
    notes = errors_of(errors)
    record = None
    if not order.is_build and not order.check:
        with server.store.begin() as connection:
            record = stored.list_deployments(connection, workspace_id)[-1]
            if record.state is not State.FAILED or record.errors != notes:
                record = stored.prepare_deployment(
                    connection, workspace_id, digest="", files={}, tables={}
                )
                record = stored.set_state(connection, record, State.FAILED, errors=notes)
    return DeployOutcome("failed", changes, record, notes)


def _destructive(live: Deployment, removed: tuple[str, ...]) -> ProjectErrors:
    return ProjectErrors(
        [
            ProjectMistake(
                f"the data source {name} would be deleted, with all its rows",
                file=live.project.datasources[name].position.file,
                hint="Add the file again, or allow it: --allow-destructive-operations",
            )
            for name in removed
        ]
    )
