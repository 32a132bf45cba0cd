"""What a statement gives, whatever connection it runs on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipewren.engine.contract import Lane, Limits
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions
from pipewren.errors import BadRequest, EngineError, StartError

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_result_is_the_engines_own_bytes_in_the_asked_format(workspace: Workspace) -> None:
    sql = "SELECT 1 AS a, 'x' AS b, toDate('2024-05-06') AS c, NULL AS d, true AS e"

    assert await workspace.query(sql) == b'{"a":1,"b":"x","c":"2024-05-06","d":null,"e":true}\n'
    assert (
        await workspace.query(sql, format="CSVWithNames")
        == b'"a","b","c","d","e"\n1,"x","2024-05-06",\\N,true\n'
    )


async def test_json_has_numbers_for_64_bits_null_for_nan_and_escaped_slashes(
    workspace: Workspace,
) -> None:
    body = await workspace.query("SELECT 18446744073709551615 AS a, nan AS b, inf AS c, '/x' AS d")

    assert body == b'{"a":18446744073709551615,"b":null,"c":null,"d":"\\/x"}\n'


async def test_statistics_count_what_was_scanned_not_what_was_returned(
    workspace: Workspace,
) -> None:
    await workspace.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
    await workspace.execute("INSERT INTO t SELECT number FROM numbers(5000)")

    result = await workspace.engine.run(workspace.statement("SELECT count() FROM t WHERE a != 7"))

    assert (result.statistics.rows_read, result.statistics.bytes_read) == (5000, 20000)
    assert result.statistics.result_rows == 1
    assert result.statistics.elapsed_s > 0


async def test_bare_names_mean_the_statements_own_database_on_every_connection(
    workspace: Workspace,
) -> None:
    other = await workspace.beside()
    for each in (workspace, other):
        await each.execute("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
        await each.execute(f"INSERT INTO t VALUES ('{each.database}')")

    answers = await asyncio.gather(
        *(each.query("SELECT a FROM t", format="TSV") for each in (workspace, other) * 40)
    )

    expected = [f"{each.database}\n".encode() for each in (workspace, other) * 40]
    assert answers == expected
    await other.drop()


async def test_a_reader_can_look_at_system_tables_after_it_was_in_a_workspace(
    workspace: Workspace,
) -> None:
    await workspace.query("SELECT 1")
    statement = replace(
        workspace.statement(f"SELECT name FROM databases WHERE name = '{workspace.database}'"),
        database="system",
    )

    answers = await asyncio.gather(*(workspace.engine.run(statement) for _ in range(20)))

    assert {answer.body for answer in answers} == {f'{{"name":"{workspace.database}"}}\n'.encode()}


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
async def test_any_text_arrives_in_a_parameter_unchanged(workspace: Workspace, value: str) -> None:
    body = await workspace.query("SELECT {v:String} AS v", parameters=(("v", value),))

    assert json.loads(body) == {"v": value}


async def test_a_parameter_that_looks_like_null_is_text(workspace: Workspace) -> None:
    body = await workspace.query(
        "SELECT {v:Nullable(String)} AS v, {w:Array(String)} AS w",
        parameters=(("v", "\\N"), ("w", r"['it\'s','\\b']")),
    )

    assert json.loads(body) == {"v": "\\N", "w": ["it's", "\\b"]}


async def test_text_that_is_not_unicode_is_refused_clearly(workspace: Workspace) -> None:
    with pytest.raises(BadRequest, match="not valid Unicode"):
        await workspace.query("SELECT '\ud800'")
    with pytest.raises(BadRequest, match="not valid Unicode"):
        await workspace.query("SELECT {v:String}", parameters=(("v", "\ud800"),))


async def test_results_that_are_not_utf8_pass_as_bytes(workspace: Workspace) -> None:
    assert await workspace.query("SELECT unhex('fffe00')", format="RawBLOB") == b"\xff\xfe\x00"


async def test_a_zone_is_utc_whatever_the_hosts(workspace: Workspace) -> None:
    body = await workspace.query("SELECT toDateTime(0) AS a, timezone() AS b, toHour(a) AS c")

    assert body == b'{"a":"1970-01-01 00:00:00","b":"UTC","c":0}\n'


async def test_limits_of_a_statement_hold_and_leave_other_statements_alone(
    workspace: Workspace,
) -> None:
    few = Limits(max_result_rows=10)
    with pytest.raises(EngineError) as caught:
        await workspace.query("SELECT number FROM numbers(11)", limits=few)
    assert (caught.value.engine_code, caught.value.status) == (396, 400)

    with pytest.raises(EngineError) as caught:
        await workspace.query(
            "SELECT uniqExact(number) FROM numbers(10000000)",
            limits=Limits(max_memory_bytes=10_000_000),
        )
    assert (caught.value.engine_code, caught.value.status) == (241, 400)

    body = await workspace.query("SELECT count() AS c FROM (SELECT number FROM numbers(11))")
    assert body == b'{"c":11}\n'


async def test_settings_of_a_statement_hold_for_it_alone(workspace: Workspace) -> None:
    sql = "SELECT getSetting('max_block_size') AS a, getSetting('join_algorithm') AS b"

    changed = await workspace.query(
        sql, settings=(("join_algorithm", "hash,partial_merge"), ("max_block_size", "1234"))
    )
    usual = await asyncio.gather(*(workspace.query(sql) for _ in range(20)))

    assert json.loads(changed) == {"a": 1234, "b": "hash,partial_merge"}
    assert {json.loads(body)["b"] for body in usual} == {"direct,hash"}


async def test_many_profiles_need_few_connections(workspace: Workspace) -> None:
    for rows in range(10, 40):
        body = await workspace.query(
            "SELECT getSetting('max_result_rows')",
            format="TSV",
            limits=Limits(max_result_rows=rows),
        )
        assert int(body) == rows


@pytest.mark.parametrize("value", ["1&readonly=0", "it's", "a b?c#d%41", "\\"])
async def test_a_settings_value_cannot_become_another_setting(
    workspace: Workspace, value: str
) -> None:
    body = await workspace.query(
        "SELECT getSetting('format_csv_null_representation') AS a, getSetting('readonly') AS b",
        settings=(("format_csv_null_representation", value),),
    )

    assert json.loads(body) == {"a": value, "b": 1}


async def test_a_misspelt_setting_is_an_error_and_not_ignored(workspace: Workspace) -> None:
    with pytest.raises(EngineError, match="Unknown setting 'max_blok_size'"):
        await workspace.query("SELECT 1", settings=(("max_blok_size", "1"),))
    with pytest.raises(EngineError) as caught:
        await workspace.query("SELECT 1", settings=(("max_block_size", "many"),))
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["readonly", "log_comment", "max_memory_usage"])
async def test_settings_that_isolate_callers_cannot_be_changed(
    workspace: Workspace, name: str
) -> None:
    with pytest.raises(EngineError, match=f"The setting {name} cannot be changed"):
        await workspace.query("SELECT 1", settings=((name, "0"),))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t2 (a Int8) ENGINE = Memory",
        "INSERT INTO t VALUES (1)",
        "DROP TABLE t",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SET max_memory_usage = 0",
        "SYSTEM FLUSH LOGS",
    ],
)
async def test_readers_cannot_write_nor_leave_the_workspaces(
    workspace: Workspace, sql: str
) -> None:
    await workspace.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a")

    with pytest.raises(EngineError):
        await workspace.query(sql)

    assert await workspace.query("SELECT count() AS c FROM t") == b'{"c":0}\n'


async def test_both_lanes_answer_and_the_heavy_one_has_all_cores(workspace: Workspace) -> None:
    sql = "SELECT getSetting('max_threads') AS a"
    limits = workspace.engine._limits[Lane.HEAVY]

    assert await workspace.query(sql) == b'{"a":1}\n'
    heavy = await workspace.query(sql, lane=Lane.HEAVY, limits=limits)
    assert json.loads(heavy)["a"] == limits.max_threads


async def test_the_parser_gives_a_tree_and_runs_nothing(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a")

    tree = await workspace.engine.parse("SELECT 'a\\'\n\t\\\\' AS x FROM t")
    literal = tree["list_of_selects"]["children"][0]["select"]["children"][0]
    dropped = await workspace.engine.parse("DROP TABLE t")

    assert literal["value"]["value"] == "a'\n\t\\"
    assert dropped["type"] == "DropQuery"
    assert await workspace.query("SELECT count() AS c FROM t") == b'{"c":0}\n'


async def test_the_parser_refuses_what_is_no_single_statement(workspace: Workspace) -> None:
    for sql in ("SELECT 1 +", "SELECT 1; SELECT 2", ""):
        with pytest.raises(EngineError) as caught:
            await workspace.engine.parse(sql)
        assert caught.value.status == 400


async def test_a_statement_nested_too_deeply_is_the_callers_error(workspace: Workspace) -> None:
    for depth in (150, 800, 3000):
        with pytest.raises((BadRequest, EngineError)) as caught:
            await workspace.engine.parse("SELECT " + "(" * depth + "1")
        assert caught.value.status == 400


async def test_a_second_engine_on_the_directory_is_refused(engine: EmbeddedEngine) -> None:
    with pytest.raises(StartError, match="is in use by another server"):
        await EmbeddedEngine.open(EngineOptions(engine._data_dir.path))


async def test_every_object_of_a_database_can_be_described(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (a Int8 COMMENT 'it''s') ENGINE=MergeTree ORDER BY a")
    await workspace.execute("CREATE VIEW v AS SELECT a FROM t")

    described = dict(await workspace.engine.describe_objects(workspace.database))

    assert list(described) == ["", "t", "v"]
    assert described[""].startswith(f"CREATE DATABASE {workspace.database} UUID '")
    assert "COMMENT 'it\\'s'" in described["t"]
    assert described["v"].startswith(f"CREATE VIEW {workspace.database}.v UUID '")


async def test_row_order_is_that_of_the_reference(workspace: Workspace) -> None:
    """engine-compat.md: 26.9 orders groups of strings and joined rows in another way."""
    statement = workspace.statement(
        "SELECT toString(number % 7) AS k, count() AS c FROM numbers(70) GROUP BY k", format="TSV"
    )

    first = (await workspace.engine.run(statement)).body
    others = {(await workspace.engine.run(statement)).body for _ in range(5)}

    assert others == {first}
    assert sorted(first.splitlines()) == [b"%d\t10" % number for number in range(7)]
