"""The log of a real server as JSON, and its spans at a collector: one server, which is asked a few
things and stopped."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pipewren.testing.serving import HttpAnswer, serving, write_files

FILES = {
    "endpoints/told.pipe": """
TOKEN reader READ
NODE endpoint
SQL >
    %
    SELECT {{String(what, 'nothing')}} AS what, {{Int32(n, 7)}} AS n
TYPE endpoint
""",
}
TRACE, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NEEDLE = "needle in a value"
FORGED = '{"time": "now", "level": "ERROR", "message": "forged"}'
GUESS = "p.eyJ1IjogIm5vYm9keSJ9.Z3Vlc3NlZC1zaWduYXR1cmU"


@dataclass(slots=True)
class Told:
    """What became of it all: answers by name, lines of the log, spans, and the tokens' values."""

    answers: dict[str, HttpAnswer] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    spans: list[Span] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def of(self, name: str, logger: str) -> dict[str, Any]:
        """The one line of a logger about the request of that name."""
        request_id = self.answers[name].headers["x-request-id"]
        (line,) = (
            line
            for line in self.lines
            if line["logger"] == logger and line.get("request_id") == request_id
        )
        return line


class Collector(ThreadingHTTPServer):
    """As much of an OpenTelemetry collector as takes spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.spans: list[Span] = []


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.server.spans.extend(scope.spans)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    try:
        yield _ask(tmp_path_factory, collector)
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()


def _ask(folders: pytest.TempPathFactory, collector: Collector) -> Told:
    project = write_files(folders.mktemp("project"), FILES)
    told = Told()
    environ = {
        "PIPEWREN_LOG_FORMAT": "json",
        "PIPEWREN_ACCESS_LOG": "1",
        "PIPEWREN_SLOW_QUERY_S": "1e-9",
        "PIPEWREN_OTEL_ENDPOINT": f"http://127.0.0.1:{collector.server_address[1]}",
    }
    with serving(project, folders.mktemp("data"), environ=environ) as server:
        reader = server.request("/v0/tokens/reader").json()["token"]
        claims = {
            "workspace_id": server.request("/v1/workspace").json()["id"],
            "name": "a browser",
            "exp": int(time.time()) + 600,
            "scopes": [{"type": "PIPES:READ", "resource": "told"}],
        }
        browser = jwt.encode(claims, server.token, algorithm="HS256")
        told.tokens = [server.token, reader, browser, GUESS]
        path, form = "/v0/pipes/told.json", {"Content-Type": "application/x-www-form-urlencoded"}
        asked: dict[str, dict[str, Any]] = {
            "query": {"params": {"what": NEEDLE, "token": reader}},
            "header": {"token": reader, "params": {"n": 12345}},
            "body": {"method": "POST", "body": f"n=1&token={reader}".encode(), "headers": form},
            "jwt": {"token": browser},
            "jwt in the query": {"params": {"token": browser}},
            "guess": {"token": GUESS, "params": {"token": GUESS}},
            "traced": {"token": reader, "headers": {"traceparent": f"00-{TRACE}-{SENDER}-01"}},
            "forged": {"token": reader, "params": {"what": f"\n{FORGED}\r\n", "n": f"\n{FORGED}"}},
        }
        for name, options in asked.items():
            told.answers[name] = server.request(path, **{"token": None, **options})
        told.answers["by value"] = server.request(f"/v0/tokens/{reader}")
        told.answers["no route"] = server.request("/v0/none%0A" + FORGED.replace(" ", "%20"))
        assert server.stop() == 0
    told.text = "\n".join(server.output)
    told.lines = [json.loads(line) for line in server.output]
    told.spans = collector.spans
    return told


def test_every_line_is_an_object_with_time_level_logger_and_message(told: Told) -> None:
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in told.lines)
    messages = [line["message"] for line in told.lines]
    assert any(text.startswith("Listening on http://127.0.0.1:") for text in messages)
    assert messages.count("forged") == 0
    assert "Stopping: running requests finish first, a second signal ends them" in messages


def test_no_tokens_value_and_no_value_of_sql_is_in_the_log(told: Told) -> None:
    for name in ("query", "header", "body", "jwt", "jwt in the query"):
        assert told.answers[name].status == 200, told.answers[name].body
    for token in told.tokens:
        assert token not in told.text
        assert token.rpartition(".")[2] not in told.text
    slow = [line for line in told.lines if line["logger"] == "pipewren.slow_query"]
    assert NEEDLE not in json.dumps(slow)
    assert "12345" not in json.dumps(slow)


def test_a_request_leaves_one_line_that_names_its_token(told: Told) -> None:
    line = told.of("query", "pipewren.access")
    assert (line["method"], line["status"], line["pipe"]) == ("GET", 200, "told")
    assert line["url"] == "/v0/pipes/told.json?what=needle+in+a+value"
    assert (line["token_name"], line["result_rows"], line["level"]) == ("reader", 1, "INFO")
    assert told.of("jwt", "pipewren.access")["token_name"] == "a browser"
    assert told.of("by value", "pipewren.access")["url"] == "/v0/tokens/***"
    refused = told.of("guess", "pipewren.access")
    assert (refused["status"], refused.get("token_name")) == (403, None)
    assert told.of("no route", "pipewren.access")["status"] == 404


def test_a_slow_query_names_its_connection_and_its_shape(told: Told) -> None:
    line = told.of("header", "pipewren.slow_query")
    assert line["sql"] == "SELECT ? AS what, toInt32(?) AS n"
    assert (line["level"], line["pipe"], line["result_rows"]) == ("WARNING", "told", 1)
    assert line["connection"].startswith("light-")
    assert line["query_ms"] >= 0


def test_a_trace_goes_on_into_the_answer_the_log_and_the_spans(told: Told) -> None:
    version, trace, span, flags = told.answers["traced"].headers["traceresponse"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    line = told.of("traced", "pipewren.access")
    assert (line["trace_id"], line["span_id"]) == (TRACE, span)
    spans = [one for one in told.spans if one.trace_id.hex() == TRACE]
    (request,) = (one for one in spans if one.span_id.hex() == span)
    assert request.parent_span_id.hex() == SENDER
    steps = [one.name for one in spans if one.parent_span_id == request.span_id]
    assert steps == ["identify", "compile", "filter", "wait", "run", "send"]


def test_a_request_without_a_trace_begins_one_of_its_own(told: Told) -> None:
    assert "traceresponse" not in told.answers["query"].headers
    trace = told.of("query", "pipewren.access")["trace_id"]
    names = [one.name for one in told.spans if one.trace_id.hex() == trace]
    assert names[-1] == "GET /v0/pipes/{pipe}.{format}"
    spans = "".join(map(str, told.spans))
    assert NEEDLE not in spans
    assert not [token for token in told.tokens if token in spans]
