"""Which tables a node can read: over all branches, and never by a name that a value became."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipewren.errors import PipewrenError, ProjectErrors, TemplateError
from pipewren.project.assembly import parse_project
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.graph import CompiledPipe, compile_pipes
from pipewren.sql.reads import Reads, find_reads
from pipewren.sql.service_datasources import SERVICE_DATASOURCES
from pipewren.sql.shape import read_shape
from pipewren.template.template import compile_template, compile_with_paths

DATASOURCE = b"SCHEMA >\n    `a` Int32\n"
NAMES = ("events", "users", "secret")


def compile_sql(sql: str) -> CompiledPipe:
    """A pipe whose endpoint is this template, in a project of three data sources."""
    text = "NODE out\nSQL >\n    %\n    " + sql.replace("\n", "\n    ") + "\nTYPE endpoint\n"
    files = {f"datasources/{name}.datasource": DATASOURCE for name in NAMES}
    return compile_pipes(parse_project({**files, "pipes/p.pipe": text.encode()}))["p"]


def reads_of(sql: str) -> Reads:
    return compile_sql(sql).output.reads


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM events", {"events"}),
        ("SELECT * FROM {% if x %}events{% elif y %}users{% else %}secret{% end %}", set(NAMES)),
        ("SELECT * FROM events{% if x %}, users{% end %}", {"events", "users"}),
        ("SELECT 1 {% if x %}, users FROM events{% end %}", {"events"}),
        ("SELECT a{% if x %}, users {% end %} FROM events", {"events"}),
        ("{% if x %}SELECT users FROM{% else %}SELECT{% end %} events", {"events"}),
        ("SELECT * FROM events {% if x %} JOIN `users` USING (a) {% end %}", {"events", "users"}),
        ("SELECT * FROM events WHERE a IN {% if x %}(1){% else %}users{% end %}", set(NAMES[:2])),
        ("{% for i in range(n) %}SELECT 1 UNION ALL {% end %}SELECT a FROM users", {"users"}),
        ("SELECT * FROM events{% for c in split_to_array(x) %}, users{% end %}", set(NAMES[:2])),
        (
            "SELECT * FROM {% try %}users WHERE a = {{Int32(x)}}{% except %}1{% end %}",
            {"users"},
        ),
        ("WITH events AS (SELECT 1) SELECT * FROM events", set()),
        (
            "{% if x %}WITH events AS (SELECT 1){% end %} SELECT * FROM events",
            {"events"},
        ),
        ("-- FROM secret {{x}}\nSELECT 'FROM users' FROM events", {"events"}),
        ("SELECT * FROM {{table('events')}}", {"events"}),
        ("SELECT * FROM {{table('events' if x else 'users')}}", {"events", "users"}),
        ("{% set t = 'events' %}SELECT * FROM {{table(t)}}", {"events"}),
        ("{% set t = TABLE('events') %}SELECT * FROM {{t}}", {"events"}),
        (
            "{% for t in ['events', 'users'] %}SELECT * FROM {{table(t)}} UNION ALL {% end %}"
            "SELECT 1",
            {"events", "users"},
        ),
        (
            "SELECT * FROM {{table(String(t, 'users', enum=['events', 'users']))}}",
            {"events", "users"},
        ),
        (
            "SELECT {{String(t, 'secret', enum=['events'])}} FROM {{table(t)}}",
            {"events", "secret"},
        ),
    ],
)
def test_the_names_of_all_branches_are_found_and_no_others(sql: str, names: set[str]) -> None:
    reads = reads_of(sql)
    assert reads.names == names
    assert not reads.is_open


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {{table(x)}}",
        "SELECT * FROM {{table(String(x, 'events'))}}",
        "SELECT {{String(x)}}, {{String(x, enum=['events'])}} FROM {{table(x)}}",
        "{% set t = x %}SELECT * FROM {{table(t)}}",
        "{% for t in split_to_array(x) %}SELECT * FROM {{table(t)}} UNION ALL {% end %}SELECT 1",
        "{% set t = 'a' %}{% set t += x %}SELECT * FROM {{table(t)}}",
        "{% set t = t %}SELECT * FROM {{table(t)}}",
    ],
)
def test_a_table_that_is_chosen_freely_is_any_of_the_deployment(sql: str) -> None:
    assert reads_of(sql).is_open


def test_a_template_of_very_many_ways_reads_at_least_what_its_text_names() -> None:
    optional = "".join(f"{{% if a{n} %}} AND a = {n}{{% end %}}" for n in range(40))
    joins = "".join(
        f"{{% if b{n} %}}{{% if c{n} %}}, users{{% end %}}{{% end %}}" for n in range(9)
    )
    reads = reads_of(f"SELECT * FROM events{joins} WHERE 1{optional}")
    assert {"events", "users"} <= reads.names
    assert "secret" not in reads.names


PLACES = [
    "SELECT *\nFROM {{%s}}",
    "SELECT * FROM events, {{%s}}",
    "SELECT * FROM (events, {{%s}})",
    "SELECT * FROM events JOIN {{%s}} USING (a)",
    "SELECT * FROM events WHERE a IN {{%s}}",
    "SELECT * FROM events WHERE a NOT IN ({{%s}})",
    "SELECT in(a, {{%s}}) FROM events",
    "{{sql_and(a__in=%s)}}SELECT 1",
    "SELECT 1 WHERE {{sql_and(b=b, a__not_in=%s)}}",
    "SELECT * FROM db.{{%s}}",
    "SELECT * FROM {{%s}}.events",
    "SELECT * FROM merge({{%s}}, '^a')",
    "SELECT * FROM remote('127.0.0.1', db, {{%s}})",
    "SELECT * FROM numbers({{%s}})",
    "SELECT * FROM view(SELECT * FROM {{%s}})",
    "SELECT * FROM {{%s}}(10)",
    "SELECT joinGet({{%s}}, 'a', 1)",
    "SELECT * FROM {% if x %}events{% else %}{{%s}}{% end %}",
    "SELECT * FROM {% if x == 'a' %}{% if y %}events{% end %}{% end %}{{%s}}",
    "{% if x %}SELECT * FROM{% else %}SELECT{% end %} {{%s}}",
    "SELECT * FROM events{% for i in x %}, {{%s}}{% end %}",
    "SELECT * FROM {% try %}{% set n = Int32(x) %}events{% except %}{{%s}}{% end %}",
    "{% for i in x %}SELECT 1 FROM{% end %} {{%s}}",
    "SELECT * FROM /* of {{x}} */ {{%s}}",
    "WITH {{%s}} AS (SELECT 1) SELECT * FROM events",
    "SELECT * FROM {{%s}}_old",
    "SELECT * FROM new_{{%s}}",
]


@pytest.mark.parametrize("call", ["symbol(z)", "column(z, 'events')", "columns(z, 'events')"])
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_a_function_prints_is_refused_in_the_place_of_a_table(
    place: str, call: str
) -> None:
    for sql in (
        place.replace("%s", call),
        "{% set t = " + call + " %}" + place.replace("%s", "t"),
        "{% set l = [" + call + "] %}{% for t in l %}" + place.replace("%s", "t") + "{% end %}",
    ):
        with pytest.raises(ProjectErrors, match=r"in the place of a table\. Use table\(\)"):
            compile_sql(sql)


@pytest.mark.parametrize("place", PLACES[:4])
@pytest.mark.parametrize("value", ["z", "String(z)", "Int32(z)", "sql_unescape(z, '%')"])
def test_a_value_is_refused_in_the_place_of_a_table(place: str, value: str) -> None:
    with pytest.raises(ProjectErrors, match="a value stands in the place of a table"):
        compile_sql(place.replace("%s", value))


@pytest.mark.parametrize("sql", ["SELECT * FROM {{table(z)}}_old", "SELECT 1 FROM t{{table(z)}}"])
def test_a_table_that_is_a_part_of_a_name_is_refused(sql: str) -> None:
    with pytest.raises(ProjectErrors, match="a part of a name"):
        compile_sql(sql)


def test_the_refusal_tells_file_node_line_and_column() -> None:
    with pytest.raises(ProjectErrors) as raised:
        compile_sql("SELECT *\nFROM {% if x %}events{% else %}{{symbol(z)}}{% end %}")
    (mistake,) = raised.value.mistakes
    assert (mistake.file, mistake.line) == ("pipes/p.pipe", 5)
    assert 'node "out" from pipe "p": symbol()' in mistake.message
    source = "SELECT *\nFROM {% if x %}events{% else %}{{symbol(z)}}{% end %}"
    assert mistake.column == source.split("\n")[1].index("symbol") + 5  # indented by 4


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT {{column(z, 'a')}}, {{columns(y, 'a', fn='sum')}} FROM events",
        "SELECT a AS {{symbol(z)}} FROM events AS {{symbol(y)}} ORDER BY {{column(z)}} DESC",
        "SELECT * FROM events ARRAY JOIN {{column(z)}}",
        "SELECT * FROM events JOIN users USING ({{columns(z)}}) WHERE {{column(y)}} IN (1, 2)",
        "SELECT * FROM numbers({{Int32(z)}}) WHERE a IN {{Array(y, 'Int32')}}",
        "SELECT * FROM view(SELECT {{column(z)}} FROM events)",
        "SELECT * FROM events WHERE a IN (SELECT {{column(z)}} FROM users)",
        "SELECT extract(year FROM {{column(z)}}), position('a' IN {{column(z)}}) FROM events",
        "SELECT a FROM events GROUP BY {{column(z)}} HAVING {{sql_and(a=column(z))}}",
        "SELECT joinGet('users', 'a', {{column(z)}}) FROM events",
        "{% set l = split_to_array(z) %}SELECT * FROM events WHERE a IN {{l}}",
    ],
)
def test_a_printed_name_in_the_place_of_a_column_is_fine(sql: str) -> None:
    pipe = compile_sql(sql)
    rendered = compile_endpoint(pipe, {"z": "1", "y": "2"})
    assert "events" in rendered.sql or "numbers" in rendered.sql


def test_a_template_alone_may_print_a_name_anywhere() -> None:
    assert compile_template("FROM {{symbol(t)}}").render({"t": "my table"}).sql == (
        "FROM `my table`"
    )


TURNS = (
    "{% for i in range(4) %}{% if i == 1 %}ONE{% elif i == 2 %}TWO{% elif i == 3 %}{{%s}}"
    "{% end %}{% end %}"
)
# What the look at the ways cannot see: a quote of the author's around a value, a third turn.
UNSEEN = [
    ("SELECT '{{x}}'", "/**/, a FROM secret -- "),
    ("SELECT '{{x}}' FROM events", ", (SELECT 1 FROM secret) -- "),
    ("SELECT '{{x}}' FROM events", ", (SELECT 1 FROM system.tables) -- "),
    ("SELECT '{{x}}' FROM events", ", (SELECT 1 FROM numbers(9)) -- "),
    ("SELECT '{{x}}' FROM {{table(y)}}", ", (SELECT 1 FROM secret) -- "),
    *(
        (
            "SELECT (1, " + TURNS.replace("ONE", "SELECT 1").replace("TWO", " FROM ") + ")",
            value,
        )
        for value in ("secret", "system.tables")
    ),
]


@pytest.mark.parametrize("call", ["symbol(x)", "column(x)", "columns(x)"])
@pytest.mark.parametrize(("sql", "value"), UNSEEN)
def test_a_name_of_a_callers_is_never_read_even_where_loading_did_not_see_it(
    sql: str, value: str, call: str
) -> None:
    pipe = compile_sql(sql.replace("%s", call))
    with pytest.raises(TemplateError, match="no other value may become the name of a table"):
        compile_endpoint(pipe, {"x": value, "y": "users"})


def test_a_call_may_choose_what_a_table_can_name_and_nothing_else() -> None:
    free = compile_sql("SELECT * FROM {{table(x)}}")
    names = {*NAMES, "p", *SERVICE_DATASOURCES}
    assert compile_endpoint(free, {"x": "users"}, tables=names).sql.endswith("FROM users")
    for name in ("system.tables", "nothing", "out", "tinybird.nothing", "events; DROP TABLE a"):
        with pytest.raises(TemplateError, match=r"table\(\)"):
            compile_endpoint(free, {"x": name}, tables=names)
    with pytest.raises(TemplateError, match="none of the names that the template allows"):
        compile_endpoint(free, {"x": "tinybird.pipe_stats_rt"}, tables=names)
    usage = compile_sql("SELECT * FROM {{table(String(x, enum=['tinybird.jobs_log']))}}")
    assert (
        "w_usage.jobs FINAL"
        in compile_endpoint(usage, {"x": "tinybird.jobs_log"}, tables=names).sql
    )
    listed = compile_sql("SELECT * FROM {{table(String(x, 'users', enum=['events']))}}")
    assert compile_endpoint(listed, {}, tables=names).sql.endswith("FROM users")
    with pytest.raises(TemplateError, match=r"none of the names.*: events, users") as raised:
        compile_endpoint(listed, {"x": "secret"}, tables=names)
    assert raised.value.status == 400


def test_a_cycle_over_branches_that_exclude_each_other_is_no_mistake() -> None:
    nodes = (
        "NODE a\nSQL >\n    %\n    SELECT 1 {% if x == '1' %} FROM b{% end %}\n\n"
        "NODE b\nSQL >\n    %\n    SELECT 2 {% if x == '2' %} FROM a{% end %}\nTYPE endpoint\n"
    )
    pipe = compile_pipes(parse_project({"pipes/p.pipe": nodes.encode()}))["p"]
    assert pipe.output.reads.names == {"a"}
    assert "SELECT 1" in compile_endpoint(pipe, {"x": "2"}).sql


FRAGMENTS = [
    *(
        "SELECT ",
        "1 ",
        "a ",
        "FROM ",
        "events ",
        "users ",
        ", ",
        "JOIN ",
        "WHERE ",
        "IN ",
        "( ",
        ") ",
    ),
    *(
        "{% if x %}",
        "{% if y == 'b' %}",
        "{% else %}",
        "{% end %}",
        "{% for i in l %}",
        "UNION ALL ",
    ),
    *("WITH secret AS ( ", "{{column(z)}} ", "{{table(t)}} ", "{{Int32(n)}} ", "AS ", "USING (a) "),
]


@settings(max_examples=400, deadline=None)
@given(
    parts=st.lists(st.sampled_from(FRAGMENTS), max_size=16),
    x=st.booleans(),
    y=st.sampled_from(["a", "b"]),
    turns=st.integers(0, 3),
)
def test_whatever_a_call_reads_was_found_before(
    parts: list[str], x: bool, y: str, turns: int
) -> None:
    known = {*NAMES, "chosen"}
    source = "SELECT 1 " + "".join(parts)
    try:
        template, paths = compile_with_paths(source)
        reads = find_reads(paths, known)
        rendered = template.render(
            {"x": x, "y": y, "l": [1] * turns, "z": "zzz", "t": "chosen", "n": "7"}
        )
        shape = read_shape(rendered.sql, "it")
    except PipewrenError:
        return
    # Quiet turns and all ways: nothing is left to the check of a call.
    read = known.intersection(shape.names)
    assert read - {"chosen"} <= reads.names
    if "chosen" in read:
        assert reads.is_open
    if paths.is_complete:
        assert "zzz" not in shape.names
