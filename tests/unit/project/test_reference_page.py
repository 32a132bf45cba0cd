"""The reference of the directives is written from the tables that the parser reads by."""

from __future__ import annotations

from pipewren.project import reference
from pipewren.project.connection import parse_connection
from pipewren.project.datasource import parse_datasource
from pipewren.project.directives import KINDS, PIPE
from pipewren.project.pipe import parse_pipe


def test_the_page_names_every_directive() -> None:
    page = reference.render_page()
    for kind in KINDS.values():
        for word in kind.by_name:
            assert f"`{word}`" in page


def test_the_examples_of_the_page_are_read_without_a_mistake() -> None:
    pipe = parse_pipe("p", reference.PIPE_EXAMPLE, file="p.pipe")
    assert [node.name for node in pipe.nodes] == ["filtered", "endpoint"]
    datasource = parse_datasource("d", reference.DATASOURCE_EXAMPLE, file="d.datasource")
    assert [column.name for column in datasource.columns] == ["at", "page", "tags", "note"]
    connection = parse_connection("c", reference.CONNECTION_EXAMPLE, file="c.connection")
    assert connection.type == "kafka"


def test_every_directive_of_pipes_has_a_meaning() -> None:
    assert all(one.meaning.endswith((".", ")")) for one in PIPE.directives)
