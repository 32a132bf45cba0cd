"""What a caller's statement may make of little text: results that the engine counts too small are
known by their trees, and refused, as they are written then, before they take memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipewren.errors import EngineError
from pipewren.sql import value_sizes
from pipewren.sql.constant_columns import computes_names, may_be_large
from pipewren.sql.counted_results import (
    COUNTED_SETTINGS,
    DESCRIBE_SETTINGS,
    TYPES_CHANGED,
    count_all,
    describe,
)
from pipewren.sql.function_list import load_functions

if TYPE_CHECKING:
    from tests.engine.conftest import Program, Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Each would be 80 MB or more, most of them gigabytes, and the engine counts less than 10 MB.
WORST = [
    ("JSON", "SELECT repeat('x', 1000000) FROM numbers(1000)"),
    ("CSV", "SELECT repeat('x', 50000) AS a FROM numbers(9999) -- a comment"),
    ("Parquet", "SELECT a, number FROM (SELECT space(100000) AS a, number FROM numbers(9000))"),
    (
        "JSON",
        "WITH (SELECT groupArray(number) FROM numbers(100000)) AS a SELECT a FROM numbers(900)",
    ),
    ("JSONEachRow", "SELECT materialize(toLowCardinality(repeat('x', 100000))) FROM numbers(5000)"),
    (
        "JSON",
        "SELECT s, x FROM (SELECT materialize(repeat('x', 20000)) AS s) "
        "ARRAY JOIN range(5000) AS x",
    ),
    ("JSON", "SELECT concat(lc, repeat('x', 100000)) FROM low"),
    ("JSON", "SELECT arrayMap(x -> [lc], range(10000)) FROM low WHERE id < 5"),
    (
        "JSON",
        "SELECT CAST(1, concat('Enum8(''', repeat('x', 100000), ''' = 1)')) FROM numbers(5000)",
    ),
    ("CSV", f"SELECT arrayMap(x -> x::Enum8('{'x' * 900}' = 1), arrayWithConstant(200000, 1))"),
    ("JSON", "SELECT nested([repeat('x', 4000)], range(100000))"),
    ("JSON", "SELECT arrayWithConstant(200000, tuple()) FROM numbers(1000)"),
    ("JSON", "SELECT concat('{\"', repeat('x', 100000), '\":1}')::JSON FROM numbers(3000)"),
    ("JSON", "SELECT groupArrayState(number) OVER () AS s FROM numbers(3000)"),
    (
        "JSON",
        "SELECT s FROM (SELECT groupArrayState(number) AS s FROM numbers(100000)) "
        "CROSS JOIN numbers(5000)",
    ),
    ("JSON", f"SELECT {'*, ' * 1999}* FROM (SELECT 1 AS {'n' * 4000})"),
]

PROGRAM = """
from pipewren.sql.constant_columns import computes_names, may_be_large
from pipewren.sql.counted_results import (
    COUNTED_SETTINGS,
    DESCRIBE_SETTINGS,
    TYPES_CHANGED,
    count_all,
    describe,
)

LIMITS = Limits(max_result_bytes=10_000_000)

def memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith(key))

async def grown(engine, work):
    # What it gave, and how many MB the process grew meanwhile.
    await engine.execute(sql("SYSTEM JEMALLOC PURGE"))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the highest size begins anew
    before = memory("VmRSS")
    result = await work
    return [result, memory("VmHWM") - before]

async def outcome(engine, format, text):
    if not may_be_large(await engine.parse(text)):
        return "not seen"
    try:
        rows = await engine.run(Statement(sql(describe(text)), "w_a", "JSONCompactEachRow", LIMITS))
        columns = [tuple(json.loads(line)[:2]) for line in rows.body.splitlines()]
        counted = count_all(text, columns)
        limits = Limits(
            max_result_bytes=LIMITS.max_result_bytes // counted.divisor,
            max_result_rows=max(1, 10_000_000 // counted.names_bytes),
        )
        statement = Statement(sql(counted.sql), "w_a", format, limits, COUNTED_SETTINGS)
        return str(len((await engine.run(statement)).body))
    except EngineError as error:
        return str(error.engine_code)
    except BadRequest:
        return "refused"

async def main():
    engine = await open_engine(max_server_memory_bytes=6_000_000_000)
    await engine.execute(sql("CREATE DATABASE w_a ENGINE = Atomic"))
    await engine.execute(sql(
        "CREATE TABLE w_a.low (id UInt64, lc LowCardinality(String)) ENGINE = MergeTree ORDER BY id"
    ))
    await engine.execute(sql(
        "INSERT INTO w_a.low SELECT number, repeat('ab', 2000) FROM numbers(5000)"
    ))
    for format, text in json.loads(sys.stdin.readline()):
        print(json.dumps(await grown(engine, outcome(engine, format, text))), flush=True)
    # As it is, a statement takes what the bound on growth is there to see.
    bare = Statement(sql("SELECT repeat('x', 1000000) FROM numbers(300)"), "w_a", "JSON", LIMITS)
    print(json.dumps(await grown(engine, engine.run(bare)), default=lambda one: len(one.body)))
    sys.stdout.flush()
    os._exit(0)

asyncio.run(main())
"""


async def test_results_that_are_counted_too_small_are_refused_before_they_take_memory(
    program: Program,
) -> None:
    process = program.start(PROGRAM)
    try:
        output, _ = process.communicate(json.dumps(WORST) + "\n", timeout=120)
    finally:
        process.kill()
    *worst, bare = [json.loads(line) for line in output.splitlines()]

    refused = ("396", "refused")
    passed = [
        (text[:60], *result)
        for (_, text), result in zip(WORST, worst, strict=True)
        if result[0] not in refused
    ]
    assert passed == []
    assert worst[0][1] < 200, worst  # MB; the others are a block of full values at most
    assert max(growth for _, growth in worst) < 400, worst
    assert bare[0] > 300_000_000
    assert bare[1] > 300


PLAIN = [
    "SELECT *, page AS p, lower(name) AS name, count() OVER () FROM events WHERE id IN (1, 2, 3)",
    "SELECT a.*, b.* FROM a JOIN b USING (id) ORDER BY a.id LIMIT 10",
    "WITH 'abc' AS word SELECT word, concat(word, '-', page), repeat('ab', 3), range(24) FROM t",
    "SELECT toStartOfHour(at) AS hour, count(), uniqIf(user, ok), max(name) FROM t GROUP BY hour",
    "SELECT x FROM t WHERE name = repeat('x', 100000) AND id > (SELECT max(id) FROM t)",
    "SELECT CAST(x AS Array(String)), y::UInt8, JSONExtract(z, 'a', 'Tuple(a String)') FROM t",
    "SELECT 'total' AS k, sum(n) FROM t UNION ALL SELECT k, n FROM t",
    "SELECT splitByChar(',', s)[1], extractAll(s, '[0-9]+'), arrayMap(x -> x + 1, a) FROM t",
]
LARGE = [
    f"SELECT '{'x' * 600}' AS a, a FROM t",
    "SELECT repeat('x', n) FROM t",
    "SELECT \"repeat('x', 900)\", 1 FROM (SELECT repeat('x', 900))",
    "WITH repeat('x', 99) AS a, concat(a, a, a) AS b, concat(b, b, b) AS c SELECT c, c FROM t",
    f"SELECT concat(a, a) AS a FROM (SELECT concat(a, a) AS a FROM (SELECT '{'x' * 300}' AS a))",
    f"SELECT k, k AS l FROM (SELECT k FROM t UNION ALL SELECT '{'x' * 300}')",
    "SELECT b FROM (SELECT repeat('x', 900), 1) AS t (a, b)",
    "WITH c (a) AS (SELECT repeat('x', 900)) SELECT a, a FROM c",
    "SELECT * REPLACE (repeat('x', 5000) AS a) FROM t",
    "SELECT * APPLY (x -> repeat(toString(x), 5000)) FROM t",
    "SELECT *, *, *, * FROM t",
    f"SELECT 1 AS {'n' * 300} FROM t",
    "SELECT sumState(n) FROM t",
    "SELECT arrayReduce(concat('sum', 'State'), [n]) FROM t",
    "SELECT CAST(n, 'AggregateFunction(sum, UInt64)') FROM t",
    "SELECT s::JSON FROM t",
    "SELECT toLowCardinality(s) FROM t",
    "SELECT tuple(COLUMNS('none')) FROM t",
    "SELECT a FROM values('a Tuple(a_name_of_some_length UInt8)', 1)",
    f"SELECT bitNot('{'x' * 1100}') FROM t",
]


@pytest.mark.parametrize("text", PLAIN)
async def test_everyday_statements_run_as_they_are(workspace: Workspace, text: str) -> None:
    assert not may_be_large(await workspace.engine.parse(text))
    assert may_be_large(await workspace.engine.parse(text), has_states=True)


@pytest.mark.parametrize("text", LARGE)
async def test_what_may_be_larger_than_it_counts_is_seen(workspace: Workspace, text: str) -> None:
    assert may_be_large(await workspace.engine.parse(text))


async def _counted(workspace: Workspace, text: str, **options: bool) -> bytes:
    rows = await workspace.query(
        describe(text), format="JSONCompactEachRow", settings=DESCRIBE_SETTINGS
    )
    columns = [(row[0], row[1]) for row in map(json.loads, rows.splitlines())]
    counted = count_all(text, columns, **options)
    return await workspace.query(counted.sql, format="JSONCompact", settings=COUNTED_SETTINGS)


SAME = [
    "SELECT 1 AS a, a, 'x', 1 + 1, NULL AS `b.c`, (1, 'y') AS t, t.2, map('k', [1, 2]) AS `m``n`",
    "SELECT number % 3 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k LIMIT 2",
    "(SELECT 1 AS a) UNION ALL (SELECT 1 AS a) -- and a comment",
    "SELECT number FROM numbers(200) ORDER BY number DESC LIMIT 150",
    "SELECT * FROM numbers(3) AS l LEFT JOIN (SELECT 1 AS number, 'r' AS r) AS m USING number",
    "SELECT toLowCardinality('x') AS l, CAST(1, 'Enum8(''a'' = 1)') AS e WHERE 0",
    # Types whose text toTypeName() writes in another way than DESCRIBE.
    "SELECT CAST((1, (2, 'x')), 'Tuple(a UInt8, `b \\n c` Tuple(`d, e` UInt8, `f` String))') AS t",
    "SELECT [CAST((1, map('k', 2)), 'Tuple(a UInt8, b Map(String, UInt8))')] AS t, toTypeName(t)",
    "SELECT '{\"a\": 1}'::JSON(max_dynamic_paths = 8, b String) AS j, 1::Variant(UInt8, String), "
    "1::Dynamic AS d, true AS b, (1., 2.)::Point AS p, now() = now() AS n, toDateTime64(0, 3)",
    "SELECT CAST('a\\n b', 'Enum8(''a\\n b'' = 1, ''c, d'' = 2)') AS e, INTERVAL 1 DAY AS i, "
    "1::Decimal(9, 2), toFixedString('a', 3), [NULL], nested(['a', 'b'], [1], ['x']) AS n",
]


@pytest.mark.parametrize("text", SAME)
async def test_a_counted_statement_gives_the_same_answer(workspace: Workspace, text: str) -> None:
    bare = json.loads(await workspace.query(text, format="JSONCompact"))
    counted = json.loads(await _counted(workspace, text))
    del bare["statistics"], counted["statistics"]
    assert counted == bare


async def test_columns_of_other_types_than_were_described_end_the_statement(
    workspace: Workspace,
) -> None:
    """now() may choose a type in every second anew."""
    types = ["Array(LowCardinality(String))", "Array(Nullable(String))", "Tuple(a String)"]
    for type in types:
        described = [("a", "UInt64"), ("b", "Array(String)")]
        text = f"SELECT number AS a, defaultValueOfTypeName('{type}') AS b FROM numbers(3)"
        counted = count_all(text, described)
        with pytest.raises(EngineError, match=TYPES_CHANGED):
            await workspace.query(counted.sql, format="JSON", settings=COUNTED_SETTINGS)
    more = count_all("SELECT 1 AS a, 2 AS b, 3 AS c", [("a", "UInt8"), ("b", "UInt8")])
    with pytest.raises(EngineError, match=TYPES_CHANGED):
        await workspace.query(more.sql, format="JSON", settings=COUNTED_SETTINGS)


COMPUTED = "concat('Tuple(`', if(now() > at, 'a', repeat('b', 50000)), '` UInt8)')"
NAMED = [
    f"SELECT untuple(CAST(tuple(1), {COMPUTED})) FROM t",
    f"SELECT t.* FROM (SELECT CAST(tuple(1), {COMPUTED}) AS t FROM t)",
    f"SELECT CAST(tuple(1), {COMPUTED}).* FROM t",
    f"SELECT t.COLUMNS('.') FROM (SELECT accurateCast(tuple(1), {COMPUTED}) AS t FROM t)",
    f"SELECT untuple(JSONExtract('{{}}', {COMPUTED}))",
    "SELECT untuple(nested([repeat('b', 50000)], [1])[1]) FROM t",
    f"WITH {COMPUTED} AS type SELECT untuple(defaultValueOfTypeName(type)) FROM t",
]
WRITTEN = [
    f"SELECT CAST(tuple(1), {COMPUTED}), * FROM t",
    "SELECT untuple(CAST(tuple(1), 'Tuple(a UInt8)')), JSONExtract(s, 'k', 'Array(String)') FROM t",
    "SELECT t.*, x::UInt8, arrayReduce('sum', [1]) FROM t",
]


async def test_names_that_a_statement_computes_are_seen(workspace: Workspace) -> None:
    parse = workspace.engine.parse
    assert [text for text in NAMED if not computes_names(await parse(text))] == []
    assert [text for text in WRITTEN if computes_names(await parse(text))] == []


async def test_states_are_printed_as_they_were_or_finalised(workspace: Workspace) -> None:
    text = "SELECT sumState(number) AS s, s AS `t.u`, groupArrayState(number) FROM numbers(3)"

    bare = json.loads(await workspace.query(text, format="JSONCompact"))
    raw = json.loads(await _counted(workspace, text))
    final = json.loads(await _counted(workspace, text, finalize_states=True))

    assert raw["data"] == bare["data"]
    assert final["data"] == [[3, 3, [0, 1, 2]]]
    names = ["s", "t.u", "groupArrayState(number)"]
    assert [one["name"] for one in raw["meta"]] == [one["name"] for one in final["meta"]] == names


LONG = [
    "",
    "repeat('x1 ', 300)",
    "range(300)",
    "arrayMap(x -> toString(x), range(300))",
    "7",
    "toDateTime(0)",
    "repeat('x1 ', 300), repeat('x1 ', 300)",
    "range(300), range(300)",
    "7, 7",
    "'day', toDateTime(0), toDateTime(0)",
]


async def test_values_of_a_fixed_size_are_small_whatever_goes_in(workspace: Workspace) -> None:
    listed = load_functions(workspace.engine.capabilities.version).exact
    canonical = {name.lower(): name for name in listed}
    large, ran = [], set()
    for name in sorted(value_sizes.FIXED_SIZE & canonical.keys()):
        calls = [f"{canonical[name]}({arguments})" for arguments in LONG]
        for call in calls:
            try:
                size = await workspace.query(f"SELECT length(toString({call})) AS n")
            except EngineError:
                continue  # it takes no such arguments
            ran.add(name)
            if (json.loads(size)["n"] or 0) > 90:
                large.append(call)
    assert large == []
    assert len(ran) > 150
