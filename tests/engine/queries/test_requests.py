"""How a statement reaches the Query API, and templates in it (query-api.md section 1)."""

from __future__ import annotations

from typing import Any

import pytest

from pipewren.sql.caller_errors import POST_SQL
from tests.engine.queries.conftest import Served, check_error, check_not_found, value_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain"}
TYPED_JSON = {"Content-Type": "application/json"}
ADD = "% SELECT {{Int32(n, 3)}} + 1 AS n"
LISTED = "% SELECT {{Array(n, 'Int32', '7')}} AS n"
TSV = "text/tab-separated-values; charset=UTF-8"
TEMPLATES = "/cli/advanced-templates.html"
MAX_SQL_BYTES = 8192


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GET", {"params": {"q": "SELECT 1 + 1"}}),
        ("GET", {"params": [("q", "SELECT 1"), ("q", "SELECT 2")]}),
        ("POST", {"params": {"q": "SELECT 2"}}),
        ("POST", {"data": {"q": "SELECT 1 + 1"}}),
        ("POST", {"json": {"q": "SELECT 1 + 1"}}),
        ("POST", {"content": b"SELECT 1 + 1", "headers": TEXT}),
        ("POST", {"content": b"SELECT 2", "headers": {"Content-Type": "text/html; charset=utf-8"}}),
        ("POST", {"content": b"\xef\xbb\xbfSELECT 1 + 1", "headers": TEXT}),
        ("POST", {"content": b"SELECT 1 + 1"}),
        ("POST", {"content": b'{"q": "SELECT 1 + 1"}'}),
        ("POST", {"content": b' {\n "q": "SELECT 1 + 1"}', "headers": TEXT}),
        ("POST", {"content": b"SELECT 1 + 1 AS q", "headers": FORM}),
        ("POST", {"content": b"(SELECT 1 + 1)", "headers": FORM}),
        ("POST", {"content": b"% SELECT {{Int32(n, 2)}}", "headers": FORM}),
        ("POST", {"params": {"q": "SELECT 1"}, "content": b"q=SELECT+2", "headers": FORM}),
        ("POST", {"params": {"q": "SELECT 1"}, "content": b"SELECT 2", "headers": TEXT}),
    ],
)
async def test_a_statement_may_come_in_every_form_that_clients_send(
    served: Served, method: str, request_: dict[str, Any]
) -> None:
    answer = await served.send("/v0/sql", method, **request_)
    assert (answer.status_code, answer.text) == (200, "2\n")
    assert answer.headers["content-type"] == TSV


async def test_what_curl_calls_a_form_is_the_statement_whatever_it_holds(served: Served) -> None:
    sql = b"SELECT count() FROM events\nWHERE kind LIKE '%ck' AND tenant='a' AND 1+1 = 2 /*&;q*/"
    answer = await served.send("/v0/sql", "POST", content=sql, headers=FORM)
    assert (answer.status_code, answer.text) == (200, "2\n")


@pytest.mark.parametrize("path", ["/v0/sql", "/v0/sql/"])
async def test_with_and_without_a_slash_at_the_end(served: Served, path: str) -> None:
    answer = await served.send(path, "POST", content=b"SELECT 1", headers=TEXT)
    assert answer.text == "1\n"


@pytest.mark.parametrize(
    "request_",
    [
        {"params": {"token": value_of("reader")}, "content": b"SELECT count() FROM users"},
        {"data": {"token": value_of("reader"), "q": "SELECT count() FROM users"}},
        {"json": {"token": value_of("reader"), "q": "SELECT count() FROM users"}},
        {
            "headers": {"Authorization": f"bearer {value_of('reader')}"},
            "params": {"token": "no such token"},
            "content": b"SELECT count() FROM users",
        },
    ],
)
async def test_the_token_may_stand_anywhere_and_the_headers_wins(
    served: Served, request_: dict[str, Any]
) -> None:
    answer = await served.send("/v0/sql", "POST", token=None, **request_)
    assert (answer.status_code, answer.text) == (200, "2\n")


@pytest.mark.parametrize("token", [None, "no such token"])
async def test_without_a_token_nothing_is_read_of_the_statement(
    served: Served, token: str | None
) -> None:
    for sql in (b"SELECT 1", b"THIS IS NOT SQL", b"% SELECT {{error('rendered')}}"):
        answer = await served.send("/v0/sql", "POST", token=token, content=sql, headers=TEXT)
        check_error(
            answer,
            403,
            "invalid authentication token",
            page="/api-reference/overview#authentication",
        )


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GET", {}),
        ("GET", {"params": {"q": ""}}),
        ("POST", {}),
        ("POST", {"content": b"", "headers": TEXT}),
        ("POST", {"json": {"q": ""}}),
        ("POST", {"json": {"q": None}}),
        ("POST", {"json": {"n": 1}}),
        ("POST", {"data": {"n": "1"}}),
        ("POST", {"data": {"select": "1", "from": "cli"}}),
    ],
)
async def test_no_query_is_told(served: Served, method: str, request_: dict[str, Any]) -> None:
    answer = await served.send("/v0/sql", method, **request_)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "The request body should contain a query",
        "documentation": POST_SQL,
    }


@pytest.mark.parametrize("sql", [" ", " \n\t", "%", "% \n", "% {% if 0 %}SELECT 1{% end %}"])
async def test_blanks_are_an_empty_query(served: Served, sql: str) -> None:
    answer = await served.ask(sql)
    check_error(answer, 400, "DB::Exception: Empty query", page="/query/query-parameters.html")
    answer = await served.send("/v0/sql", params={"q": sql})
    check_error(answer, 400, "DB::Exception: Empty query", page="/query/query-parameters.html")


async def test_text_that_is_not_utf_8_is_refused(served: Served) -> None:
    body = "SELECT 'é'".encode("latin-1")
    answer = await served.send("/v0/sql", "POST", content=body, headers=TEXT)
    check_error(answer, 400, "not UTF-8: the byte at 8 is wrong")
    answer = await served.send("/v0/sql?q=SELECT+%ff")
    check_error(answer, 400, "The value of the parameter q is not percent-encoded UTF-8")
    answer = await served.send("/v0/sql", "POST", content=body, headers=FORM)
    check_error(answer, 400, "not UTF-8")


@pytest.mark.parametrize("body", [b'{"q": ', b'["SELECT 1"]', b'{"q": 1}', b'{"q": ["SELECT 1"]}'])
async def test_json_that_holds_no_statement_is_refused(served: Served, body: bytes) -> None:
    answer = await served.send("/v0/sql", "POST", content=body, headers=TYPED_JSON)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("The body is not", "The JSON body", "The parameter"))


@pytest.mark.parametrize("letter", ["x", "é"])
@pytest.mark.parametrize("head", ["SELECT length('", "% SELECT length('"])
async def test_a_statement_of_up_to_8_kb_of_utf_8_is_taken(
    served: Served, head: str, letter: str
) -> None:
    count = (MAX_SQL_BYTES - len(f"{head}')")) // len(letter.encode())
    taken = await served.ask(f"{head}{letter * count}')")
    assert (taken.status_code, taken.text) == (200, f"{count * len(letter.encode())}\n")
    for padding in (letter, "  "):
        refused = await served.ask(f"{head}{letter * count}'){padding}")
        check_error(refused, 400, "larger than 8,192 bytes (max_sql_bytes)")


async def test_parameters_do_not_count_towards_the_statements_size(served: Served) -> None:
    long = "x" * 20_000
    answer = await served.send(
        "/v0/sql", "POST", data={"q": "% SELECT length({{String(s)}})", "s": long, "t": long}
    )
    assert (answer.status_code, answer.text) == (200, "20000\n")


async def test_head_options_and_other_methods(served: Served) -> None:
    head = await served.send("/v0/sql", "HEAD", params={"q": "SELECT 1"})
    assert (head.status_code, head.text, head.headers["content-type"]) == (200, "", TSV)
    head = await served.send("/v0/sql", "HEAD", params={"q": "SELECT x"})
    assert (head.status_code, head.text) == (400, "")
    options = await served.send("/v0/sql", "OPTIONS", token=None)
    assert options.status_code == 204
    assert "POST" in options.headers["access-control-allow-methods"]
    assert "authorization" in options.headers["access-control-allow-headers"]
    for method in ("PUT", "DELETE", "PATCH"):
        answer = await served.send("/v0/sql", method, params={"q": "SELECT 1"})
        check_error(answer, 405, f"Method {method} is not allowed")


async def test_browsers_of_any_origin_may_read_answers_and_errors(served: Served) -> None:
    for sql in ("SELECT 1", "SELECT x"):
        answer = await served.ask(sql)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "X-DB-Exception-Code" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"params": {"n": "8"}, "content": ADD.encode(), "headers": TEXT}, "9\n"),
        ({"params": {"n": ["8", "4"]}, "content": ADD.encode(), "headers": TEXT}, "5\n"),
        ({"params": {"n": ["8", "4"]}, "content": LISTED.encode(), "headers": TEXT}, "[8,4]\n"),
        ({"params": {"n": "8,4"}, "content": LISTED.encode(), "headers": TEXT}, "[8,4]\n"),
        ({"content": LISTED.encode(), "headers": TEXT}, "[7]\n"),
        ({"data": {"q": ADD, "n": "8"}}, "9\n"),
        ({"data": {"q": LISTED, "n": ["8", "4"]}}, "[8,4]\n"),
        ({"params": {"q": ADD}, "data": {"n": "8"}}, "9\n"),
        ({"json": {"q": ADD, "n": 8}}, "9\n"),
        ({"json": {"q": ADD, "n": None}}, "4\n"),
        ({"json": {"q": LISTED, "n": [8, 4]}}, "[8,4]\n"),
        ({"params": {"n": "8"}, "json": {"q": ADD, "n": 9}}, "10\n"),
        ({"content": f"\n   {ADD}".encode(), "headers": TEXT}, "4\n"),
        ({"content": f"{ADD} FORMAT CSV".encode(), "headers": TEXT}, "4\n"),
    ],
)
async def test_a_template_takes_the_other_parameters(
    served: Served, request_: dict[str, Any], expected: str
) -> None:
    answer = await served.send("/v0/sql", "POST", **request_)
    assert (answer.status_code, answer.text) == (200, expected)


async def test_without_the_percent_sign_nothing_is_a_template(served: Served) -> None:
    answer = await served.ask("SELECT '{{Int32(n)}}'", n=1)
    assert answer.text == "{{Int32(n)}}\n"


async def test_nulls_of_a_json_body_are_as_if_they_had_not_been_sent(served: Served) -> None:
    names = ("pipeline", "token", "from", "n", "output_format_json_quote_64bit_integers")
    answer = await served.send("/v0/sql", "POST", json={"q": ADD, **dict.fromkeys(names)})
    assert (answer.status_code, answer.text) == (200, "4\n")
    assert answer.headers["content-type"] == TSV


@pytest.mark.parametrize("name", ["pipeline", "token", "playground", "cli_version", "debug"])
async def test_reserved_names_reach_no_template(served: Served, name: str) -> None:
    sql = f"% SELECT {{{{String({name}, 'not there')}}}} AS v"
    values = {name: {"pipeline": "by_kind", "token": value_of("admin")}.get(name, "sent")}
    answer = await served.ask(sql, **values)
    assert (answer.status_code, answer.text) == (200, "not there\n")


@pytest.mark.parametrize(
    "value", ["'", "' OR 1 = 1 --", "\\", "{{tb_secret('user_name')}}", "'||'"]
)
async def test_a_parameters_value_stays_a_value(served: Served, value: str) -> None:
    answer = await served.ask("% SELECT {{String(v)}} AS v FORMAT JSONCompact", v=value)
    assert answer.json()["data"] == [[value]]
    assert await served.rows("SELECT count() FROM of_tenant", tenant=value) == [[0]]


@pytest.mark.parametrize(
    ("sql", "status", "error"),
    [
        ("% SELECT {{Int32(n", 400, "Missing end expression }}"),
        ("% SELECT {% if 1 %}", 400, "Missing {% end %} block"),
        ("% SELECT {{Int32(n)}}", 400, "Error validating 'text' to type Int32"),
        ("% SELECT {{Int32(m, required=True)}}", 400, "Required parameter is not defined"),
        ("% SELECT {{error('as told')}}", 400, "as told"),
        ("% {{custom_error({'error': 'teapot'}, 418)}}", 418, "teapot"),
        ("% SELECT {{open('/etc/passwd')}}", 400, "open"),
        ("% SELECT {{().__class__}}", 400, "Invalid expression type: Attribute"),
        ("% {% for i in range(10000000) %}SELECT{% end %}", 400, "over the limit"),
    ],
)
async def test_what_a_template_cannot_do_is_told(
    served: Served, sql: str, status: int, error: str
) -> None:
    check_error(await served.ask(sql, n="text"), status, error)


@pytest.mark.parametrize("token", ["admin", "reader"])
@pytest.mark.parametrize(
    "sql",
    [
        "% SELECT {{tb_secret('user_name')}}",
        "% SELECT id FROM users WHERE name = {{tb_secret(which)}}",
        "% SELECT {{tb_secret('user_name', 'a default')}} AS v",
        "% SELECT tb_secret('user_name')",
        "SELECT tb_secret('user_name')",
        "SELECT {user_name:String}",
        "% SELECT {secret_user_name:String}",
    ],
)
async def test_no_callers_text_reads_a_secret(served: Served, token: str, sql: str) -> None:
    answer = await served.ask(sql, token, which="user_name")
    assert "Bo" not in answer.text
    if "default" in sql:
        assert (answer.status_code, answer.text) == (200, "a default\n")
    else:
        assert answer.status_code == 400


@pytest.mark.parametrize("name", ["vault", "several", "nowhere", "foreign.events", "shop.vault"])
async def test_a_templates_table_tells_nothing_of_what_the_token_may_not_read(
    served: Served, name: str
) -> None:
    sql = "% SELECT count() FROM {{table(t)}}"
    check_not_found(await served.ask(sql, "reader", t=name), name)


async def test_a_templates_table_may_be_any_that_the_token_reads(served: Served) -> None:
    for name, count in (("users", "2\n"), ("shop.users", "2\n"), ("by_kind", "3\n")):
        answer = await served.ask("% SELECT count() FROM {{table(t)}}", t=name)
        assert (answer.status_code, answer.text) == (200, count)


async def test_the_output_switches_act(served: Served) -> None:
    sql = "SELECT toUInt64(5) AS n, 1 / 0 AS f FORMAT JSON"
    assert (await served.ask(sql)).json()["data"] == [{"n": 5, "f": None}]
    answer = await served.ask(
        sql,
        output_format_json_quote_64bit_integers=1,
        output_format_json_quote_denormals=1,
    )
    assert answer.json()["data"] == [{"n": "5", "f": "inf"}]
