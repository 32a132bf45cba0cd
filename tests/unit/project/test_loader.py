"""A folder becomes a project, or all of its mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipewren.errors import ProjectErrors
from pipewren.project.assembly import parse_project
from pipewren.project.loader import load_project

WriteFiles = Callable[[dict[str, str | bytes]], Path]
MistakesOf = Callable[[Path], list[str]]
TABLE = "SCHEMA >\n    a Int32\n"
PIPE = "NODE endpoint\nSQL >\n    SELECT 1\nTYPE endpoint\n"


def test_files_are_read_at_any_depth_in_order_of_their_paths(write_files: WriteFiles) -> None:
    root = write_files(
        {
            "top.pipe": PIPE,
            "datasources/deep/er/events.datasource": TABLE,
            "endpoints/b.pipe": PIPE,
            "endpoints/a.pipe": PIPE,
            "team/web/visits.datasource": TABLE,
            "connections/bus.connection": "TYPE kafka\n",
        }
    )
    project = load_project(root)
    assert list(project.datasources) == ["events", "visits"]
    assert list(project.pipes) == ["a", "b", "top"]
    assert list(project.connections) == ["bus"]
    assert project.datasources["events"].position.file == "datasources/deep/er/events.datasource"
    assert project.root == root.resolve()


def test_hidden_folders_tests_and_other_tools_folders_are_left_out(
    write_files: WriteFiles,
) -> None:
    root = write_files(
        {
            ".hidden/a.pipe": "bad",
            ".b.pipe": "bad",
            "tests/c.pipe": "bad",
            "fixtures/d.pipe": "bad",
            "web/node_modules/x/e.pipe": "bad",
            "readme.md": "bad",
            "endpoints/tests/kept.pipe": PIPE,
        }
    )
    assert list(load_project(root).pipes) == ["kept"]


def test_vendored_files_are_left_out_with_a_warning(write_files: WriteFiles) -> None:
    project = load_project(write_files({"vendor/other/datasources/x.datasource": "bad"}))
    assert project.datasources == {}
    assert [one.message for one in project.warnings] == [
        "vendor/ is not read: shared data sources of other workspaces are not supported"
    ]


def test_a_folder_without_datafiles_is_an_empty_project(tmp_path: Path) -> None:
    project = load_project(tmp_path)
    assert (project.pipes, project.datasources, project.fixtures) == ({}, {}, ())


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ProjectErrors, match="There is no folder"):
        load_project(tmp_path / "missing")


def test_all_mistakes_of_all_files_come_at_once_in_order_of_the_files(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    root = write_files(
        {
            "z.pipe": "NODE n\nSQL select 1\nTYPE weird\n",
            "a.datasource": "ENGINE MergeTree\n",
            "m.datasource": TABLE + "TOKEN t\n",
            "bytes.pipe": b"NODE n\nSQL >\n    SELECT '\xff'\n",
        }
    )
    assert [one.partition(": ")[0] for one in mistakes_of(root)] == [
        "a.datasource",
        "bytes.pipe:3",
        "m.datasource:3",
        "z.pipe:2",
        "z.pipe:3",
    ]


def test_pipes_and_data_sources_share_one_name_space(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    root = write_files(
        {"datasources/x.datasource": TABLE, "pipes/x.pipe": PIPE, "pipes/deep/x.pipe": PIPE}
    )
    assert mistakes_of(root) == [
        "pipes/deep/x.pipe: The name 'x' is taken by datasources/x.datasource",
        "pipes/x.pipe: The name 'x' is taken by datasources/x.datasource",
    ]


def test_a_connection_may_have_the_name_of_a_pipe(write_files: WriteFiles) -> None:
    project = load_project(write_files({"x.pipe": PIPE, "x.connection": "TYPE s3\n"}))
    assert (list(project.pipes), list(project.connections)) == (["x"], ["x"])


@pytest.mark.parametrize("taken", ["p.pipe", "q.pipe", "d.datasource"])
def test_a_node_may_not_take_the_name_of_a_pipe_or_data_source(
    write_files: WriteFiles, mistakes_of: MistakesOf, taken: str
) -> None:
    name = taken[0]
    pipe = f"NODE {name}\nSQL >\n    SELECT 1\n"
    root = write_files({"d.datasource": TABLE, "q.pipe": PIPE, "p.pipe": pipe})
    kind = "data source" if taken.endswith("datasource") else "pipe"
    assert mistakes_of(root) == [
        f"p.pipe:1: The node's name '{name}' is that of the {kind} in {taken}"
    ]


@pytest.mark.parametrize(
    ("type", "key"), [("copy", "TARGET_DATASOURCE"), ("materialized", "DATASOURCE")]
)
def test_a_target_that_is_no_data_source_is_a_mistake_with_the_nearest_name(
    write_files: WriteFiles, type: str, key: str
) -> None:
    pipe = f"NODE n\nSQL >\n    SELECT 1\nTYPE {type}\n{key} visit\n"
    with pytest.raises(ProjectErrors) as caught:
        load_project(write_files({"visits.datasource": TABLE, "p.pipe": pipe}))
    (mistake,) = caught.value.mistakes
    assert mistake.message == f"{key} of node 'n': there is no data source 'visit'"
    assert mistake.hint == "Did you mean visits?"


def test_a_broken_file_brings_no_mistakes_in_others(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    root = write_files(
        {
            "broken.datasource": "SCHEMA >\n    a Foo\n",
            "p.pipe": "NODE n\nSQL >\n    SELECT 1\nTYPE copy\nTARGET_DATASOURCE broken\n",
            "fixtures/broken.csv": "1\n",
        }
    )
    assert mistakes_of(root) == ["broken.datasource:2: Unknown data type family: Foo"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("1a", "a name begins with a letter or _"),
        ("a-b", "a name begins with a letter or _"),
        ("a.v1", "a name begins with a letter or _"),
        ("Select", "Select is a reserved word of SQL"),
        ("x" * 129, "a name has at most 128 characters"),
    ],
)
def test_names_that_sql_cannot_use_are_refused(
    write_files: WriteFiles, mistakes_of: MistakesOf, name: str, problem: str
) -> None:
    (mistake,) = mistakes_of(write_files({f"{name}.datasource": TABLE}))
    assert problem in mistake


def test_a_file_that_is_too_large_is_refused_and_not_read(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    root = write_files({"big.pipe": PIPE + "# " + "x" * 5_000_000})
    assert mistakes_of(root) == [
        "big.pipe: The file is too large: a datafile has at most 1,000,000 bytes"
    ]


def test_a_link_to_a_file_outside_of_the_project_is_refused(
    write_files: WriteFiles, mistakes_of: MistakesOf, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.pipe"
    outside.write_text(PIPE)
    root = write_files({})
    (root / "inside.pipe").symlink_to(outside)
    assert mistakes_of(root) == [
        "inside.pipe: The file is a link to a place outside of the project"
    ]


def test_a_byte_order_mark_is_no_part_of_the_text(write_files: WriteFiles) -> None:
    project = load_project(write_files({"p.pipe": b"\xef\xbb\xbf" + PIPE.encode()}))
    assert project.pipes["p"].content == PIPE


def test_utf_16_is_refused_with_the_encoding_to_use(write_files: WriteFiles) -> None:
    with pytest.raises(ProjectErrors) as caught:
        load_project(write_files({"p.pipe": PIPE.encode("utf-16")}))
    assert caught.value.mistakes[0].hint == "Save the file with the encoding UTF-8"


def test_secrets_are_given_to_all_files(write_files: WriteFiles) -> None:
    root = write_files({"c.connection": 'TYPE s3\nS3_REGION {{ tb_secret("region") }}\n'})
    connection = load_project(root, secrets={"region": "eu"}).connections["c"]
    assert connection.settings == {"s3_region": "eu"}
    with pytest.raises(ProjectErrors, match="Cannot access secret 'region'"):
        load_project(root, secrets={})


def test_uploaded_files_are_a_project_too() -> None:
    project = parse_project(
        {"endpoints/p.pipe": PIPE.encode(), "d.datasource": TABLE.encode(), "x.txt": b"no"}
    )
    assert (list(project.pipes), list(project.datasources)) == (["p"], ["d"])


def test_uploaded_files_may_not_include_others() -> None:
    with pytest.raises(ProjectErrors, match="INCLUDE is not supported yet"):
        parse_project({"p.pipe": b'INCLUDE "a.incl"\n' + PIPE.encode()})
