"""Spans of requests, as the SDK's exporter gets them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipewren.engine.contract import Statistics
from pipewren.errors import StartError
from pipewren.serve.request_record import ANSWERED, RequestRecord, begin_record
from pipewren.serve.spans import Spans, find_steps, open_spans

TRACE, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATISTICS = Statistics(0.5, 1000, 8000, 3, "light-1-1", 0.25)
MARKS = ("identify", "compile", "filter", ANSWERED)


class Traced:
    """Spans with the exporter that they go to."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = Spans(self.exporter)

    def of(self, record: RequestRecord) -> Sequence[ReadableSpan]:
        self.exporter.clear()
        self.spans.record(record)
        self.spans.flush()
        return self.exporter.get_finished_spans()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced() -> Any:
    made = Traced()
    yield made
    await made.spans.close()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)


def finished(
    *marks: str, parent: str | None = None, state: str | None = None, **changes: Any
) -> RequestRecord:
    """A request whose steps took a second each."""
    headers = [(b"traceparent", parent.encode())] if parent else []
    headers += [(b"tracestate", state.encode())] if state else []
    scope = {"method": "GET", "headers": headers, "raw_path": b"/v0/pipes/top.json"}
    record = begin_record("r-1", {**scope, "query_string": b"token=needle"}, has_steps=True)
    record.steps = [(name, record.began_s + n) for n, name in enumerate(marks, 1)]
    record.ended_s = record.began_s + len(marks) + 1
    record.status = 200
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def steps_of(record: RequestRecord) -> list[tuple[str, float, float]]:
    began_s = record.began_s
    return [
        (name, round(start_s - began_s, 6), round(end_s - began_s, 6))
        for name, start_s, end_s in find_steps(record)
    ]


def test_steps_follow_each_other_and_the_run_is_told_apart_from_the_wait() -> None:
    assert steps_of(finished(*MARKS, name="top", statistics=STATISTICS)) == [
        ("identify", 0, 1),
        ("compile", 1, 2),
        ("filter", 2, 3),
        ("wait", 3, 3.25),
        ("run", 3.25, 4),
        ("send", 4, 5),
    ]


def test_a_stream_runs_while_it_is_sent() -> None:
    record = finished(*MARKS, name="top", statistics=Statistics(1.5, connection="heavy-1-1"))
    assert steps_of(record)[-3:] == [("wait", 3, 3), ("run", 3, 4.5), ("send", 4, 5)]


@pytest.mark.parametrize(
    ("marks", "changes", "names"),
    [
        ((ANSWERED,), {}, ["answer", "send"]),
        ((ANSWERED,), {"name": "top"}, ["identify", "send"]),
        (("identify", ANSWERED), {"name": "top"}, ["identify", "compile", "send"]),
        (MARKS[1:], {"name": "top"}, ["compile", "filter", "filter", "send"]),
        (MARKS, {"waited_s": 1.0}, ["identify", "compile", "filter", "wait", "send"]),
        (
            MARKS,
            {"waited_s": 0.5, "failed_on": "light-1-1"},
            ["identify", "compile", "filter", "wait", "run", "send"],
        ),
    ],
)
def test_a_request_that_ends_early_ends_in_the_step_that_it_was_in(
    marks: tuple[str, ...], changes: dict[str, Any], names: list[str]
) -> None:
    assert [name for name, _, _ in find_steps(finished(*marks, **changes))] == names


async def test_a_request_is_a_span_with_one_of_each_step_in_it(traced: Traced) -> None:
    record = finished(*MARKS, name="top", token_name="reader", statistics=STATISTICS)
    record.route = "/v0/pipes/{pipe}.{format}"
    *steps, request = traced.of(record)
    assert record.trace is not None
    assert request.name == "GET /v0/pipes/{pipe}.{format}"
    assert request.context.trace_id == int(record.trace.trace_id, 16)
    assert request.context.span_id == int(record.trace.span_id, 16)
    assert request.parent is None
    assert dict(request.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/v0/pipes/{pipe}.{format}",
        "url.path": "/v0/pipes/top.json",
        "http.response.status_code": 200,
        "pipewren.request_id": "r-1",
        "pipewren.pipe": "top",
        "pipewren.token_name": "reader",
    }
    assert request.resource.attributes["service.name"] == "pipewren"
    assert request.start_time is not None
    assert request.end_time is not None
    assert request.start_time == int(record.started_at_s * 1e9)
    assert [step.name for step in steps] == [
        *("identify", "compile", "filter", "wait", "run", "send"),
    ]
    for step in steps:
        assert step.parent is not None
        assert step.parent.span_id == request.context.span_id
        assert step.context.span_id != request.context.span_id
        assert request.start_time <= (step.start_time or 0) <= (step.end_time or 0)
        assert (step.end_time or 0) <= request.end_time
    assert dict(steps[4].attributes or {}) == {
        "db.system.name": "clickhouse",
        "pipewren.connection": "light-1-1",
        "pipewren.read_rows": 1000,
        "pipewren.read_bytes": 8000,
        "pipewren.result_rows": 3,
    }
    assert "needle" not in "".join(span.to_json() for span in (*steps, request))


async def test_a_trace_that_came_with_the_request_goes_on(traced: Traced) -> None:
    record = finished(ANSWERED, parent=f"00-{TRACE}-{SENDER}-01", state="vendor=1")
    *_, request = traced.of(record)
    assert request.context.trace_id == int(TRACE, 16)
    assert request.parent is not None
    assert (request.parent.span_id, request.parent.is_remote) == (int(SENDER, 16), True)
    assert request.context.trace_state.get("vendor") == "1"


async def test_a_trace_that_its_sender_does_not_sample_has_no_spans(traced: Traced) -> None:
    assert traced.of(finished(*MARKS, parent=f"00-{TRACE}-{SENDER}-00")) == ()
    assert len(traced.of(finished(ANSWERED))) == 3


async def test_only_the_servers_failures_are_errors(traced: Traced) -> None:
    *_, refused = traced.of(finished(ANSWERED, status=403))
    *_, failed = traced.of(finished(ANSWERED, status=500))
    assert (refused.status.is_ok, failed.status.is_ok) == (True, False)
    assert (failed.attributes or {})["error.type"] == "500"


def test_without_an_endpoint_nothing_is_imported_and_nothing_recorded() -> None:
    assert open_spans(None) is None
    record = begin_record("r", {"headers": []})
    record.end_step("identify")
    assert (record.steps, record.trace) == (None, None)


def test_an_endpoint_without_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match=r"pip install pipewren\[otel\]"):
        open_spans("http://127.0.0.1:1")
