"""Filters on a pipe's own rows, `PIPES:READ:by_kind:hits > 1`: of static tokens (tokens.md section
4), wherever the pipe is read."""

from __future__ import annotations

import json

from tests.engine.queries.conftest import Served, check_error

ALL = "SELECT kind, hits FROM by_kind"


async def test_a_call_shows_the_rows_that_meet_the_filter(served: Served) -> None:
    rows = (await served.send("/v0/pipes/by_kind.json")).json()["data"]
    kept = [row for row in rows if row["hits"] > 1]
    assert 0 < len(kept) < len(rows)
    answer = await served.send("/v0/pipes/by_kind.json", token="narrowed_pipe")
    assert answer.json()["data"] == kept
    assert answer.json()["statistics"]["rows_read"] == 0
    lines = await served.send("/v0/pipes/by_kind.ndjson", token="narrowed_pipe")
    assert [json.loads(line) for line in lines.text.splitlines()] == kept


async def test_so_does_a_statement_that_reads_the_pipe(served: Served) -> None:
    kept = [row for row in await served.rows(ALL) if row[1] > 1]
    assert await served.rows(ALL, "narrowed_pipe") == kept
    assert await served.rows(f"SELECT * FROM ({ALL})", "narrowed_pipe") == kept
    counted = await served.rows("SELECT count() FROM by_kind", "narrowed_pipe")
    assert counted == [[len(kept)]]
    over = await served.call("by_kind.json", "SELECT count() AS n FROM _", "narrowed_pipe")
    assert over.json()["data"] == [{"n": len(kept)}]
    assert (await served.rows("SELECT count() FROM by_kind", "none_of_pipe")) == [[0]]


async def test_no_error_tells_of_a_row_behind_it(served: Served) -> None:
    """The filter is looked at before what the caller wrote."""
    for probe in (
        "SELECT count() FROM by_kind WHERE toInt64(if(hits <= 1, kind, '1')) = 1",
        "SELECT count() FROM by_kind WHERE intDiv(1, hits - 1) >= 0",
        "SELECT sum(intDiv(1, hits - 1)) FROM by_kind",
        "SELECT count() FROM by_kind WHERE toBool(if(hits <= 1, 'zz', 'true'))",
        "SELECT count() FROM by_kind WHERE bitShiftLeft(1, if(hits <= 1, -1, 1)) >= 0",
    ):
        assert (await served.ask(probe)).status_code == 400  # without the filter it tells
        assert (await served.ask(probe, "narrowed_pipe")).status_code == 200, probe


async def test_a_name_given_around_it_does_not_change_it(served: Served) -> None:
    kept = [row for row in await served.rows(ALL) if row[1] > 1]
    for text in (
        f"WITH 100 AS hits SELECT * FROM ({ALL})",
        f"WITH by_kind AS (SELECT 1 AS x) SELECT * FROM (SELECT 1) AS a, ({ALL}) AS b",
        f"SELECT kind, hits FROM (SELECT 100 AS hits) AS a, ({ALL}) AS b",
    ):
        answer = await served.ask(f"{text} FORMAT JSONCompact", "narrowed_pipe")
        if answer.status_code == 200:
            kinds = {row[0] for row in kept} | {row[1] for row in kept} | {1, 100}
            assert {cell for row in answer.json()["data"] for cell in row} <= kinds | {
                row[1] for row in kept
            }
        else:
            assert answer.status_code in (400, 403)


async def test_it_cannot_act_where_the_columns_are_not_known(served: Served) -> None:
    answer = await served.send("/v0/pipes/over_tenant.json", token="narrowed_pipe")
    check_error(answer, 403, "whose columns are not known")
