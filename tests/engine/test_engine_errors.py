"""What callers see of ClickHouse's errors: status, code, name, and no more text than is theirs."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from pipewren.engine import error_codes
from pipewren.engine.contract import Limits, Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.error_codes import FAULT_BY_CODE, NAME_BY_CODE, find_fault
from pipewren.engine.errors import (
    Scrubber,
    read_error,
    translate_error,
    withhold_details,
)
from pipewren.errors import EngineError, PipewrenError, TimedOut
from pipewren.sqltext import trusted_sql

if TYPE_CHECKING:
    from tests.engine.conftest import BareChdb, Workspace

real = pytest.mark.asyncio(loop_scope="session")
GOLDEN = Path(__file__).parents[1] / "golden" / "errors"
SCRUBBER = Scrubber("/srv/pipewren", frozenset({"srv", "etc", "home"}))


@dataclass(frozen=True, slots=True)
class Shop:
    """Tables as production has them: physical ones, `Alias` tables beside them in the database of
    a deployment, and those of another workspace."""

    engine: EmbeddedEngine
    physical: str
    here: str
    other: str

    def put_names(self, sql: str) -> str:
        for name in ("physical", "here", "other"):
            sql = sql.replace(f"{{{name}}}", getattr(self, name))
        return sql


SHOP_TABLES = (
    "CREATE DATABASE {physical} ENGINE = Atomic",
    "CREATE DATABASE {here} ENGINE = Atomic",
    "CREATE DATABASE {other} ENGINE = Atomic",
    "CREATE TABLE {physical}.orders__1 (id UInt32, customer String, amount Decimal(9, 2), "
    "at DateTime, tags Array(String), m Map(String, UInt8), j String, n Nullable(Int32), "
    "st AggregateFunction(uniq, UInt32), e Enum8('a' = 1), fs FixedString(4), u UUID) "
    "ENGINE = MergeTree ORDER BY id",
    "CREATE TABLE {physical}.salaries__2 (id UInt32, salary UInt32) ENGINE = MergeTree ORDER BY id",
    "CREATE TABLE {here}.orders ENGINE = Alias({physical}, orders__1)",
    "CREATE TABLE {here}.salaries ENGINE = Alias({physical}, salaries__2)",
    "CREATE TABLE {other}.payroll__1 (id UInt32, iban String) ENGINE = MergeTree ORDER BY id",
    "INSERT INTO {physical}.orders__1 (id, customer, amount, tags) "
    "SELECT number, 'hidden-' || number, 1, ['x'] FROM numbers(10)",
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(engine: EmbeddedEngine) -> AsyncIterator[Shop]:
    name = f"w_{uuid.uuid4().hex[:12]}"
    made = Shop(engine, name, f"{name}_d1", f"w_{uuid.uuid4().hex[:12]}")
    for sql in SHOP_TABLES:
        await engine.execute(trusted_sql(made.put_names(sql)))
    yield made
    for database in (made.here, made.physical, made.other):
        await engine.execute(trusted_sql(f"DROP DATABASE {database}"))


def read_cases() -> list[dict[str, Any]]:
    lines = (GOLDEN / "statements.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def find_leaks(message: str, shop: Shop, sql: str) -> list[str]:
    """What no error may show, whatever the statement."""
    traces = ["DB::", "Code:", "n scope", "Stack trace", "(version", "aybe you meant", "__table"]
    traces += ["__1", "__2", "_UInt8", "_String", shop.physical, shop.other, "/etc", "/tmp"]
    traces += ["hidden-", "iban", "0x0000"]
    traces += [name for name in ("salary", "salaries", "payroll") if name not in sql]
    found = [trace for trace in traces if trace in message]
    for pattern in (r"[0-9a-f]{8}-[0-9a-f]{4}-", r"\b26\.9\b", r"\bSELECT .* FROM\b"):
        found += re.findall(pattern, message)
    return found


@real
@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case["sql"][:60])
async def test_a_real_error_says_what_the_caller_can_use_and_nothing_else(
    shop: Shop, case: dict[str, Any]
) -> None:
    sql = shop.put_names(case["sql"])
    limits = {"max_memory_bytes": 300_000_000} | {
        name: case[name] for name in msgspec.structs.asdict(Limits()) if name in case
    }
    statement = Statement(
        trusted_sql(sql),
        shop.here,
        format=case.get("format", "JSONEachRow"),
        limits=Limits(**limits),
        settings=tuple(sorted(case.get("settings", {}).items())),
        parameters=tuple(sorted(case.get("parameters", {}).items())),
    )

    with pytest.raises(PipewrenError) as caught:
        await shop.engine.run(statement)

    error = caught.value
    message = error.message
    assert error.status == case["status"]
    if "code" in case:
        assert isinstance(error, EngineError)
        assert (error.engine_code, error.engine_name) == (case["code"], case["name"])
        assert error.headers == {"X-DB-Exception-Code": str(case["code"])}
        assert message.endswith(f". ({case['name']})")
    else:
        assert isinstance(error, TimedOut)
    assert message.startswith("[Error] ")
    for fragment in case["says"]:
        assert fragment in message
    # A value is told where the error is about that value.
    assert find_leaks(message.replace(case.get("value", "\0"), ""), shop, sql) == []
    plain = Statement(trusted_sql("SELECT 1 AS a"), shop.here, format="JSONEachRow")
    assert (await shop.engine.run(plain)).body == b'{"a":1}\n'


def test_the_cases_are_many_and_of_many_kinds() -> None:
    cases = read_cases()

    assert len(cases) >= 300
    assert len({case.get("code") for case in cases}) >= 80


def test_every_code_that_the_engine_knows_has_its_name_and_a_fault(bare_chdb: BareChdb) -> None:
    answer = bare_chdb.query(
        "SELECT number, errorCodeToName(number) FROM numbers(100000) "
        "WHERE number != 0 AND errorCodeToName(number) != ''",
        "JSONCompactEachRow",
    )
    known = {int(code): name for code, name in map(json.loads, str(answer).splitlines())}

    assert len(known) > 600
    assert known == NAME_BY_CODE
    assert FAULT_BY_CODE.keys() == known.keys()


def test_no_code_stands_twice_in_the_table() -> None:
    texts = [
        text for name, text in vars(error_codes).items() if name.isupper() and "\n" in str(text)
    ]
    codes = re.findall(r"\b\d+\b", " ".join(text for text in texts if isinstance(text, str)))

    assert len(codes) == len(set(codes)) == len(FAULT_BY_CODE)


def test_a_code_of_a_newer_clickhouse_is_the_servers_until_the_table_knows_it() -> None:
    raw = "Code: 64999. DB::Exception: Something new. (SOMETHING_NEW) (version 27.1.1.1)"

    error = translate_error(raw, sql="", scrubber=SCRUBBER)

    assert isinstance(error, EngineError)
    assert (error.status, error.engine_code, error.engine_name) == (500, 64999, "SOMETHING_NEW")
    assert str(error) == "[Error] Something new. (SOMETHING_NEW)"


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
            "[Error] Syntax error: failed at position 14 ('...') (line 1, col 14). "
            "Expected one of: FROM, WHERE. (SYNTAX_ERROR)",
        ),
        (
            "Code: 497. DB::Exception: default: Not enough privileges. To execute this query, "
            "it's necessary to have the grant SELECT(a) ON w_b.secret. (ACCESS_DENIED)",
            "[Error] The statement does or reads something that it may not. (ACCESS_DENIED)",
        ),
        (
            "Code: 62. DB::Exception: Unrecognized token: Syntax error: failed at position 8 (",
            "[Error] Syntax error: failed at position 8. Unrecognized token. (SYNTAX_ERROR)",
        ),
        (
            "Code: 49. DB::Exception: Block structure mismatch: 'secret'_String Const(size = 0). "
            "(LOGICAL_ERROR)",
            "[Error] The engine failed on the statement. (LOGICAL_ERROR)",
        ),
        (
            "Code: 241. DB::Exception: (total) memory limit exceeded: would use 6.00 GiB, current "
            "RSS: 5.90 GiB, maximum: 5.59 GiB. (MEMORY_LIMIT_EXCEEDED)",
            "[Error] The server has no memory left for the query now. Try again later. "
            "(MEMORY_LIMIT_EXCEEDED)",
        ),
        (
            "Code: 10. DB::Exception: Not found column salary in block. There are only columns: "
            "iban, id. (NOT_FOUND_COLUMN_IN_BLOCK)",
            "[Error] Not found column salary in block. (NOT_FOUND_COLUMN_IN_BLOCK)",
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
    ("code", "status"),
    [
        *((47, 400), (32, 400), (396, 400), (241, 400), (307, 400), (159, 408), (160, 408)),
        *((49, 500), (246, 500), (243, 500), (210, 500), (394, 500), (999, 500), (511, 500)),
    ],
)
def test_the_status_says_whose_fault_it_is(code: int, status: int) -> None:
    assert find_fault(code).status == status


def test_long_texts_are_cut() -> None:
    raw = f"Code: 36. DB::Exception: {'x' * 100_000}. (BAD_ARGUMENTS)"

    assert len(str(translate_error(raw, sql="", scrubber=SCRUBBER))) < 2000


def test_an_error_is_taken_apart() -> None:
    error = read_error(
        "Code: 47. DB::Exception: Unknown `x`. In scope SELECT x. (UNKNOWN_IDENTIFIER)"
    )

    assert (error.code, error.name, error.text) == (47, "UNKNOWN_IDENTIFIER", "Unknown `x`")


def test_a_name_in_the_text_is_not_taken_for_the_errors() -> None:
    error = read_error(
        "Code: 395. DB::Exception: no (SYNTAX_ERROR) here. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"
    )

    assert (error.code, error.name) == (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO")
    assert error.text == "no (SYNTAX_ERROR) here"


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
