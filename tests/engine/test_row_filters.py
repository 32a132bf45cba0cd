"""Row filters on a real engine: no probe tells a hidden row, and a filtered table answers as a
table would that holds the visible rows only (tokens.md section 7, engine-guard.md sections 3-5)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from pipewren.errors import BadRequest, EngineError, Forbidden
from pipewren.project.assembly import parse_project
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.filtered_answers import hide_scanned
from pipewren.sql.function_list import load_functions
from pipewren.sql.graph import compile_pipes
from pipewren.sql.pipes import CompiledPipe, CompiledStatement
from pipewren.sql.row_filters import RowFilters, Schema
from pipewren.sql.unfilterable import find_unfilterable
from pipewren.sqltext import Sql
from tests.engine.filtered_statements import write_statement
from tests.engine.filtered_tables import COLUMNS, COLUMNS_SQL, FILTERS, Tables, open_tables, outcome

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

GOLDEN = Path(__file__).parents[1] / "golden" / "row_filters"


def lines(name: str) -> list[str]:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("-- ")]


PROBES = lines("probes.sql")
GOOD_FILTERS = lines("filters.sql")
REFUSED = [tuple(json.loads(line)) for line in lines("refused_statements.jsonl")]
BAD_FILTERS = [
    *(tuple(json.loads(line)) for line in lines("refused_filters.jsonl")),
    ("id = " + "1+" * 3000 + "1", "longer"),
    ("(" * 300 + "id" + ")" * 300 + " = 1", "cannot be parsed|deep"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def tables(workspace: Workspace) -> AsyncIterator[Tables]:
    async with open_tables(workspace) as opened:
        yield opened


@pytest.mark.parametrize("probe", PROBES)
async def test_a_probe_sees_what_a_table_of_the_visible_rows_would_show(
    tables: Tables, probe: str
) -> None:
    for given_settings in ((), (("max_block_size", "512"),)):
        seen = await outcome(tables.run(probe, settings=given_settings))
        expected = await outcome(tables.copy.query(probe, settings=given_settings))
        assert seen == expected, (await tables.filtered(probe)).statement.sql
        assert "hidden" not in seen


async def test_the_probes_do_tell_hidden_rows_where_there_is_no_filter(tables: Tables) -> None:
    """Else none of them would prove anything."""
    telling = 0
    for probe in PROBES:
        seen = await outcome(tables.here.query(probe))
        telling += seen != await outcome(tables.copy.query(probe))
    assert telling > 50


@pytest.mark.parametrize(("statement", "reason"), REFUSED)
async def test_what_no_filter_reaches_is_refused(
    tables: Tables, statement: str, reason: str
) -> None:
    with pytest.raises(Forbidden, match="row filter on") as refused:
        await tables.filtered(statement)
    assert reason in refused.value.message


@pytest.mark.parametrize("source", ["ev", "rep FINAL"])
@pytest.mark.parametrize(
    "setting",
    [
        ("optimize_move_to_prewhere_if_final", "1"),
        ("short_circuit_function_evaluation", "disable"),
        ("optimize_move_to_prewhere", "1"),
        ("query_plan_filter_push_down", "0"),
        ("query_plan_enable_optimizations", "0"),
    ],
)
async def test_no_setting_of_an_author_has_a_condition_see_hidden_rows(
    tables: Tables, source: str, setting: tuple[str, str]
) -> None:
    for probe in (
        "toBool(if(tenant = 'b', 'zz', 'true'))",
        "bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0",
        "intDiv(1, tenant = 'a') = 1",
        "throwIf(tenant = 'b') = 0",
    ):
        inner = f"SELECT id, tenant FROM {source}"
        sql = f"SELECT count() AS c, sum(id) AS s FROM ({inner}) WHERE {probe}"
        written = CompiledStatement(Sql(sql), settings=(setting,))
        made = await tables.filters.apply(written, FILTERS)
        statement = tables.here.statement(made.statement.sql, settings=made.statement.settings)
        seen = (await tables.here.engine.run(replace(statement, database=made.database))).body
        assert seen == await tables.copy.query(sql), (probe, made.statement)


async def test_a_setting_final_shows_no_version_that_a_hidden_one_has_replaced(
    tables: Tables,
) -> None:
    """Where a filter is on what differs between versions, it is asked of the newest one."""
    filters = {"rep": ["NOT endsWith(secret, '+')"]}
    for sql in ("SELECT count() AS c FROM rep", "SELECT count() AS c FROM rep SAMPLE 1"):
        written = CompiledStatement(Sql(sql), settings=(("final", "1"),))
        made = await tables.filters.apply(written, filters)
        statement = tables.here.statement(made.statement.sql, settings=(("final", "1"),))
        seen = (await tables.here.engine.run(replace(statement, database=made.database))).body
        assert seen == b'{"c":16000}\n', made.statement.sql  # those of tenant b have one only


async def test_a_table_that_keeps_no_rows_can_have_a_filter(tables: Tables) -> None:
    await tables.here.execute(f"CREATE TABLE gone {COLUMNS_SQL} ENGINE = Null")
    functions = load_functions(tables.here.engine.capabilities.version)
    schema = Schema(tables.here.database, {"gone": COLUMNS}, {}, unstored=frozenset({"gone"}))
    filters = RowFilters(tables.here.engine, schema, functions)
    for sql in (
        "SELECT count() AS c FROM gone",
        "SELECT count() AS c FROM view(SELECT * FROM gone)",
    ):
        made = await filters.apply(CompiledStatement(Sql(sql)), {"gone": ["tenant = 'a'"]})
        statement = tables.here.statement(made.statement.sql)
        seen = (await tables.here.engine.run(replace(statement, database=made.database))).body
        assert seen == b'{"c":0}\n'


async def test_what_was_made_of_a_filtered_source_is_refused_unless_the_token_reads_it(
    tables: Tables,
) -> None:
    engine = tables.here.engine
    schema = Schema(
        tables.here.database,
        {name: COLUMNS for name in ("ev", "other")},
        {"ev": frozenset({"other"})},
    )
    filters = RowFilters(engine, schema, load_functions(engine.capabilities.version))
    statement = CompiledStatement(Sql("SELECT count() FROM other"))
    with pytest.raises(Forbidden, match="'other', which is made of all rows of 'ev'"):
        await filters.apply(statement, {"ev": ["id = 1"]})
    read = await filters.apply(statement, {"ev": ["id = 1"]}, unfiltered={"other"})
    assert read.statement.sql == statement.sql
    both = await filters.apply(statement, {"ev": ["id = 1"], "other": ["id = 2"]})
    assert "(id = 2)" in both.statement.sql


async def test_neither_statistics_nor_counts_tell_of_hidden_rows(tables: Tables) -> None:
    sql = "SELECT id FROM ev WHERE id % 2 = 0 ORDER BY id LIMIT 3"
    made = await tables.filtered(sql)
    statement = replace(
        tables.here.statement(made.statement.sql, format="JSON"), database=made.database
    )
    raw = await tables.here.engine.run(statement)
    shown = hide_scanned(raw, "JSON")
    assert raw.statistics.rows_read > shown.statistics.rows_read == 0
    document = json.loads(shown.body)
    assert document["statistics"]["rows_read"] == document["statistics"]["bytes_read"] == 0
    copied = json.loads(await tables.copy.query(sql, format="JSON"))
    assert document["rows_before_limit_at_least"] == copied["rows_before_limit_at_least"]
    assert document["data"] == copied["data"]


async def test_values_that_differ_in_every_call_reach_the_statement(tables: Tables) -> None:
    for shape in (
        "SELECT count() AS c FROM ev WHERE secret IN ({}) AND tenant != '{}'",
        "SELECT count() AS c FROM ev SAMPLE 1/2 WHERE secret IN ({}) AND tenant != '{}'",
    ):
        for values in ("'1'", "'1', '2'", "'1', '2', '3'", "'4'"):
            for name in ("it''s", "\\'", "x -- ", "73400330000"):
                sql = shape.format(values, name)
                assert await tables.run(sql) == await tables.copy.query(sql), sql


async def test_a_value_that_looks_like_a_mark_is_never_replaced(tables: Tables) -> None:
    sql = "SELECT 'pwfilter_ev' AS a, 'pwslot0000z' AS b, count() AS c FROM ev"
    assert await tables.run(sql) == await tables.copy.query(sql)
    with pytest.raises(Forbidden, match="kept for the server"):
        await tables.filtered("SELECT 'pwfilter_ev' AS a, count() AS c FROM ev SAMPLE 1/2")


PIPES = {
    "pipes/visible.pipe": "NODE n\nSQL >\n    SELECT id, flag FROM ev WHERE NOT throwIf(flag)\n",
    "pipes/top.pipe": (
        "NODE ids\nSQL >\n    %\n    SELECT id FROM visible WHERE id > {{Int32(low, 3)}}\n"
        "NODE sampled\nSQL >\n    SELECT id FROM rep FINAL SAMPLE 1/2 WHERE id IN ids\n"
        "NODE out\nSQL >\n    %\n    SELECT count() AS c, sum(id) AS s FROM ids WHERE id IN "
        "(SELECT id FROM {% if defined(half) %} sampled {% else %} ev {% end %})\nTYPE endpoint\n"
    ),
    "pipes/odd.pipe": (
        "NODE j\nSQL >\n    SELECT joinGet('ev', 'id', toUInt32(1)) AS x\n"
        "NODE r\nSQL >\n    SELECT id FROM ev SAMPLE 1000\n"
        "NODE d\nSQL >\n    SELECT id FROM other\nTYPE endpoint\n"
    ),
}


def compile_pipe_texts() -> Mapping[str, CompiledPipe]:
    return compile_pipes(parse_project({path: text.encode() for path, text in PIPES.items()}))


async def test_a_filter_acts_in_nodes_and_in_pipes_that_a_pipe_reads(tables: Tables) -> None:
    top = compile_pipe_texts()["top"]
    for values in ({}, {"low": "90"}, {"half": "1"}, {"half": "1", "low": "7000"}):
        sql = compile_endpoint(top, values).sql
        seen = await tables.run(sql)
        assert seen == await tables.copy.query(sql)
        assert b'"c":0' not in seen
        with pytest.raises(EngineError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
            await tables.here.query(sql)


async def test_a_deploy_is_told_which_nodes_refuse_filters(tables: Tables) -> None:
    engine = tables.here.engine
    columns = dict.fromkeys(("ev", "rep", "other"), COLUMNS)
    schema = Schema(tables.here.database, columns, {"ev": frozenset({"other"})})
    filters = RowFilters(engine, schema, load_functions(engine.capabilities.version))
    found = await find_unfilterable(filters, compile_pipe_texts(), tables=columns)
    assert [(one.pipe, one.node, one.datasource) for one in found] == [
        ("odd", "j", None),
        ("odd", "r", "ev"),
        ("odd", "d", "ev"),
    ]
    assert str(found[1]) == (
        'node "r" of pipe "odd" refuses tokens with a row filter on \'ev\': SAMPLE with a number '
        "of rows depends on hidden rows"
    )


async def test_several_filters_of_a_source_show_what_one_of_them_shows(tables: Tables) -> None:
    sql = "SELECT tenant, count() AS c FROM ev GROUP BY tenant ORDER BY tenant"
    both = {"ev": ["tenant = 'a'", "tenant = 'b' AND id < 10"]}
    assert (await tables.run(sql, both)).decode().splitlines() == [
        '{"tenant":"a","c":8000}',
        '{"tenant":"b","c":6}',
    ]
    assert await tables.run(sql, {"ev": []}) == b""


@pytest.mark.parametrize("text", GOOD_FILTERS)
async def test_a_filter_shows_what_its_condition_shows(tables: Tables, text: str) -> None:
    await tables.filters.check("ev", text)
    sql = "SELECT count() AS c, sum(id) AS s FROM ev"
    by_hand = await tables.here.query(f"{sql} WHERE {text.partition('--')[0]}")
    assert await tables.run(sql, {"ev": [text]}) == by_hand
    odd = await tables.run("SELECT count() AS c, sum(id) AS s FROM ev SAMPLE 1", {"ev": [text]})
    assert odd == by_hand


@pytest.mark.parametrize(("text", "reason"), BAD_FILTERS)
async def test_a_text_that_is_more_than_a_condition_on_a_row_is_refused(
    tables: Tables, text: str, reason: str
) -> None:
    with pytest.raises(BadRequest, match=reason):
        await tables.filters.check("ev", text)


async def test_a_filter_is_parsed_once_for_all_its_values(tables: Tables) -> None:
    asked = 0
    parse = tables.here.engine.parse

    class Counting:
        async def parse(self, sql: str) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return await parse(sql)

        async def run(self, statement: Any) -> Any:
            nonlocal asked
            asked += 1
            return await tables.here.engine.run(statement)

    schema = Schema(tables.here.database, {"ev": COLUMNS}, {})
    functions = load_functions(tables.here.engine.capabilities.version)
    filters = RowFilters(Counting(), schema, functions)
    for shape in (
        "SELECT id FROM ev WHERE secret = '{}'",
        "SELECT id FROM ev WHERE id = {} AND flag = 0",
        "SELECT id FROM ev SAMPLE 1/2 WHERE id = {}",
    ):
        for number in range(50):
            sql = Sql(shape.format(number))
            texts = [f"tenant = '{number}' AND id > {number}"]
            made = await filters.apply(CompiledStatement(sql), {"ev": texts})
            assert f"(tenant = '{number}') AND (id > {number})" in made.statement.sql
            value = shape.partition("WHERE ")[2].format(number).partition(" AND")[0]
            assert value in made.statement.sql
    # The filter and the odd shape: parsed, and written and parsed again. The two others: parsed.
    assert asked == 6


# All show the same rows: which is visible is told by tenant, flag and secret alike.
SAME_FILTERS = (
    {"ev": ["tenant = 'a'"], "rep": ["tenant = 'a'"]},
    {"ev": ["flag = 0"], "rep": ["tenant = 'a'"]},
    {"ev": ["NOT startsWith(secret, 'hidden')"], "rep": ["flag = 0"]},
    {"ev": ["tenant = 'a' AND id < 9000", "tenant = 'a' AND id >= 5000"], "rep": ["flag != 1"]},
)
# What the engine takes for a CTE, and has no FINAL then, or for none.
NOT_TO_BE_ASKED = ("(UNSUPPORTED_METHOD)", "(UNKNOWN_TABLE)")
STATEMENTS = int(os.environ.get("PIPEWREN_GENERATED_STATEMENTS", "250"))
FIRST_SEED = int(os.environ.get("PIPEWREN_GENERATED_FROM", "0"))


async def test_a_filtered_table_answers_any_query_as_a_physically_filtered_one(
    tables: Tables,
) -> None:
    """PIPEWREN_GENERATED_STATEMENTS and PIPEWREN_GENERATED_FROM say how many, and from which seed
    on. Refused is WITH that reads a table of its own name in ways that nobody can follow."""
    kinds: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + STATEMENTS):
        sql = write_statement(seed)
        filters = SAME_FILTERS[seed % len(SAME_FILTERS)]
        seen = await outcome(tables.run(sql, filters))
        expected = await outcome(tables.copy.query(sql))
        if seen.startswith("Forbidden"):
            kinds["refused"] += 1
        elif expected.endswith(NOT_TO_BE_ASKED):
            kinds["not to be asked"] += 1
        elif seen.startswith("[Error]") and expected.startswith("[Error]"):
            kinds["errors"] += 1  # of two mistakes, which one is told first is nobody's to say
        else:
            made = await tables.filtered(sql, filters)
            assert seen == expected, (seed, sql, filters, made.statement.sql)
            kinds["rows" if seen else "no rows"] += 1
    assert kinds["rows"] > STATEMENTS * 0.4, kinds
    assert kinds["refused"] < STATEMENTS * 0.2, kinds
