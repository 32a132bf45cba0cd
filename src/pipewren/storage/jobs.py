"""Jobs in the store: what runs beyond the request that began it (data-apis.md section 4).

A job belongs to a workspace. Its `detail` is JSON: the keys that its kind adds to the answer, and
`token_id`, the token that began it, which is never shown.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select, update

from pipewren.storage.schema import jobs
from pipewren.storage.store import now_text

KEPT_FOR = timedelta(hours=48)
MAX_LISTED = 100


class JobStatus(Enum):
    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


_UNFINISHED = (JobStatus.WAITING.value, JobStatus.WORKING.value)


@dataclass(frozen=True, slots=True)
class Job:
    """`kind`: `import`, `deployment`, `branch`, ... Times are UTC. Of one that failed `detail` has
    `error`, a text, and `errors`, a list of texts."""

    id: str
    workspace_id: str
    kind: str
    status: JobStatus
    created_at: str
    updated_at: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status.value not in _UNFINISHED


def create_job(
    connection: Connection, workspace_id: str, kind: str, detail: Mapping[str, Any]
) -> Job:
    """A new job, waiting. Those that ended more than `KEPT_FOR` ago are forgotten."""
    oldest = now_text(datetime.now(UTC) - KEPT_FOR)
    connection.execute(
        delete(jobs).where(jobs.c.updated_at < oldest, jobs.c.status.not_in(_UNFINISHED))
    )
    now = now_text()
    job = Job(str(uuid.uuid4()), workspace_id, kind, JobStatus.WAITING, now, now, dict(detail))
    connection.execute(
        insert(jobs).values(
            id=job.id,
            workspace_id=workspace_id,
            kind=kind,
            status=job.status.value,
            created_at=now,
            updated_at=now,
            detail=msgspec.json.encode(job.detail).decode(),
        )
    )
    return job


def change_job(
    connection: Connection,
    job: Job,
    *,
    status: JobStatus | None = None,
    detail: Mapping[str, Any] | None = None,
) -> Job:
    """The job in another status, or with keys of its `detail` added or replaced. Nothing is
    written for one that has gone, with its workspace."""
    changed = replace(
        job,
        status=status or job.status,
        detail={**job.detail, **(detail or {})},
        updated_at=now_text(),
    )
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id)
        .values(
            status=changed.status.value,
            updated_at=changed.updated_at,
            detail=msgspec.json.encode(changed.detail).decode(),
        )
    )
    return changed


def find_job(connection: Connection, workspace_id: str, job_id: str) -> Job | None:
    """The workspace's job of that id."""
    row = connection.execute(
        select(jobs).where(jobs.c.workspace_id == workspace_id, jobs.c.id == job_id)
    ).one_or_none()
    return None if row is None else _read(row)


def list_jobs(
    connection: Connection,
    workspace_id: str,
    *,
    status: str | None = None,
    kind: str | None = None,
) -> list[Job]:
    """The jobs of the last `KEPT_FOR`, newest first."""
    oldest = now_text(datetime.now(UTC) - KEPT_FOR)
    query = select(jobs).where(jobs.c.workspace_id == workspace_id, jobs.c.updated_at >= oldest)
    if status is not None:
        query = query.where(jobs.c.status == status)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    rows = connection.execute(query.order_by(jobs.c.created_at.desc(), jobs.c.id))
    return [_read(row) for row in rows]


_INTERRUPTED = "The server was restarted before the job had ended"
# It cannot be cancelled because it writes: the kill came before that was done, or after.
_INTERRUPTED_AT_THE_END = (
    "The server was restarted while the job was writing: look whether its rows are there before "
    "you send them again"
)


def fail_interrupted_jobs(connection: Connection) -> list[Job]:
    """At the start: what a server before this one had not ended never will. Those jobs."""
    rows = connection.execute(select(jobs).where(jobs.c.status.in_(_UNFINISHED))).all()
    failed = []
    for row in rows:
        job = _read(row)
        text = _INTERRUPTED if job.detail.get("is_cancellable", True) else _INTERRUPTED_AT_THE_END
        detail = {"error": text, "errors": [text], "is_cancellable": False}
        failed.append(change_job(connection, job, status=JobStatus.ERROR, detail=detail))
    return failed


def _read(row: Row[tuple[object, ...]]) -> Job:
    return Job(
        row.id,
        row.workspace_id,
        row.kind,
        JobStatus(row.status),
        row.created_at,
        row.updated_at,
        msgspec.json.decode(row.detail),
    )
