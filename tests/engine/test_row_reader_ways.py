"""The quick and the careful way of reading rows agree, and both agree with the engine on rows that
it stores exactly by itself. Schemas and rows are random, of a seed that the test's name tells."""

from __future__ import annotations

import json
import random
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipewren.engine.contract import Insert
from pipewren.ingest.row_judge import judge
from pipewren.ingest.row_reader import ROW_SETTINGS, RowReader, make_row_reader
from tests.engine.conftest import Workspace
from tests.engine.test_row_reader import datasource_of, read_cases

ROWS = 200
# What every row may have in place of a value of the column's own.
_STRANGE = ["-", "null", '""', "0", "1.5", '"x"', "[]", "{}", "true", '"12"', "[1]", '{"a":1}']


async def fill(workspace: Workspace, table: str, ddl: str, insert: Insert | None) -> list[bytes]:
    """The rows of a new table with that one insert."""
    await workspace.execute(f"CREATE TABLE {table} ({ddl}) ENGINE = MergeTree ORDER BY n")
    if insert is not None:
        await workspace.engine.insert(insert)
    answer = await workspace.query(f"SELECT * FROM {table} ORDER BY n", format="TSV")
    await workspace.execute(f"DROP TABLE {table} SYNC")
    return answer.splitlines()


async def read_and_store(
    workspace: Workspace, reader: RowReader, ddl: str, lines: bytes
) -> tuple[list[bytes], set[Any]]:
    """The rows that are stored, and the bad ones."""
    read = reader.read(lines)
    judged = await judge(reader, read.unsure, workspace.engine)
    body = read.good + judged.good
    insert = Insert(
        workspace.database, "t", reader.columns, reader.format, body, uuid.uuid4().hex, ROW_SETTINGS
    )
    stored = await fill(workspace, "t", ddl, insert if body else None)
    bad = {(row.values, row.columns, row.reasons) for row in (*read.bad, *judged.bad)}
    assert len(stored) == read.count + judged.count
    assert len(stored) + len(read.bad) + len(judged.bad) == lines.count(b"\n")
    return stored, bad


@pytest.mark.parametrize("seed", range(15))
async def test_both_ways_store_the_same_and_refuse_the_same(
    workspace: Workspace, seed: int
) -> None:
    chance = random.Random(seed)
    cases = read_cases()
    definitions = chance.sample(
        [name for name in cases if "n +" not in name and "UUIDv4" not in name], 5
    )
    columns: list[tuple[str, str, str | None, str | None]] = [("n", "UInt32", None, None)]
    ddl = ["n UInt32"]
    for index, definition in enumerate(definitions):
        type, _, default = definition.partition(" DEFAULT ")
        columns.append((f"c{index}", type, default or None, f"$.o{index % 2}.k{index}"))
        ddl.append(f"c{index} {definition}")
    datasource = datasource_of(*columns)
    lines = []
    for number in range(ROWS):
        objects: list[list[str]] = [[], []]
        for index, definition in enumerate(definitions):
            fitting = [case.value for case in cases[definition] if case.outcome[:2] != "! "]
            other = chance.random() < 0.02 or not fitting
            value = (
                chance.choice(_STRANGE + [case.value for case in cases[definition]])
                if (other)
                else chance.choice(fitting)
            )
            if value != "-":
                objects[index % 2].append(f'"k{index}":{value}')
        o0, o1 = (",".join(fields) for fields in objects)
        lines.append(f'{{"n":{number},"o0":{{{o0}}},"o1":{{{o1}}}}}\n')
    body = "".join(lines).encode()
    quick, careful = make_row_reader(datasource), make_row_reader(datasource)
    careful._quick = ()
    one = await read_and_store(workspace, quick, ", ".join(ddl), body)
    other_one = await read_and_store(workspace, careful, ", ".join(ddl), body)
    assert one == other_one
    # Each line by itself, in its own body, is what it is among others.
    alone = [quick.read(line.encode()) for line in lines]
    assert sum(read.count for read in alone) == quick.read(body).count


def _float32(chance: random.Random) -> float:
    bits = struct.pack("<f", chance.uniform(-1e6, 1e6))
    value: float = struct.unpack("<f", bits)[0]
    return value


def _moment(chance: random.Random, low: int, high: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        seconds=chance.randint(low, high), microseconds=chance.randrange(10**6)
    )


def _text(chance: random.Random) -> str:
    return "".join(
        chance.choice('ab"\\/\n\t\0é😀 ,{}[]:\u2028') for _ in range(chance.randrange(9))
    )


def _object(chance: random.Random, depth: int) -> dict[str, Any]:
    """Lists are of one type: of several types the engine makes now one and now another."""
    made: dict[str, Any] = {
        "i": chance.randint(-(2**63), 2**63 - 1),
        "f": chance.random(),
        "t": _text(chance),
        "l": [chance.choice([_text(chance), None]) for _ in range(chance.randrange(4))],
        "n": None,
        "b": chance.random() < 0.5,
        "date": "2024-01-01",
        "é": "",
        "e": {},
    }
    if depth < 2:
        made["o"] = _object(chance, depth + 1)
        made["many"] = [_object(chance, 2), {}]
    keys = chance.sample(sorted(made), chance.randrange(len(made) + 1))
    return {key: made[key] for key in keys}


_EXACT: dict[str, Callable[[random.Random], Any]] = {
    "UInt8": lambda chance: chance.randrange(2**8),
    "Int64": lambda chance: chance.randint(-(2**63), 2**63 - 1),
    "UInt64": lambda chance: chance.choice([chance.randrange(2**64), str(chance.randrange(2**64))]),
    "Int256": lambda chance: chance.randint(-(2**255), 2**255 - 1),
    "Float64": lambda chance: chance.choice([chance.uniform(-1e300, 1e300), chance.random(), 3]),
    "Float32": _float32,
    "Decimal(18, 4)": lambda chance: chance.randint(-(10**15), 10**15) / 10**4,
    "Bool": lambda chance: chance.random() < 0.5,
    "String": lambda chance: chance.choice([_text(chance), chance.randrange(99), {"a": [1, None]}]),
    "LowCardinality(Nullable(String))": lambda chance: chance.choice([None, _text(chance)]),
    "UUID": lambda chance: str(uuid.UUID(int=chance.getrandbits(128))),
    "Date": lambda chance: _moment(chance, 0, 5_000_000_000).strftime("%Y-%m-%d"),
    "DateTime": lambda chance: _moment(chance, 0, 2**32 - 1).strftime("%Y-%m-%d %H:%M:%S"),
    "DateTime('Asia/Tokyo')": lambda chance: _moment(chance, 10**5, 2**31).strftime(
        "%Y-%m-%dT%H:%M:%S"
    ),
    "DateTime64(3)": lambda chance: _moment(chance, -(2**31), 10**10).isoformat(),
    "DateTime64(6)": lambda chance: _moment(chance, 0, 2**33).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "DateTime64(9)": lambda chance: _moment(chance, 0, 2**32).strftime("%Y-%m-%d %H:%M:%S.%f123"),
    "Enum8('a' = 1, 'b' = -2)": lambda chance: chance.choice(["a", "b", 1, -2]),
    "IPv4": lambda chance: ".".join(str(chance.randrange(256)) for _ in range(4)),
    "IPv6": lambda chance: ":".join(f"{chance.randrange(65536):x}" for _ in range(8)),
    "FixedString(4)": lambda chance: _text(chance)[:1],
    "Array(Nullable(Int32))": lambda chance: [
        chance.choice([None, chance.randrange(99), "7"]) for _ in range(chance.randrange(4))
    ],
    "Array(Array(String))": lambda chance: [[_text(chance)], []],
    "Map(String, Float64)": lambda chance: {_text(chance): chance.random(), "k": 1},
    "Tuple(a Int8, b Array(String))": lambda chance: {"b": [_text(chance)], "a": 5, "c": 1},
    "Tuple(Int8, Nullable(String))": lambda chance: [chance.randrange(99), None],
    "JSON": lambda chance: _object(chance, 0),
}


@pytest.mark.parametrize("seed", range(4))
async def test_what_the_engine_alone_stores_exactly_is_good_and_stored_the_same(
    workspace: Workspace, seed: int
) -> None:
    chance = random.Random(seed)
    columns: list[tuple[str, str, str | None, str | None]] = [("n", "UInt32", None, None)]
    columns += [(f"c{index}", type, None, None) for index, type in enumerate(_EXACT)]
    types = ["UInt32", *_EXACT]
    rows = [
        {"n": number} | {f"c{index}": make(chance) for index, make in enumerate(_EXACT.values())}
        for number in range(ROWS)
    ]
    body = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
    ddl = ", ".join(f"{name} {type}" for name, type, _, _ in columns)
    alone = Insert(workspace.database, "u", (), "JSONEachRow", body, uuid.uuid4().hex, ROW_SETTINGS)
    expected = await fill(workspace, "u", ddl, alone)
    reader = make_row_reader(datasource_of(*columns))
    for ways in (reader._quick, ()):
        reader._quick = ways
        stored, bad = await read_and_store(workspace, reader, ddl, body)
        assert bad == set()
        cells = [
            (types[column], one, other)
            for mine, its in zip(stored, expected, strict=True)
            for column, (one, other) in enumerate(
                zip(mine.split(b"\t"), its.split(b"\t"), strict=True)
            )
            if one != other
        ]
        assert cells == []
