"""What the quarantine of a data source is called, what is in it, and who may not have its name."""

from __future__ import annotations

import pytest

from pipewren.errors import ProjectErrors, ProjectMistake
from pipewren.project.assembly import parse_project
from pipewren.project.model import Project
from pipewren.project.quarantine import FIRST, quarantine_name, quarantine_of
from pipewren.storage.deployments import TableVersion
from pipewren.storage.quarantine import quarantine_table, quarantine_version

TABLE = "SCHEMA >\n    `a` Int32 `json:$.a`,\n    `b` Array(String) `json:$.b[:]` DEFAULT []\n"
PIPE = "NODE endpoint\nSQL >\n    SELECT 1\nTYPE endpoint\n"


def parse(**files: str) -> Project:
    """Files by `NAME__KIND`."""
    return parse_project(
        {f"{name.replace('__', '.')}": text.encode() for name, text in files.items()}
    )


def mistakes_of(**files: str) -> tuple[ProjectMistake, ...]:
    with pytest.raises(ProjectErrors) as caught:
        parse(**files)
    return tuple(caught.value.mistakes)


def test_it_has_the_columns_of_the_data_source_as_texts_between_its_own() -> None:
    made = quarantine_of(parse(events__datasource=TABLE).datasources["events"])
    assert made.name == "events_quarantine"
    assert [(column.name, column.type) for column in made.columns] == [
        ("c__error_column", "Array(String)"),
        ("c__error", "Array(String)"),
        ("c__import_id", "Nullable(String)"),
        ("a", "Nullable(String)"),
        ("b", "Nullable(String)"),
        ("insertion_date", "DateTime"),
    ]
    assert made.columns[FIRST].name == "a"
    assert all(column.jsonpath is column.default is column.codec for column in made.columns)


def test_a_column_with_a_name_of_the_quarantines_own_is_there_under_another() -> None:
    names = ("insertion_date", "insertion_date_", "c__error")
    schema = "SCHEMA >\n" + ",\n".join(f"    `{name}` String" for name in names)
    made = quarantine_of(parse(events__datasource=schema + "\n").datasources["events"])
    assert [column.name for column in made.columns] == [
        *("c__error_column", "c__error", "c__import_id"),
        *("insertion_date__", "insertion_date_", "c__error_"),
        "insertion_date",
    ]


def test_the_physical_table_has_the_version_of_the_data_sources_own() -> None:
    version = TableVersion("events", 3, "t_1", "{}")
    made = quarantine_version(version)
    assert quarantine_table(version) == made.table == "events_quarantine__3"
    assert made.datasource == quarantine_name("events")
    newer = quarantine_version(TableVersion("events", 4, "t_1", "{}"))
    assert made.resource_id == newer.resource_id != version.resource_id


@pytest.mark.parametrize("kind", ["datasource", "pipe"])
def test_nothing_else_of_a_project_may_have_its_name(kind: str) -> None:
    text = TABLE if kind == "datasource" else PIPE
    files = {"events__datasource": TABLE, f"events_quarantine__{kind}": text}
    (mistake,) = mistakes_of(**files)
    assert (mistake.file, mistake.line) == (f"events_quarantine.{kind}", 1)
    assert mistake.message == (
        "The name 'events_quarantine' is that of the quarantine of the data source in "
        "events.datasource"
    )
    assert "rename one of the two" in (mistake.hint or "")
    parse(**{f"events_quarantine__{kind}": text})  # alone it is a name as any other


def test_a_node_with_its_name_is_a_mistake_at_the_node() -> None:
    pipe = "NODE first\nSQL >\n    SELECT 1\n\nNODE events_quarantine\nSQL >\n    SELECT 1\n"
    (mistake,) = mistakes_of(events__datasource=TABLE, top__pipe=pipe)
    assert (mistake.file, mistake.line) == ("top.pipe", 5)
    assert "quarantine of the data source in events.datasource" in mistake.message


def test_a_view_or_a_copy_does_not_write_to_one() -> None:
    pipe = "NODE n\nSQL >\n    SELECT 1\nTYPE copy\nTARGET_DATASOURCE events_quarantine\n"
    (mistake,) = mistakes_of(events__datasource=TABLE, top__pipe=pipe)
    assert "there is no data source 'events_quarantine'" in mistake.message
