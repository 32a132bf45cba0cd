"""A quarantine comes and goes with the table that it is beside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipewren.deploy.candidate import read_candidate
from pipewren.deploy.databases import drop_object
from pipewren.deploy.folder import deploy_folder
from pipewren.deploy.leftovers import drop_leftovers
from pipewren.deploy.prepare import undo
from pipewren.deploy.restore import open_workspace
from pipewren.engine.contract import Statement
from pipewren.errors import ProjectErrors
from pipewren.sqltext import trusted_sql
from pipewren.storage.deployments import add_table_version
from pipewren.template.limits import TemplateLimits
from tests.engine.quarantine.conftest import BAD_ROWS, EVENTS, Place, endpoint

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILES = {
    "datasources/events.datasource": EVENTS,
    "endpoints/bad.pipe": endpoint(BAD_ROWS),
}
BOTH = {"events__1", "events_quarantine__1"}


async def test_a_quarantine_is_made_with_the_data_source_as_the_documents_say(
    place: Place,
) -> None:
    await place.deploy(FILES)
    assert await place.tables() == place.remembered() == BOTH
    assert await place.aliases() == {"events", "events_quarantine"}
    database = place.target.workspace.database
    columns = await place.target.engine.run(
        Statement(trusted_sql(f"DESCRIBE {database}.events_quarantine__1"), "system", "TSV")
    )
    assert [tuple(line.split("\t")[:2]) for line in columns.body.decode().splitlines()] == [
        ("c__error_column", "Array(String)"),
        ("c__error", "Array(String)"),
        ("c__import_id", "Nullable(String)"),
        ("tenant", "Nullable(String)"),
        ("n", "Nullable(String)"),
        ("insertion_date", "DateTime"),
    ]
    engine = await place.target.engine.run(
        Statement(
            trusted_sql(
                f"SELECT engine_full FROM system.tables WHERE database = '{database}' ORDER BY name"
            ),
            "system",
            "TSVRaw",
        )
    )
    own, full = engine.body.decode().splitlines()
    assert full.startswith(
        "MergeTree PARTITION BY toYear(insertion_date) ORDER BY insertion_date SETTINGS "
    )
    assert own.partition(" SETTINGS ")[2] == full.partition(" SETTINGS ")[2]


@pytest.mark.parametrize(
    "schema",
    [
        "`insertion_date` DateTime,\n    `insertion_date_` String,\n    `c__error` String",
        "`nested.a` Array(UInt8),\n    `nested.b` Array(String)",
        "`tags` Nested(name String, weight UInt8)",
        "`map` Map(String, UInt8),\n    `low` LowCardinality(Nullable(String)) DEFAULT 'x'",
    ],
)
async def test_whatever_columns_a_data_source_has_its_quarantine_can_be_made(
    place: Place, schema: str
) -> None:
    await place.deploy({"datasources/events.datasource": f"SCHEMA >\n    {schema}\n"})
    assert await place.tables() == BOTH


async def test_what_is_undone_or_was_killed_leaves_no_quarantine(place: Place) -> None:
    await place.deploy(FILES)
    more = {**FILES, "datasources/other.datasource": EVENTS}
    prepared = await place.prepare(more)
    assert await place.tables() == BOTH | {"other__1", "other_quarantine__1"}
    await undo(place.target, prepared.stored)
    assert await place.tables() == place.remembered() == BOTH

    await place.prepare(more)
    await drop_leftovers(place.target)
    assert await place.tables() == place.remembered() == BOTH
    assert await place.aliases() == {"events", "events_quarantine"}


async def test_a_statement_that_the_engine_refuses_leaves_no_quarantine(place: Place) -> None:
    with pytest.raises(ProjectErrors, match="no_such_column"):
        await place.deploy(
            {**FILES, "endpoints/x.pipe": endpoint("SELECT no_such_column FROM events_quarantine")}
        )
    assert await place.tables() == place.remembered() == set()


async def test_it_stays_with_its_table_and_goes_with_it(place: Place) -> None:
    await place.deploy(FILES)
    await place.add_bad_rows([("a", "300")])
    await place.deploy({**FILES, "endpoints/one.pipe": endpoint("SELECT 1 AS one")})
    assert (await place.ask("SELECT count() FROM events_quarantine")).json()["data"] == [[1]]

    changed = EVENTS.replace("UInt8", "UInt16")
    await place.deploy({**FILES, "datasources/events.datasource": changed})
    assert await place.tables() == {"events__2", "events_quarantine__2"}
    assert (await place.ask("SELECT count() FROM events_quarantine")).json()["data"] == [[0]]

    await place.deploy({"endpoints/one.pipe": endpoint("SELECT 1 AS one")})
    assert await place.tables() == place.remembered() == set()


async def test_bad_rows_of_a_data_source_that_left_a_folder_come_back_with_it(
    place: Place,
) -> None:
    await place.deploy(FILES)
    await place.add_bad_rows([("a", "300")])
    one = {"endpoints/one.pipe": endpoint("SELECT 1 AS one")}
    await place.deploy(one, keep_removed=True)
    # Another data source takes the name, and gets a table of its own.
    taking = {"datasources/events_quarantine.datasource": EVENTS}
    await place.deploy(taking, keep_removed=True)
    assert await place.tables() >= BOTH | {"events_quarantine__2"}
    assert (await place.ask("SELECT count() FROM events_quarantine")).json()["data"] == [[0]]

    await place.deploy(one)
    assert await place.tables() == BOTH
    await place.deploy(FILES)
    assert (await place.ask("SELECT count() FROM events_quarantine")).json()["data"] == [[1]]


@pytest.mark.parametrize("killed_between", [False, True])
async def test_a_data_directory_of_before_gets_its_quarantines_at_the_start(
    place: Place, killed_between: bool
) -> None:
    live = await place.deploy(FILES)
    engine, store = place.target.engine, place.target.store
    staged = await place.prepare({**FILES, "endpoints/b.pipe": endpoint("SELECT 2 AS b")})
    await undo(place.target, staged.stored)
    await drop_object(engine, store, live.database, "events_quarantine")
    if not killed_between:
        await drop_object(engine, store, place.target.workspace.database, "events_quarantine__1")
    opened = await open_workspace(place.target, limits=TemplateLimits())
    assert await place.tables() == place.remembered() == BOTH
    assert await place.aliases() == {"events", "events_quarantine"}
    place.server.deployments = {place.target.workspace.id: opened.live}
    await place.add_bad_rows([("a", "300")])
    answer = await place.send("/v0/pipes/bad.json")
    assert answer.json()["rows"] == 1
    again = await open_workspace(place.target, limits=TemplateLimits())
    assert again.live.stored == opened.live.stored
    assert (await place.send("/v0/pipes/bad.json")).json()["rows"] == 1


async def test_a_folder_of_before_gets_its_quarantines_at_the_start(place: Place) -> None:
    sent = {path: text.encode() for path, text in FILES.items()}
    candidate = await read_candidate(sent, secrets={}, limits=TemplateLimits())
    place.live = await deploy_folder(place.target, candidate)
    engine, store = place.target.engine, place.target.store
    await drop_object(engine, store, place.live.database, "events_quarantine")
    await drop_object(engine, store, place.target.workspace.database, "events_quarantine__1")
    place.live = await deploy_folder(place.target, candidate)
    assert await place.tables() == place.remembered() == BOTH
    assert await place.aliases() == {"events", "events_quarantine"}
    unchanged = await deploy_folder(place.target, candidate)
    assert unchanged.stored == place.live.stored


async def test_a_table_of_before_in_the_place_of_a_quarantine_is_not_taken_for_one(
    place: Place,
) -> None:
    live = await place.deploy(FILES)
    engine, store = place.target.engine, place.target.store
    await drop_object(engine, store, live.database, "events_quarantine")
    taking = replace(live.tables["events"], datasource="events_quarantine")
    with store.begin() as connection:
        add_table_version(connection, place.target.workspace.id, taking)
    told: list[str] = []
    await open_workspace(replace(place.target, progress=told.append), limits=TemplateLimits())
    assert await place.aliases() == {"events"}
    assert "the data source events has no quarantine" in told[0]
    with pytest.raises(ProjectErrors, match="Give the data source another name"):
        await place.deploy({**FILES, "endpoints/one.pipe": endpoint("SELECT 1 AS one")})


async def test_a_view_may_read_a_quarantine(place: Place) -> None:
    files = {
        **FILES,
        "datasources/counts.datasource": "SCHEMA >\n    `tenant` String,\n    `bad` UInt64\n",
        "materializations/counting.pipe": "NODE n\nSQL >\n    SELECT assumeNotNull(tenant) AS "
        "tenant, count() AS bad FROM events_quarantine GROUP BY tenant\n"
        "TYPE materialized\nDATASOURCE counts\n",
    }
    await place.deploy(files)
    await place.add_bad_rows([("a", "300"), ("a", "301")])
    answer = await place.ask("SELECT tenant, bad FROM counts")
    assert answer.json()["data"] == [["a", 2]]


async def test_a_pipe_over_a_quarantine_is_checked_when_the_data_source_changes(
    place: Place,
) -> None:
    await place.deploy(FILES)
    changed = "SCHEMA >\n    `tenant` String `json:$.tenant`\n"
    with pytest.raises(ProjectErrors, match=r"endpoints/bad\.pipe"):
        await place.deploy({**FILES, "datasources/events.datasource": changed})
