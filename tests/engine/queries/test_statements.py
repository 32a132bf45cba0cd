"""What is a statement, and what an error says of one that is not (query-api.md sections 3, 4)."""

from __future__ import annotations

import pytest

from tests.engine.queries.conftest import Served, check_error

BEFORE = "/query/query-parameters.html"  # of errors that are found before anything runs
DURING = "/api-reference/query-api.html#post--v0-sql"


@pytest.mark.parametrize(
    ("sql", "body"),
    [
        ("SELECT 1;", "1\n"),
        ("SELECT 1 ;; \n ;", "1\n"),
        ("SELECT 1 -- the end;", "1\n"),
        ("SELECT ';'", ";\n"),
        ("SELECT *", "0\n"),
        ("SELECT 1/0, -1/0, 0/0", "inf\t-inf\tnan\n"),
        ("select 1 format TSV;", "1\n"),
        ("(SELECT 1)", "1\n"),
        ("((SELECT 1)) FORMAT CSV", "1\n"),
        ("SELECT 1 UNION ALL SELECT 1", "1\n1\n"),
        ("WITH a AS (SELECT 7 AS n) SELECT n FROM a", "7\n"),
        ("FROM users SELECT name ORDER BY id", "Ann\nBo\n"),
        ("/* c */ SELECT count() FROM users -- c", "2\n"),
        ("SELECT (SELECT name FROM users WHERE id = 2)", "Bo\n"),
        ("SELECT NULL", "\\N\n"),
        ("SELECT 1 WHERE 0", ""),
        ("SELECT 'é', '\\'', 'a\\tb'", "é\t\\'\ta\\tb\n"),
        ("SELECT count() FROM users SETTINGS join_use_nulls = 1", "2\n"),
        ("SELECT name FROM users ORDER BY id LIMIT 1 FORMAT CSVWithNames", '"name"\n"Ann"\n'),
    ],
)
@pytest.mark.parametrize("token", ["admin", "reader"])
async def test_a_select_is_answered(served: Served, token: str, sql: str, body: str) -> None:
    for _ in range(2):
        answer = await served.ask(sql, token)
        assert (answer.status_code, answer.text) == (200, body)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("INSERT INTO events SELECT * FROM events", "InsertQuery"),
        ("CREATE TABLE t (x Int8) ENGINE = Memory", "CreateQuery"),
        ("DROP TABLE events", "DropQuery"),
        ("TRUNCATE TABLE events", ""),
        ("ALTER TABLE events DELETE WHERE 1", "AlterQuery"),
        ("EXPLAIN SELECT 1", "ExplainQuery"),
        ("OPTIMIZE TABLE events", "OptimizeQuery"),
        ("SET max_threads = 1", ""),
        ("USE system", ""),
        ("SYSTEM FLUSH LOGS", ""),
        ("KILL QUERY WHERE 1", ""),
        ("RENAME TABLE events TO users", ""),
        ("GRANT ALL ON *.* TO default", ""),
        ("EXISTS TABLE vault", ""),
        ("SHOW CREATE TABLE vault", ""),
        ("SHOW PROCESSLIST", ""),
        ("CHECK TABLE events", ""),
        ("BACKUP TABLE events TO File('x')", ""),
        ("ATTACH TABLE t", ""),
        ("DELETE FROM events WHERE 1", ""),
        ("UPDATE events SET n = 1 WHERE 1", ""),
    ],
)
async def test_other_statements_are_named_and_refused(served: Served, sql: str, kind: str) -> None:
    answer = await served.ask(sql)
    text = f"DB::Exception: Only SELECT or DESCRIBE queries are supported. Got: {kind}"
    check_error(answer, 400, text, page=BEFORE)
    assert await served.rows("SELECT count(), sum(n) FROM events") == [[6, 210]]


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1; SELECT 2", "SELECT 1;SELECT 2;", "SELECT 1; DROP TABLE events", "SELECT 1; x"],
)
async def test_a_second_statement_is_refused(served: Served, sql: str) -> None:
    text = "DB::Exception: Syntax error (Multi-statements are not allowed): failed at position 9"
    check_error(await served.ask(sql), 400, text, page=BEFORE)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("THIS IS NOT SQL", "DB::Exception: Syntax error: failed at position 1 (THIS)"),
        ("SELECT 'hello", "failed at position 8 ('...'). Single quoted string is not"),
        ("SELECT (1", "DB::Exception: Syntax error: failed at position"),
        ("SELECT 1 FORMAT", "DB::Exception: Syntax error: failed at position"),
        (";", "DB::Exception: "),
        ("-- only a comment", "DB::Exception: "),
        ("SELECT 1\0", "DB::Exception: The statement holds a NUL character"),
        ("SELECT foo(1)", "DB::Exception: Unknown function foo"),
        ("SELECT x FROM (SELECT nope(1) AS x)", "DB::Exception: Unknown function nope"),
        ("SELECT tb_secret('x')", "Unknown function tb_secret. Usage: {{tb_secret("),
        ("SELECT sleep(3)", "DB::Exception: Usage of function sleep is restricted"),
        ("SELECT hostName()", "DB::Exception: Usage of function hostName is restricted"),
        ("SELECT VERSION()", "DB::Exception: Usage of function VERSION is restricted"),
        ("SELECT currentDatabase()", "DB::Exception: Usage of function currentDatabase is"),
        ("SELECT file('x')", "DB::Exception: Usage of function file is restricted"),
        ("SELECT arrayMap(sleep, [1])", "DB::Exception: Usage of function sleep is restricted"),
        ("SELECT * APPLY(sleep) FROM users", "DB::Exception: Usage of function sleep is"),
        ("SELECT * FROM url('http://x')", "Usage of table function url is restricted"),
        ("SELECT * FROM file('x.csv')", "Usage of table function file is restricted"),
        ("SELECT * FROM remote('x', 'y', 'z')", "Usage of table function remote is restricted"),
        ("SELECT * FROM merge('.*')", "Usage of table function merge is restricted"),
        ("SELECT 1 SETTINGS max_threads = 9", "Usage of setting 'max_threads' is restricted"),
        ("SELECT 1 SETTINGS readonly = 0", "Usage of setting 'readonly' is restricted"),
        ("SELECT * FROM (SELECT 1 SETTINGS join_use_nulls = 1)", "SETTINGS can stand at the end"),
        ("SELECT 1 INTO OUTFILE 'x'", "DB::Exception: "),
        ("SELECT {n:String}", "Query parameters, {name:Type}, cannot be given a value here"),
    ],
)
async def test_what_is_found_before_anything_runs(served: Served, sql: str, error: str) -> None:
    answer = await served.ask(sql)
    check_error(answer, 400, error, page=BEFORE)
    assert answer.json()["error"].startswith("DB::Exception: ")
    assert "x-db-exception-code" not in answer.headers


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT x", "47", "(UNKNOWN_IDENTIFIER)"),
        ("SELECT x FROM users", "47", "(UNKNOWN_IDENTIFIER)"),
        ("SELECT [1, 'a']", "386", "(NO_COMMON_TYPE)"),
        ("SELECT 1 + 'a'", "43", "(ILLEGAL_TYPE_OF_ARGUMENT)"),
        ("SELECT toUInt64('a')", "6", "Cannot parse string 'a' as UInt64"),
        ("SELECT name, count() FROM users", "215", "(NOT_AN_AGGREGATE)"),
        ("SELECT sum(count()) FROM users", "184", "(ILLEGAL_AGGREGATION)"),
        ("SELECT 1 LIMIT 'a'", "440", "(INVALID_LIMIT_EXPRESSION)"),
        ("SELECT intDiv(1, 0)", "153", "(ILLEGAL_DIVISION)"),
        ("SELECT * FROM numbers(1) UNION ALL SELECT 1, 2", "258", "(UNION_ALL_RESULT"),
    ],
)
async def test_what_fails_while_it_runs(served: Served, sql: str, code: str, name: str) -> None:
    answer = await served.ask(sql)
    check_error(answer, 400, name, page=DURING)
    assert answer.json()["error"].startswith("[Error] ")
    assert answer.headers["x-db-exception-code"] == code


async def test_formats_are_named_exactly(served: Served) -> None:
    answer = await served.ask("SELECT 1 FORMAT BogusFormat")
    text = "invalid format BogusFormat, available ones: JSON, CSV, CSVWithNames, TSV, TSVWithNames,"
    check_error(answer, 403, text, page="/api-reference/overview#authentication")
    for name in ("json", "Null", "Pretty", "SQLInsert", "Values"):
        answer = await served.ask(f"SELECT 1 FORMAT {name}")
        check_error(answer, 403, f"invalid format {name}, available ones: JSON")


async def test_sdks_that_write_no_format_read_json(served: Served) -> None:
    for sender, type in (("ts-sdk", "application/json"), ("python-sdk", "application/json")):
        answer = await served.ask("SELECT 1 AS n", **{"from": sender})
        assert answer.headers["content-type"].startswith(type)
        assert answer.json()["data"] == [{"n": 1}]
    for sender in ("cli", "", "JSON"):
        answer = await served.ask("SELECT 1 AS n", **{"from": sender})
        assert answer.text == "1\n"


async def test_the_parameter_format_does_nothing(served: Served) -> None:
    answer = await served.ask("SELECT 1 AS n", format="JSON")
    assert answer.text == "1\n"


async def test_a_json_document_has_all_its_parts(served: Served) -> None:
    answer = await served.ask("SELECT id, name FROM users ORDER BY id LIMIT 1 FORMAT JSON")
    document = answer.json()
    assert document["meta"] == [
        {"name": "id", "type": "UInt32"},
        {"name": "name", "type": "String"},
    ]
    assert document["data"] == [{"id": 1, "name": "Ann"}]
    assert document["rows"] == 1
    assert document["rows_before_limit_at_least"] == 2
    assert document["statistics"].keys() == {"elapsed", "rows_read", "bytes_read"}


async def test_a_very_deep_statement_is_refused(served: Served) -> None:
    deep = "SELECT " + "(" * 2000 + "1" + ")" * 2000
    answer = await served.ask(deep)
    assert answer.status_code == 400
    nested = "SELECT * FROM " + "(SELECT * FROM " * 150 + "users" + ")" * 150
    answer = await served.ask(nested)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("DB::Exception: ", "[Error] "))


async def test_a_column_may_have_the_name_that_the_server_uses_around_it(served: Served) -> None:
    answer = await served.rows("SELECT 1 AS a, map('k', repeat('x', 2000)) AS r FROM numbers(2)")
    assert answer == [[1, {"k": "x" * 2000}]] * 2
    answer = await served.rows("SELECT repeat('x', 2000) AS r, tuple(1) AS r_ FROM numbers(1)")
    assert answer == [["x" * 2000, [1]]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT toTimeZone(now(), 'file:/etc/passwd')",
        "SELECT CAST('2020-01-01 00:00:00', 'DateTime(\\'file:/etc/passwd\\')')",
        "SELECT '2020-01-01'::DateTime('file:/etc/passwd')",
        "SELECT JSONExtract('{}', 'a', 'Nullable(DateTime64(3, \\'file:/etc/passwd\\'))')",
        "SELECT now('file:/etc/passwd')",
        "SELECT toTimeZone(now(), concat('fi', 'le:/etc/passwd'))",
        "WITH 'file:/etc/passwd' AS z SELECT toTimeZone(now(), z)",
        "WITH concat('UT', 'C') AS z SELECT toDateTime('2020-01-01 00:00:00', z)",
        "SELECT toTimeZone(now(), (SELECT 'UTC'))",
        "SELECT toTimeZone(now(), if(1, 'UTC', 'UTC'))",
        "SELECT now() AT TIME ZONE ['UTC'][1]",
        "SELECT CAST('2020-01-01 00:00:00', concat('Date', 'Time'))",
        "SELECT JSONExtract('{}', 'a', lower('String'))",
        "SELECT toString(now(), z) FROM values('z String', 'file:/etc/passwd')",
        "SELECT formatDateTime(now(), '%H', z) FROM (SELECT materialize('UTC') AS z)",
    ],
)
async def test_a_time_zone_is_written_out_and_no_file(served: Served, sql: str) -> None:
    check_error(await served.ask(sql), 400, "must be written out")


async def test_a_time_zone_that_is_written_out_is_taken(served: Served) -> None:
    rows = await served.rows(
        "WITH 'Asia/Tokyo' AS z SELECT toString(toTimeZone(toDateTime(0, 'UTC'), z)), "
        "toDateTime('1970-01-01 09:00:00', z) = toDateTime(0), CAST(7, 'UInt8'), "
        "toStartOfInterval(toDateTime(60), INTERVAL 1 MINUTE, 'UTC') = toDateTime(60)"
    )
    assert rows == [["1970-01-01 09:00:00", 1, 7, 1]]


async def test_no_value_of_a_call_is_a_special_file(served: Served) -> None:
    for file in ("file:/proc/self/fd/1", "file:../../../proc/self/fd/1", ":file:/dev/stdin"):
        answer = await served.send("/v0/pipes/of_tenant.json", params={"tenant": file})
        check_error(answer, 400, "special file")
        answer = await served.ask("SELECT * FROM of_tenant", tenant=file)
        check_error(answer, 400, "special file")
    answer = await served.send("/v0/pipes/of_tenant.json", params={"tenant": "file:///home/a.html"})
    assert answer.status_code == 200
