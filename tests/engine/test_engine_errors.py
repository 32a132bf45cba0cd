"""What callers see of ClickHouse's errors: status, code, name, and no more text than is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipewren.engine.contract import Limits
from pipewren.engine.errors import (
    STATUS_BY_CODE,
    Scrubber,
    read_error,
    translate_error,
    withhold_details,
)
from pipewren.errors import EngineError, TimedOut

if TYPE_CHECKING:
    from tests.engine.conftest import Workspace

real = pytest.mark.asyncio(loop_scope="session")
SCRUBBER = Scrubber("/srv/pipewren", frozenset({"srv", "etc", "home"}))


@real
@pytest.mark.parametrize(
    ("sql", "code", "name", "status"),
    [
        ("SELECT", 62, "SYNTAX_ERROR", 400),
        ("SELECT nope FROM t", 47, "UNKNOWN_IDENTIFIER", 400),
        ("SELECT * FROM nope", 60, "UNKNOWN_TABLE", 400),
        ("SELECT * FROM w_0.t", 81, "UNKNOWN_DATABASE", 400),
        ("SELECT nope(1)", 46, "UNKNOWN_FUNCTION", 400),
        ("SELECT {p:String}", 456, "UNKNOWN_QUERY_PARAMETER", 400),
        ("SELECT toInt32('x')", 6, "CANNOT_PARSE_TEXT", 400),
        ("SELECT toDate('x')", 38, "CANNOT_PARSE_DATE", 400),
        ("SELECT 1 + 'a'", 43, "ILLEGAL_TYPE_OF_ARGUMENT", 400),
        ("SELECT toUInt8(1, 2, 3, 4)", 42, "NUMBER_OF_ARGUMENTS_DOESNT_MATCH", 400),
        ("SELECT a, count() FROM t", 215, "NOT_AN_AGGREGATE", 400),
        ("SELECT sum(count()) FROM t", 184, "ILLEGAL_AGGREGATION", 400),
        ("SELECT [1, 'a']", 386, "NO_COMMON_TYPE", 400),
        ("SELECT 1 LIMIT -1.5", 440, "INVALID_LIMIT_EXPRESSION", 400),
        ("SELECT intDiv(1, 0)", 153, "ILLEGAL_DIVISION", 400),
        ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 400),
        ("SELECT number FROM numbers(20000)", 396, "TOO_MANY_ROWS_OR_BYTES", 400),
        ("SELECT 1 FORMAT Nope", 73, "UNKNOWN_FORMAT", 400),
        ("DROP TABLE t", 497, "ACCESS_DENIED", 400),
    ],
)
async def test_real_errors_have_their_code_name_and_status(
    workspace: Workspace, sql: str, code: int, name: str, status: int
) -> None:
    await workspace.execute("CREATE TABLE t (a UInt8, b String) ENGINE = MergeTree ORDER BY a")

    with pytest.raises(EngineError) as caught:
        await workspace.query(sql, format="JSON")

    error = caught.value
    assert (error.engine_code, error.engine_name, error.status) == (code, name, status)
    assert error.message.startswith("[Error] ")
    assert error.message.endswith(f". ({name})")
    assert error.headers == {"X-DB-Exception-Code": str(code)}
    # No stack, version, path, physical name nor text of the statement.
    for leak in ("DB::", "Code:", "In scope", "26.9", " /", workspace.database, "SELECT * FROM"):
        assert leak not in error.message
    assert await workspace.query("SELECT 1 AS a") == b'{"a":1}\n'


@real
async def test_a_misspelt_name_is_told_and_its_neighbours_are_not(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE salaries (amount UInt8) ENGINE=MergeTree ORDER BY amount")

    for sql, told, hidden in (
        ("SELECT amont FROM salaries", "amont", "amount"),
        ("SELECT * FROM salares", "salares", "salaries"),
    ):
        with pytest.raises(EngineError) as caught:
            await workspace.query(sql)
        assert told in caught.value.message
        assert hidden not in caught.value.message


@real
async def test_a_table_behind_a_view_is_not_named_by_its_physical_name(
    workspace: Workspace,
) -> None:
    await workspace.execute("CREATE TABLE events__3 (a UInt8) ENGINE = MergeTree ORDER BY a")
    await workspace.execute("CREATE VIEW v AS SELECT a FROM events__3")
    await workspace.execute("DROP TABLE events__3")

    with pytest.raises(EngineError) as caught:
        await workspace.query("SELECT * FROM v")

    assert caught.value.engine_name == "UNKNOWN_TABLE"
    assert "events" not in caught.value.message


@real
async def test_the_time_limit_is_a_timeout_and_names_no_internals(workspace: Workspace) -> None:
    with pytest.raises(TimedOut) as caught:
        await workspace.query(
            "SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3",
            limits=Limits(max_execution_time_s=0.2),
        )

    assert caught.value.status == 408
    assert "time limit" in caught.value.message


@real
async def test_bytes_that_are_not_utf8_in_an_error_do_not_break_it(workspace: Workspace) -> None:
    with pytest.raises(EngineError, match="Cannot parse string '\ufffd' as Int32"):
        await workspace.query("SELECT toInt32('\\xff')")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Foo. "
            "(UNKNOWN_FORMAT) (version 26.9.2.1). (UNKNOWN_FORMAT)",
            "[Error] Unknown format Foo. (UNKNOWN_FORMAT)",
        ),
        (
            "Code: 76. DB::ErrnoException: Cannot open file /srv/pipewren/engine/store/1/x.bin: , "
            "errno: 2, strerror: No such file or directory. (CANNOT_OPEN_FILE)",
            "[Error] Cannot open file <path>: , errno: 2, strerror: No such file or directory. "
            "(CANNOT_OPEN_FILE)",
        ),
        (
            "Code: 246. DB::Exception: Corrupted data: (while reading from part "
            "/srv/pipewren/x/): While executing MergeTree. (CORRUPTED_DATA)",
            "[Error] Corrupted data. (CORRUPTED_DATA)",
        ),
        (
            "Code: 6. DB::Exception: Cannot parse string '/cart/1' as Int32: syntax error: "
            "In scope SELECT secret. (CANNOT_PARSE_TEXT)",
            "[Error] Cannot parse string '/cart/1' as Int32: syntax error. (CANNOT_PARSE_TEXT)",
        ),
        (
            "Code: 60. DB::Exception: Table w_ab12_d3.events__3 (dade6c43-7db1-4e0b-9eaf-"
            "7f5a3d0077d5) does not exist. Maybe you meant w_other.salaries?. (UNKNOWN_TABLE)",
            "[Error] Table events does not exist. (UNKNOWN_TABLE)",
        ),
        (
            "Code: 81. DB::Exception: Database w_ab12 does not exist. (UNKNOWN_DATABASE)",
            "[Error] Database does not exist. (UNKNOWN_DATABASE)",
        ),
        (
            "Code: 62. DB::Exception: Syntax error: failed at position 14 ('fom') (line 1, col 14)"
            ": fom x where tenant = 'a'. Expected one of: FROM, WHERE. (SYNTAX_ERROR)",
            "[Error] Syntax error: failed at position 14 ('fom') (line 1, col 14). "
            "Expected one of: FROM, WHERE. (SYNTAX_ERROR)",
        ),
        (
            "Code: 497. DB::Exception: default: Not enough privileges. To execute this query, "
            "it's necessary to have the grant SELECT(a) ON w_b.secret. (ACCESS_DENIED)",
            "[Error] The statement reads something that it may not read. (ACCESS_DENIED)",
        ),
        ("something else broke", "[Error] something else broke. (UNKNOWN_EXCEPTION)"),
        ("", "[Error] The statement failed. (UNKNOWN_EXCEPTION)"),
    ],
)
def test_texts_are_scrubbed(raw: str, expected: str) -> None:
    assert str(translate_error(raw, sql="SELECT 1", scrubber=SCRUBBER)) == expected


def test_a_servers_memory_is_its_own_fault_and_a_querys_is_the_callers() -> None:
    def status(text: str) -> int:
        raw = f"Code: 241. DB::Exception: {text}. (MEMORY_LIMIT_EXCEEDED)"
        return translate_error(raw, sql="", scrubber=SCRUBBER).status

    assert status("Query memory limit exceeded: would use 1.00 GiB") == 400
    assert status("(total) memory limit exceeded: would use 6.00 GiB") == 500


@pytest.mark.parametrize(
    ("code", "status"), [(47, 400), (159, 408), (160, 408), (49, 500), (246, 500), (243, 500)]
)
def test_the_status_says_whose_fault_it_is(code: int, status: int) -> None:
    assert STATUS_BY_CODE.get(code, 400) == status


def test_long_texts_are_cut() -> None:
    raw = f"Code: 36. DB::Exception: {'x' * 100_000}. (BAD_ARGUMENTS)"

    assert len(str(translate_error(raw, sql="", scrubber=SCRUBBER))) < 2000


def test_an_error_is_taken_apart() -> None:
    error = read_error("Code: 47. DB::Exception: Unknown `x`. In scope SELECT x. (UNKNOWN_THING)")

    assert (error.code, error.name, error.text) == (47, "UNKNOWN_THING", "Unknown `x`")


def test_details_can_be_withheld() -> None:
    error = EngineError(
        "[Error] Cannot parse string 'hidden'. (CANNOT_PARSE_TEXT)",
        engine_code=6,
        engine_name="CANNOT_PARSE_TEXT",
        status=400,
    )

    bare = withhold_details(error)

    assert str(bare) == "[Error] The statement failed. (CANNOT_PARSE_TEXT)"
    assert (bare.engine_code, bare.status) == (6, 400)
