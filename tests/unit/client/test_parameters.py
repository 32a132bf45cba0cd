"""What a call's parameters look like on the wire (endpoints.md section 1)."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.client import Client, InvalidArgument
from pipewren.client.requests import MAX_URL_BYTES, endpoint_request
from pipewren.serve.call import read_call

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer

BASE = "http://127.0.0.1:7181"


class Kind(Enum):
    CLICK = "click"


def pairs(**parameters: Any) -> list[tuple[str, str]]:
    request = endpoint_request(BASE, "top", "json", parameters)
    assert request.method == "GET"
    return parse_qsl(request.target.partition("?")[2], keep_blank_values=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b&c=d", "a b&c=d"),
        ("", ""),
        ("ü", "ü"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (2**64, "18446744073709551616"),
        (1.5, "1.5"),
        (Decimal("1E+3"), "1000"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2024, 1, 1, 10, 0, 0), "2024-01-01T10:00:00"),
        (datetime(2024, 1, 1, 10, tzinfo=UTC), "2024-01-01T10:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Kind.CLICK, "click"),
    ],
)
def test_a_value_becomes_the_text_that_the_server_reads(value: Any, text: str) -> None:
    assert pairs(x=value) == [("x", text)]


def test_none_is_left_out_and_nothing_is_asked_for_then() -> None:
    assert endpoint_request(BASE, "top", "json", {"x": None}).target == "/v0/pipes/top.json"


def test_a_list_is_sent_as_a_repeated_name() -> None:
    assert pairs(x=[1, 2], y=("a,b", "c"), z={"q", "p"}) == [
        ("x", "1"),
        ("x", "2"),
        ("y", "a,b"),
        ("y", "c"),
        ("z", "p"),
        ("z", "q"),
    ]


@pytest.mark.parametrize("value", [[], ["a,b"]])
def test_a_list_that_a_form_would_lose_goes_as_json(value: list[str]) -> None:
    request = endpoint_request(BASE, "top", "json", {"x": value, "n": 1})
    assert (request.method, request.target) == ("POST", "/v0/pipes/top.json")
    assert request.content_type == "application/json"
    assert json.loads(request.body or b"") == {"x": value, "n": "1"}


@pytest.mark.parametrize("value", [b"bytes", {"a": 1}, [[1]], [None], object()])
def test_what_no_parameter_can_take_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="parameter wrong "):
        endpoint_request(BASE, "top", "json", {"wrong": value})


def test_a_token_is_no_parameter() -> None:
    with pytest.raises(InvalidArgument, match="give it to the client"):
        endpoint_request(BASE, "top", "json", {"token": "p.x"})


def test_a_url_is_a_get_up_to_4096_bytes_and_a_form_beyond() -> None:
    room = MAX_URL_BYTES - len(BASE + "/v0/pipes/top.json?x=")
    fits = endpoint_request(BASE, "top", "json", {"x": "a" * room})
    over = endpoint_request(BASE, "top", "json", {"x": "a" * (room + 1)})
    assert (fits.method, len(BASE + fits.target)) == ("GET", 4096)
    assert (over.method, over.target) == ("POST", "/v0/pipes/top.json")
    assert over.content_type == "application/x-www-form-urlencoded"
    assert over.body == b"x=" + b"a" * (room + 1)


def test_a_long_call_reaches_the_server_as_a_form(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.answers(200, rows_json)
    caller.query("top", {"ids": list(range(2000)), "name": "ü&"})
    (received,) = server.received
    assert received.method == "POST"
    assert received.query == []
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    sent = parse_qsl(received.body.decode())
    assert sent == [*(("ids", str(number)) for number in range(2000)), ("name", "ü&")]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.dictionaries(
        _TEXTS.filter(lambda name: name not in ("token", "q", "format", "from", "cli_version")),
        _TEXTS | st.lists(_TEXTS, max_size=4),
        max_size=5,
    ).map(lambda given: {f"p{name}": value for name, value in given.items()})
)
def test_the_server_reads_back_what_was_given(given_: dict[str, str | list[str]]) -> None:
    request = endpoint_request(BASE, "top", "json", given_)
    path, _, query = request.target.partition("?")
    scope = {
        "query_string": query.encode("ascii"),
        "headers": [(b"content-type", (request.content_type or "").encode())],
    }
    call = read_call(scope, "top", "json", request.body or b"")
    assert path == "/v0/pipes/top.json"
    for name, value in given_.items():
        # One element is told apart from a text only by the pipe, which splits it at commas.
        single = isinstance(value, list) and len(value) == 1
        read = call.values[name]
        assert (read if not single or isinstance(read, list) else [read]) == value


@pytest.mark.parametrize("pipe", ["", "a/b"])
def test_a_pipes_name_cannot_change_the_path(pipe: str) -> None:
    with pytest.raises(InvalidArgument):
        endpoint_request(BASE, pipe, "json", {})


def test_odd_characters_of_a_name_stay_in_its_place() -> None:
    assert endpoint_request(BASE, "..?x#", "json", {}).target == "/v0/pipes/..%3Fx%23.json"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:7181",
        "ftp://host",
        "http://",
        "http://user:hidden@host",
        "http://host?token=p.x",
        "http://host#x",
        "http://host:port",
        "http://a b",
    ],
)
def test_a_url_that_is_none_or_holds_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(url, "t")
    assert "hidden" not in str(caught.value)
    assert "p.x" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "a\nb", "a b", "ü", "a\r\nX: y"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client("http://host", token)
    assert not token or token not in str(caught.value)


def test_a_base_url_may_have_a_path_and_a_slash(
    caller: Caller, server: FailingServer, rows_json: dict[str, Any]
) -> None:
    server.answers(200, rows_json)
    caller.url += "/behind/"
    caller.query("top", {"x": 1})
    assert server.received[0].target == "/behind/v0/pipes/top.json?x=1"


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_timeout_of_nothing_is_refused(timeout_s: float) -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        Client("http://host", "t", timeout_s=timeout_s)
