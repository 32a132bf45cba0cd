"""The page on parameters is right, and its examples are served as they stand; what attackers send
as parameters does a real server no harm."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from pipewren.serve.call import MAX_PARAMETERS, OUTPUT_SWITCHES, RESERVED
from pipewren.serve.json_body import MAX_DEPTH
from pipewren.testing.serving import HttpAnswer, RunningServer, serving, write_files

PAGE = (Path(__file__).parents[2] / "docs" / "parameters.md").read_text()
# Ten visits, two in each second, written in no order.
VISITS = [
    {"id": n, "at": f"2024-05-06 10:00:0{n // 3}", "page": f"/{n}"}
    for n in (3, 1, 4, 10, 5, 9, 2, 6, 8, 7)
]
MANY = 120_000
START_S = 1_714_953_600  # 2024-05-06 00:00:00 UTC
ECHO = """NODE endpoint
SQL >
    %
    SELECT {{String(s, '-')}} AS s, {{Int32(i, 1)}} AS i, {{Array(a, 'Int32', '1,2')}} AS a,
        {{Array(t, 'String', 'x')}} AS t, {{Boolean(b, False)}} AS b
TYPE endpoint
"""
FORM, JSON = "application/x-www-form-urlencoded", "application/json"


def section(title: str) -> str:
    return PAGE.split(f"# {title}\n")[1].split("\n#")[0]


def example(title: str, language: str) -> str:
    """The section's one block in that language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)
    (found,) = [text for named, text in blocks if named == language]
    return str(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("parameters")
    files = {
        "datasources/visits.datasource": example("Pages of a result", ""),
        "endpoints/visits_page.pipe": example("By number", ""),
        "endpoints/visits_after.pipe": example("By key", ""),
        "endpoints/echo.pipe": ECHO,
        "fixtures/visits.ndjson": "".join(json.dumps(row) + "\n" for row in VISITS),
    }
    assert all(f"`{name}`" in PAGE for name in files if "visits" in name and "fix" not in name)
    # The same over more rows, to see what pages cost.
    for name in [name for name in files if "visits" in name]:
        files[name.replace("visits", "many")] = files[name].replace("FROM visits", "FROM many")
    files["fixtures/many.ndjson"] = "".join(
        json.dumps({"id": n, "at": START_S + n // 3, "page": "/"}) + "\n" for n in range(MANY)
    )
    with serving(write_files(folder / "project", files), folder / "data") as running:
        yield running


def run_python(server: RunningServer, title: str) -> list[str]:
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        exec(example(title, "python"), {"url": server.base_url, "token": server.token})
    return written.getvalue().splitlines()


def test_pages_by_number_are_all_rows_once(server: RunningServer) -> None:
    assert run_python(server, "By number") == [
        "page 0 of 10 rows: [10, 9, 8, 7]",
        "page 1 of 10 rows: [6, 5, 4, 3]",
        "page 2 of 10 rows: [2, 1]",
    ]


def test_pages_by_number_have_bounds(server: RunningServer) -> None:
    for query, text in (
        ({"page_size": 501}, "page_size is at most 500"),
        ({"page": -1}, "Error validating '-1' to type UInt32"),
        ({"page_size": 70_000}, "Error validating '70000' to type UInt16"),
    ):
        status, body = server.get("/v0/pipes/visits_page.json", **query)
        assert status == 400
        assert text in body["error"]
    status, body = server.get("/v0/pipes/visits_page.json", page=4_294_967_295, page_size=500)
    assert (status, body["data"], body["rows_before_limit_at_least"]) == (200, [], 10)


def test_pages_by_key_are_all_rows_once(server: RunningServer) -> None:
    assert run_python(server, "By key") == ["[10, 9, 8, 7]", "[6, 5, 4, 3]", "[2, 1]"]


def test_half_a_key_is_an_error_and_not_another_page(server: RunningServer) -> None:
    status, body = server.get("/v0/pipes/visits_after.json", after_id=7)
    assert status == 400
    assert "after_at" in body["error"]


def test_the_key_leads_the_engine_to_the_rows_and_a_number_does_not(server: RunningServer) -> None:
    last = {"after_at": "2024-05-06 00:00:20", "after_id": 61, "page_size": 10}
    status, by_key = server.get("/v0/pipes/many_after.json", **last)
    assert (status, by_key["rows"]) == (200, 10)
    status, by_number = server.get("/v0/pipes/many_page.json", page=MANY // 10 - 3, page_size=10)
    assert (status, by_number["rows"]) == (200, 10)
    assert by_key["statistics"]["rows_read"] < MANY / 4
    assert by_number["statistics"]["rows_read"] >= MANY - 100


def test_both_pages_are_the_same_by_curl(server: RunningServer) -> None:
    done = subprocess.run(
        ["bash", "-euc", example("By key", "sh")],
        env={**os.environ, "URL": server.base_url, "TOKEN": server.token},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert lines[:5] == lines[5:]
    assert lines[0] == '"id","at","page"'
    assert [line.split(",")[0] for line in lines[1:5]] == ["6", "5", "4", "3"]


def test_the_page_names_what_is_reserved_and_the_bounds() -> None:
    text = section("Reserved names").partition("What some")[0]
    assert set(re.findall(r"`(\w+)`", text)) == RESERVED | OUTPUT_SWITCHES
    assert f"at most {MAX_PARAMETERS} names" in section("Values")
    assert f"deeper than {MAX_DEPTH} levels" in section("Values")


# What the page says of values, and what attackers make of it


def post(
    server: RunningServer, body: bytes, content_type: str, query: str = "", method: str = "POST"
) -> HttpAnswer:
    path = "/v0/pipes/echo.json" + (f"?{query}" if query else "")
    headers = {"Content-Type": content_type} if content_type else {}
    return server.request(path, method=method, body=body, headers=headers)


def row(answer: HttpAnswer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    (only,) = answer.json()["data"]
    return dict(only)


@pytest.mark.parametrize(
    ("query", "body", "content_type", "expected"),
    [
        ("s=a&i=5", b"s=b%20c", FORM, {"s": "b c", "i": 5}),
        ("s=a&i=5", b'{"s": "\\u00f1", "i": 14.0}', JSON, {"s": "ñ", "i": 14}),
        ("a=1&a=2&t=x", b"t=y&t=z", FORM, {"a": [1, 2], "t": ["y", "z"]}),
        ("s=", b'{"t": ["a,b", "\'"], "b": true}', JSON, {"s": "", "t": ["a,b", "'"], "b": 1}),
        ("s=a", b'{"s": null}', JSON, {"s": "a"}),
        ("s=%00%0a%27%5c%F0%9F%90%A6", b"", FORM, {"s": "\0\n'\\🐦"}),
        ("s=a", '{"s": "é"}'.encode(), "", {"s": "é"}),
        ("token=wrong&tag=x&debug=1", b"s=x&query_id=y", FORM, {"s": "x"}),
    ],
)
def test_values_reach_the_engine_as_they_were_sent(
    server: RunningServer, query: str, body: bytes, content_type: str, expected: dict[str, Any]
) -> None:
    # urllib gives a body without a type that of a form: only http.client sends none.
    if content_type:
        found = row(post(server, body, content_type, query))
    else:
        url = urlsplit(server.base_url)
        with contextlib.closing(http.client.HTTPConnection(url.hostname or "", url.port)) as raw:
            raw.request(
                "POST",
                f"/v0/pipes/echo.json?{query}",
                body,
                {"Authorization": f"Bearer {server.token}"},
            )
            found = json.loads(raw.getresponse().read())["data"][0]
    assert {name: found[name] for name in expected} == expected


def test_a_token_in_a_post_body_counts(server: RunningServer) -> None:
    for body, kind in (
        (urlencode({"token": server.token, "s": "x"}).encode(), FORM),
        (json.dumps({"token": server.token, "s": "x"}).encode(), JSON),
    ):
        answer = server.request(
            "/v0/pipes/echo.json",
            method="POST",
            body=body,
            headers={"Content-Type": kind},
            token=None,
        )
        assert row(answer)["s"] == "x"


ATTACKS = {
    "a megabyte of separators": (b"&" * 999_999, FORM, "More than 1000 parameters"),
    "a hundred thousand names": (
        b"&".join(b"n%d=1" % n for n in range(100_000)),
        FORM,
        "More than 1000 parameters",
    ),
    "as many in JSON": (
        json.dumps({f"{n:x}": 1 for n in range(75_000)}).encode(),
        JSON,
        "More than 1000 parameters",
    ),
    "names that collide as integers": (
        json.dumps({str(n * (2**61 - 1)): 0 for n in range(30_000)}).encode(),
        JSON,
        "More than 1000 parameters",
    ),
    "lists without end": (b'{"s":' + b"[" * 900_000, JSON, "nested deeper than 64 levels"),
    "objects without end": (b'{"s":' * 150_000, JSON, "nested deeper than 64 levels"),
    "lists that end": (
        b'{"s":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        JSON,
        "nested deeper than 64 levels",
    ),
    "half a surrogate pair": (b'{"s": "\\ud800"}', JSON, "not valid JSON"),
    "half a pair, encoded": (b"s=%ED%A0%80", FORM, "parameter s is not percent-encoded UTF-8"),
    "an overlong slash": (b"s=%C0%AF", FORM, "parameter s is not percent-encoded UTF-8"),
    "raw bytes": (
        bytes(range(1, 256)).replace(b"&", b"") * 3000,
        FORM,
        "is not percent-encoded UTF-8",
    ),
    "an integer of many digits": (b'{"s": ' + b"9" * 900_000 + b"}", JSON, "not valid JSON"),
    "a float beyond all": (b'{"i": 1e99999}', JSON, "not valid JSON"),
    "an integer of 4000 digits": (b'{"i": ' + b"9" * 4000 + b"}", JSON, "number of over 1024 bits"),
    "a long value": (b"s=" + b"x" * 999_000, FORM, "prints more than 262144 bytes"),
    "escapes that grow": (b"s=" + b"%27" * 200_000, FORM, "prints more than 262144 bytes"),
    "a list of many": (b"a=" + b"1," * 400_000 + b"1", FORM, ""),
    "multipart": (b"--x--\r\n", "multipart/form-data; boundary=x", "not multipart/form-data"),
    "a strange type": (b"s=1", "\xe9/" + "x" * 5000, "The body must be"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_a_bad_request_and_the_server_goes_on(
    server: RunningServer, attack: str
) -> None:
    body, content_type, expected = ATTACKS[attack]
    child = server.child_pid()
    answer = post(server, body, content_type)
    assert answer.status == 400, answer.body
    text = answer.json()["error"]
    assert expected in text
    assert len(text) < 10_000
    assert row(post(server, b"s=after", FORM))["s"] == "after"
    assert server.child_pid() == child


def test_the_body_of_a_get_is_no_second_request(server: RunningServer) -> None:
    url = urlsplit(server.base_url)
    inner = b"GET /v0/pipes/nothing.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((url.hostname, url.port or 80), timeout=30) as client:
        client.sendall(
            b"GET /v0/pipes/echo.json?s=one HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
            b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (server.token.encode(), len(inner), inner)
        )
        answer = b""
        while part := client.recv(65_536):
            answer += part
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"s": "one"' in answer
