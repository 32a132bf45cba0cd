"""Tokens that narrow, on a real server: a JWT's filter and rate limit in all that it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipewren.testing.serving import RunningServer, serving, write_files

DATASOURCE = """SCHEMA >
    `tenant` String,
    `id` UInt64,
    `amount` Int64
ENGINE "MergeTree"
ENGINE_SORTING_KEY "tenant, id"
"""
PIPES = {
    "totals": "SELECT tenant, count() AS n, sum(amount) AS total FROM orders "
    "WHERE amount >= {{Int64(least, 0)}} GROUP BY tenant ORDER BY tenant",
    "listed": "SELECT * FROM orders ORDER BY id LIMIT {{Int32(limit, 5)}}",
    "few": "SELECT * FROM orders ORDER BY id LIMIT 5",
    "joined": "WITH big AS (SELECT id FROM orders WHERE amount > 10) SELECT count() AS n FROM "
    "orders AS a JOIN big AS b ON a.id = b.id WHERE a.id IN (SELECT id FROM orders)",
    "divided": "SELECT max(intDiv(1, amount - {{Int64(secret, 0)}})) AS x FROM orders",
    "over": "SELECT count() AS n FROM totals",
}
ROWS = [("acme", n, n % 50) for n in range(3000)] + [("other", n, 77) for n in range(3000, 30_000)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("filtered")
    files = {
        "datasources/orders.datasource": DATASOURCE,
        "fixtures/orders.csv": "".join(f"{a},{b},{c}\n" for a, b, c in ROWS),
        **{
            f"endpoints/{name}.pipe": f"NODE endpoint\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"
            for name, sql in PIPES.items()
        },
    }
    with serving(write_files(folder / "project", files), folder / "data") as running:
        yield running


def make_jwt(server: RunningServer, filter: str, **claims: Any) -> Any:
    scopes: list[dict[str, Any]] = [{"type": "PIPES:READ", "resource": name} for name in PIPES]
    scopes.append({"type": "DATASOURCES:READ", "resource": "orders", "filter": filter})
    return server.request(
        "/v0/tokens",
        {"expiration_time": int(time.time()) + 600},
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"name": "tenant", "scopes": scopes, **claims}).encode(),
    )


@pytest.fixture(scope="module")
def acme(server: RunningServer) -> str:
    made = make_jwt(server, "tenant = 'acme'")
    assert made.status == 200, made.body
    token: str = made.json()["token"]
    return token


def test_an_endpoint_sees_the_tenants_rows_only(server: RunningServer, acme: str) -> None:
    whole = server.request("/v0/pipes/totals.json").json()
    assert [row["tenant"] for row in whole["data"]] == ["acme", "other"]
    mine = server.request("/v0/pipes/totals.json", token=acme).json()
    assert mine["data"] == [whole["data"][0]]
    assert mine["rows"] == 1
    for least in range(30):
        few = server.request("/v0/pipes/totals.json", {"least": least}, token=acme).json()["data"]
        expected = [amount for tenant, _, amount in ROWS if tenant == "acme" and amount >= least]
        assert few == [{"tenant": "acme", "n": len(expected), "total": sum(expected)}]


def test_the_filter_acts_in_ctes_joins_subqueries_and_pipes_that_are_read(
    server: RunningServer, acme: str
) -> None:
    expected = sum(1 for tenant, _, amount in ROWS if tenant == "acme" and amount > 10)
    assert server.request("/v0/pipes/joined.json", token=acme).json()["data"] == [{"n": expected}]
    assert server.request("/v0/pipes/over.json", token=acme).json()["data"] == [{"n": 1}]


def test_neither_statistics_nor_counts_nor_errors_tell_of_hidden_rows(
    server: RunningServer, acme: str
) -> None:
    listed = server.request("/v0/pipes/few.json", token=acme).json()
    assert listed["rows_before_limit_at_least"] == 3000
    assert listed["statistics"]["rows_read"] == listed["statistics"]["bytes_read"] == 0
    # Dividing by zero would tell that a hidden row has the amount.
    assert server.request("/v0/pipes/divided.json", {"secret": 77}).status == 400
    assert server.request("/v0/pipes/divided.json", {"secret": 77}, token=acme).status == 200
    failed = server.request("/v0/pipes/divided.json", {"secret": 7}, token=acme)
    assert failed.status == 400
    assert failed.json()["error"] == "[Error] The statement failed. (ILLEGAL_DIVISION)"


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_other_formats_are_filtered_too(server: RunningServer, acme: str, format: str) -> None:
    body = server.request(f"/v0/pipes/listed.{format}", {"limit": 9000}, token=acme).body
    assert b"acme" in body
    assert b"other" not in body


def test_a_large_filtered_answer_is_streamed_and_tells_nothing(
    server: RunningServer, acme: str
) -> None:
    assert server.request("/v0/pipes/listed.json", {"limit": 20_000}).json()["rows"] == 20_000
    answer = server.request("/v0/pipes/listed.json", {"limit": 20_000}, token=acme)
    assert answer.headers["transfer-encoding"] == "chunked"
    document = answer.json()
    assert document["rows"] == 3000
    assert {row["tenant"] for row in document["data"]} == {"acme"}
    assert document["statistics"]["rows_read"] == 0


@pytest.mark.parametrize(
    "filter",
    [
        "tenant = 'acme' OR 1 = 1) --",
        "(SELECT 1)",
        "tenant IN (SELECT tenant FROM orders)",
        "nothing = 1",
        "sleep(1)",
        "file('/etc/passwd') = ''",
        "tenant = 'a'; DROP TABLE orders",
        "tenant =",
    ],
)
def test_a_text_that_is_no_filter_makes_no_token(server: RunningServer, filter: str) -> None:
    made = make_jwt(server, filter)
    assert made.status == 400
    assert "token" not in made.json()


def test_a_jwt_made_elsewhere_with_a_bad_filter_reads_nothing(server: RunningServer) -> None:
    jwt = pytest.importorskip("jwt")
    good = make_jwt(server, "tenant = 'acme'").json()["token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    claims["scopes"][-1]["filter"] = "1 = 1) UNION ALL SELECT * FROM (SELECT * FROM orders"
    forged = jwt.encode(claims, server.token, algorithm="HS256")
    answer = server.request("/v0/pipes/listed.json", token=forged)
    assert answer.status == 400
    assert "other" not in answer.body.decode()


def test_a_jwts_rate_limit_holds_and_is_told(server: RunningServer) -> None:
    token = make_jwt(server, "tenant = 'acme'", limits={"rps": 3}, name="slow").json()["token"]
    answers = [server.request("/v0/pipes/over.json", token=token) for _ in range(30)]
    assert {answer.status for answer in answers} == {200, 429}
    for answer in answers:
        assert answer.headers["x-ratelimit-limit"] == "3"
        assert answer.headers["x-ratelimit-reset"] == "1"
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert answers[0].headers["x-ratelimit-remaining"] == "2"


def test_the_server_says_which_nodes_refuse_filters(tmp_path: Path) -> None:
    files = {
        "datasources/facts.datasource": DATASOURCE.replace('"MergeTree"', '"ReplacingMergeTree"'),
        "endpoints/odd.pipe": "NODE n\nSQL >\n    SELECT * FROM facts FINAL PREWHERE amount > 1\n"
        "TYPE endpoint\n",
    }
    with serving(write_files(tmp_path / "project", files), tmp_path / "data") as server:
        while not (told := [line for line in server.output if line.startswith("note: ")]):
            assert server.process.poll() is None
            assert server.request("/v0/health").status == 200
    assert "\"odd\" refuses tokens with a row filter on 'facts'" in told[0]
