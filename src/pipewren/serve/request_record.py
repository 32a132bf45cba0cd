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
from pipewren.engine.contract import QuerySpan, Statistics
from pipewren.errors import PipewrenError
from pipewren.serve.trace import Trace, new_trace, read_trace

RECORD = "pipewren.record"  # its place in ASGI's scope
ANSWERED = "answered"  # the end of the step in which the answer was made, or failed
ENDPOINT_ROUTE = "/v0/pipes/{pipe}.{format}"  # the hot route, beside those of routes.py
HUNG_UP = 499  # the status of a request whose client is gone (limits.md section 1)


class EventFigures(msgspec.Struct):
    """What a request of the Events API brought to a data source. `rows` are all that were read, of
    which `accepted` and `quarantined` are safe; `received_bytes` came over the wire."""

    datasource_id: str
    datasource: str
    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    received_bytes: int = 0
    decompressed_bytes: int = 0


class RequestRecord(msgspec.Struct):
    """`scope` is ASGI's; `route` is the pattern of its path, "" where it has none. `started_at_s`
    is Unix time, `began_s` and `ended_s` are of the clock that durations are taken with.
    `resource_id` and `name` are those of the endpoint, or of the Query API; "" until the caller is
    known and the endpoint is found, and then nothing is told of it to any workspace. `fixed` are
    parameters that the token fixed. `error` is what the caller was told. `sql` is what was run;
    `reads_usage`: it reads service data sources, and leaves no usage record
    (service-data-sources.md section 1). `failed_on` is the engine's name of the connection that it
    failed on, after `waited_s` in line, and `failed_span` when it ran there. `events` has what
    rows it brought, where it brought some. `trace` is the
    request's place in a trace; `steps`, kept only where spans are made of them, are (name, end) of
    what was done, by the clock of `began_s`."""

    request_id: str
    scope: Mapping[str, Any]
    started_at_s: float
    began_s: float
    ended_s: float = 0.0
    status: int = 0
    error: str | None = None
    route: str = ""
    workspace_id: str = ""
    token_id: str = ""
    token_name: str = ""
    resource_id: str = ""
    name: str = ""
    tags: Sequence[str] = ()
    fixed: Mapping[str, str] = {}
    sql: str = ""
    reads_usage: bool = False
    statistics: Statistics | None = None
    failed_on: str = ""
    failed_span: QuerySpan | None = None
    waited_s: float = 0.0
    events: EventFigures | None = None
    trace: Trace | None = None
    steps: list[tuple[str, float]] | None = None

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.began_s

    @property
    def connection(self) -> str:
        """The engine's name of the connection that ran the statement; "" where none did."""
        return self.failed_on if self.statistics is None else self.statistics.connection

    @property
    def span(self) -> QuerySpan | None:
        """By what the statement is found in the engine's query log, where there is one."""
        return self.failed_span if self.statistics is None else self.statistics.span

    def end_step(self, name: str) -> None:
        """A step of the request is done, which began when the one before it ended."""
        if self.steps is not None:
            self.steps.append((name, perf_counter()))


def begin_record(
    request_id: str, scope: MutableMapping[str, Any], *, has_steps: bool = False
) -> RequestRecord:
    """The record of a request, put where `record_of` finds it. `has_steps`: spans will be made of
    it, in a trace of its own unless the request brought one."""
    record = RequestRecord(request_id, scope, time(), perf_counter())
    record.trace = read_trace(scope["headers"])
    if has_steps:
        record.steps = []
        record.trace = record.trace or new_trace()
    scope[RECORD] = record
    return record


def note_failure(record: RequestRecord, error: BaseException | None) -> None:
    """Where the statement failed, as the error or those that led to it tell."""
    while error is not None:
        if isinstance(error, PipewrenError) and (error.connection or error.waited_s):
            record.failed_on, record.waited_s = error.connection, error.waited_s
            record.failed_span = error.span
            return
        error = error.__cause__ or error.__context__


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
