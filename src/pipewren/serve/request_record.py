"""What is known of one request when it is over: for usage records, metrics and logs.

It is made when a request comes, filled in on the way by whoever knows, and given to the server's
observers when the answer was sent or cannot be. Filling it in is a few assignments; what costs
more (parameters of the URL, headers) is read off `scope` by observers, beside the request.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from time import perf_counter, time
from typing import Any

import msgspec

from pipewren.access.rights import Caller
from pipewren.engine.contract import Statistics

RECORD = "pipewren.record"  # its place in ASGI's scope
HUNG_UP = 499  # the status of a request whose client is gone (limits.md section 1)


class RequestRecord(msgspec.Struct):
    """`scope` is ASGI's. `started_at_s` is Unix time, `began_s` and `ended_s` are of the clock that
    durations are taken with. `resource_id` and `name` are those of the endpoint, or of the Query
    API; "" until the caller is known and the endpoint is found, and then nothing is told of it
    to any workspace. `fixed` are parameters that the token fixed. `error` is what the caller was
    told. `sql` is what was run."""

    request_id: str
    scope: Mapping[str, Any]
    started_at_s: float
    began_s: float
    ended_s: float = 0.0
    status: int = 0
    error: str | None = None
    workspace_id: str = ""
    token_id: str = ""
    token_name: str = ""
    resource_id: str = ""
    name: str = ""
    tags: Sequence[str] = ()
    fixed: Mapping[str, str] = {}
    sql: str = ""
    statistics: Statistics | None = None

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.began_s


def begin_record(request_id: str, scope: MutableMapping[str, Any]) -> RequestRecord:
    """The record of a request, put where `record_of` finds it."""
    record = RequestRecord(request_id, scope, time(), perf_counter())
    scope[RECORD] = record
    return record


def note_caller(
    record: RequestRecord, caller: Caller, resource_id: str, name: str, tags: Sequence[str] = ()
) -> None:
    """Who called what, as soon as it is known."""
    record.workspace_id = caller.workspace_id
    record.token_id = caller.token_id
    record.token_name = caller.token_name
    record.resource_id = resource_id
    record.name = name
    record.tags = tags


def record_of(scope: Mapping[str, Any] | None) -> RequestRecord:
    """The request's record; one that nobody looks at where there is none."""
    record: RequestRecord | None = scope.get(RECORD) if scope is not None else None
    return RequestRecord("", {}, 0.0, 0.0) if record is None else record
