"""A statement around a pipe changes nothing of what the pipe reads: no CTE, alias, lambda, window
or setting. Either the rows are the pipe's, or the statement is refused."""

from __future__ import annotations

import pytest

from tests.engine.queries.conftest import Served, check_error

# What each pipe's rows are, whatever stands around it.
ROWS = {
    "by_kind": [["buy", 1], ["click", 3], ["view", 2]],
    "over_over": [[3, "b"]],
    "in_node": [[3]],
    "in_source": [[3]],
    "equal": [[2]],
    "mapped": [[[2, 3]]],
    "nullable": [[1, "Ann"], [2, "Bo"], [3, None], [4, None], [5, None], [6, None]],
    "screened": [[1], [2]],
    "rolled": [["", 6], ["buy", 1], ["click", 3], ["view", 2]],
    "most": [[0]],
}


@pytest.mark.parametrize(
    ("pipe", "sql"),
    [
        ("by_kind", "WITH events AS (SELECT 1 AS id, 'x' AS kind) SELECT * FROM by_kind"),
        ("by_kind", "WITH counts AS (SELECT 'x' AS kind, 9 AS hits) SELECT * FROM by_kind"),
        (
            "by_kind",
            "WITH events AS (SELECT 'x' AS kind), p AS (SELECT * FROM by_kind) SELECT * FROM p",
        ),
        (
            "by_kind",
            "SELECT * FROM (WITH events AS (SELECT 'x' AS kind) SELECT * FROM (SELECT * FROM "
            "by_kind))",
        ),
        (
            "by_kind",
            "WITH RECURSIVE events AS (SELECT 'x' AS kind UNION ALL SELECT kind FROM events "
            "WHERE 0) SELECT * FROM by_kind",
        ),
        ("by_kind", "WITH 'x' AS kind SELECT by_kind.kind, hits FROM by_kind"),
        ("by_kind", "WITH 'x' AS events SELECT * FROM by_kind"),
        ("by_kind", "SELECT * FROM by_kind AS events"),
        ("by_kind", "SELECT * FROM (SELECT * FROM by_kind) AS events"),
        ("by_kind", "SELECT events.kind, hits FROM by_kind AS events"),
        ("by_kind", "SELECT b.* FROM numbers(1) AS events, by_kind AS b"),
        (
            "by_kind",
            "SELECT kind, sum(hits) OVER events FROM by_kind WINDOW events AS (PARTITION BY kind)",
        ),
        ("over_over", "WITH of_tenant AS (SELECT 'z' AS tenant) SELECT * FROM over_over"),
        (
            "over_over",
            "WITH over_tenant AS (SELECT 7 AS hits, 'z' AS first) SELECT * FROM over_over",
        ),
        ("over_over", "WITH rows AS (SELECT 'z' AS tenant) SELECT * FROM over_over"),
        ("over_over", "WITH result AS (SELECT 7 AS hits, 'z' AS first) SELECT * FROM over_over"),
        ("over_over", "WITH over_over AS (SELECT * FROM over_over) SELECT * FROM over_over"),
        ("over_over", "WITH 7 AS hits, 'z' AS tenant, 'z' AS first SELECT o.* FROM over_over AS o"),
        ("in_source", "WITH allowed AS (SELECT 'b' AS tenant) SELECT * FROM in_source"),
        ("in_source", "WITH ['b'] AS allowed SELECT * FROM in_source"),
        ("in_source", "WITH 'b' AS allowed SELECT * FROM in_source"),
        ("in_source", "WITH ('b', 'c') AS allowed SELECT * FROM in_source"),
        ("in_source", "WITH (SELECT 'b') AS allowed SELECT * FROM in_source"),
        ("in_source", "SELECT * EXCEPT allowed FROM (SELECT *, ['b'] AS allowed FROM in_source)"),
        ("in_source", "WITH 'a' AS tenant SELECT * FROM in_source"),
        ("in_source", "SELECT * FROM in_source AS allowed"),
        (
            "in_source",
            "SELECT arrayJoin(arrayMap(allowed -> (SELECT n FROM in_source), [['b']]))",
        ),
        ("in_node", "WITH kinds AS (SELECT 'view' AS kind) SELECT * FROM in_node"),
        ("in_node", "WITH ['view'] AS kinds SELECT * FROM in_node"),
        ("in_node", "WITH events AS (SELECT 'click' AS kind) SELECT * FROM in_node"),
        ("in_node", "SELECT arrayJoin(arrayMap(kinds -> (SELECT n FROM in_node), [['view']]))"),
        ("equal", "WITH 'b' AS tenant, 1 AS n SELECT * FROM equal"),
        ("equal", "WITH equals AS less SELECT * FROM equal"),
        ("mapped", "WITH 100 AS x SELECT * FROM mapped"),
        ("mapped", "WITH 100 AS id, 100 AS ids SELECT m.* FROM mapped AS m"),
        ("mapped", "SELECT arrayJoin(arrayMap(x -> (SELECT ids FROM mapped), [9]))"),
        ("nullable", "WITH 1 AS id, 'z' AS name SELECT n.* FROM nullable AS n ORDER BY n.id"),
        ("nullable", "WITH users AS (SELECT 3 AS id, 'z' AS name) SELECT * FROM nullable"),
        ("nullable", "WITH e AS (SELECT 3 AS id), u AS (SELECT 3 AS id) SELECT * FROM nullable"),
    ],
)
async def test_names_around_a_pipe_do_not_reach_into_it(
    served: Served, pipe: str, sql: str
) -> None:
    for token in ("pipes", "admin"):
        assert await served.rows(sql, token) == ROWS[pipe]
    # Another pipe's tables are those that the filter acts on.
    assert await served.rows(f"SELECT * FROM {pipe}", "pipes") == ROWS[pipe]


@pytest.mark.parametrize(
    "head",
    [
        *("(x, y) -> 1 AS equals", "lambda((x, y), 1) AS equals", "(x, y) -> 1 AS less"),
        *("(x, y) -> 1 AS f, f AS equals", "(x, y) -> 1 AS f, f AS g, g AS equals"),
        *("x -> 1 AS count", "(x, y) -> 1 AS and", "(x, y) -> 1 AS `equals`"),
    ],
)
async def test_no_lambda_takes_a_functions_name(served: Served, head: str) -> None:
    for sql in (
        f"WITH {head} SELECT * FROM equal",
        f"SELECT * FROM (WITH {head} SELECT * FROM equal)",
        f"WITH {head} SELECT (SELECT hits FROM equal)",
        f"SELECT {head.replace(', ', ' , ')}, (SELECT hits FROM equal)",
    ):
        for token in ("pipes", "admin"):
            text = "it gives a lambda the name of the function"
            check_error(await served.ask(sql, token), 400, text)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH toDate('1990-01-01') AS today SELECT * FROM dated",
        "WITH toDate('1990-01-01') AS TODAY SELECT * FROM dated",
        "SELECT *, toDate('1990-01-01') AS today FROM dated",
        "SELECT * FROM (SELECT *, toDate('1990-01-01') AS today FROM dated)",
        "SELECT arrayMap(today -> (SELECT n FROM dated), [toDate('1990-01-01')])",
        "WITH today AS (SELECT toDate('1990-01-01') AS today) SELECT * FROM dated",
        "SELECT * FROM dated AS today",
        "SELECT * FROM dated JOIN (SELECT toDate('1990-01-01') AS today) AS j ON 1 = 1",
    ],
)
async def test_no_name_stands_for_what_a_pipe_means_as_a_function(served: Served, sql: str) -> None:
    for token in ("pipes", "admin"):
        text = "'today' is a function in 'dated', and a name in the statement"
        check_error(await served.ask(sql, token), 400, text)
    answer = await served.call("dated.ndjson", sql.replace("dated", "_"), "pipes")
    check_error(answer, 400, "'today' is a function in 'dated'")


async def test_a_column_of_a_table_beside_the_pipe_does_not_reach_into_it(served: Served) -> None:
    sql = "SELECT d.n FROM users AS u, dated AS d WHERE u.id = 1"
    assert await served.rows(sql) == [[5]]
    sql = "SELECT n FROM (SELECT toDate('1990-01-01') AS day, 'b' AS tenant) AS t, dated AS d"
    assert await served.rows(sql) == [[5]]


async def test_ctes_with_the_engines_names_are_refused(served: Served) -> None:
    database = served.deployment.database
    for name in (f"{database}.events", f"w_{served.deployment.workspace.id}.events__1", database):
        for sql in (
            f"WITH `{name}` AS (SELECT 'x' AS kind) SELECT * FROM by_kind",
            f"WITH ['x'] AS `{name}` SELECT * FROM in_source",
            f"SELECT * FROM by_kind AS `{name}`",
            f"SELECT kind AS `{name}` FROM by_kind",
        ):
            check_error(await served.ask(sql, "pipes"), 400, "is kept for the server")
    # The engine's own spelling of a name of two parts.
    sql = f"WITH `{database}` AS (SELECT 1) SELECT * FROM (SELECT * FROM by_kind)"
    assert (await served.ask(sql, "pipes")).status_code == 400


@pytest.mark.parametrize(
    ("pipe", "setting"),
    [
        ("screened", "join_use_nulls = 1"),
        ("rolled", "group_by_use_nulls = 1"),
        ("most", "aggregate_functions_null_for_empty = 1"),
    ],
)
async def test_no_setting_around_a_pipe_changes_its_rows(
    served: Served, pipe: str, setting: str
) -> None:
    for token in ("pipes", "admin"):
        assert await served.rows(f"SELECT * FROM {pipe}", token) == ROWS[pipe]
        answer = await served.ask(f"SELECT * FROM {pipe} SETTINGS {setting}", token)
        check_error(answer, 400, f"The setting {setting.split()[0]} would change the rows")
        off = setting.replace("1", "0")
        answer = await served.ask(f"SELECT * FROM {pipe} SETTINGS {off} FORMAT JSONCompact", token)
        assert answer.json()["data"] == ROWS[pipe]
    answer = await served.call(f"{pipe}.ndjson", f"SELECT * FROM _ SETTINGS {setting}", "pipes")
    check_error(answer, 400, "would change the rows")


async def test_no_other_pipes_settings_change_a_pipes_rows(served: Served) -> None:
    sql = "SELECT id FROM screened WHERE id IN (SELECT id FROM nullable)"
    check_error(await served.ask(sql, "pipes"), 400, "The setting join_use_nulls would change")
    answer = await served.ask("SELECT * FROM nullable SETTINGS join_use_nulls = 0", "pipes")
    check_error(answer, 400, "The setting join_use_nulls has different values")


async def test_settings_that_change_nothing_of_a_pipe_are_taken(served: Served) -> None:
    sql = "SELECT u.name, k.hits FROM users AS u LEFT JOIN by_kind AS k ON u.name = k.kind LIMIT 1"
    answer = await served.ask(f"{sql} SETTINGS join_use_nulls = 1", "admin")
    assert answer.text == "Ann\t\\N\n"
    sql = "SELECT kind, n.name FROM by_kind, nullable AS n WHERE n.id = 3 AND hits = 1"
    assert await served.rows(sql, "pipes") == [["buy", None]]
    sql = "SELECT * FROM nullable WHERE id > 2 LIMIT 1 SETTINGS join_use_nulls = 1"
    assert (await served.ask(sql, "pipes")).text == "3\t\\N\n"
