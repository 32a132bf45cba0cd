"""Files under fixtures/ become fixtures of the data source of their name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipewren.errors import ProjectErrors
from pipewren.project.loader import load_project

WriteFiles = Callable[[dict[str, str | bytes]], Path]
TABLE = "SCHEMA >\n    a Int32\n"


@pytest.mark.parametrize(
    ("name", "format", "compression"),
    [
        ("d.csv", "csv", None),
        ("d.ndjson", "ndjson", None),
        ("d.parquet", "parquet", None),
        ("d.csv.gz", "csv", "gzip"),
        ("d.ndjson.gz", "ndjson", "gzip"),
    ],
)
def test_the_format_is_read_off_the_file_s_name(
    write_files: WriteFiles, name: str, format: str, compression: str | None
) -> None:
    root = write_files({"d.datasource": TABLE, f"fixtures/{name}": "1\n"})
    (fixture,) = load_project(root).fixtures
    assert (fixture.datasource, fixture.format, fixture.compression) == ("d", format, compression)
    assert fixture.path == root.resolve() / "fixtures" / name


def test_a_fixture_without_its_data_source_is_a_mistake_with_the_nearest_name(
    write_files: WriteFiles,
) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load_project(write_files({"visits.datasource": TABLE, "fixtures/visit.csv": "1\n"}))
    (mistake,) = caught.value.mistakes
    assert mistake.file == "fixtures/visit.csv"
    assert mistake.message == "There is no data source 'visit' for this fixture"
    assert mistake.hint == "Did you mean visits?"


def test_of_several_files_for_a_data_source_the_first_format_counts(
    write_files: WriteFiles,
) -> None:
    files: dict[str, str | bytes] = {"d.datasource": TABLE}
    files |= {"fixtures/d.csv": "1\n", "fixtures/d.ndjson.gz": b""}
    project = load_project(write_files(files))
    assert [one.path.name for one in project.fixtures] == ["d.ndjson.gz"]
    assert [one.message for one in project.warnings] == ["d.csv is not loaded: d.ndjson.gz is"]


def test_files_of_other_formats_are_warnings_and_notes_are_nothing(
    write_files: WriteFiles,
) -> None:
    files: dict[str, str | bytes] = {"d.datasource": TABLE, "fixtures/README.md": "notes"}
    files |= {"fixtures/d.sql": "SELECT 1", "fixtures/.DS_Store": "", "fixtures/make.py": ""}
    project = load_project(write_files(files))
    assert project.fixtures == ()
    assert [one.message for one in project.warnings] == [
        "d.sql is not loaded: a fixture is .ndjson, .csv or .parquet"
    ]
