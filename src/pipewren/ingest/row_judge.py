"""Asks the engine about values that only it can judge: one question for all rows of a body.

The values go as rows of JSONCompactEachRow through the table function `format`, parsed as the
insert parses them, and those come back that fit. The structure is always given: guessed, it takes
minutes for deep JSON (engine-chdb.md section 4). What comes back is looked at too, since the
engine saturates times and wraps numbers without a word.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from pipewren.engine.contract import Limits, Result, Statement
from pipewren.errors import EngineError
from pipewren.ingest.row_columns import RowColumn
from pipewren.ingest.row_faults import BadRow, value_reason
from pipewren.ingest.row_files import INPUT_SETTINGS
from pipewren.ingest.row_reader import ReadRows, RowReader, UnsureRow
from pipewren.ingest.row_times import time_range
from pipewren.sqltext import quote_literal, trusted_sql

_SETTINGS = tuple(
    sorted((*INPUT_SETTINGS, ("input_format_allow_errors_num", str(2**40)),))
)  # fmt: skip
_LIMITS = Limits(max_result_rows=0, max_result_bytes=256_000_000, max_memory_bytes=1_000_000_000)
_MAX_QUESTIONS = 64  # where one value makes the engine refuse all of a question
_MAX_TIME_S = 3_599_999  # 999:59:59

_Values = list[tuple[int, int]]  # (number of the row, index of the column)


class Judge(Protocol):
    """What is needed of `engine.contract.Engine`."""

    async def read_rows(self, statement: Statement) -> Result: ...


async def judge(reader: RowReader, unsure: Sequence[UnsureRow], engine: Judge) -> ReadRows:
    """The rows as good and bad ones. Raises what the engine says where it does not answer:
    Unavailable, TimedOut, EngineError of status 500."""
    asked: _Values = [(number, index) for number, row in enumerate(unsure) for index in row.doubts]
    answers = await _ask(reader, unsure, asked, engine, [_MAX_QUESTIONS])
    # Beside the loop, here and below: for values of some hundred kilobytes it takes a while.
    return await asyncio.to_thread(_settle_rows, reader, unsure, answers)


def _settle_rows(
    reader: RowReader, unsure: Sequence[UnsureRow], answers: Mapping[tuple[int, int], str]
) -> ReadRows:
    good: list[list[bytes | None]] = []
    bad: list[BadRow] = []
    for number, row in enumerate(unsure):
        values = list(row.values)
        refused: list[RowColumn] = []
        for index in row.doubts:
            column = reader.row_columns[index]
            value = _settle(column, values[index] or b"null", answers.get((number, index)))
            if value is None:
                refused.append(column)
            values[index] = value
        if refused:
            bad.append(_bad_row(row, refused))
        else:
            good.append(values)
    return ReadRows(reader.encode(good), len(good), tuple(bad))


async def _ask(
    reader: RowReader,
    unsure: Sequence[UnsureRow],
    asked: _Values,
    engine: Judge,
    left: list[int],
) -> dict[tuple[int, int], str]:
    """What the engine makes of each value that it takes. `left` counts the questions."""
    if not asked or left[0] <= 0:
        return {}
    left[0] -= 1
    statement = await asyncio.to_thread(_question, reader, unsure, asked)
    try:
        answer = await engine.read_rows(statement)
    except EngineError as error:
        if error.status >= 500:
            raise
        if len(asked) == 1:
            return {}
        # Some errors end the question whatever the settings say (states of aggregations).
        half = len(asked) // 2
        first = await _ask(reader, unsure, asked[:half], engine, left)
        return first | await _ask(reader, unsure, asked[half:], engine, left)
    return await asyncio.to_thread(_read_answer, answer.body)


def _question(reader: RowReader, unsure: Sequence[UnsureRow], asked: _Values) -> Statement:
    parts: list[str] = []
    parameters: list[tuple[str, str]] = []
    for index in sorted({index for _, index in asked}):
        column = reader.row_columns[index]
        rows = [
            b"[%d,%s]\n" % (number, unsure[number].values[index])
            for number, other in asked
            if other == index
        ]
        parameters.append((f"rows{index}", b"".join(rows).decode()))
        structure = quote_literal(f"n UInt32, x {_asked_type(column)}")
        shown = "toString(CAST(x AS Decimal(38, 9)))" if _is_time(column) else "toJSONString(x)"
        parts.append(
            f"SELECT toUInt32({index}), n, {shown} "
            f"FROM format(JSONCompactEachRow, {structure}, {{rows{index}:String}})"
        )
    return Statement(
        trusted_sql(" UNION ALL ".join(parts)),
        "",
        format="JSONCompactEachRow",
        limits=_LIMITS,
        settings=_SETTINGS,
        parameters=tuple(parameters),
    )


def _read_answer(body: bytes) -> dict[tuple[int, int], str]:
    found = map(msgspec.json.decode, body.splitlines())
    return {(number, index): text for index, number, text in found}


def _asked_type(column: RowColumn) -> str:
    """Times are read into a type that can hold more than the column's."""
    if not _is_time(column):
        return column.shown_type
    scale = column.type.scale if column.type.family == "DateTime64" else 3
    zone = "" if column.type.zone is None else f", {quote_literal(column.type.zone)}"
    return f"DateTime64({scale}{zone})"


def _is_time(column: RowColumn) -> bool:
    return column.type.family in ("DateTime", "DateTime64")


def _settle(column: RowColumn, value: bytes, answer: str | None) -> bytes | None:
    """The value to insert; None for one that does not fit."""
    if answer is None:
        return None
    if _is_time(column):
        low, high = time_range(column.type)
        return answer.encode() if low <= Decimal(answer) < high + 1 else None
    try:
        given, found = msgspec.json.decode(value), msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return value  # the engine's answer is no text of JSON: states of aggregations
    text = column.shown_type
    if "Time" in text:
        is_number = isinstance(given, int) and not isinstance(given, bool)
        return None if is_number and abs(given) > _MAX_TIME_S else value
    if "AggregateFunction" in text:
        return value
    return None if _exact_leaves(given) - _exact_leaves(found) else value


def _shown(text: str | None) -> str:
    return "null" if text is None else text


def _exact_leaves(value: Any) -> Counter[str]:
    """The whole numbers and empty texts in a value: what must come back as it went."""
    leaves: Counter[str] = Counter()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif item == "" or (isinstance(item, int) and not isinstance(item, bool)):
            leaves[str(item)] += 1
        elif isinstance(item, str) and item.lstrip("-").isdecimal():
            leaves[item] += 1
    return leaves


def _bad_row(row: UnsureRow, refused: Sequence[RowColumn]) -> BadRow:
    return BadRow(
        row.texts,
        tuple(column.name for column in refused),
        tuple(
            value_reason(column.name, column.shown_type, _shown(row.texts[column.position]))
            for column in refused
        ),
    )
