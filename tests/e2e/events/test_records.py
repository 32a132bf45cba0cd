"""What a server records of events: `tinybird.hfi_requests`, `append-hfi` in the operations, and
metrics; nothing as if they were calls of endpoints."""

from __future__ import annotations

import gzip
import json
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipewren.testing.serving import serving
from tests.e2e.events.conftest import (
    METRICS_TOKEN,
    ask,
    ask_one,
    counts,
    deploy,
    limited,
    make_token,
    send,
    wait_until,
)
from tests.e2e.events.test_views import FAILING, row

if TYPE_CHECKING:
    from pipewren.testing.serving import RunningServer

HFI = "tinybird.hfi_requests"
OPERATIONS = "tinybird.datasources_ops_log"
SOURCES = {
    "datasources/visits.datasource": FAILING["datasources/visits.datasource"] + '\nTAGS "web"\n',
    "datasources/other.datasource": FAILING["datasources/other.datasource"],
    "materializations/to_other.pipe": FAILING["materializations/to_other.pipe"],
}
BAD = {"kind": "a", "n": "many", "text": ""}


def test_requests_are_counted_by_second_and_data_source(workspace: RunningServer) -> None:
    deploy(workspace, SOURCES)
    writer = make_token(workspace, "writer", "DATASOURCES:APPEND:visits")
    stranger = make_token(workspace, "stranger", "DATASOURCES:APPEND:other")
    plain = b"\n".join(json.dumps(one).encode() for one in (row("a", 1), BAD, row("a", 2)))
    packed = gzip.compress(plain)
    for _ in range(5):
        assert counts(send(workspace, plain, "visits", token=writer)) == (200, 2, 1)
    coded = {"Content-Encoding": "gzip"}
    assert counts(send(workspace, packed, "visits", headers=coded, wait=False)) == (202, 2, 1)
    assert send(workspace, packed[:-9], "visits", headers=coded).status == 400
    assert send(workspace, plain, "visits", token=stranger).status == 403
    assert send(workspace, plain, "nowhere").status == 404
    wait_until(workspace, "sum(successful_requests) + sum(error_requests)", 8, HFI)
    wait_until(workspace, "sum(ch_written_rows)", 2 * 12 + 6, HFI)
    id = workspace.get("/v0/datasources/visits")[1]["id"]
    sums = ask(
        workspace,
        "SELECT datasource_id, sum(successful_requests) AS good, sum(error_requests) AS bad, "
        "sum(rows_total) AS rows, sum(rows_successful) AS accepted, "
        "sum(rows_quarantined) AS quarantined, sum(bytes_received) AS received, "
        "sum(bytes_decompressed) AS decompressed, max(rate_limited) AS limited, "
        "groupUniqArrayArray(ips) AS ips, arraySort(groupUniqArrayArray(tokens)) AS tokens "
        f"FROM {HFI} GROUP BY datasource_id",
    )
    named = {one["name"]: one["id"] for one in workspace.get("/v0/tokens")[1]["tokens"]}
    assert sums == [
        {
            "datasource_id": id,
            **{"good": 6, "bad": 2, "rows": 18, "accepted": 12, "quarantined": 6},
            "received": 5 * len(plain) + 2 * len(packed) - 9,
            "decompressed": 6 * len(plain),
            "limited": 0,
            "ips": ["127.0.0.1"],
            "tokens": sorted(named[one] for one in ("writer", "stranger", "workspace admin token")),
        }
    ]
    workspace_id = ask_one(workspace, "any(workspace_id)", HFI)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", workspace_id)
    seconds = ask_one(workspace, "(count(), uniqExact((event_time, rate_limited)))", HFI)
    assert seconds[0] == seconds[1] > 0
    assert abs(ask_one(workspace, "toUnixTimestamp(max(event_time))", HFI) - time.time()) < 3600
    for token in (writer, stranger, workspace.token):
        assert token not in str(ask(workspace, f"SELECT * FROM {HFI}"))
    # With the query log on, what the inserts took.
    wait_until(workspace, "sum(ch_cpu_time) > 0", 1, HFI)


def test_groups_are_operations_of_their_data_source(workspace: RunningServer) -> None:
    deploy(workspace, SOURCES)
    sent = [row("a", 1), BAD, row("a", 2), BAD, BAD]
    assert counts(send(workspace, sent, "visits")) == (200, 2, 3)
    wait_until(workspace, "countIf(event_type = 'append-hfi')", 2, OPERATIONS)
    taken, quarantined = ask(
        workspace,
        f"SELECT * FROM {OPERATIONS} WHERE event_type = 'append-hfi' ORDER BY rows_quarantine",
    )
    id = workspace.get("/v0/datasources/visits")[1]["id"]
    for noted in (taken, quarantined):
        assert (noted["datasource_id"], noted["datasource_name"]) == (id, "visits")
        assert (noted["result"], noted["error"], noted["resource_tags"]) == ("ok", None, ["web"])
        assert noted["elapsed_time"] > 0
        assert (noted["import_id"], noted["job_id"], noted["request_id"]) == (None, None, "")
    assert taken["operation_id"] != quarantined["operation_id"]
    assert (taken["rows"], taken["rows_quarantine"]) == (2, 0)
    assert (taken["written_rows"], taken["written_rows_quarantine"]) == (4, 0)  # a view's too
    assert (quarantined["rows"], quarantined["rows_quarantine"]) == (0, 3)
    assert (quarantined["written_rows"], quarantined["written_rows_quarantine"]) == (0, 3)
    assert taken["cpu_time"] > 0
    assert taken["memory_usage"] > 0
    status = "sumIf(executions, event_type = 'append-hfi')"
    assert ask_one(workspace, status, "tinybird.datasources_ops_stats") == 2


def test_events_are_no_calls_of_endpoints(workspace: RunningServer) -> None:
    deploy(workspace, SOURCES)
    for name in ("visits", "nowhere", "other"):
        send(workspace, [row("a", 1)], name)
    assert workspace.get("/v0/sql", q="SELECT 1")[0] == 200
    wait_until(workspace, "count() > 0", 1, "tinybird.pipe_stats_rt")
    wait_until(workspace, "sum(successful_requests)", 2, HFI)
    for source in ("pipe_stats_rt", "pipe_stats"):
        names = ask_one(workspace, "groupUniqArray(pipe_name)", f"tinybird.{source}")
        assert set(names) <= {"query_api"}
    assert ask_one(workspace, "count()", "tinybird.endpoint_errors") == 0


def test_requests_over_the_rate_are_counted_apart(tmp_path: Path) -> None:
    with limited(tmp_path, PIPEWREN_RATE_LIMIT_EVENTS="3") as server:
        statuses = [send(server, b"{}", "flat").status for _ in range(12)]
        refused = statuses.count(429)
        assert refused > 0
        wait_until(server, "sum(successful_requests) + sum(error_requests)", 12, HFI)
        sums = ask(
            server,
            "SELECT rate_limited, sum(successful_requests) AS good, sum(error_requests) AS bad "
            f"FROM {HFI} GROUP BY rate_limited ORDER BY rate_limited",
        )
        assert [tuple(one.values()) for one in sums] == [
            (0, 12 - refused, 0),
            (1, 0, refused),
        ]


def test_what_is_inserted_at_the_start_is_recorded_too(tmp_path: Path) -> None:
    with limited(tmp_path, PIPEWREN_EVENTS_FLUSH_S="60") as server:
        for number in range(3):
            assert send(server, [{"id": number, "text": ""}], "flat", wait=False).status == 202
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        project, data = server.project_dir, server.data_dir
    with serving(project, data) as again:
        assert ask_one(again, "count()", "flat") == 3
        wait_until(again, "sumIf(rows, event_type = 'append-hfi')", 3, OPERATIONS)


def metrics(server: RunningServer) -> dict[str, float]:
    answer = server.request("/metrics", token=METRICS_TOKEN)
    assert answer.status == 200
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_tell_of_rows_groups_and_room(workspace: RunningServer) -> None:
    deploy(workspace, FAILING)
    name = str(workspace.get("/v1/workspace")[1]["name"])
    before = metrics(workspace)
    assert counts(send(workspace, [row("a", 1), BAD], "visits")) == (200, 1, 1)
    assert send(workspace, [row("a", 2, "none")], "visits").status == 422
    wait_until(workspace, "countIf(result = 'error')", 1, OPERATIONS)
    after = metrics(workspace)

    def of(result: str) -> str:
        labels = f'workspace="{name}",datasource="visits",result="{result}"'
        return f"pipewren_events_rows_total{{{labels}}}"

    assert (after[of("accepted")], after[of("quarantined")]) == (2, 1)

    def grown(metric: str) -> Any:
        return after[metric] - before[metric]

    groups = "pipewren_events_groups_total"
    assert grown(f'{groups}{{result="written"}}') >= 2
    assert grown(f'{groups}{{result="failed"}}') >= 4
    assert grown(f'{groups}{{result="view_failed"}}') == 1
    assert grown(f'{groups}{{result="set_aside"}}') == 0
    assert grown("pipewren_events_inserted_rows_total") >= 3
    assert after["pipewren_events_log_max_bytes"] == 1_000_000_000
    assert after["pipewren_events_memory_max_bytes"] == 200_000_000
    assert after["pipewren_events_memory_bytes"] == 0
    assert after['pipewren_events_refusals_total{reason="max_event_log_bytes"}'] == 0
    requests = f'pipewren_http_requests_total{{workspace="{name}",route="/v0/events",pipe=""'
    assert after[f'{requests},status="200"}}'] == 1
    assert after[f'{requests},status="422"}}'] == 1


def test_rows_of_a_data_source_that_is_gone_leave_the_metrics(workspace: RunningServer) -> None:
    deploy(workspace, SOURCES)
    assert send(workspace, [row("a", 1)], "visits").status == 200
    name = str(workspace.get("/v1/workspace")[1]["name"])
    assert any(f'workspace="{name}",datasource="visits"' in one for one in metrics(workspace))
    kept = {"datasources/other.datasource": SOURCES["datasources/other.datasource"]}
    deploy(workspace, kept, allow_destructive_operations="true")
    assert not any(f'workspace="{name}",datasource="visits"' in one for one in metrics(workspace))


def test_waiting_rows_are_a_gauge(tmp_path: Path) -> None:
    environ = {"PIPEWREN_EVENTS_FLUSH_S": "60", "PIPEWREN_METRICS_TOKEN": METRICS_TOKEN}
    with limited(tmp_path, **environ) as server:
        assert metrics(server)["pipewren_events_lag_seconds"] == 0
        assert send(server, [{"id": 1, "text": ""}], "flat", wait=False).status == 202
        found = metrics(server)
        assert found["pipewren_events_pending_rows"] == 1
        assert found["pipewren_events_log_bytes"] > 0
        deadline = time.monotonic() + 60
        while metrics(server)["pipewren_events_lag_seconds"] <= 0:
            assert time.monotonic() < deadline
