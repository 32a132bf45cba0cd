"""What a table's name means, and to whom (query-api.md section 3; client-compat.md section 3)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.engine.queries.conftest import Served, check_error, check_not_found

BY_KIND = [["buy", 1], ["click", 3], ["view", 2]]
SEVERAL = {"pipeline": "several"}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("users", [[1, "Ann"], [2, "Bo"]]),
        ("`users`", [[1, "Ann"], [2, "Bo"]]),
        ('"users"', [[1, "Ann"], [2, "Bo"]]),
        ("shop.users", [[1, "Ann"], [2, "Bo"]]),
        ("`shop`.`users` AS u", [[1, "Ann"], [2, "Bo"]]),
        ("(SELECT * FROM users)", [[1, "Ann"], [2, "Bo"]]),
        ("by_kind", BY_KIND),
        ("shop.by_kind", BY_KIND),
        ("by_kind AS k", BY_KIND),
        ("over_over", [[3, "b"]]),
        ("in_node", [[3]]),
        ("in_source", [[3]]),
        ("several", [[2]]),
        ("draft", [[2]]),
        ("dated", [[5]]),
        ("secretive", [[2]]),
        ("mapped", [[[2, 3]]]),
    ],
)
async def test_data_sources_and_pipes_are_tables(
    served: Served, name: str, rows: list[list[object]]
) -> None:
    assert await served.rows(f"SELECT * FROM {name}") == rows


@pytest.mark.parametrize(
    "name",
    [
        *(
            "nowhere",
            "_",
            "USERS",
            "foreign.events",
            "only_foreign",
            "default.users",
            "shop.nowhere",
        ),
        *("counts", "inner_rows", "middle", "first", "t_events", "p_by_kind", "users__1"),
        *("tinybird.nowhere", "organization.usage", "pipe_stats_rt"),
        *(
            "system.processes",
            "system.users",
            "system.query_log",
            "system.zeros",
            "system.settings",
        ),
        *("information_schema.tables", "INFORMATION_SCHEMA.columns"),
    ],
)
@pytest.mark.parametrize("token", ["admin", "reader"])
async def test_other_names_are_not_found_at_any_depth(
    served: Served, token: str, name: str
) -> None:
    for sql in (
        f"SELECT * FROM {name}",
        f"SELECT 1 WHERE 1 IN (SELECT 1 FROM {name})",
        f"WITH c AS (SELECT * FROM {name}) SELECT 1",
        f"SELECT (SELECT count() FROM users AS u JOIN {name} AS n ON 1 = 1) UNION ALL SELECT 1",
        f"DESCRIBE {name}",
    ):
        check_not_found(await served.ask(sql, token), name)


async def test_no_spelling_reaches_the_engines_own_databases(served: Served) -> None:
    workspace, database = served.deployment.workspace, served.deployment.database
    for name in (
        *(f"{database}.users", f"w_{workspace.id}.users__1", f"{workspace.id}.users"),
        f"{workspace.uuid.replace('-', '_')}.users",
    ):
        quoted = ".".join(f"`{part}`" for part in name.split("."))
        for sql in (f"SELECT * FROM {quoted}", f"SELECT 1 IN (SELECT id FROM {quoted})"):
            check_not_found(await served.ask(sql), name)
    answer = await served.ask(f"SELECT 1 IN {database}.users")
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("name", ["tinybird.pipe_stats_rt", "tinybird.datasources_ops_log"])
@pytest.mark.parametrize("token", ["reader", "pipes", "filtered", "appender"])
async def test_service_data_sources_are_not_for_who_reads_some_tables(
    served: Served, token: str, name: str
) -> None:
    check_not_found(await served.ask(f"SELECT * FROM {name}", token), name)


def with_quarantines(names: Iterable[str], *, filtered: str) -> list[str]:
    """The names with those of quarantines, but for the one of which a filter hides rows."""
    return sorted([*names, *(f"{name}_quarantine" for name in names if name != filtered)])


READERS = with_quarantines(["allowed", "events", "users"], filtered="")


async def test_another_workspaces_names_mean_its_own_tables_there(served: Served) -> None:
    assert await served.rows("SELECT id FROM events", "foreign") == [[99]]
    assert await served.rows("SELECT id FROM foreign.events", "foreign") == [[99]]
    for name in ("users", "shop.events", "by_kind", "vault"):
        check_not_found(await served.ask(f"SELECT * FROM {name}", "foreign"), name)
    names = await served.rows("SHOW TABLES", "foreign")
    expected = with_quarantines(["events", "only_foreign"], filtered="")
    assert names == [[name] for name in expected]


@pytest.mark.parametrize("name", ["_", "several"])
@pytest.mark.parametrize("pipeline", ["several", "p_several"])
@pytest.mark.parametrize("token", ["admin", "all_readers", "one_pipe", "by_id"])
async def test_underscore_is_the_pipe_of_pipeline(
    served: Served, token: str, pipeline: str, name: str
) -> None:
    assert await served.rows(f"SELECT n FROM {name}", token, pipeline=pipeline) == [[2]]
    rows = await served.rows(f"SELECT n FROM {name}", token, pipeline=pipeline, from_id=2)
    assert rows == [[1]]


async def test_beside_the_pipe_of_pipeline_all_else_is_there(served: Served) -> None:
    sql = "SELECT n, name FROM _, users ORDER BY name"
    assert await served.rows(sql, pipeline="several") == [[2, "Ann"], [2, "Bo"]]
    sql = "SELECT n, (SELECT sum(hits) FROM by_kind) FROM _"
    assert await served.rows(sql, pipeline="several") == [[2, 6]]


@pytest.mark.parametrize("token", ["admin", "all_readers"])
async def test_nodes_of_the_pipe_are_tables_for_who_reads_all(served: Served, token: str) -> None:
    rows = await served.rows("SELECT id, secret FROM inner_rows", token, **SEVERAL)
    assert rows == [[1, "kept"], [2, "hidden"]]
    assert await served.rows("SELECT id FROM middle", token, from_id=2, **SEVERAL) == [[2]]
    assert await served.rows("SELECT n FROM result", token, **SEVERAL) == [[2]]
    joined = "SELECT m.id FROM middle AS m JOIN inner_rows USING id WHERE secret = 'kept'"
    assert await served.rows(joined, token, **SEVERAL) == [[1]]
    assert await served.rows("SELECT id IN middle FROM users", token, **SEVERAL) == [[1], [1]]
    assert await served.rows("DESCRIBE middle", token, **SEVERAL) == [["id", "UInt32"] + [""] * 5]


@pytest.mark.parametrize("token", ["one_pipe", "by_id"])
@pytest.mark.parametrize("name", ["inner_rows", "middle", "result", "vault"])
async def test_nodes_and_tables_inside_a_pipe_are_closed_to_who_reads_the_pipe(
    served: Served, token: str, name: str
) -> None:
    for sql in (f"SELECT * FROM {name}", f"SELECT * FROM _ WHERE 1 IN (SELECT 1 FROM {name})"):
        check_not_found(await served.ask(sql, token, **SEVERAL), name)
    for left in ("1", "(1, 'kept')"):
        answer = await served.ask(f"SELECT {left} IN {name} FROM _", token, **SEVERAL)
        check_error(answer, 403, "a name right of IN is neither")


async def test_nodes_are_not_remembered_from_the_query_api_for_endpoints(served: Served) -> None:
    """The same text over the same pipe, by the same token."""
    sql = "SELECT count() FROM inner_rows"
    assert await served.rows(sql, **SEVERAL) == [[2]]
    answer = await served.call("several.ndjson", f"{sql}\nFORMAT JSONCompact")
    check_not_found(answer, "inner_rows")


@pytest.mark.parametrize("pipeline", ["nowhere", "by_kind", "p_by_kind", "vault", "inner_rows"])
async def test_a_pipeline_that_is_not_the_tokens_does_not_exist(
    served: Served, pipeline: str
) -> None:
    for sql in ("SELECT 1", "SELECT * FROM _"):
        answer = await served.ask(sql, "one_pipe", pipeline=pipeline)
        check_error(answer, 404, f"The pipe '{pipeline}' does not exist")


async def test_an_empty_pipeline_is_none(served: Served) -> None:
    assert await served.rows("SELECT 1", pipeline="") == [[1]]
    check_not_found(await served.ask("SELECT * FROM _", pipeline=""), "_")


@pytest.mark.parametrize(
    ("token", "names"),
    [
        ("admin", ["allowed", "events", "users", "vault"]),
        ("all_readers", ["allowed", "events", "users", "vault"]),
        ("reader", ["allowed", "events", "users"]),
        ("by_id", ["events"]),
        ("filtered", ["events", "users"]),
        ("one_pipe", []),
        ("appender", []),
        ("token_keeper", []),
    ],
)
async def test_system_tables_tell_of_what_the_token_reads(
    served: Served, token: str, names: list[str]
) -> None:
    filtered = "events" if token == "filtered" else ""
    as_rows = [[name] for name in with_quarantines(names, filtered=filtered)]
    assert await served.rows("SHOW TABLES", token) == as_rows
    assert await served.rows("SELECT name FROM system.tables ORDER BY name", token) == as_rows
    columns = "SELECT DISTINCT table FROM system.columns ORDER BY table"
    assert await served.rows(columns, token) == as_rows
    found = await served.rows("SELECT DISTINCT database FROM system.tables", token)
    assert found == ([["shop"]] if names else [])
    assert await served.rows("SELECT name FROM system.databases", token) == [["shop"]]


async def test_system_tables_describe_tables_and_columns(served: Served) -> None:
    sql = "SELECT database, name, engine FROM system.tables WHERE name = 'users'"
    assert await served.rows(sql) == [["shop", "users", "MergeTree"]]
    sql = "SELECT name, type, position FROM system.columns WHERE table = 'events' ORDER BY position"
    assert await served.rows(sql, "reader") == [
        ["id", "UInt32", 1],
        ["tenant", "String", 2],
        ["kind", "String", 3],
        ["n", "Int64", 4],
        ["day", "Date", 5],
    ]


async def test_system_tables_of_the_engine_that_tell_nothing_of_it(served: Served) -> None:
    assert await served.rows("SELECT * FROM system.one", "one_pipe") == [[0]]
    for name in ("system.numbers", "system.numbers_mt"):
        assert await served.rows(f"SELECT * FROM {name} LIMIT 2", "one_pipe") == [[0], [1]]
    sql = "SELECT is_aggregate FROM system.functions WHERE name IN ('sum', 'upper') ORDER BY name"
    assert await served.rows(sql, "one_pipe") == [[1], [0]]


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SHOW TABLES", READERS),
        ("show tables;", READERS),
        ("SHOW TABLES LIKE '%s'", ["events", "users"]),
        ("SHOW TABLES LIKE 'EVENTS'", []),
        ("SHOW TABLES ILIKE 'EVENTS'", ["events"]),
        ("SHOW TABLES LIKE 'it''s'", []),
        ("SHOW TABLES LIMIT 1", ["allowed"]),
        ("SHOW TABLES LIKE '%s' LIMIT 1", ["events"]),
        ("SHOW TABLES LIKE 'vault'", []),
    ],
)
async def test_show_tables(served: Served, sql: str, names: list[str]) -> None:
    answer = await served.ask(sql, "reader")
    assert (answer.status_code, answer.text.splitlines()) == (200, names)
    answer = await served.ask(f"{sql.rstrip(';')} FORMAT JSON", "reader")
    assert [row["name"] for row in answer.json()["data"]] == names


@pytest.mark.parametrize(
    "sql",
    [
        *("SHOW TABLES FROM system", "SHOW TABLES FROM foreign", "SHOW FULL TABLES"),
        *("SHOW TABLES NOT LIKE 'x'", "SHOW TABLES WHERE name = 'x'", "SHOW DATABASES"),
        *("SHOW DICTIONARIES", "SHOW CLUSTERS", "SHOW TEMPORARY TABLES", "SHOW SETTINGS LIKE '%'"),
        *("SHOW TABLES LIMIT (SELECT 1)", "SHOW TABLES INTO OUTFILE 'x'"),
    ],
)
async def test_other_shows_are_refused(served: Served, sql: str) -> None:
    answer = await served.ask(sql)
    check_error(answer, 400, "DB::Exception: ", page="/query/query-parameters.html")


USERS = [["id", "UInt32"], ["name", "String"]]
KINDS = [["kind", "String"], ["hits", "UInt64"]]


@pytest.mark.parametrize(
    ("target", "columns"),
    [
        ("users", USERS),
        ("TABLE users", USERS),
        ("`users`", USERS),
        ("shop.users", USERS),
        ("TABLE shop.users", USERS),
        ("by_kind", KINDS),
        ("shop.by_kind", KINDS),
        ("(SELECT name FROM users)", [["name", "String"]]),
        ("SELECT name FROM users", [["name", "String"]]),
        ("WITH u AS (SELECT * FROM users) SELECT id FROM u", [["id", "UInt32"]]),
        ("FROM users SELECT id", [["id", "UInt32"]]),
        ("SELECT 1 AS one UNION ALL SELECT 2", [["one", "UInt8"]]),
        ("numbers(3)", [["number", "UInt64"]]),
        ("system.one", [["dummy", "UInt8"]]),
    ],
)
@pytest.mark.parametrize("word", ["DESCRIBE", "desc"])
async def test_describe_in_all_its_forms(
    served: Served, word: str, target: str, columns: list[list[str]]
) -> None:
    for end in ("", ";"):
        answer = await served.ask(f"{word} {target} FORMAT JSONCompact{end}")
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert [row[:2] for row in document["data"]] == columns
        assert [column["name"] for column in document["meta"]][:2] == ["name", "type"]
    answer = await served.ask(f"{word} {target}")
    assert [line.split("\t")[:2] for line in answer.text.splitlines()] == columns


@pytest.mark.parametrize(
    "sql",
    [
        *("DESCRIBE", "DESCRIBE ;", "DESCRIBE users, events", "DESCRIBE users WHERE 1"),
        *("DESCRIBE users; SELECT 1", "DESCRIBE (SELECT 1) UNION ALL SELECT 2"),
        *("DESCRIBE users JOIN events USING id", "DESCRIBE INSERT INTO users SELECT 1"),
        *("DESCRIBE file('x.csv')", "DESCRIBE users LIMIT 1", "DESCRIBE users INTO OUTFILE 'x'"),
        *("DESCRIBE SELECT sleep(1)", "DESCRIBE users SETTINGS max_threads = 1"),
    ],
)
async def test_describe_takes_one_table_or_select(served: Served, sql: str) -> None:
    answer = await served.ask(sql)
    check_error(answer, 400, "DB::Exception: ", page="/query/query-parameters.html")


async def test_describing_tells_nothing_of_what_the_token_may_not_read(served: Served) -> None:
    for name in ("vault", "shop.vault", "inner_rows"):
        for sql in (f"DESCRIBE {name}", f"DESC (SELECT * FROM {name})"):
            check_not_found(await served.ask(sql, "one_pipe", **SEVERAL), name)
    answer = await served.ask("DESCRIBE several", "one_pipe")
    assert answer.text.startswith("n\tUInt64")


async def test_a_cte_of_a_tables_name_is_the_cte(served: Served) -> None:
    assert await served.rows("WITH vault AS (SELECT 5 AS id) SELECT * FROM vault", "reader") == [
        [5]
    ]
    sql = "WITH users AS (SELECT name FROM users WHERE id = 1) SELECT * FROM users"
    for token in ("admin", "reader"):
        assert await served.rows(sql, token) == [["Ann"]]
    sql = "WITH by_kind AS (SELECT kind FROM by_kind WHERE hits = 1) SELECT * FROM by_kind"
    assert await served.rows(sql) == [["buy"]]


async def test_names_right_of_in(served: Served) -> None:
    tenants = "SELECT count() FROM events WHERE tenant IN "
    for name in ("allowed", "shop.allowed", "(SELECT tenant FROM allowed)", "(SELECT 'a')"):
        answer = await served.ask(tenants + name)
        assert (answer.status_code, answer.text) in ((200, "3\n"),) or "with a dot" in answer.text
    assert await served.rows("SELECT hits FROM by_kind WHERE hits IN in_node") == [[3]]
    text = "right of IN is the name of two things"
    check_error(await served.ask(f"WITH 'b' AS allowed {tenants}allowed"), 400, text)
