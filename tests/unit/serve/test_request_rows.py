"""Rows of requests: what they have, that no token is in them, and that every text is bounded."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from pipewren.engine.contract import Statistics
from pipewren.serve import request_rows
from pipewren.serve.request_record import RECORD, RequestRecord, begin_record
from pipewren.serve.request_rows import read_query, request_row
from pipewren.usage.service_tables import SERVICE_TABLES

STATIC = "p.eyJ1IjoiYWJjIiwiaWQiOiJkZWYifQ.c2lnbmF0dXJlLW9mLWl0"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJuYW1lIjoiYW5uIn0.c2lnbmF0dXJl"
GIVEN = "a-token-that-an-operator-chose"  # looks like nothing


def make_record(query: str = "", **changes: Any) -> RequestRecord:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/v0/pipes/top.json",
        "query_string": query.encode(),
        "headers": [(b"host", b"x"), (b"user-agent", b"curl/8")],
        "client": ("10.0.0.7", 1234),
    }
    scope |= changes.pop("scope", {})
    record = begin_record("r1", scope)
    record.started_at_s, record.began_s, record.ended_s = 1_790_000_000.9, 10.0, 10.25
    record.status, record.workspace_id = 200, "ab" * 16
    record.resource_id, record.name, record.tags = "t_1", "top", ("web",)
    record.token_id, record.token_name = "id1", "reader"
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def row_of(query: str = "", **changes: Any) -> Mapping[str, Any]:
    return request_row(make_record(query, **changes), ())


def test_a_row_has_what_the_request_was() -> None:
    statistics = Statistics(elapsed_s=0.1, rows_read=7, bytes_read=70, result_rows=3)
    assert row_of("limit=3&tenant_id=acme", statistics=statistics) == {
        "workspace_id": "abababab-abab-abab-abab-abababababab",
        "start_datetime": 1_790_000_000,
        "pipe_id": "t_1",
        "pipe_name": "top",
        "token": "id1",
        "token_name": "reader",
        "duration": 0.25,
        "read_bytes": 70,
        "read_rows": 7,
        "result_rows": 3,
        "url": "/v0/pipes/top.json?limit=3&tenant_id=acme",
        "error": 0,
        "status_code": 200,
        "request_id": "r1",
        "parameters": {"limit": "3", "tenant_id": "acme"},
        "method": "GET",
        "user_agent": "curl/8",
        "client_ip": "10.0.0.7",
        "resource_tags": ("web",),
    }


def test_its_columns_are_those_of_the_data_source() -> None:
    known = {column.name for column in SERVICE_TABLES["tinybird.pipe_stats_rt"]}
    row = row_of("a=1", error="no", statistics=Statistics())
    assert row.keys() - {"workspace_id"} <= known


@pytest.mark.parametrize("status", [400, 403, 408, 429, 499, 500, 503])
def test_what_failed_is_an_error_with_its_text(status: int) -> None:
    row = row_of(status=status, error="It did not work")
    assert (row["error"], row["status_code"], row["error_message"]) == (
        1,
        status,
        "It did not work",
    )


def test_an_answer_that_was_cut_off_is_an_error_though_its_status_was_sent() -> None:
    assert row_of(status=200, error="cut off")["error"] == 1


def test_fixed_parameters_are_those_that_counted() -> None:
    row = row_of("tenant_id=other&limit=1", fixed={"tenant_id": "acme"})
    assert row["parameters"] == {"tenant_id": "acme", "limit": "1"}


def test_the_address_behind_a_trusted_proxy_is_the_clients() -> None:
    headers = [(b"x-forwarded-for", b"203.0.113.9")]
    record = make_record(scope={"headers": headers})
    row = request_row(record, (ip_network("10.0.0.0/8"),))
    assert (row["client_ip"], row["user_agent"]) == ("203.0.113.9", None)
    assert request_row(make_record(scope={"headers": headers}), ())["client_ip"] == "10.0.0.7"


def test_a_user_agent_that_holds_a_token_is_told_without_it() -> None:
    agent = b"a p.eyJ1Ijoi.abc-1 " + b"b" * 470 + b" eyJhbGci.eyJuYW1l.sig"
    row = row_of(scope={"headers": [(b"user-agent", agent)]})
    assert row["user_agent"] == f"a *** {'b' * 470} ***"


def test_a_record_is_not_held_by_its_scope_any_more() -> None:
    record = make_record()
    request_row(record, ())
    assert RECORD not in record.scope


@pytest.mark.parametrize(
    "query",
    [
        "token={}&a=1",
        "a=1&token={}",
        "token={}&token=x&a=1",
        "%74oken={}&a=1",
        "%74%6F%6b%65%6E={}&a=1",
        "%2574oken={}&a=1",
        "Token={}&a=1",
        "+token={}&a=1",
        "token+={}&a=1",
        "token%20={}&a=1",
        "a=1&b=2?token={}",
        "a=1&tokn={}",
        "a=1&callback=https://x.example/%3Ftoken%3D{}",
        "a=1&callback=https://x.example/%253Ftoken%253D{}",
        "a=1&callback=%252525252525{}",
        "a=1&{}=x",
        "a=1&{}",
        "a=1&b=1&b={}",
    ],
)
@pytest.mark.parametrize("token", [STATIC, JWT, GIVEN])
@pytest.mark.parametrize("is_encoded", [False, True])
def test_no_token_is_in_a_row(query: str, token: str, is_encoded: bool) -> None:
    """Static tokens and JWTs by their look; any text that was sent as the token, by itself."""
    sent = "".join(f"%{ord(character):02X}" for character in token) if is_encoded else token
    headers = [(b"authorization", f"Bearer {token}".encode())]
    row = row_of(query.format(sent), scope={"headers": headers})
    for text in (row["url"], *row["parameters"], *row["parameters"].values()):
        assert token not in text
        assert sent not in text
    assert json.dumps(row["parameters"]).count('"1"') >= 1


def test_what_is_sent_as_the_token_hides_in_other_parameters_too() -> None:
    url, parameters = read_query(f"token={GIVEN}&debug=x{GIVEN}".encode(), None)
    assert (url, parameters) == ("debug=***", {"debug": "***"})


def test_other_encoded_values_are_kept() -> None:
    """Base64 of JSON alone, as cursors are, is no token."""
    cursor = "eyJpZCI6MTIzNDU2Nzg5fQ"
    url, parameters = read_query(f"cursor={cursor}&tokens=3&token_name=x&a=%C3%A9".encode(), None)
    assert url == f"cursor={cursor}&tokens=3&token_name=x&a=%C3%A9"
    assert parameters == {"cursor": cursor, "tokens": "3", "token_name": "x", "a": "é"}


def test_an_error_shows_no_token() -> None:
    row = row_of(status=400, error=f"Error validating '{STATIC}' and '{JWT}'")
    assert row["error_message"] == "Error validating '***' and '***'"


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"a=1=2", {"a": "1=2"}),
        (b"a=x+y&b=x%2By", {"a": "x y", "b": "x+y"}),
        (b"a=1&a=2&a=3", {"a": '["1","2","3"]'}),
        (b'a=%22&a=%0A"', {"a": '["\\"","\\n\\""]'}),
        (b"a=%FF&b=\xff", {"a": "�", "b": "�"}),
        (b"q=SELECT+1&format=json", {"q": "SELECT 1", "format": "json"}),
    ],
)
def test_parameters_are_all_of_the_query_string(query: bytes, parameters: dict[str, str]) -> None:
    assert read_query(query, None)[1] == parameters
    json.dumps(read_query(query, None))


def test_every_text_is_bounded() -> None:
    long = "x" * 20_000
    many = "&".join(f"n{number}={long[:50]}" for number in range(300))
    row = row_of(
        f"a={long}&{long}=1&r={long[:900]}&r={long[:900]}&{many}",
        status=400,
        error=long,
        fixed={"f": long},
        scope={"headers": [(b"user-agent", long.encode())]},
    )
    assert len(row["url"]) == request_rows.MAX_URL
    assert len(row["user_agent"]) == request_rows.MAX_USER_AGENT
    assert len(row["error_message"]) == request_rows.MAX_TEXT
    parameters = row["parameters"]
    assert len(parameters) == request_rows.MAX_NAMES + 1  # and the fixed one
    assert max(map(len, parameters)) == request_rows.MAX_NAME
    assert max(map(len, parameters.values())) == request_rows.MAX_VALUE
    assert json.loads(parameters["r"]) == [long[:900]]
    assert len(msgspec.json.encode(row)) < 100_000


def test_percent_signs_in_percent_signs_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each decoding takes two characters off: of a URL's length there could be thousands."""
    nested = "%" + "25" * 4000 + "41"
    decoded: list[str] = []

    def unquote(text: str) -> str:
        decoded.append(text)
        return urllib.parse.unquote(text)

    monkeypatch.setattr("pipewren.serve.request_rows.unquote", unquote)
    read_query(f"{nested}={nested}".encode(), None)
    assert 0 < len(decoded) <= 12
