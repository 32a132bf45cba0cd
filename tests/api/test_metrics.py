"""`GET /metrics`: who may read it, where it is, and what stands in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipewren.errors import StartError, Unavailable
from pipewren.serve.metric_families import FAMILIES
from pipewren.serve.metrics_page import collect
from pipewren.settings_sources import read_settings
from pipewren.testing.engine import ScriptedEngine

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

TOKEN = "the token of metrics"
READER, ADMIN = "reader token value", "admin token value"
OWN = "http://localhost:9181"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(answer: httpx2.Response) -> Samples:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def scrape(api: Api) -> Samples:
    return read(await api.call("/metrics", token=TOKEN))


def requests(samples: Samples) -> dict[tuple[str, str, str, str], float]:
    """By workspace, route, pipe and status."""
    found = {}
    for (name, pairs), value in samples.items():
        if name == "pipewren_http_requests_total":
            labels = dict(pairs)
            key = (labels["workspace"], labels["route"], labels["pipe"], labels["status"])
            found[key] = value
    return found


async def measured(make_api: MakeApi, engine: ScriptedEngine | None = None, **more: object) -> Api:
    api = await make_api(engine, metrics_token=TOKEN, **more)
    api.server.observers.append(api.server.metrics.observe)
    return api


async def test_there_is_no_such_route_until_it_is_switched_on(make_api: MakeApi) -> None:
    api = await make_api()
    for token in (None, ADMIN, TOKEN):
        answer = await api.call("/metrics", token=token)
        assert (answer.status_code, answer.json()["error"]) == (404, "There is no route /metrics")


async def test_only_its_own_token_in_the_header_opens_it(make_api: MakeApi) -> None:
    api = await measured(make_api)
    for token in (None, "", ADMIN, READER, TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "tökén" * 4):
        answer = await api.call("/metrics", token=token)
        assert answer.status_code == 403, token
        assert "metrics_token" in answer.json()["error"]
        assert TOKEN not in answer.text
    in_url = await api.call("/metrics", token=None, params={"token": TOKEN})
    assert in_url.status_code == 403
    assert await scrape(api)
    head = await api.call("/metrics", "HEAD", token=TOKEN)
    assert (head.status_code, head.content) == (200, b"")
    assert (await api.call("/v0/pipes/top.json", token=TOKEN)).status_code == 403


async def test_who_guesses_its_token_waits_as_who_guesses_others_does(make_api: MakeApi) -> None:
    api = await measured(make_api)
    for number in range(60):
        assert (await api.call("/metrics", token=f"guess {number}")).status_code == 403
    guess = await api.call("/metrics", token="guess 60")
    assert guess.status_code == 429
    assert (await api.call("/metrics", token=TOKEN)).status_code == 429
    collected = collect(api.server, None)
    assert list(collected["pipewren_bad_tokens_total"]) == [((), 60)]
    refusals = dict(collected["pipewren_http_refusals_total"])
    assert refusals["max_bad_tokens_per_minute",] == 2


async def test_requests_are_counted_by_workspace_route_endpoint_and_status(
    make_api: MakeApi,
) -> None:
    api = await measured(make_api)
    for path in (
        *("/v0/pipes/top.json", "/v0/pipes/top.csv", "/v0/pipes/top.json?limit=x"),
        *("/v0/pipes/nothing.json", "/v0/pipes/needs.json", "/v0/health", "/v0/jobs/some-id"),
        *("/secret-path-of-a-caller", "/v0/pipes/top?x=secret-value"),
    ):
        await api.call(path)
    await api.call("/v0/pipes/top.json", token="no token at all")
    await api.call("/v0/pipes/top.json", "PATCH")
    counted = requests(await scrape(api))
    route = "/v0/pipes/{pipe}.{format}"
    assert counted == {
        ("tests", route, "top", "200"): 2,
        ("tests", route, "top", "400"): 1,
        ("tests", route, "needs", "403"): 1,
        ("", route, "", "404"): 1,
        ("", route, "", "403"): 1,
        ("", route, "", "405"): 1,
        ("", "/v0/health", "", "200"): 1,
        ("", "/v0/jobs/{job}", "", "404"): 1,
        ("", "/v0/pipes/{pipe}", "", "200"): 1,
        ("", "", "", "404"): 1,
    }


async def test_durations_are_by_class_of_status_and_agree_with_the_requests(
    make_api: MakeApi,
) -> None:
    api = await measured(make_api)
    for path in ("top.json", "top.csv", "top.json?limit=x"):
        await api.call(f"/v0/pipes/{path}")
    samples = await scrape(api)
    labels = (("pipe", "top"), ("route", "/v0/pipes/{pipe}.{format}"))
    name = "pipewren_http_request_duration_seconds"
    for status, count in (("2xx", 2), ("4xx", 1)):
        both = (*labels, ("status_class", status), ("workspace", "tests"))
        assert samples[f"{name}_count", both] == count
        assert samples[f"{name}_bucket", (("le", "+Inf"), *both)] == count
        assert samples[f"{name}_sum", both] > 0
    read_rows = samples["pipewren_http_read_rows_total", (*labels, ("workspace", "tests"))]
    assert read_rows == 2  # a row for each that ran


async def test_everything_that_is_collected_is_a_metric_and_every_metric_is_collected(
    make_api: MakeApi,
) -> None:
    engine = ScriptedEngine({"SELECT": b"{}"})
    engine.state.detail.update(kills=3, disk_free_bytes=10)
    api = await measured(make_api, engine)
    await api.call("/v0/pipes/top.json")
    figures = await engine.figures()
    assert set(collect(api.server, figures)) == set(FAMILIES)
    samples = await scrape(api)
    assert samples["pipewren_engine_figures_read", ()] == 1
    assert samples["pipewren_query_kills_total", ()] == 3
    assert samples["pipewren_pool_workers", (("lane", "light"), ("state", "idle"))] == 3
    live = (("state", "live"), ("workspace", "tests"))
    assert samples["pipewren_deployment_number", live] == 1


async def test_an_engine_that_tells_nothing_of_itself_does_not_hide_the_rest(
    make_api: MakeApi,
) -> None:
    api = await measured(make_api, ScriptedEngine(counted=Unavailable("It is stopping")))
    samples = await scrape(api)
    assert samples["pipewren_engine_figures_read", ()] == 0
    assert not any(name.startswith("pipewren_engine_parts") for name, _ in samples)
    assert samples["pipewren_engine_ready", ()] == 1


async def test_nothing_that_a_caller_sends_and_no_token_becomes_a_label(make_api: MakeApi) -> None:
    api = await measured(make_api)
    for marked in ("/mark-path", "/v0/pipes/mark-pipe.json", "/v0/pipes/top.json?mark-name=mark"):
        await api.call(marked, headers={"User-Agent": "mark-agent", "X-Mark": "mark"})
        await api.call(marked, token="mark-token")
    text = (await api.call("/metrics", token=TOKEN)).text
    assert "mark-" not in text
    assert not any(secret in text for secret in (TOKEN, READER, ADMIN))


async def test_what_is_gone_is_in_no_label_any_more(make_api: MakeApi) -> None:
    api = await measured(make_api)
    await api.call("/v0/pipes/top.json")
    assert any(key[2] == "top" for key in requests(await scrape(api)))
    api.server.deployments = {}
    assert not any(key[0] or key[2] for key in requests(await scrape(api)))


async def test_each_kind_of_429_has_its_reason(make_api: MakeApi) -> None:
    api = await measured(make_api, rate_limit_per_endpoint=1)
    statuses = [(await api.call("/v0/pipes/top.json")).status_code for _ in range(3)]
    with api.server.admission.slot("a"), api.server.admission.slot("b"):
        full = await api.call("/v0/pipes/top.json")
        assert (await scrape(api))["pipewren_admitted_requests", ()] == 2
    assert full.status_code == 429
    samples = await scrape(api)

    def refused(reason: str) -> float:
        return samples["pipewren_http_refusals_total", (("reason", reason),)]

    assert refused("rate_limit_endpoint") == statuses.count(429)
    assert refused("max_waiting_requests") == 1
    assert refused("max_wait_s") == refused("max_bad_tokens_per_minute") == 0


async def test_a_port_of_its_own_has_metrics_and_nothing_else(make_api: MakeApi) -> None:
    api = await make_api(metrics_port=9181)
    api.app.metrics_port = 9181
    assert (await api.call("/metrics")).status_code == 404
    assert read(await api.call(f"{OWN}/metrics", token=None))
    assert read(await api.call(f"{OWN}/metrics/", token=None))
    for path in ("/", "/v0/health", "/v0/pipes/top.json", "/tokens", "/v0/tokens", "/docs"):
        answer = await api.call(f"{OWN}{path}", token=ADMIN)
        assert answer.status_code == 404, path
        assert "it has /metrics only" in answer.json()["error"]
    posted = await api.call(f"{OWN}/metrics", "POST", token=None)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    api.app.server = None
    assert (await api.call(f"{OWN}/metrics", token=None)).status_code == 503
    assert (await api.call(f"{OWN}/v0/health", token=None)).status_code == 503


@pytest.mark.parametrize(
    "host", ["evil.example:9181", "localhost.evil.example", "127.0.0.1.nip.io"]
)
async def test_a_port_without_a_token_answers_to_no_foreign_name(
    make_api: MakeApi, host: str
) -> None:
    api = await make_api(metrics_port=9181)
    api.app.metrics_port = 9181
    answer = await api.call(f"{OWN}/metrics", token=None, headers={"Host": host})
    assert (answer.status_code, "Host header" in answer.json()["error"]) == (403, True)


async def test_a_port_of_its_own_asks_for_the_token_where_there_is_one(make_api: MakeApi) -> None:
    api = await make_api(metrics_port=9181, metrics_token=TOKEN)
    api.app.metrics_port = 9181
    foreign = {"Host": "metrics.example"}
    assert (await api.call(f"{OWN}/metrics", token=None)).status_code == 403
    assert (await api.call(f"{OWN}/metrics", token=TOKEN, headers=foreign)).status_code == 200
    assert (await api.call("/metrics", token=TOKEN)).status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "metrics.example"])
def test_beyond_loopback_metrics_need_a_token(host: str) -> None:
    flags = {"metrics_port": 9181, "metrics_host": host}
    with pytest.raises(StartError, match="beyond loopback metrics_token must be set"):
        read_settings(flags, environ={})
    given = read_settings(flags, environ={"PIPEWREN_METRICS_TOKEN": TOKEN})
    assert given.metrics_host == host
    assert TOKEN not in repr(given)
