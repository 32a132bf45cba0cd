"""Rendering one typical endpoint: three nodes, six parameters, two conditions, other values in
each call. Beside it `tornado.template` and Jinja's sandbox over the equivalent, in the same run.

    python -m bench.templates

The two others print what they are given, quoted by a function; they check no type and bound
nothing. Printed are the medians of interleaved rounds, in microseconds a call for all three nodes,
and what compiling a thousand pipes takes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

import jinja2.sandbox
import tornado.template

from pipewren.project.assembly import parse_project
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.graph import compile_pipes
from pipewren.template.template import compile_template

ROUNDS, CALLS = 15, 400
NODES = (
    """
    SELECT page, user_id, at, duration FROM visits
    WHERE at BETWEEN {{DateTime(since, '2024-01-01 00:00:00')}} AND {{DateTime(until)}}
    {% if defined(country) %} AND country = {{String(country)}} {% end %}
    """,
    """
    SELECT page, count() AS hits, uniq(user_id) AS users FROM filtered
    {% if defined(pages) %} WHERE page IN {{Array(pages, 'String')}} {% end %}
    GROUP BY page
    """,
    """
    SELECT * FROM grouped ORDER BY hits DESC
    LIMIT {{Int32(page_size, 100)}} OFFSET {{Int32(page, 0) * Int32(page_size, 100)}}
    """,
)
PIPE = "".join(
    f"NODE {name}\nSQL >\n    %\n{text}\n"
    for name, text in zip(("filtered", "grouped", "endpoint"), NODES, strict=True)
)


def quote(value: object) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(quote, value)) + "]"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def number(value: object) -> int:
    return int(str(value))


# The same, in the words of the two others.
WORDS = {
    "DateTime(since, '2024-01-01 00:00:00')": "quote(since)",
    "DateTime(until)": "quote(until)",
    "String(country)": "quote(country)",
    "defined(country)": "country is not None",
    "defined(pages)": "pages is not None",
    "Array(pages, 'String')": "quote(pages.split(','))",
    "Int32(page_size, 100)": "number(page_size)",
    "Int32(page, 0)": "number(page)",
}


def reword(text: str, end: str) -> str:
    for ours, theirs in WORDS.items():
        text = text.replace(ours, theirs)
    return text.replace("{% end %}", end)


def values_of(call: int) -> dict[str, str]:
    return {
        "since": f"2024-01-{call % 28 + 1:02} 10:{call % 60:02}:00",
        "until": f"2024-02-{call % 28 + 1:02} 10:{call % 60:02}:00",
        "country": f"country {call}",
        "pages": f"/a{call},/b{call},/it's",
        "page_size": str(call % 90 + 10),
        "page": str(call % 1000),
    }


def renderers() -> Mapping[str, Callable[[dict[str, str]], object]]:
    ours = [compile_template(text) for text in NODES]
    pipe = compile_pipes(parse_project({"top.pipe": f"{PIPE}TYPE endpoint\n".encode()}))["top"]
    theirs = [
        tornado.template.Template(reword(text, "{% end %}"), autoescape=None) for text in NODES
    ]
    environment = jinja2.sandbox.SandboxedEnvironment(autoescape=False)
    environment.globals |= {"quote": quote, "number": number}
    others = [
        environment.from_string(reword(text, "{% endif %}").replace("is not None", "is defined"))
        for text in NODES
    ]
    return {
        "Pipewren": lambda values: [one.render(values) for one in ours],
        "... and put together": lambda values: compile_endpoint(pipe, values),
        "tornado.template": lambda values: [
            one.generate(quote=quote, number=number, **values) for one in theirs
        ],
        "jinja2, sandboxed": lambda values: [one.render(values) for one in others],
    }


def compile_many(count: int) -> float:
    files = {f"pipes/p{n}.pipe": f"{PIPE}TYPE endpoint\n".encode() for n in range(count)}
    project = parse_project(files)
    start = perf_counter()
    compile_pipes(project)
    return perf_counter() - start


def main() -> None:
    made = renderers()
    times: dict[str, list[float]] = {name: [] for name in made}
    call = 0
    for _ in range(ROUNDS):
        for name, render in made.items():
            sent = [values_of(call + n) for n in range(CALLS)]
            call += CALLS
            start = perf_counter()
            for values in sent:
                render(values)
            times[name].append((perf_counter() - start) / CALLS * 1e6)
    base = statistics.median(times["Pipewren"])
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<22} {median:6.1f} us   {median / base:5.2f}")
    print(f"compiling 1,000 pipes of three nodes: {compile_many(1000):.1f} s")


if __name__ == "__main__":
    main()
