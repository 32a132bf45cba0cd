"""The CREATE TABLE of data sources is what ClickHouse takes, for every engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pipewren.project.datasource import parse_datasource
from pipewren.project.ddl import TABLE_SETTINGS, table_ddl
from pipewren.project.reference import DATASOURCE_EXAMPLE
from pipewren.sqltext import quote_literal

COLUMNS = "day Date, page String, hits UInt64, sign Int8, ver UInt64, gone UInt8"
ENGINES = {
    "MergeTree": "ENGINE MergeTree\nENGINE_SORTING_KEY page",
    "MergeTree without a key": "",
    "MergeTree with all clauses": 'ENGINE_SORTING_KEY "page, cityHash64(hits)"\n'
    'ENGINE_PRIMARY_KEY "page, cityHash64(hits)"\nENGINE_PARTITION_KEY "toYYYYMM(day) -- months"\n'
    'ENGINE_SAMPLING_KEY "cityHash64(hits)"\n'
    "ENGINE_TTL \"day + INTERVAL 30 DAY DELETE WHERE page = 'x' -- short\"\n"
    'ENGINE_SETTINGS "index_granularity = 1024"',
    "ReplacingMergeTree": "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY page",
    "ReplacingMergeTree with ver": "ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY (page)\n"
    "ENGINE_VER ver\nENGINE_IS_DELETED gone",
    "SummingMergeTree": "ENGINE SummingMergeTree\nENGINE_SORTING_KEY day",
    "SummingMergeTree with columns": "ENGINE SummingMergeTree\nENGINE_SORTING_KEY day\n"
    'ENGINE_COLUMNS "hits, ver"',
    "SummingMergeTree with a bracket": "ENGINE SummingMergeTree\nENGINE_SORTING_KEY day\n"
    'ENGINE_COLUMNS "(hits)"',
    "AggregatingMergeTree": "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY tuple(day)",
    "CollapsingMergeTree": "ENGINE CollapsingMergeTree\nENGINE_SORTING_KEY page\nENGINE_SIGN sign",
    "VersionedCollapsingMergeTree": "ENGINE VersionedCollapsingMergeTree\n"
    "ENGINE_SORTING_KEY page\nENGINE_SIGN sign\nENGINE_VERSION `ver`",
    "Null": "ENGINE Null",
    "Null with keys": 'ENGINE Null\nENGINE_SORTING_KEY "page"\nENGINE_TTL "day + 1"',
}


@pytest.fixture
def database(bare_chdb: Any) -> Iterator[str]:
    name = f"w_{uuid.uuid4().hex[:12]}"
    bare_chdb.query(f"CREATE DATABASE {name} ENGINE = Atomic")
    yield name
    bare_chdb.query(f"DROP DATABASE {name}")


def ask(bare_chdb: Any, sql: str) -> str:
    return str(bare_chdb.query(sql, "TSVRaw").bytes().decode()).rstrip("\n")


def shown(bare_chdb: Any, database: str, table: str) -> str:
    return ask(
        bare_chdb,
        f"SELECT create_table_query FROM system.tables WHERE database = {quote_literal(database)} "
        f"AND name = {quote_literal(table)}",
    )


def create(bare_chdb: Any, database: str, text: str, **options: Any) -> str:
    datasource = parse_datasource("d", text, file="d.datasource")
    bare_chdb.query(table_ddl(datasource, database=database, table="d__1", **options))
    return shown(bare_chdb, database, "d__1")


@pytest.mark.parametrize("case", ENGINES)
def test_the_ddl_of_every_engine_makes_a_table_that_takes_rows(
    bare_chdb: Any, database: str, case: str
) -> None:
    create(bare_chdb, database, f"SCHEMA >\n    {COLUMNS}\n{ENGINES[case]}\n")

    bare_chdb.query(f"INSERT INTO {database}.d__1 VALUES ('2026-01-01', 'a', 1, 1, 1, 0)")

    engine = ask(bare_chdb, f"SELECT engine FROM system.tables WHERE database = '{database}'")
    assert engine == case.split(" ", 1)[0]
    rows = ask(bare_chdb, f"SELECT count() FROM {database}.d__1")
    assert rows == ("0" if case.startswith("Null") else "1")


def test_all_clauses_arrive_in_the_table(bare_chdb: Any, database: str) -> None:
    text = f"SCHEMA >\n    {COLUMNS}\n{ENGINES['MergeTree with all clauses']}\n"
    made = create(bare_chdb, database, text)
    for clause in (
        "PARTITION BY toYYYYMM(day)",
        "PRIMARY KEY (page, cityHash64(hits))",
        "ORDER BY (page, cityHash64(hits))",
        "SAMPLE BY cityHash64(hits)",
        "TTL day + toIntervalDay(30) WHERE page = 'x'",
        "index_granularity = 1024",
    ):
        assert clause in made


def test_every_table_has_the_settings_that_keep_its_rows(bare_chdb: Any, database: str) -> None:
    made = create(bare_chdb, database, f"SCHEMA >\n    {COLUMNS}\n")
    for name, value in TABLE_SETTINGS.items():
        assert f"{name} = {value}" in made


def test_settings_of_the_author_win(bare_chdb: Any, database: str) -> None:
    made = create(
        bare_chdb, database, 'SCHEMA >\n    a Int8\nENGINE_SETTINGS "old_parts_lifetime=5"\n'
    )
    assert "old_parts_lifetime = 5" in made
    assert "old_parts_lifetime = 480" not in made


def test_dimensions_may_stay_out_of_the_key_of_aggregating_tables(
    bare_chdb: Any, database: str
) -> None:
    text = (
        "SCHEMA >\n    day Date, page String, users AggregateFunction(uniq, String)\n"
        "ENGINE AggregatingMergeTree\nENGINE_SORTING_KEY day\n"
    )
    assert "allow_dimensions_outside_sorting_key = 1" in create(bare_chdb, database, text)


def test_the_example_of_the_docs_makes_its_table(bare_chdb: Any, database: str) -> None:
    made = create(bare_chdb, database, DATASOURCE_EXAMPLE)
    assert "`at` DateTime64(3) DEFAULT now64(3)" in made
    assert "`note` Nullable(String) CODEC(ZSTD(1))" in made
    assert "INDEX i_page lower(page) TYPE bloom_filter(0.01) GRANULARITY 4" in made


def test_names_and_types_of_all_kinds_make_a_table(bare_chdb: Any, database: str) -> None:
    text = (
        "SCHEMA >\n    `na#me;` Int32, it's-a.name* String, c DEFAULT now(), t double precision,\n"
        "    e Enum8('it\\'s, (a' = 1), i INT(11) UNSIGNED, -- , comment\n"
        "    m Map(String, Tuple(x Int8, y Nullable(String))) DEFAULT map('a', (1, 'b,c')),\n"
        "    q AggregateFunction(quantiles(0.5, 0.9), Float64)\n"
        "INDEXES >\n    i (`na#me;`, c) TYPE minmax\n    j `na#me;` * 2 TYPE set(100)\n"
    )
    create(bare_chdb, database, text)
    names = ask(
        bare_chdb,
        f"SELECT name FROM system.columns WHERE database = '{database}' ORDER BY position",
    )
    assert names.split("\n") == ["na#me;", "it's-a.name*", "c", "t", "e", "i", "m", "q"]


def test_a_given_uuid_is_the_table_s(bare_chdb: Any, database: str) -> None:
    given = str(uuid.uuid4())
    create(bare_chdb, database, "SCHEMA >\n    a Int8\n", uuid=given)
    found = ask(bare_chdb, f"SELECT uuid FROM system.tables WHERE database = '{database}'")
    assert found == given
