"""Who reads a quarantine: those who read its data source whole, and callers of pipes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from pipewren.serve.filtered_calls import tell_unfilterable
from pipewren.serve.storage_samples import sample_sizes
from pipewren.serve.usage import Usage
from pipewren.storage.tokens import ADMIN_TOKEN
from tests.engine.quarantine.conftest import BAD_ROWS, EVENTS, Place, endpoint

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES = {
    "datasources/events.datasource": EVENTS,
    "datasources/other.datasource": EVENTS,
    "endpoints/bad.pipe": endpoint(BAD_ROWS),
    "endpoints/over_bad.pipe": endpoint("SELECT count() AS n FROM bad"),
    "endpoints/good.pipe": endpoint("SELECT count() AS n FROM events"),
    "endpoints/chosen.pipe": endpoint("SELECT count() AS n FROM {{table(String(t, 'other'))}}"),
}
BAD = [["a", "300"], ["b", "x"]]


@pytest_asyncio.fixture(loop_scope="session")
async def shop(place: Place) -> AsyncIterator[Place]:
    await place.deploy(FILES)
    await place.add_bad_rows([("a", "300"), ("b", "x")])
    yield place


async def test_who_reads_the_data_source_reads_its_quarantine(shop: Place) -> None:
    for token in (ADMIN_TOKEN, "reader"):
        for name in ("events_quarantine", "shop.events_quarantine"):
            answer = await shop.ask(f"SELECT tenant, n FROM {name} ORDER BY tenant", token)
            assert answer.json()["data"] == BAD
    rows = await shop.ask("SELECT * FROM events_quarantine ORDER BY insertion_date DESC LIMIT 1")
    assert [column["name"] for column in rows.json()["meta"]] == [
        *("c__error_column", "c__error", "c__import_id", "tenant", "n", "insertion_date")
    ]


@pytest.mark.parametrize("token", ["appender", "of_quarantine", "pipes", "creator"])
async def test_who_does_not_read_the_data_source_does_not_read_it(shop: Place, token: str) -> None:
    for name in ("events_quarantine", "shop.events_quarantine", "events_quarantine__1"):
        answer = await shop.ask(f"SELECT count() FROM {name}", token)
        assert answer.status_code == 403
        assert answer.json()["error"] == f"Resource '{name}' not found"


async def test_a_pipe_reads_it_with_its_authors_rights(shop: Place) -> None:
    answer = await shop.send("/v0/pipes/bad.json", token="pipes")
    assert [[row["tenant"], row["n"]] for row in answer.json()["data"]] == BAD


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM events_quarantine",
        "SELECT count() FROM shop.events_quarantine",
        "SELECT count() FROM events WHERE tenant IN events_quarantine",
        "SELECT count() FROM (SELECT 1) AS a JOIN events_quarantine AS b ON 1",
        "WITH events AS (SELECT * FROM events_quarantine) SELECT count() FROM events",
        "DESCRIBE events_quarantine",
        "DESCRIBE (SELECT * FROM events_quarantine)",
    ],
)
async def test_a_filter_on_the_data_source_closes_it_to_sql(shop: Place, sql: str) -> None:
    answer = await shop.ask(sql, "filtered")
    assert answer.status_code == 403
    assert "the rows of 'events_quarantine' cannot be filtered" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v0/pipes/bad.json", {}),
        ("/v0/pipes/over_bad.json", {}),
        ("/v0/pipes/bad.json", {"q": "SELECT count() FROM _"}),
        ("/v0/pipes/chosen.json", {"t": "events_quarantine"}),
        ("/v0/sql", {"q": "SELECT * FROM bad"}),
        ("/v0/sql", {"q": "SELECT * FROM over_bad"}),
        ("/v0/sql", {"q": "SELECT * FROM _", "pipeline": "bad"}),
    ],
)
async def test_a_filter_on_the_data_source_closes_pipes_that_read_it(
    shop: Place, path: str, params: dict[str, Any]
) -> None:
    answer = await shop.send(path, token="filtered", **params)
    assert answer.status_code == 403
    assert (
        "row filter on 'events', which cannot be applied here: it reads 'events_quarantine', whose "
        "rows cannot be filtered" in answer.json()["error"]
    )
    assert (await shop.send("/v0/pipes/good.json", token="filtered")).status_code == 200


async def test_what_was_filled_from_it_is_closed_to_a_filter_too(place: Place) -> None:
    files = {
        **FILES,
        "datasources/mended.datasource": "SCHEMA >\n    `tenant` String\n",
        "materializations/mending.pipe": "NODE n\nSQL >\n    SELECT assumeNotNull(tenant) AS "
        "tenant FROM events_quarantine\nTYPE materialized\nDATASOURCE mended\n",
        "endpoints/good.pipe": endpoint("SELECT count() AS n FROM mended"),
    }
    await place.deploy(files)
    answer = await place.send("/v0/pipes/good.json", token="filtered")
    assert answer.status_code == 403
    assert "'mended', which is made of all rows of 'events'" in answer.json()["error"]


async def test_the_authors_of_such_pipes_are_told_at_the_start(shop: Place) -> None:
    told: list[str] = []
    await tell_unfilterable(shop.server, told.append)
    assert any(
        "pipe \"bad\" refuses tokens with a row filter on 'events': it reads "
        "'events_quarantine'" in line
        for line in told
    )


async def test_a_name_that_a_caller_chooses_is_a_quarantine_only_with_the_right(
    shop: Place,
) -> None:
    for token in ("pipes", "of_quarantine"):
        refused = await shop.send("/v0/pipes/chosen.json", token=token, t="events_quarantine")
        assert refused.status_code == 400, refused.text
        assert (await shop.send("/v0/pipes/chosen.json", token=token)).status_code == 200
    allowed = await shop.send("/v0/pipes/chosen.json", t="events_quarantine")
    assert allowed.json()["data"] == [{"n": 2}]


async def test_system_tables_and_show_tables_list_it_to_those_who_read_it(shop: Place) -> None:
    every = {"events", "events_quarantine", "other", "other_quarantine"}
    for token, names in (
        (ADMIN_TOKEN, every),
        ("reader", {"events", "events_quarantine"}),
        ("filtered", {"events"}),
        ("of_quarantine", {"other", "other_quarantine"}),
        ("appender", set()),
    ):
        for sql in ("SELECT name FROM system.tables", "SHOW TABLES"):
            answer = await shop.ask(sql, token)
            assert {row[0] for row in answer.json()["data"]} == names
        answer = await shop.ask("SELECT DISTINCT table FROM system.columns", token)
        assert {row[0] for row in answer.json()["data"]} == names


async def test_the_data_source_tells_how_many_rows_are_in_it_and_is_listed_alone(
    shop: Place,
) -> None:
    listed = (await shop.send("/v0/datasources")).json()["datasources"]
    assert {one["name"]: one["quarantine_rows"] for one in listed} == {"events": 2, "other": 0}
    shown = (await shop.send("/v0/datasources/events", token="reader")).json()
    assert (shown["quarantine_rows"], shown["statistics"]["row_count"]) == (2, 0)
    hidden = (await shop.send("/v0/datasources/events", token="filtered")).json()
    assert (hidden["quarantine_rows"], hidden["statistics"]["row_count"]) == (None, None)


async def test_it_is_shown_as_a_data_source_to_who_may_see_its_own(shop: Place) -> None:
    shown = (await shop.send("/v0/datasources/events_quarantine", token="reader")).json()
    assert shown["name"] == "events_quarantine"
    assert shown["statistics"]["row_count"] == 2
    assert [column["name"] for column in shown["columns"]] == [
        *("c__error_column", "c__error", "c__import_id", "tenant", "n", "insertion_date")
    ]
    assert shown["engine"]["partition_key"] == "toYear(insertion_date)"
    own = (await shop.send("/v0/datasources/events")).json()
    assert shown["id"].startswith("t_")
    assert len(shown["id"]) == len(own["id"])
    assert shown["id"] != own["id"]
    by_id = (await shop.send(f"/v0/datasources/{shown['id']}")).json()
    assert by_id == (await shop.send("/v0/datasources/events_quarantine")).json()
    assert {one["name"] for one in by_id["used_by"]} == {"bad"}
    for token in ("of_quarantine", "pipes"):
        refused = await shop.send("/v0/datasources/events_quarantine", token=token)
        assert refused.status_code == 403
    missing = await shop.send("/v0/datasources/unknown_quarantine")
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        'Data Source "unknown_quarantine" does not exist',
    )


async def test_nobody_appends_to_a_quarantine(shop: Place) -> None:
    answer = await shop.send("/v1/datasources/events_quarantine/append", "POST", format="ndjson")
    assert answer.status_code == 404


async def test_a_scope_does_not_name_a_quarantine(shop: Place) -> None:
    answer = await shop.send(
        "/v0/tokens", "POST", name="new", scope="DATASOURCES:READ:events_quarantine"
    )
    assert answer.status_code == 400
    assert "events_quarantine" in answer.json()["error"]


async def test_truncate_empties_the_quarantine_or_the_data_source_and_not_the_other(
    shop: Place,
) -> None:
    path = "/v0/datasources/events_quarantine/truncate"
    for token in ("reader", "appender", "of_quarantine"):
        assert (await shop.send(path, "POST", token=token)).status_code == 403
    await shop.send("/v0/datasources/events/truncate", "POST")
    count = "SELECT count() FROM events_quarantine"
    assert (await shop.ask(count)).json()["data"] == [[2]]
    assert (await shop.send(path, "POST", token="creator")).status_code == 205
    assert (await shop.ask(count)).json()["data"] == [[0]]
    await shop.add_bad_rows([("a", "300"), ("b", "x")])
    assert (await shop.ask(count)).json()["data"] == [[2]]  # not held for known rows


class Sizes(Usage):
    """Keeps the sizes that it is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[str, tuple[int, int, bool]] = {}

    def note_size(
        self, workspace_id: str, table: Any, size: Any, quarantine: Any, **_: Any
    ) -> None:
        self.noted[table.datasource] = (size.rows, quarantine.rows, quarantine.bytes > 0)


async def test_samples_of_storage_tell_of_its_rows_and_bytes(shop: Place) -> None:
    usage = shop.server.usage = Sizes()
    await sample_sizes(shop.server, [shop.target.workspace.id])
    assert usage.noted == {"events": (0, 2, True), "other": (0, 0, False)}
