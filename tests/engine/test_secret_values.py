"""Secrets beside a statement: the engine puts them in, and no error tells them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipewren.engine.errors import make_scrubber, translate_error
from pipewren.engine.hidden_values import hide_values
from pipewren.errors import EngineError
from pipewren.sql.revealed_secrets import find_revealed

SECRET = "s3cr3t-Value\\with'quo\"te\nline\tand `é`"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("a s3cr3t-1 b", "a *** b"),
        ("twice s3cr3t-1s3cr3t-1", "twice ***"),
        ("before: 'cr3t-1'", "before: '***'"),
        ("s3cr3t-", "***"),
        ("s3cr3", "s3cr3"),
        ("pin 4711, not 471", "pin ***, not 471"),
        ("'it\\'s', 'it''s', it's, it\\\\\\'s", "'***', '***', ***, ***"),
        ("abc", "abc"),
    ],
)
def test_values_are_hidden_in_every_spelling_and_in_part(text: str, hidden: str) -> None:
    assert hide_values(text, ("s3cr3t-1", "4711", "it's", "abc", "")) == hidden


def test_the_log_of_a_failing_engine_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    raw = "Code: 1001. DB::Exception: std::exception: s3cr3t-1 was unwell. (STD_EXCEPTION)"
    with caplog.at_level(logging.ERROR):
        error = translate_error(raw, sql="", scrubber=make_scrubber("/data"), hidden=("s3cr3t-1",))
    assert "*** was unwell" in caplog.text
    assert "s3cr3t" not in caplog.text + str(error)


async def test_the_engine_gets_the_value_as_it_is(workspace: Any) -> None:
    body = await workspace.query(
        "SELECT {k: String} AS k",
        format="RawBLOB",
        parameters=(("k", SECRET),),
        hidden=(SECRET,),
    )
    assert body.decode() == SECRET


FAILING = [
    "SELECT toUInt8({k: String})",
    "SELECT toDateTime({k: String})",
    "SELECT toDate({k: String})",
    "SELECT toUUID({k: String})",
    "SELECT CAST({k: String} AS Enum8('a' = 1))",
    "SELECT throwIf(1, concat('see ', {k: String}))",
    "SELECT throwIf(1, substring({k: String}, 3, 8))",
    "SELECT tuple({k: String}) = 3",
    "SELECT {k: String} + 1",
    "SELECT noSuchFunction({k: String})",
    "SELECT nothing FROM (SELECT {k: String} AS x)",
    "SELECT x FROM (SELECT 1) WHERE x = {k: String}",
    "SELECT 1 AS a, {k: String} AS a, a",
    "SELECT dictGet({k: String}, 'a', 1)",
    "SELECT JSONExtract('{}', {k: String}, {k: String})",
    "SELECT arrayJoin({k: String})",
    "SELECT 1 WHERE {k: String}",
    "SELECT sum({k: String})",
    "SELECT sum(1) GROUP BY sum(length({k: String}))",
    "SELECT toTypeName(1, {k: String})",
    "SELECT count() FROM numbers(2) WHERE number IN ({k: String}, 'x')",
]


@pytest.mark.parametrize("sql", FAILING)
@pytest.mark.parametrize("secret", [SECRET, "2024-13-45 longer", "123abc-and-more", "9f86d081x"])
async def test_no_error_of_the_engine_shows_a_part_of_a_secret(
    workspace: Any, sql: str, secret: str
) -> None:
    with pytest.raises(EngineError) as failed:
        await workspace.query(sql, parameters=(("k", secret),), hidden=(secret,))
    text = failed.value.message
    assert not [part for part in windows(secret, 6) if part in text]


async def test_no_error_of_a_stream_shows_a_secret(workspace: Any) -> None:
    statement = workspace.statement(
        "SELECT throwIf(number = 5, concat('see ', {k: String})) FROM numbers(9)",
        parameters=(("k", SECRET),),
        hidden=(SECRET,),
    )
    with pytest.raises(EngineError) as failed:
        async for _ in workspace.engine.stream(statement):
            pass
    assert "see ***" in failed.value.message
    assert "s3cr3t" not in failed.value.message


SHOWN = [
    "SELECT {k: String}",
    "SELECT a, concat('x', upper({k: String})) AS b FROM t",
    "SELECT * FROM (SELECT {k: String} AS x)",
    "WITH {k: String} AS s SELECT s",
    "WITH concat({k: String}, '') AS s, s AS r SELECT upper(r) FROM t",
    "WITH c AS (SELECT {k: String} AS x) SELECT * FROM c",
    "SELECT 1 UNION ALL SELECT length({k: String})",
    "SELECT x FROM t ARRAY JOIN [{k: String}] AS x",
    "SELECT w FROM t WHERE ({k: String} AS w) = x",
    "SELECT t.w FROM (SELECT 1 AS a WHERE ({k: String} AS w) != '') AS t",
    "SELECT (SELECT {k: String}) AS x",
    "SELECT * REPLACE ({k: String} AS a) FROM t",
    "SELECT arrayMap(x -> concat(x, {k: String}), ['a'])",
]
HIDDEN = [
    "SELECT a FROM t WHERE {k: String} = b",
    "WITH {k: String} AS s SELECT a FROM t WHERE s = b",
    "SELECT count() FROM t PREWHERE b = {k: String} GROUP BY a HAVING max(b) != {k: String}",
    "SELECT a FROM t JOIN u ON t.a = u.a AND u.k = {k: String} ORDER BY b = {k: String}",
    "SELECT a FROM t WHERE b IN (SELECT {k: String})",
    "WITH c AS (SELECT a FROM t WHERE b = {k: String}) SELECT * FROM c",
]


@pytest.mark.parametrize("sql", SHOWN)
async def test_a_secret_among_the_columns_is_found(workspace: Any, sql: str) -> None:
    assert find_revealed(await workspace.engine.parse(sql)) == "k"


@pytest.mark.parametrize("sql", HIDDEN)
async def test_a_secret_in_a_condition_is_not_shown(workspace: Any, sql: str) -> None:
    assert find_revealed(await workspace.engine.parse(sql)) is None


def windows(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(len(text) - size + 1)]
