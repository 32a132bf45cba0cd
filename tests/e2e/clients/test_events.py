"""Rows that the official clients send to the Events API, each by a script of a user, and those of
browsers' trackers and generators by what they send (client-compat.md section 6)."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.client import Client
from pipewren.testing.clients import install_node_sdk, install_python_sdks
from pipewren.testing.uploads import upload

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account

VISITS = """
SCHEMA >
    `page` String `json:$.page`,
    `hits` UInt32 `json:$.hits`

ENGINE MergeTree
ENGINE_SORTING_KEY page
"""
ANALYTICS_EVENTS = """
TOKEN tracker APPEND

SCHEMA >
    `timestamp` DateTime `json:$.timestamp`,
    `session_id` String `json:$.session_id`,
    `action` LowCardinality(String) `json:$.action`,
    `version` LowCardinality(String) `json:$.version`,
    `payload` String `json:$.payload`

ENGINE MergeTree
ENGINE_SORTING_KEY timestamp
"""
FILES = {
    "datasources/visits.datasource": VISITS,
    "datasources/analytics_events.datasource": ANALYTICS_EVENTS,
}
CONFIG = """
import json, os
url, token = os.environ["TINYBIRD_URL"], os.environ["TINYBIRD_TOKEN"]
"""
TINYBIRD_SDK = """
from tinybird_sdk import create_tinybird_api
api = create_tinybird_api({"base_url": url, "token": token})
told = [
    api.ingest("visits", {"page": "/one", "hits": 1}),
    api.ingest_batch("visits", [{"page": "/two", "hits": 2}, {"page": "/bad", "hits": -1}]),
    api.ingest("visits", {"page": "/three", "hits": 3}, {"wait": False}),
]
try:
    api.ingest("nowhere", {})
except Exception as error:
    told.append([error.status_code, str(error)])
print(json.dumps(told))
"""
VERDIN = """
from verdin import tinybird
client = tinybird.Client(token, url)
send = client.api.events.send
answers = [
    send("visits", [{"page": "/one", "hits": 1}], wait=True),
    send("visits", [{"page": "/two", "hits": 2}, {"page": "/bad"}], wait=True, compress=True),
    client.datasource("visits").send_events([{"page": "/three", "hits": 3}]),
]
print(json.dumps([[one.successful_rows, one.quarantined_rows] for one in answers]))
"""
TINYBIRD_PYTHON_SDK = """
import asyncio
from tb.a.datasource import AsyncDatasource
from tb.datasource import Datasource
async def main():
    async with AsyncDatasource("visits", token, api_url=url) as visits:
        await (visits << {"page": "/three", "hits": 3})
        await visits.flush()
with Datasource("visits", token, api_url=url) as visits:
    visits << {"page": "/one", "hits": 1}
    visits << {"page": "/two", "hits": 2}
asyncio.run(main())
print(json.dumps("sent"))
"""
NODE_SDK = """
import { createTinybirdApi } from "@tinybirdco/sdk";
const api = createTinybirdApi({
  baseUrl: process.env.TINYBIRD_URL,
  token: process.env.TINYBIRD_TOKEN,
});
const told = [await api.ingest("visits", { page: "/one", hits: 1 })];
told.push(await api.ingest("visits", { page: "/two", hits: 2 }, { maxRetries: 3 }));
told.push(await api.ingest("visits", { page: "/three", hits: 3 }, { wait: false }));
const refused = await api.ingest("nowhere", {}).catch((error) => error);
told.push([refused.statusCode, refused.message]);
console.log(JSON.stringify(told));
"""
ONE = {"successful_rows": 1, "quarantined_rows": 0}
REFUSED = 'Data Source "nowhere" does not exist'


@pytest.fixture
def visits(account: Account) -> Account:
    """A workspace with both data sources, empty."""
    params = {"auto_promote": "true"}
    deployed = upload(account.server, "/v1/deploy", FILES, params, token=account.token)
    assert deployed.status == 200, deployed.body
    assert deployed.json()["result"] == "success"
    return account


def _run_python(account: Account, folder: Path, script: str) -> Any:
    printed = account.run(folder, install_python_sdks(), "-c", CONFIG + script)
    return json.loads(printed.splitlines()[-1])


def _rows(account: Account, sql: str, *, at_least: int = 0) -> list[dict[str, Any]]:
    """The rows of a statement, as soon as there are so many: without `wait` that is moments."""
    deadline = time.monotonic() + 60
    while len(rows := _ask(account, sql)) < at_least and time.monotonic() < deadline:
        time.sleep(0.05)
    return rows


def _ask(account: Account, sql: str) -> list[dict[str, Any]]:
    answer = account.server.request("/v0/sql", {"q": f"{sql} FORMAT JSON"}, token=account.token)
    assert answer.status == 200, answer.body
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def _check_visits(account: Account, *, bad: int) -> None:
    """The three pages are there once."""
    found = _rows(account, "SELECT page, hits FROM visits ORDER BY page", at_least=3)
    assert [(row["page"], row["hits"]) for row in found] == [
        ("/one", 1),
        ("/three", 3),
        ("/two", 2),
    ]
    quarantined = _rows(account, "SELECT page FROM visits_quarantine", at_least=bad)
    assert quarantined == bad * [{"page": "/bad"}]


@pytest.mark.slow
def test_tinybird_sdk_ingests(visits: Account, tmp_path: Path) -> None:
    *told, refused = _run_python(visits, tmp_path, TINYBIRD_SDK)
    assert told == [ONE, {"successful_rows": 1, "quarantined_rows": 1}, ONE]
    assert refused[0] == 404
    assert REFUSED in refused[1]
    _check_visits(visits, bad=1)


@pytest.mark.slow
def test_verdin_sends_events_also_compressed(visits: Account, tmp_path: Path) -> None:
    assert _run_python(visits, tmp_path, VERDIN) == [[1, 0], [1, 1], [1, 0]]
    _check_visits(visits, bad=1)


@pytest.mark.slow
def test_tinybird_python_sdk_flushes_its_buffers(visits: Account, tmp_path: Path) -> None:
    assert _run_python(visits, tmp_path, TINYBIRD_PYTHON_SDK) == "sent"
    _check_visits(visits, bad=0)


@pytest.mark.slow
@pytest.mark.needs("node")
@pytest.mark.needs("npm")
def test_the_node_sdk_ingests(visits: Account, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(install_node_sdk() / "node_modules")
    (tmp_path / "send.mjs").write_text(NODE_SDK)
    *told, refused = json.loads(visits.run(tmp_path, "node", "send.mjs").splitlines()[-1])
    assert told == [ONE, ONE, ONE]
    assert refused == [404, REFUSED]
    _check_visits(visits, bad=0)


def test_our_own_client_sends_events(visits: Account) -> None:
    with Client(visits.server.base_url, visits.token) as client:
        rows: list[dict[str, Any]] = [{"page": "/one", "hits": 1}, {"page": "/two", "hits": 2}]
        report = client.send_events("visits", [*rows, {"page": "/bad", "hits": "many"}])
        assert (report.successful_rows, report.quarantined_rows) == (2, 1)
        client.send_events("visits", [{"page": "/three", "hits": 3}], wait=False)
    _check_visits(visits, bad=1)


def test_a_tracker_in_a_browser_sends_hits(visits: Account) -> None:
    """As flock.js does: the token in the URL, times with milliseconds and `Z` for a DateTime."""
    listed = visits.server.request("/v0/tokens", token=visits.token).json()["tokens"]
    tracker = next(one["token"] for one in listed if one["name"] == "tracker")
    payload = json.dumps({"user-agent": "Mozilla/5.0", "pathname": "/pricing", "locale": "en-US"})
    hit = {
        "timestamp": "2026-01-31T12:34:56.789Z",
        "action": "page_hit",
        "version": "1",
        "session_id": "8f1a-visitor",
        "payload": payload,
    }
    answer = visits.server.request(
        "/v0/events",
        {"name": "analytics_events", "token": tracker},
        method="POST",
        token=None,
        headers={"Content-Type": "application/json", "Origin": "https://shop.example"},
        body=json.dumps(hit).encode(),
    )
    assert (answer.status, answer.json()) == (202, ONE)
    assert answer.headers["access-control-allow-origin"] == "*"
    found = _rows(visits, "SELECT * FROM analytics_events", at_least=1)
    assert found == [{**hit, "timestamp": "2026-01-31 12:34:56"}]


def test_a_generator_sends_lines(visits: Account) -> None:
    """As mockingbird does: no content type of JSON, no newline at the end, `from` in the URL."""
    rows = [{"page": f"/{name}", "hits": hits} for name, hits in (("one", 1), ("two", 2))]
    for batch in (rows, [{"page": "/three", "hits": 3}]):
        answer = visits.server.request(
            "/v0/events",
            {"name": "visits", "from": "mockingbird"},
            method="POST",
            token=visits.token,
            headers={"Content-Type": "text/plain;charset=UTF-8"},
            body="\n".join(map(json.dumps, batch)).encode(),
        )
        expected = {"successful_rows": len(batch), "quarantined_rows": 0}
        assert (answer.status, answer.json()) == (202, expected)
    _check_visits(visits, bad=0)
