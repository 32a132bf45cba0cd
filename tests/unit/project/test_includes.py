"""INCLUDE puts files of the project's folder in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipewren.project.loader import load_project

WriteFiles = Callable[[dict[str, str | bytes]], Path]
MistakesOf = Callable[[Path], list[str]]
NODE = "NODE n_$key\nSQL >\n    SELECT '${key}' AS a, '$other' AS b\n"


def test_an_included_file_stands_in_the_place_of_the_include(write_files: WriteFiles) -> None:
    root = write_files(
        {
            "pipes/p.pipe": 'INCLUDE "../parts/node.incl" "key=one"\n'
            "NODE last\nSQL >\n    SELECT 1\nTYPE endpoint\n",
            "parts/node.incl": NODE,
        }
    )
    nodes = load_project(root).pipes["p"].nodes
    assert [node.name for node in nodes] == ["n_one", "last"]
    assert nodes[0].sql == "SELECT 'one' AS a, '$other' AS b"
    assert (nodes[0].position.file, nodes[0].position.line) == ("parts/node.incl", 1)
    assert nodes[1].sql_lines == (4,)


def test_an_include_ends_the_block_above_it(write_files: WriteFiles) -> None:
    root = write_files(
        {
            "p.pipe": 'NODE a\nSQL >\n    SELECT 1\nINCLUDE "type.incl"\n',
            "type.incl": "TYPE endpoint\n",
        }
    )
    node = load_project(root).pipes["p"].nodes[0]
    assert (node.sql, node.type.value) == ("SELECT 1", "endpoint")


def test_a_path_is_looked_for_from_the_root_too(write_files: WriteFiles) -> None:
    root = write_files(
        {"deep/d.datasource": 'INCLUDE "schema.incl"\n', "schema.incl": "SCHEMA >\n    a Int8\n"}
    )
    assert [one.name for one in load_project(root).datasources["d"].columns] == ["a"]


def test_a_mistake_in_an_included_file_names_that_file(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    root = write_files({"p.pipe": 'INCLUDE "n.incl"\n', "n.incl": "\nNODE n\nSQL select 1\n"})
    assert mistakes_of(root) == ["n.incl:3: SQL must be multiline"]


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ('"missing.incl"', "Included file missing.incl not found"),
        ('"../outside.incl"', "../outside.incl lies outside of the project"),
        ('"/etc/hostname"', "/etc/hostname lies outside of the project"),
        ('"link.incl"', "link.incl lies outside of the project"),
        ("", "Missing file name after INCLUDE"),
        ('"p.pipe"', "INCLUDE goes in a circle: p.pipe -> p.pipe"),
        ('"a.incl"', "INCLUDE goes in a circle: p.pipe -> a.incl -> b.incl -> a.incl"),
        ('"ok.incl" novalue', "novalue is not a variable for INCLUDE"),
    ],
)
def test_an_include_that_cannot_be_read_is_a_mistake(
    write_files: WriteFiles, tmp_path: Path, mistakes_of: MistakesOf, include: str, message: str
) -> None:
    (tmp_path / "outside.incl").write_text("NODE secret\n")
    root = write_files(
        {
            "p.pipe": f"NODE n\nSQL >\n    SELECT 1\nINCLUDE {include}\n",
            "a.incl": "INCLUDE b.incl\n",
            "b.incl": "INCLUDE a.incl\n",
            "ok.incl": "",
        }
    )
    (root / "link.incl").symlink_to(tmp_path / "outside.incl")
    (mistake,) = mistakes_of(root)
    assert message in mistake


def test_files_that_include_others_many_times_are_bounded(
    write_files: WriteFiles, mistakes_of: MistakesOf
) -> None:
    files: dict[str, str | bytes] = {"0.incl": "# " + "x" * 10_000}
    files |= {f"{n}.incl": f'INCLUDE "{n - 1}.incl"\n' * 20 for n in range(1, 7)}
    files["p.pipe"] = 'INCLUDE "6.incl"\n'
    assert any(
        "The included files have over 1,000,000 bytes" in one
        for one in mistakes_of(write_files(files))
    )
