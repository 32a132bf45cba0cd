"""What each token may read by SQL, and how it is narrowed (tokens.md sections 4 and 7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.queries.conftest import OF_TENANT, Served, check_error, check_not_found, reads

EVENTS = {"type": "DATASOURCES:READ", "resource": "events"}
KEPT = "(1, 'kept')"


@pytest.mark.parametrize("token", ["admin", "all_readers"])
async def test_who_reads_all_reads_all(served: Served, token: str) -> None:
    assert await served.rows("SELECT count() FROM events", token) == [[6]]
    assert await served.rows("SELECT secret FROM vault WHERE id = 1", token) == [["kept"]]
    assert await served.rows("SELECT n FROM several", token) == [[2]]
    assert await served.rows(f"SELECT {KEPT} IN vault", token) == [[1]]


@pytest.mark.parametrize("token", ["appender", "token_keeper"])
async def test_tokens_that_read_nothing_get_no_tables(served: Served, token: str) -> None:
    assert await served.rows("SELECT 1", token) == [[1]]
    for name in ("events", "users", "by_kind", "shop.events"):
        check_not_found(await served.ask(f"SELECT * FROM {name}", token), name)


@pytest.mark.parametrize("name", ["vault", "events", "users", "allowed", "by_kind", "of_tenant"])
async def test_a_token_of_one_pipe_reads_that_pipe_alone(served: Served, name: str) -> None:
    assert await served.rows("SELECT * FROM several", "one_pipe") == [[2]]
    for sql in (
        f"SELECT * FROM {name}",
        f"SELECT * FROM several, {name}",
        f"SELECT n FROM several WHERE n IN (SELECT count() FROM {name})",
        f"SELECT n FROM several UNION ALL SELECT count() FROM {name}",
        f"WITH (SELECT count() FROM {name}) AS c SELECT n + c FROM several",
        f"SELECT arrayMap(x -> (SELECT count() FROM {name}), [1]) FROM several",
        f"SELECT * FROM several ORDER BY (SELECT count() FROM {name})",
        f"SELECT * FROM several LIMIT (SELECT count() FROM {name})",
    ):
        check_not_found(await served.ask(sql, "one_pipe"), name)


async def test_scopes_name_resources_by_id_too(served: Served) -> None:
    assert await served.rows("SELECT count() FROM events", "by_id") == [[6]]
    assert await served.rows("SELECT n FROM several", "by_id") == [[2]]
    check_not_found(await served.ask("SELECT * FROM users", "by_id"), "users")


async def test_pipes_and_data_sources_of_a_token_are_joined(served: Served) -> None:
    sql = "SELECT name, hits FROM users AS u JOIN by_kind AS k ON u.id = k.hits ORDER BY name"
    assert await served.rows(sql, "mixed") == [["Ann", 1], ["Bo", 2]]
    check_not_found(await served.ask(sql.replace("users", "events"), "mixed"), "events")


# Each was an escape: a name that the engine took for a table where its reader took it for
# something else, on a connection that had served the table's workspace before.
@pytest.mark.parametrize(
    "sql",
    [
        *(f"SELECT {KEPT} IN vault", f"SELECT {KEPT} IN vault FROM users"),
        *(f"SELECT {KEPT} NOT IN vault FROM users", f"SELECT {KEPT} GLOBAL IN vault FROM users"),
        *(f"SELECT in({KEPT}, vault)", f"SELECT nullIn({KEPT}, vault)"),
        f"SELECT count() FROM users WHERE {KEPT} IN vault",
        f"SELECT arrayMap(x -> {KEPT} IN vault, [1])",
        f"SELECT {KEPT} IN vault UNION ALL SELECT vault FROM (SELECT 1 AS vault)",
        f"SELECT {KEPT} IN vault AS v, (SELECT 1 AS vault) AS other",
        f"SELECT {KEPT} IN vault, (SELECT n FROM several)",
        "SELECT 'Alexey Milovidov' IN contributors",
        "SELECT 99 IN only_foreign",
        "WITH vault AS (SELECT * FROM a), a AS (SELECT * FROM vault) SELECT * FROM vault",
        "WITH a AS (SELECT * FROM vault), vault AS (SELECT * FROM a) SELECT * FROM vault",
        "WITH vault AS (SELECT * FROM a), a AS (SELECT * FROM b), b AS (SELECT * FROM vault) "
        "SELECT * FROM vault",
        f"WITH vault AS (SELECT {KEPT} IN a), a AS (SELECT * FROM vault) SELECT * FROM vault",
        f"WITH vault AS (SELECT * FROM a), a AS (SELECT {KEPT} IN vault) SELECT * FROM vault",
        "WITH vault AS (SELECT (SELECT max(secret) FROM a) AS s), a AS (SELECT * FROM vault) "
        "SELECT * FROM vault",
        "SELECT * FROM (WITH vault AS (SELECT * FROM a), a AS (SELECT * FROM vault) "
        "SELECT * FROM vault)",
        "WITH RECURSIVE vault AS (SELECT id, secret FROM vault UNION ALL SELECT 9, 'x') "
        "SELECT * FROM vault",
        "WITH RECURSIVE vault AS (SELECT id, secret FROM vault UNION ALL SELECT id, secret FROM "
        "vault WHERE 0) SELECT * FROM vault",
        "WITH RECURSIVE vault AS (SELECT a.id AS id, a.secret AS s FROM a UNION ALL SELECT 9, 'x'),"
        " a AS (SELECT * FROM vault) SELECT * FROM vault",
        "WITH RECURSIVE vault AS (SELECT * FROM (WITH b AS (SELECT * FROM vault) SELECT * FROM b) "
        "UNION ALL SELECT 9, 'x') SELECT * FROM vault",
        f"WITH RECURSIVE vault AS (SELECT {KEPT} IN vault AS x UNION ALL SELECT 1) "
        "SELECT * FROM vault",
        "WITH processes AS (SELECT * FROM a), a AS (SELECT * FROM processes) "
        "SELECT * FROM processes",
        "WITH RECURSIVE databases AS (SELECT name FROM databases UNION ALL SELECT 'x') "
        "SELECT * FROM databases",
    ],
)
@pytest.mark.parametrize("token", ["reader", "one_pipe", "filtered"])
async def test_no_name_is_a_table_that_was_taken_for_something_else(
    served: Served, token: str, sql: str
) -> None:
    for _ in range(5):  # connections of all workers have the deployment's database
        assert await served.rows("SELECT count() FROM vault") == [[2]]
    for database in ("foreign", "admin"):
        await served.rows("SELECT count() FROM events", database)
        answer = await served.ask(sql, token)
        assert answer.status_code in (400, 403), answer.text
        assert "kept" not in answer.text.replace("is kept for the server", "")


@pytest.mark.parametrize("token", ["admin", "reader", "filtered"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'Alexey Milovidov' IN system.contributors, 1 AS system FROM users",
        "SELECT 'x' IN system.contributors, 1 AS system",
        "WITH 1 AS system SELECT 'x' IN system.contributors",
        "SELECT 'x' IN system.contributors FROM users AS system",
        "SELECT arrayMap(system -> 'x' IN system.contributors, [1])",
        "WITH system AS (SELECT 1) SELECT 'x' IN system.contributors",
        "WITH 1 AS foreign SELECT 99 IN foreign.only_foreign",
    ],
)
async def test_no_name_with_a_dot_right_of_in_is_a_table(
    served: Served, token: str, sql: str
) -> None:
    assert (await served.ask(sql, token)).status_code == 400


@pytest.mark.parametrize("token", ["admin", "reader"])
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("WITH [1] AS k SELECT id IN k FROM users ORDER BY id", [[1], [0]]),
        ("WITH (1, 5) AS k SELECT id IN k FROM users ORDER BY id", [[1], [0]]),
        ("WITH ((1, 'Ann'), (9, 'x')) AS k SELECT count() FROM users WHERE (id, name) IN k", [[1]]),
        ("WITH (SELECT groupArray(id) FROM users) AS k SELECT 2 IN k", [[1]]),
        ("SELECT arrayFilter(x -> x IN name, ['Ann']) FROM users WHERE id = 1", [[["Ann"]]]),
        ("SELECT u.name IN u.name FROM users AS u WHERE id = 1", [[1]]),
        ("WITH u AS (SELECT id FROM users) SELECT count() FROM events WHERE id IN u", [[2]]),
        ("WITH vault AS (SELECT 5 AS id) SELECT 5 IN vault, 1 IN vault", [[1, 0]]),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4), "
            "s AS (SELECT max(n) AS m FROM r) SELECT m FROM s",
            [[4]],
        ),
        (
            "WITH RECURSIVE vault AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM vault WHERE n < 3) "
            "SELECT sum(n) FROM vault",
            [[6]],
        ),
        ("WITH users AS (SELECT * FROM users WHERE id = 2) SELECT name FROM users", [["Bo"]]),
        ("WITH b AS (SELECT * FROM a), a AS (SELECT 3 AS n) SELECT n FROM b", [[3]]),
    ],
)
async def test_names_of_columns_aliases_and_ctes_are_what_they_are(
    served: Served, token: str, sql: str, rows: list[list[object]]
) -> None:
    assert await served.rows(sql, token) == rows


@pytest.mark.parametrize("resource", ["of_tenant", "p_of_tenant"])
async def test_fixed_parameters_win_where_a_pipe_is_a_table(served: Served, resource: str) -> None:
    token = served.sign(reads(resource, tenant="a"))
    for sent in ({}, {"tenant": "b"}, {"tenant": ["b", "a"]}, {"TENANT": "b"}):
        assert await served.rows("SELECT id FROM of_tenant", token, **sent) == [[1], [2], [3]]
        sql = "SELECT DISTINCT o.tenant FROM of_tenant AS o JOIN of_tenant AS p USING id"
        assert await served.rows(sql, token, **sent) == [["a"]]
    rows = await served.rows("SELECT id FROM of_tenant", token, tenant="b", least=20)
    assert rows == [[2], [3]]
    for name in ("_", "of_tenant"):
        sql = f"SELECT min(tenant) FROM {name}"
        pipeline = {"pipeline": "of_tenant", "tenant": "b"}
        assert await served.rows(sql, token, **pipeline) == [["a"]]
    answer = await served.send(
        "/v0/sql",
        "POST",
        token=token,
        json={"q": "SELECT min(tenant) FROM of_tenant", "tenant": "b", "Tenant": ["b"]},
    )
    assert answer.text == "a\n"


async def test_fixed_parameters_hold_in_what_the_pipe_reads(served: Served) -> None:
    for name in ("over_tenant", "over_over"):
        token = served.sign(reads(name, tenant="a"))
        assert await served.rows(f"SELECT * FROM {name}", token, tenant="b") == [[3, "a"]]
        check_not_found(await served.ask("SELECT * FROM of_tenant", token), "of_tenant")


async def test_each_pipe_has_its_own_fixed_parameters(served: Served) -> None:
    token = served.sign(
        [*reads("over_tenant", tenant="a"), *reads("of_tenant", tenant="b"), *reads("over_over")]
    )
    sql = "SELECT o.first, (SELECT min(tenant) FROM of_tenant), v.first FROM over_tenant AS o, "
    assert await served.rows(f"{sql} over_over AS v", token, tenant="a") == [["a", "b", "a"]]
    template = "% SELECT {{String(tenant)}} AS sent, first FROM over_tenant"
    assert await served.rows(template, token, tenant="b") == [["b", "a"]]


async def test_a_pipe_in_two_scopes_with_different_parameters_is_refused(served: Served) -> None:
    token = served.sign([*reads("of_tenant", tenant="a"), *reads("p_of_tenant", tenant="b")])
    check_error(await served.ask("SELECT * FROM of_tenant", token), 403, "several scopes")


async def test_fixed_arrays_win_over_repeated_names(served: Served) -> None:
    token = served.sign(reads("picked", kinds="click"))
    rows = await served.rows("SELECT id FROM picked", token, kinds=["buy", "view"])
    assert rows == [[1], [3], [4]]


FILTERED: list[dict[str, Any]] = [
    {**EVENTS, "filter": OF_TENANT},
    *reads("by_kind", "over_over", "in_source", "equal"),
]


@pytest.mark.parametrize("kind", ["static", "jwt", "jwt by id"])
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT id FROM events ORDER BY id", [[1], [2], [3]]),
        ("SELECT id FROM shop.events ORDER BY id", [[1], [2], [3]]),
        ("SELECT count() FROM events WHERE tenant = 'b' OR 1", [[3]]),
        ("SELECT count() FROM events AS a, events AS b", [[9]]),
        ("SELECT count() FROM events PREWHERE n > 10", [[2]]),
        ("SELECT 4 IN (SELECT id FROM events)", [[0]]),
        ("WITH e AS (SELECT * FROM events) SELECT max(id) FROM e", [[3]]),
        ("WITH events AS (SELECT * FROM events) SELECT max(id) FROM events", [[3]]),
        ("SELECT max(id) FROM (SELECT * FROM events UNION ALL SELECT * FROM events)", [[3]]),
        ("SELECT (SELECT max(n) FROM events)", [[30]]),
        ("SELECT kind, hits FROM by_kind", [["click", 2], ["view", 1]]),
        ("SELECT sum(hits) FROM by_kind, events", [[9]]),
        ("SELECT hits FROM over_over", [[0]]),
        ("SELECT n FROM in_source", [[3]]),
    ],
)
async def test_a_row_filter_acts_on_the_table_and_in_pipes(
    served: Served, kind: str, sql: str, rows: list[list[object]]
) -> None:
    token = "filtered"
    if kind != "static":
        resource = "t_events" if kind == "jwt by id" else "events"
        token = served.sign([{**FILTERED[0], "resource": resource}, *FILTERED[1:]])
    assert await served.rows(sql, token) == rows
    assert await served.rows(sql, token, tenant="b") == rows


@pytest.mark.parametrize("pipe", ["growing", "circular"])
async def test_a_pipe_with_ctes_that_no_filter_can_follow_is_refused_under_one(
    served: Served, pipe: str
) -> None:
    path = f"/v0/pipes/{pipe}.ndjson"
    for _ in range(5):  # connections of all workers have the deployment's database
        assert (await served.send(path)).text == '{"n":6}\n'
    for answer in (
        await served.send(path, token="filtered"),
        await served.call(f"{pipe}.json", "SELECT * FROM _", "filtered"),
        await served.ask(f"SELECT * FROM {pipe}", "filtered"),
    ):
        assert answer.status_code in (400, 403), answer.text


async def test_filters_of_one_table_are_alternatives_and_no_filter_wins(served: Served) -> None:
    kinds = [{**EVENTS, "filter": f"kind = '{kind}'"} for kind in ("buy", "view")]
    sql = "SELECT id FROM events ORDER BY id"
    assert await served.rows(sql, served.sign(kinds)) == [[2], [5], [6]]
    assert len(await served.rows(sql, served.sign([*kinds, EVENTS]))) == 6


async def test_a_filter_of_a_table_leaves_the_others_unread(served: Served) -> None:
    token = served.sign([{**EVENTS, "filter": OF_TENANT}])
    for name in ("users", "by_kind", "vault"):
        check_not_found(await served.ask(f"SELECT * FROM {name}", token), name)


@pytest.mark.parametrize("filter", ["nowhere = 1", "tenant = ", "1 = 1) OR (1 = 1", "1; SELECT 1"])
async def test_a_filter_that_is_none_is_told(served: Served, filter: str) -> None:
    token = served.sign([{**EVENTS, "filter": filter}])
    answer = await served.ask("SELECT count() FROM events", token)
    assert answer.status_code == 400, answer.text
    assert "filter" in answer.json()["error"]


async def test_statistics_and_errors_under_a_filter_tell_nothing_of_hidden_rows(
    served: Served,
) -> None:
    answer = await served.ask("SELECT count() FROM events FORMAT JSON", "filtered")
    statistics = answer.json()["statistics"]
    assert (statistics["rows_read"], statistics["bytes_read"]) == (0, 0)
    answer = await served.ask("SELECT count() FROM events FORMAT JSON", "reader")
    assert answer.json()["statistics"]["rows_read"] > 0
    # Its rows have no such value; the hidden ones have.
    for sql in (
        "SELECT intDiv(1, n - 60) FROM events",
        "SELECT toUInt8(concat('x', toString(n))) FROM events WHERE n = 60",
        "SELECT toDate(kind) FROM events WHERE kind = 'buy'",
    ):
        answer = await served.ask(sql, "filtered")
        assert answer.status_code == 200 or "60" not in answer.text, answer.text
    wrong = await served.ask("SELECT toUInt8(kind) FROM events", "filtered")
    check_error(wrong, 400, "[Error] The statement failed. (CANNOT_PARSE_TEXT)")
    told = await served.ask("SELECT toUInt8(kind) FROM events", "reader")
    check_error(told, 400, "Cannot parse string 'click'")


async def test_errors_inside_a_pipe_tell_no_value_to_who_reads_the_pipe_only(
    served: Served,
) -> None:
    hidden = await served.ask("SELECT * FROM divided", "pipes")
    check_error(hidden, 400, "[Error] The statement failed. (CANNOT_PARSE_TEXT)")
    assert "kept" not in hidden.text
    check_error(await served.ask("SELECT * FROM divided"), 400, "'kept'")


async def test_a_jwts_rate_holds_for_the_query_api(served: Served) -> None:
    token = served.sign(reads("by_kind"), name="often", limits={"rps": 1_000_000})
    answer = await served.ask("SELECT 1", token)
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit"] == "1000000"
    assert "x-ratelimit-remaining" in answer.headers
    answer = await served.call("by_kind.json", "SELECT sum(hits) AS n FROM _", token)
    assert answer.headers["x-ratelimit-limit"] == "1000000"
    assert "x-ratelimit-limit" not in (await served.ask("SELECT 1", "pipes")).headers


async def test_a_jwt_of_another_workspace_or_key_reads_nothing(served: Served) -> None:
    other = served.server.deployments.keys() - {served.deployment.workspace.id}
    foreign = served.server.deployments[other.pop()].workspace
    for claims in ({"workspace_id": foreign.uuid}, {"exp": 1}, {"exp": None}):
        token = served.sign([EVENTS], **claims)
        check_error(await served.ask("SELECT 1", token), 403, "invalid authentication token")


async def test_the_same_text_is_each_tokens_own(served: Served) -> None:
    """In both orders, so that nothing is taken from what was found for another token."""
    sql = "SELECT count() FROM events"
    tenant_b = served.sign([{**EVENTS, "filter": "tenant = 'b' AND n > 40"}])
    expected = {"admin": 6, "reader": 6, "filtered": 3, tenant_b: 2, "foreign": 1}
    for order in (list(expected), list(reversed(expected))):
        for token in order:
            assert await served.rows(sql, token) == [[expected[token]]]
            check_not_found(await served.ask(sql, "one_pipe"), "events")
    sql = "SELECT min(tenant) FROM of_tenant"
    for tenant in ("a", "b", "a"):
        assert await served.rows(sql, served.sign(reads("of_tenant", tenant=tenant))) == [[tenant]]
    assert await served.rows(sql, "pipes", tenant="none") == [[""]]


async def test_a_secret_stays_in_its_pipe(served: Served) -> None:
    for token in ("pipes", "admin"):
        assert await served.rows("SELECT id FROM secretive", token) == [[2]]
        for sql in ("SELECT * FROM secretive WHERE {user_name:String} = ''", "SELECT {a:String}"):
            assert (await served.ask(sql, token)).status_code == 400
        answer = await served.ask("SELECT id / 'x' FROM secretive", token)
        assert answer.status_code == 400
        assert "Bo" not in answer.text


@pytest.mark.parametrize(
    ("token", "which", "may"),
    [
        ("chooser", None, True),  # what the template names by itself
        ("chooser", "events", True),
        ("chooser", "users", False),
        ("chooser", "by_kind", False),
        ("choosing_reader", "users", True),
        ("choosing_reader", "by_kind", True),
        ("choosing_reader", "allowed", False),
        ("all_readers", "allowed", True),
    ],
)
async def test_a_table_that_a_parameter_chooses_is_reached_with_the_callers_rights(
    served: Served, token: str, which: str | None, may: bool
) -> None:
    """tokens.md; a `table()` that may name anything names what the author's text does, and what the
    caller reads by a scope of its own."""
    parameters = {} if which is None else {"which": which}
    answers = [
        await served.send("/v0/pipes/chosen.json", token=token, params=parameters),
        await served.ask("SELECT n FROM chosen", token, **parameters),
        await served.call("chosen.json", "SELECT n FROM _", token, **parameters),
    ]
    if may:
        assert [answer.status_code for answer in answers] == [200, 200, 200]
    else:
        for answer in answers:
            check_error(answer, 400, "table()")
