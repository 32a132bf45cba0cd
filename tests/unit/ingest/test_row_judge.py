"""What only the engine can judge is asked in as few questions as can be."""

from __future__ import annotations

import pytest

from pipewren.engine.contract import Statement
from pipewren.errors import EngineError, PipewrenError, Unavailable
from pipewren.ingest.row_judge import judge
from pipewren.ingest.row_reader import RowReader, make_row_reader
from pipewren.project.model import Column, Datasource, Position
from pipewren.testing.engine import ScriptedEngine

HERE = Position("x.datasource", 1)


def reader_of(*types: str) -> RowReader:
    columns = tuple(Column(f"c{index}", type, HERE) for index, type in enumerate(types))
    return make_row_reader(Datasource("rows", columns, HERE, "", ""))


def refused(status: int) -> EngineError:
    return EngineError("no", engine_code=27, engine_name="NO", status=status)


async def test_one_question_tells_of_all_rows_and_columns() -> None:
    reader = reader_of("Dynamic", "Variant(Int8, String)")
    unsure = reader.read(b'{"c0":1,"c1":2}\n{"c0":"x","c1":3}\n{"c0":4,"c1":300}\n').unsure
    answer = b'[0,0,"1"]\n[0,1,"\\"x\\""]\n[0,2,"4"]\n[1,0,"2"]\n[1,2,"44"]\n'
    engine = ScriptedEngine({"format(": answer})
    found = await judge(reader, unsure, engine)
    assert len(engine.statements) == 1
    assert found.good == b"[1,2]\n"
    assert [row.columns for row in found.bad] == [("c1",), ("c1",)]
    assert found.bad[1].reasons == ("value '300' on column 'c1' is not Variant(Int8, String)",)


async def test_nothing_is_asked_about_no_rows() -> None:
    engine = ScriptedEngine()
    assert (await judge(reader_of("Dynamic"), (), engine)).count == 0
    assert engine.statements == []


async def test_a_row_that_ends_the_question_is_found_and_questions_are_bounded() -> None:
    def answer(statement: Statement) -> bytes:
        rows = [line for line in statement.parameters[0][1].splitlines()]
        if any("bad" in row for row in rows):
            raise refused(400)
        numbers = [row[1:].partition(",")[0] for row in rows]
        return b"".join(b'[0,%s,"1"]\n' % number.encode() for number in numbers)

    reader = reader_of("AggregateFunction(sum, UInt64)")
    engine = ScriptedEngine({"format(": answer})
    lines = [b'{"c0":"%s"}' % (b"bad" if number == 5 else b"ok") for number in range(16)]
    found = await judge(reader, reader.read(b"\n".join(lines)).unsure, engine)
    assert (found.count, len(found.bad)) == (15, 1)
    assert len(engine.statements) < 12
    engine.statements.clear()
    every = reader.read(b'{"c0":"bad"}\n' * 1000).unsure
    assert len((await judge(reader, every, engine)).bad) == 1000
    assert len(engine.statements) <= 64


@pytest.mark.parametrize("error", [refused(500), Unavailable("stopping")])
async def test_an_engine_that_does_not_answer_is_no_judgement(error: PipewrenError) -> None:
    reader = reader_of("Dynamic")
    unsure = reader.read(b'{"c0":1}').unsure
    with pytest.raises(type(error)):
        await judge(reader, unsure, ScriptedEngine({"format(": error}))
