"""Which parameters an endpoint takes: those of all nodes that it may reach."""

from __future__ import annotations

from pathlib import Path

from pipewren.project.assembly import parse_project
from pipewren.project.loader import load_project
from pipewren.sql.graph import CompiledPipe, compile_pipes

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights"


def compile_files(**files: str) -> dict[str, CompiledPipe]:
    texts = {f"pipes/{name}.pipe": text.encode() for name, text in files.items()}
    return dict(compile_pipes(parse_project(texts)))


def pipe(*nodes: str) -> str:
    blocks = [f"NODE n{n}\nSQL >\n    %\n    {sql}\n" for n, sql in enumerate(nodes, 1)]
    return "".join(blocks) + "TYPE endpoint\n"


def test_parameters_come_from_all_branches_nodes_and_pipes() -> None:
    pipes = compile_files(
        deeper=pipe("SELECT {{Int32(a, 1, description='first', enum=[1, 2])}} AS x"),
        upper=pipe(
            "SELECT * FROM deeper WHERE x = {{Float64(b, required=True)}}",
            "SELECT 1 {% if defined(c) %} AS {{column(d)}} "
            "{% else %}, {{Array(e, 'Int8')}} {% end %} FROM n1",
        ),
    )
    found = {one.name: one for one in pipes["upper"].parameters}
    assert {name: one.type for name, one in found.items()} == {
        "a": "Int32",
        "b": "Float64",
        "c": "String",
        "d": "String",
        "e": "Array(Int8)",
    }
    assert found["a"].default == 1
    assert found["a"].attributes == {"description": "first", "enum": [1, 2]}
    assert found["b"].is_required
    assert not found["a"].is_required
    assert pipes["upper"].array_parameters == {"e"}
    assert pipes["upper"].requires_parameters
    assert not pipes["deeper"].requires_parameters


def test_a_parameter_that_is_declared_in_two_ways_is_told_once() -> None:
    pipes = compile_files(
        types=pipe("SELECT {{Int32(a)}}", "SELECT {{String(a, 'x')}}, {{Date(a)}} FROM n1"),
        defaults=pipe("SELECT {{Int32(a, 1)}}, {{Int32(a, 2)}}"),
        fine=pipe(
            "SELECT {{Int32(a, 1)}}, {{Int32(a)}} {% if defined(a) %}, {{column(a, 'c')}}{% end %}"
        ),
    )
    assert pipes["types"].conflicts == (
        "the parameter a is declared as Int32(a) and as String(a, 'x')",
    )
    assert pipes["defaults"].conflicts == (
        "the parameter a is declared as Int32(a, 1) and as Int32(a, 2)",
    )
    assert pipes["fine"].conflicts == ()


def test_the_example_has_no_conflicts_and_knows_its_parameters() -> None:
    pipes = compile_pipes(load_project(FLIGHTS))
    assert all(one.conflicts == () for one in pipes.values())
    podium = {one.name for one in pipes["carrier_podium"].parameters}
    assert {"places", "min_flights", "late_minutes", "origins", "start_date", "end_date"} <= podium
