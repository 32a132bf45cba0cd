"""What the row reader calls good is stored as it says; what it refuses has a reason.

The cases stand in tests/golden/rows/: a column's definition, a JSON value (`-` for a key that is
not there), and what is stored as ClickHouse's toString shows it, or `! reason`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from pipewren.engine.contract import Insert
from pipewren.errors import EngineError
from pipewren.ingest.row_judge import judge
from pipewren.ingest.row_reader import ROW_SETTINGS, RowReader, make_row_reader
from pipewren.ingest.row_types import read_value_type
from pipewren.project.model import Column, Datasource, Position
from tests.engine.conftest import BareChdb, Workspace

_PLACE = Position("rows.datasource", 1)
_CASES = Path(__file__).parents[1] / "golden" / "rows"


@dataclass(frozen=True, slots=True)
class Case:
    value: str
    outcome: str


def datasource_of(*columns: tuple[str, str, str | None, str | None]) -> Datasource:
    """Columns as (name, type, default, path)."""
    made = tuple(
        Column(name, type, _PLACE, jsonpath=path, default=default)
        for name, type, default, path in columns
    )
    return Datasource("rows", made, _PLACE, "", "")


def read_cases() -> dict[str, list[Case]]:
    """The cases by column definition."""
    found: dict[str, list[Case]] = {}
    for file in sorted(_CASES.glob("*.txt")):
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                column, value, outcome = line.split(" | ")
                found.setdefault(column, []).append(Case(value.strip(), outcome))
    return found


async def store(
    workspace: Workspace, reader: RowReader, table: str, lines: bytes
) -> dict[int, str]:
    """What becomes of the rows, by their `n`: the text stored in `x`, or `! reason`."""
    read = reader.read(lines)
    judged = await judge(reader, read.unsure, workspace.engine)
    outcomes: dict[int, str] = {}
    for row in (*read.bad, *judged.bad):
        outcomes[int(row.values[0] or 0)] = f"! {' & '.join(row.reasons)}"
    body = read.good + judged.good
    assert body.count(b"\n") == read.count + judged.count
    if body:
        insert = Insert(
            workspace.database, table, reader.columns, reader.format, body, table, ROW_SETTINGS
        )
        assert await workspace.engine.insert(insert) == read.count + judged.count
    answer = await workspace.query(
        f"SELECT n, x IS NULL, toString(x) FROM {table}", format="JSONCompactEachRow"
    )
    for number, is_null, text in map(msgspec.json.decode, answer.splitlines()):
        outcomes[number] = "NULL" if is_null else text
    return outcomes


async def outcomes_of(
    workspace: Workspace, column: str, values: Sequence[str], *, is_quick: bool = True
) -> list[str]:
    """Of each value in a column defined as `column`; `-` is a missing key."""
    type, _, default = column.partition(" DEFAULT ")
    datasource = datasource_of(("n", "UInt32", None, None), ("x", type, default or None, None))
    reader = make_row_reader(datasource)
    if not is_quick:
        reader._quick = ()
    lines = b"".join(
        b'{"n":%d%s}\n' % (number, b"" if value == "-" else b',"x":' + value.encode())
        for number, value in enumerate(values)
    )
    await workspace.execute(f"CREATE TABLE t (n UInt32, x {column}) ENGINE = MergeTree ORDER BY n")
    found = await store(workspace, reader, "t", lines)
    await workspace.execute("DROP TABLE t SYNC")
    return [found.get(number, "nothing") for number in range(len(values))]


@pytest.mark.parametrize("is_quick", [True, False], ids=["quick", "careful"])
@pytest.mark.parametrize("column", read_cases())
async def test_values_are_stored_as_the_list_says(
    workspace: Workspace, column: str, is_quick: bool
) -> None:
    cases = read_cases()[column]
    values = [case.value for case in cases]
    found = await outcomes_of(workspace, column, values, is_quick=is_quick)
    assert dict(zip(values, found, strict=True)) == {case.value: case.outcome for case in cases}


async def test_odd_characters_come_back(workspace: Workspace) -> None:
    values = [r'"\u0000"', r'"a\nb\t\"\\"', r'"\u2028\ud83d\ude00"', '"\x7f"']
    assert await outcomes_of(workspace, "String", values) == [
        msgspec.json.decode(text) for text in values
    ]


async def test_a_nested_column_takes_an_array_of_objects(workspace: Workspace) -> None:
    datasource = datasource_of(
        ("n", "UInt32", None, None), ("x", "Nested(a Int8, b Nullable(String))", None, "$.y[:]")
    )
    lines = b"""{"n":1,"y":[{"a":1,"b":"x"},{"a":"2"}]}
{"n":2,"y":[{"a":300,"b":"x"}]}
{"n":3,"y":[]}
{"n":4}
{"n":5,"y":{"a":1}}
"""
    reader = make_row_reader(datasource)
    assert reader.columns == ("n", "x.a", "x.b")
    read = reader.read(lines)
    texts = [row.values for row in read.bad]
    assert texts == [("2", '[{"a":300,"b":"x"}]'), ("4", None), ("5", '{"a":1}')]
    assert read.bad[0].columns == ("x.a",)
    await workspace.execute(
        "CREATE TABLE t (n UInt32, x Nested(a Int8, b Nullable(String))) "
        "ENGINE = MergeTree ORDER BY n"
    )
    await workspace.engine.insert(
        Insert(workspace.database, "t", reader.columns, reader.format, read.good, "1", ROW_SETTINGS)
    )
    stored = await workspace.query("SELECT * FROM t ORDER BY n", format="TSV")
    assert stored == b"1\t[1,2]\t['x',NULL]\n3\t[]\t[]\n"


async def test_states_of_aggregations_are_judged_one_by_one(workspace: Workspace) -> None:
    datasource = datasource_of(("x", "AggregateFunction(sum, UInt64)", None, None))
    reader = make_row_reader(datasource)
    read = reader.read(b'{"x":"aaaaaaaa"}\n{"x":"a"}\n{"x":5}\n{"x":"bbbbbbbb"}\n{}\n')
    judged = await judge(reader, read.unsure, workspace.engine)
    assert judged.good == b'["aaaaaaaa"]\n["bbbbbbbb"]\n'
    assert [row.values for row in (*read.bad, *judged.bad)] == [(None,), ("a",), ("5",)]


def test_names_of_types_mean_what_the_engine_says(bare_chdb: BareChdb) -> None:
    answer = bare_chdb.query(
        "SELECT name, alias_to FROM system.data_type_families WHERE alias_to != ''",
        "JSONCompactEachRow",
    )
    pairs = [msgspec.json.decode(line) for line in answer.bytes().splitlines()]
    assert len(pairs) > 50
    arguments = {"FixedString": "(3)", "Decimal": "(10, 2)", "Enum": "('a')"}
    for name, family in pairs:
        written = arguments.get(family, "")
        expected = read_value_type(f"{family}{written}")
        assert replace(read_value_type(f"{name}{written}"), text=expected.text) == expected, name


async def test_rows_are_read_without_a_right_to_write(workspace: Workspace) -> None:
    await workspace.execute("CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n")
    rows = "SELECT n FROM format(JSONCompactEachRow, 'n UInt8', '[5]')"
    read = await workspace.engine.read_rows(workspace.statement(rows))
    assert read.body == b'{"n":5}\n'
    for statement in ("INSERT INTO t VALUES (1)", "DROP TABLE t", "TRUNCATE TABLE t"):
        with pytest.raises(EngineError):
            await workspace.engine.read_rows(workspace.statement(statement))
    with pytest.raises(EngineError):
        await workspace.query(rows)  # a reader may not
