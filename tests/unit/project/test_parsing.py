"""What holds for every datafile, whatever its text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import ProjectErrors
from pipewren.project.column_types import MAX_NESTING
from pipewren.project.connection import parse_connection
from pipewren.project.datasource import parse_datasource
from pipewren.project.ddl import table_ddl
from pipewren.project.directives import DATASOURCE, PIPE
from pipewren.project.pipe import parse_pipe

PARSERS: tuple[Any, ...] = (parse_pipe, parse_datasource, parse_connection)
WORDS = [one.name for one in (*PIPE.directives, *DATASOURCE.directives)]
PIECES = st.sampled_from(
    [
        *(
            *WORDS,
            " ",
            " ",
            "\n",
            "\n",
            "\n    ",
            ">",
            '"',
            "'",
            "`",
            "(",
            ")",
            ",",
            "%",
            "{{",
            "}}",
        ),
        *("a", "b Int32", "select 1", "endpoint", "`json:$.a`", "DEFAULT", "CODEC", "#", "--", "1"),
        *("\t", "\r\n", "é", "\\", "/*", "*/", "tb_secret('a')", "\ue100", "\u2028", "SETTINGS"),
    ]
)


def parse_all(text: str) -> None:
    for parse in PARSERS:
        try:
            parsed = parse("name", text, file="f")
        except ProjectErrors as errors:
            lines = text.replace("\r\n", "\n").split("\n")
            for mistake in errors.mistakes:
                assert mistake.file == "f"
                assert mistake.line is None or 1 <= mistake.line <= len(lines)
        else:
            assert parsed.content == text


@given(st.lists(PIECES, max_size=60).map("".join))
def test_pieces_of_datafiles_in_any_order_are_read_or_refused_with_a_place(text: str) -> None:
    parse_all(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    parse_all(text)


@given(st.lists(st.sampled_from(["    a", "", "  # c", "\t-- b", "  %", "x"]), min_size=1))
def test_every_line_of_sql_is_a_line_of_the_file(block: list[str]) -> None:
    text = "NODE n\nSQL >\n    %\n" + "\n".join(block) + "\n    last\n"
    node = parse_pipe("p", text, file="p.pipe").nodes[0]
    file_lines = text.split("\n")
    assert len(node.sql_lines) == len(node.sql.split("\n"))
    assert node.sql_lines[0] == node.sql_line == 3
    for line, number in zip(node.sql.split("\n")[1:], node.sql_lines[1:], strict=True):
        assert line.strip() == file_lines[number - 1].strip()


def test_a_context_keeps_tabs_so_that_the_caret_stands_right() -> None:
    with pytest.raises(ProjectErrors) as caught:
        parse_datasource("d", "SCHEMA >\n\ta Int32,\n\tb\tFoo\n", file="d.datasource")
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column) == (3, 4)
    assert mistake.context == "1| SCHEMA >\n2| \ta Int32,\n3| \tb\tFoo\n   \t \t^"


@pytest.mark.parametrize("opener", ["(", "Array(", "[", "`", "'", "/*", "(((("])
def test_a_piece_that_is_never_closed_is_found_in_a_large_file(opener: str) -> None:
    text = "SCHEMA >\n    a Int32 DEFAULT " + opener * 100_001
    with pytest.raises(ProjectErrors):
        parse_datasource("d", text, file="d.datasource")


def test_a_type_may_not_be_nested_without_end() -> None:
    deep = "Array(" * (MAX_NESTING + 1) + "Int8" + ")" * (MAX_NESTING + 1)
    with pytest.raises(ProjectErrors, match="it is nested too deeply"):
        parse_datasource("d", f"SCHEMA >\n    a {deep}\n", file="d.datasource")


@pytest.mark.parametrize("parse", PARSERS)
def test_a_file_with_endless_mistakes_lists_the_first_ones(parse: Any) -> None:
    with pytest.raises(ProjectErrors) as caught:
        parse("p", "FOO\n" * 100_000, file="f")
    *first, last = caught.value.mistakes
    assert [one.line for one in first] == list(range(1, 51))
    assert last.message == "There are more mistakes in this file; the first 50 are listed"


@pytest.mark.parametrize(
    "text",
    [
        "SCHEMA >\n    a Int8 DEFAULT 1) ENGINE = File(CSV, '/etc/passwd') --\n",
        "SCHEMA >\n    a Int8\nENGINE_SORTING_KEY \"a) SETTINGS disk = 'x' --\"\n",
        'SCHEMA >\n    a Int8\nENGINE_TTL "now(); DROP TABLE x"\n',
        "SCHEMA >\n    a Int8 CODEC(NONE)) ENGINE = Memory --)\n",
        "SCHEMA >\n    a Int8\nINDEXES >\n    i a TYPE minmax) ENGINE = Memory --\n",
        'SCHEMA >\n    a Int8\nENGINE_PARTITION_KEY "a /*"\n',
    ],
)
def test_no_piece_of_a_table_leaves_its_place(text: str) -> None:
    with pytest.raises(ProjectErrors):
        parse_datasource("d", text, file="d.datasource")


def test_names_of_tables_and_columns_are_quoted_in_ddl() -> None:
    datasource = parse_datasource("d", "SCHEMA >\n    `a;b` Int8\n", file="d.datasource")
    ddl = table_ddl(datasource, database="w`x", table="d`1", settings={})
    assert (
        ddl == "CREATE TABLE `w\\`x`.`d\\`1`\n(\n    `a;b` Int8\n)\nENGINE = MergeTree()\n"
        "ORDER BY tuple()"
    )
