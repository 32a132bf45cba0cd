"""OpenTelemetry spans of requests: one for the request, and one for each step of it.

    identify ──▶ compile ──▶ filter ──▶ wait ──▶ run ──▶ send        (others than endpoints' and the
    answer ──▶ send                                                  Query API's calls)

They are made of a request's record when the request is over, and sent by a thread of the SDK. The
SDK is an optional extra and imported only where the setting `otel_endpoint` asks for spans; its own
environment variables (sampling, headers of the exporter, the service's name) hold as they do
anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipewren import __version__
from pipewren.errors import StartError
from pipewren.serve.request_record import ANSWERED, RequestRecord
from pipewren.serve.request_url import loggable_url

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_PATH = "/v1/traces"
_STEPS = ("identify", "compile", "filter", "run")
_CLOSE_S = 2.0  # for what is not sent yet when the server stops

_Step = tuple[str, float, float]


def open_spans(endpoint: str | None) -> Spans | None:
    """None without an endpoint. Raises StartError where the extra is not installed."""
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise StartError(
            "otel_endpoint is set, and the OpenTelemetry SDK is not installed: run `pip install "
            "pipewren[otel]`, or leave the setting out"
        ) from None
    url = endpoint if endpoint.endswith(_PATH) else endpoint + _PATH
    return Spans(OTLPSpanExporter(url))


class Spans:
    """Makes spans of records and hands them to `exporter` in batches; what it cannot take is
    dropped."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

        class GivenIds(RandomIdGenerator, IdGenerator):
            """The request's own span has the id that was handed on while it ran."""

            span_id = trace_id = 0

            def generate_span_id(self) -> int:
                given, self.span_id = self.span_id, 0
                return given or super().generate_span_id()

            def generate_trace_id(self) -> int:
                return self.trace_id

        own = Resource({"service.name": "pipewren", "service.version": __version__})
        self._trace = trace
        self._ids = GivenIds()
        self._provider = TracerProvider(
            resource=own.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("pipewren", __version__)

    def record(self, record: RequestRecord) -> None:
        """An observer of the server."""
        if record.trace is None:
            return
        trace, tracer = self._trace, self._tracer
        self._ids.trace_id = int(record.trace.trace_id, 16)
        self._ids.span_id = int(record.trace.span_id, 16)
        method = record.scope["method"]
        request = tracer.start_span(
            f"{method} {record.route}" if record.route else method,
            context=self._context_of(record),
            kind=trace.SpanKind.SERVER,
            start_time=_ns(record, record.began_s),
            attributes=_describe(record),
        )
        self._ids.span_id = 0
        if not request.is_recording():
            return
        within = trace.set_span_in_context(request)
        for name, start_s, end_s in find_steps(record):
            step = tracer.start_span(
                name,
                context=within,
                start_time=_ns(record, start_s),
                attributes=_describe_run(record) if name == "run" else None,
            )
            step.end(_ns(record, end_s))
        if record.status >= 500:
            request.set_status(trace.Status(trace.StatusCode.ERROR))
        request.end(_ns(record, record.ended_s))

    def flush(self) -> None:
        """Send what there is; blocks."""
        self._provider.force_flush()

    async def close(self) -> None:
        """The same, for a bounded time, and no more after it."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._provider.shutdown), _CLOSE_S)

    def _context_of(self, record: RequestRecord) -> Any:
        """The span of the sender, as a context; an empty one where the trace begins here."""
        from opentelemetry.context import Context

        trace, own = self._trace, record.trace
        if own is None or not own.parent_id:
            return Context()
        states = [value for name, value in record.scope["headers"] if name == b"tracestate"]
        parent = trace.SpanContext(
            trace_id=int(own.trace_id, 16),
            span_id=int(own.parent_id, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(int(own.is_sampled)),
            trace_state=trace.TraceState.from_header(
                [state.decode("ascii", "replace") for state in states]
            ),
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def find_steps(record: RequestRecord) -> Iterator[_Step]:
    """(name, start, end) of what was done, by the clock of `began_s`. The step in which a request
    failed is the last one before `send`."""
    start_s = record.began_s
    done = 0
    for name, end_s in record.steps or ():
        if name != ANSWERED:
            done += 1
        elif done or record.name:
            name = _STEPS[min(done, len(_STEPS) - 1)]
        else:
            name = "answer"
        if name == "run":
            yield from _split_run(record, start_s, end_s)
        else:
            yield name, start_s, end_s
        start_s = end_s
    yield "send", start_s, record.ended_s


def _split_run(record: RequestRecord, start_s: float, end_s: float) -> Iterator[_Step]:
    """Waiting for a connection, and the statement on it. A stream runs on while it is sent."""
    statistics = record.statistics
    waited_s = record.waited_s if statistics is None else statistics.waited_s
    began_s = min(start_s + waited_s, end_s)
    yield "wait", start_s, began_s
    if record.connection or not waited_s:
        ran_s = 0.0 if statistics is None else statistics.elapsed_s
        yield "run", began_s, min(max(end_s, began_s + ran_s), record.ended_s)


def _describe(record: RequestRecord) -> dict[str, str | int]:
    """By OpenTelemetry's names where it has one. The query string is left out: it holds values."""
    described: dict[str, str | int] = {
        "http.request.method": record.scope["method"],
        "url.path": loggable_url(record.scope).partition("?")[0],
        "http.response.status_code": record.status,
        "pipewren.request_id": record.request_id,
    }
    if record.route:
        described["http.route"] = record.route
    if record.name:
        described["pipewren.pipe"] = record.name
    if record.token_name:
        described["pipewren.token_name"] = record.token_name
    if record.status >= 500:
        described["error.type"] = str(record.status)
    return described


def _describe_run(record: RequestRecord) -> dict[str, str | int]:
    described: dict[str, str | int] = {
        "db.system.name": "clickhouse",
        "pipewren.connection": record.connection,
    }
    statistics = record.statistics
    if statistics is not None:
        described["pipewren.read_rows"] = statistics.rows_read
        described["pipewren.read_bytes"] = statistics.bytes_read
        described["pipewren.result_rows"] = statistics.result_rows
    return described


def _ns(record: RequestRecord, at_s: float) -> int:
    return int((record.started_at_s + at_s - record.began_s) * 1e9)
