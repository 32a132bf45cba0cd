"""The routes that work on a statement's text, over the real engine (query-api.md section 5)."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipewren.testing.serving import HttpAnswer, RunningServer

DOCS = "https://docs.tinybird.co"


def post(server: RunningServer, path: str, token: str | None = "", **form: str) -> HttpAnswer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urllib.parse.urlencode(form).encode()
    return server.request(path, method="POST", headers=headers, body=body, token=token)


def tables_of(server: RunningServer, q: str, **form: str) -> Any:
    answer = post(server, "/v0/sql_tables", q=q, **form)
    assert answer.status == 200, answer.body
    assert answer.json().keys() == {"tables"}
    return answer.json()["tables"]


def replaced(server: RunningServer, q: str, **names: str) -> str:
    answer = post(server, "/v0/sql_replace", q=q, replacements=json.dumps(names))
    assert answer.status == 200, answer.body
    assert answer.json().keys() == {"query"}
    query: str = answer.json()["query"]
    return query


@pytest.mark.parametrize(
    ("q", "formatted"),
    [
        ("select a,b from t where x=1 -- c\n", "SELECT\n    a,\n    b\nFROM t\nWHERE x = 1"),
        ("select toDate(at) + INTERVAL 3 DAY", "SELECT toDate(at) + toIntervalDay(3)"),
        ("select 1 format JSON;", "SELECT 1\nFORMAT JSON"),
        ("select 'é\\n', '\\t'", "SELECT\n    'é\\n',\n    '\\t'"),
        ("%\nselect {{Int32(n)}}", "%\nselect {{Int32(n)}}"),
        ("  % select\t{% if x %}1{% end %} ", "  % select\t{% if x %}1{% end %} "),
    ],
)
@pytest.mark.parametrize("switch", [{}, {"with_clickhouse_format": "true"}])
def test_a_statement_is_formatted_as_clickhouse_does_and_a_template_stays(
    flights_server: RunningServer, q: str, formatted: str, switch: dict[str, str]
) -> None:
    answer = flights_server.request("/v0/sql_format", {"q": q, **switch})
    assert (answer.status, answer.json()) == (200, {"q": formatted})


@pytest.mark.parametrize(
    ("q", "tables"),
    [
        ("SELECT 1", []),
        ("SELECT * FROM b JOIN a USING x WHERE x IN (SELECT y FROM d) AND z IN e", "abde"),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x", "t"),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
        ("SELECT * FROM t UNION ALL SELECT * FROM t FORMAT JSON", "t"),
        ("SELECT * FROM numbers(10), t", "t"),
        ("SELECT * FROM `t` FINAL", "t"),
        ("DESCRIBE TABLE t", "t"),
        ("desc (SELECT * FROM t)", "t"),
        ("SELECT * FROM tinybird.ds, t", [["", "t"], ["tinybird", "ds"]]),
        ("SELECT * FROM `we ird`", [["", "we ird"]]),
        ("SELECT * FROM no_such_table", [["", "no_such_table"]]),
    ],
)
def test_the_tables_that_a_statement_names_are_listed(
    flights_server: RunningServer, q: str, tables: Any
) -> None:
    if isinstance(tables, str):
        tables = [["", name] for name in tables]
    for raising in ("true", "false"):
        form = {"raising": raising, "table_functions": "false", "is_copy": "false"}
        assert tables_of(flights_server, q, **form) == tables


@pytest.mark.parametrize(
    ("q", "error"),
    [
        ("SELECT", "DB::Exception: Syntax error: failed at position 7"),
        ("INSERT INTO t SELECT 1", "DB::Exception: Only SELECT or DESCRIBE queries are supported"),
        ("SHOW CREATE TABLE t", "DB::Exception: Only SELECT or DESCRIBE queries are supported"),
        ("SELECT * FROM url('http://x/')", "url"),
        ("SELECT 1; SELECT 2", "DB::Exception: Syntax error (Multi-statements are not allowed)"),
    ],
)
def test_a_text_that_cannot_be_read_is_an_error_only_where_that_is_asked_for(
    flights_server: RunningServer, q: str, error: str
) -> None:
    answer = post(flights_server, "/v0/sql_tables", q=q, raising="true")
    assert answer.status == 400
    assert error in answer.json()["error"]
    assert answer.json()["error"].startswith("DB::Exception: ")
    expected = [] if "url" in q else [["", q]]
    assert tables_of(flights_server, q) == expected


@pytest.mark.parametrize(
    ("q", "names", "written"),
    [
        ("select a from t", {"t": "n"}, "SELECT a FROM n AS t"),
        ("select t.a from t", {"t": "w.n"}, "SELECT t.a FROM w.n AS t"),
        ("select q.a from t as q", {"t": "n"}, "SELECT q.a FROM n AS q"),
        ("select a from db.u", {"db.u": "n", "u": "x"}, "SELECT a FROM n AS u"),
        ("select a from u where b in t", {"t": "w.n"}, "SELECT a FROM u WHERE b IN (w.n)"),
        (
            "with t as (select * from t) select * from t",
            {"t": "n"},
            "WITH t AS (SELECT * FROM n AS t) SELECT * FROM t",
        ),
        ("select a from t format JSON", {"t": "t"}, "SELECT a FROM t FORMAT JSON"),
        ("select today() as x", {}, "SELECT today() AS x"),
        ("select a::UInt8 from t", {"t": "n"}, "SELECT CAST(a, 'UInt8') FROM n AS t"),
    ],
)
def test_names_of_tables_are_replaced_where_they_mean_tables(
    flights_server: RunningServer, q: str, names: dict[str, str], written: str
) -> None:
    assert replaced(flights_server, q, **names) == written


@pytest.mark.parametrize(
    "replacements",
    ["", "[]", "{", '{"t": 1}', '{"t": "(SELECT 1)"}', '{"t": "a.b.c"}', '{"t": "n, secret"}'],
)
def test_replacements_are_names_of_tables(flights_server: RunningServer, replacements: str) -> None:
    answer = post(flights_server, "/v0/sql_replace", q="SELECT * FROM t", replacements=replacements)
    assert answer.status == 400
    assert "replacement" in answer.json()["error"]


@pytest.mark.parametrize(
    "q",
    [
        "SELECT 1e400 FROM t",  # is written as `inf.`
        "WITH n AS (SELECT 1) SELECT * FROM t",  # `n` would mean the CTE
        "SELECT * FROM t, url('http://x/')",
        "DROP TABLE t",
        "SELECT * FROM (",
    ],
)
def test_what_would_not_mean_the_same_is_not_replaced(
    flights_server: RunningServer, q: str
) -> None:
    answer = post(flights_server, "/v0/sql_replace", q=q, replacements='{"t": "n"}')
    assert answer.status == 400
    assert answer.json()["error"]


def test_texts_are_bounded_and_must_be_there(flights_server: RunningServer) -> None:
    for path in ("/v0/sql_tables", "/v0/sql_replace", "/v0/sql_format"):

        def ask(q: str | None, path: str = path) -> tuple[int, dict[str, str]]:
            form = {} if q is None else {"q": q}
            if path == "/v0/sql_format":
                answer = flights_server.request(path, form)
            else:
                answer = post(flights_server, path, raising="true", replacements="{}", **form)
            return answer.status, answer.json()

        for missing in (None, ""):
            status, answer = ask(missing)
            assert status == 400
            assert answer["error"] == "The request body should contain a query"
            assert answer["documentation"] == f"{DOCS}/api-reference/query-api.html#post--v0-sql"
        assert ask(" \n") == (
            400,
            {
                "error": "DB::Exception: Empty query",
                "documentation": f"{DOCS}/query/query-parameters.html",
            },
        )
        if path == "/v0/sql_format":  # a URL is bounded elsewhere
            assert ask("SELECT '" + "x" * 10_000 + "'")[0] == 414
            continue
        assert ask("SELECT '" + "x" * 8183 + "'")[0] == 200  # 8,192 bytes
        for long in ("SELECT '" + "x" * 8184 + "'", "SELECT '" + "é" * 4092 + "'"):
            status, answer = ask(long)
            assert status == 400
            assert answer["error"].startswith("The statement is larger than 8,192 bytes")
        assert ask("SELECT " + "(" * 4000)[0] == 400  # nested too deeply


def test_a_token_is_needed_and_says_nothing_of_the_workspace(flights_server: RunningServer) -> None:
    for token in (None, "p.wrong"):
        assert (
            flights_server.request("/v0/sql_format", {"q": "SELECT 1"}, token=token).status == 403
        )
        for path in ("/v0/sql_tables", "/v0/sql_replace"):
            assert post(flights_server, path, token, q="SELECT 1", replacements="{}").status == 403
    # The route itself is there with a method that it does not have.
    assert flights_server.request("/v0/sql_tables", {"q": "SELECT 1"}).status == 405
