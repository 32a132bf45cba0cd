"""Which table a data source gets, and what counts as a change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipewren.deploy.tables import definition_of, describe_change, plan_tables
from pipewren.project.model import Column, Datasource, Position, Project, TableEngine
from pipewren.storage.deployments import TableVersion

HERE = Position("datasources/events.datasource", 1)
EVENTS = Datasource(
    name="events",
    columns=(
        Column("at", "DateTime", HERE, default="now()"),
        Column("page", "LowCardinality(String)", HERE, jsonpath="$.page"),
    ),
    position=HERE,
    content="",
    schema_text="",
    engine=TableEngine(sorting_key="page, at"),
)


def project(*datasources: Datasource) -> Project:
    return Project(Path(), {item.name: item for item in datasources}, {}, {})


def version(datasource: Datasource, number: int = 1) -> TableVersion:
    return TableVersion(datasource.name, number, "t_1", definition_of(datasource))


def with_column(datasource: Datasource, index: int, **changes: Any) -> Datasource:
    columns = list(datasource.columns)
    columns[index] = replace(columns[index], **changes)
    return replace(datasource, columns=tuple(columns))


def test_a_new_data_source_gets_version_one() -> None:
    plan = plan_tables(project(EVENTS), [])
    assert plan.tables["events"].table == "events__1"
    assert plan.new == (plan.tables["events"],)
    assert not plan.changed


def test_no_table_gets_the_name_of_a_quarantine_of_before_or_the_reverse() -> None:
    taking = replace(EVENTS, name="events_quarantine")
    # `events` has left the project, and its table stays.
    plan = plan_tables(project(taking), [version(EVENTS)], present={"events__1"})
    assert plan.tables["events_quarantine"].table == "events_quarantine__2"
    known = [version(taking), version(taking, 2)]
    plan = plan_tables(project(EVENTS), known)
    assert plan.tables["events"].table == "events__3"


def test_an_unchanged_one_keeps_its_table() -> None:
    known = version(EVENTS)
    plan = plan_tables(project(EVENTS), [known])
    assert plan.tables == {"events": known}
    assert not plan.new


def test_what_does_not_touch_the_table_is_no_change() -> None:
    known = version(EVENTS)
    for same in (
        replace(EVENTS, description="more words", content="x", schema_text="y"),
        with_column(EVENTS, 1, jsonpath="$.other"),
        replace(EVENTS, engine=TableEngine(sorting_key="page,  at")),
    ):
        assert plan_tables(project(same), [known]).tables == {"events": known}


def test_a_changed_one_gets_the_next_version_and_names_the_old() -> None:
    known = version(EVENTS, 4)
    changed = with_column(EVENTS, 0, type="DateTime64(3)")
    plan = plan_tables(project(changed), [version(EVENTS, 2), known])
    assert plan.tables["events"].table == "events__5"
    assert plan.tables["events"].resource_id == known.resource_id
    assert plan.changed == ((changed, known),)


def test_one_that_comes_back_finds_its_table() -> None:
    known = version(EVENTS)
    assert plan_tables(project(), [known]).tables == {}
    assert plan_tables(project(EVENTS), [known]).tables == {"events": known}


def test_white_space_in_a_literal_is_a_change() -> None:
    one, two = (with_column(EVENTS, 1, default=f"'a{gap}b'") for gap in (" ", "  "))
    assert definition_of(one) != definition_of(two)


def test_a_change_is_told_piece_by_piece() -> None:
    extra = Column("user", "String", HERE)
    changed = replace(
        with_column(EVENTS, 0, type="Date", default="today()"),
        engine=TableEngine(name="ReplacingMergeTree", sorting_key="page", ver="at"),
    )
    changed = replace(changed, columns=(changed.columns[0], extra))
    assert describe_change(definition_of(EVENTS), definition_of(changed)) == [
        "DEFAULT of column at: now() -> today()",
        "ENGINE: MergeTree -> ReplacingMergeTree",
        "ENGINE_SORTING_KEY: page, at -> page",
        "ENGINE_VER: none -> at",
        "column page was removed",
        "column user was added",
        "type of column at: DateTime -> Date",
    ]


def test_another_order_of_columns_is_a_change() -> None:
    swapped = replace(EVENTS, columns=EVENTS.columns[::-1])
    assert describe_change(definition_of(EVENTS), definition_of(swapped)) == [
        "the order of the columns"
    ]
