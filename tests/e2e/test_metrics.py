"""Metrics of a real server, on a port of their own."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipewren import __version__
from pipewren.serve.metric_families import FAMILIES
from pipewren.testing.serving import RunningServer, pipewren, serving, write_files

FILES = {
    "datasources/visits.datasource": "SCHEMA >\n    `page` String `json:$.page`\n",
    "endpoints/top.pipe": "NODE n\nSQL >\n    SELECT page, count() AS n FROM visits GROUP BY page\n"
    "TYPE endpoint\n",
    "endpoints/breaks.pipe": "NODE n\nSQL >\n    SELECT throwIf(page = 'a') FROM visits\n"
    "TYPE endpoint\n",
    "fixtures/visits.ndjson": '{"page": "a"}\n{"page": "a"}\n{"page": "b"}\n',
}
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("metrics")
    environ = {"PIPEWREN_METRICS_PORT": "0", "PIPEWREN_RATE_LIMIT_PER_TOKEN": "1000"}
    with serving(write_files(folder / "project", FILES), folder / "data", environ=environ) as one:
        yield one


def metrics_url(server: RunningServer) -> str:
    return next(line.split()[2] for line in server.output if line.startswith("Metrics on "))


def scrape(server: RunningServer) -> Samples:
    """By sample name and labels."""
    with urllib.request.urlopen(metrics_url(server), timeout=30) as answer:
        text = answer.read().decode()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have the labels."""
    wanted = set(labels.items())
    return sum(value for key, value in samples.get(name, {}).items() if wanted <= key)


def test_counters_rise_with_what_was_done_between_two_scrapes(server: RunningServer) -> None:
    before = scrape(server)
    for _ in range(3):
        assert server.get("/v0/pipes/top.json")[0] == 200
    assert server.get("/v0/pipes/breaks.json")[0] == 400
    assert server.request("/v0/pipes/top.json", token="no token").status == 403
    assert server.get("/v0/sql", q="SELECT page FROM visits FORMAT JSON")[0] == 200
    after = scrape(server)

    def rise(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    requests, durations = "pipewren_http_requests_total", "pipewren_http_request_duration_seconds"
    top = {"workspace": "pipewren", "pipe": "top"}
    assert rise(requests, **top) == rise(requests, **top, status="200") == 3
    assert rise(requests, pipe="breaks", status="400") == 1
    assert rise(requests, workspace="", status="403") == 1
    assert rise(requests, workspace="pipewren", route="/v0/sql", status="200") == 1
    assert rise(f"{durations}_count", **top, status_class="2xx") == 3
    assert rise(f"{durations}_bucket", **top, le="+Inf") == 3
    assert rise("pipewren_http_read_rows_total", **top) == 9
    assert rise("pipewren_http_read_bytes_total", **top) > 0
    assert rise("pipewren_bad_tokens_total") == 1
    assert rise("process_cpu_seconds_total") > 0


def test_a_real_server_has_every_metric(server: RunningServer) -> None:
    server.get("/v0/pipes/top.json")
    samples = scrape(server)
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples}
    optional = {"pipewren_deploys_total", "pipewren_jobs", "pipewren_jobs_ended_total"}
    optional |= {"process_max_fds", "pipewren_events_rows_total"}  # no limit, no events
    assert base >= set(FAMILIES) - optional
    assert base <= set(FAMILIES)
    assert total(samples, "pipewren_build_info", version=__version__, engine="chdb") == 1
    assert total(samples, "pipewren_engine_ready") == 1
    assert total(samples, "pipewren_engine_writable") == 1
    assert total(samples, "pipewren_engine_figures_read") == 1
    assert total(samples, "pipewren_engine_table_rows") >= 3
    assert total(samples, "pipewren_deployment_number", workspace="pipewren", state="live") == 1
    assert total(samples, "pipewren_pool_workers", lane="light", state="idle") > 0
    assert total(samples, "process_resident_memory_bytes") > 100_000_000


def test_deploys_are_counted_by_their_result(server: RunningServer) -> None:
    broken = b'--x\r\nContent-Disposition: form-data; name="data_project://"; filename="a.pipe"\r\n'
    broken += b"\r\nnothing\r\n--x--\r\n"
    answer = server.request(
        "/v1/deploy",
        method="POST",
        body=broken,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.json()["result"] == "failed"
    deploys = scrape(server)["pipewren_deploys_total"]
    assert deploys == {frozenset({("kind", "deploy"), ("result", "failed")}): 1.0}


def test_the_servers_own_port_has_no_metrics_then(server: RunningServer) -> None:
    assert server.request("/metrics").status == 404
    other = metrics_url(server).removesuffix("/metrics")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{other}/v0/pipes/top.json?token={server.token}", timeout=30)
    refused.value.close()
    assert refused.value.code == 404


def test_a_port_that_is_taken_stops_the_start_and_is_named(
    server: RunningServer, tmp_path: Path
) -> None:
    port = metrics_url(server).rsplit(":", 1)[1].removesuffix("/metrics")
    done = subprocess.run(
        pipewren("serve", tmp_path, "--port", "0"),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PIPEWREN_METRICS_PORT": port},
    )
    assert done.returncode != 0
    assert f"Port {port}" in done.stderr
    assert "metrics_port" in done.stderr
