"""`tb sql` and all else of `tb` that sends statements to `/v0/sql` or `q=` to endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipewren.testing.serving import RunningServer, serving, write_files
from pipewren.testing.tb_command import DEADLINE_S, Tb, tb_dev, tb_environ, wait_for

VISITS = """
SCHEMA >
    `page` String `json:$.page`,
    `hits` UInt32 `json:$.hits`
ENGINE "MergeTree"
ENGINE_SORTING_KEY "page"
"""
ROWS = '{"page": "/a", "hits": 3}\n{"page": "/b", "hits": 5}\n{"page": "/b", "hits": 1}\n'
PROJECT = {
    "datasources/visits.datasource": VISITS,
    "fixtures/visits.ndjson": ROWS,
    "endpoints/top_pages.pipe": """
NODE counted
SQL >
    SELECT page, sum(hits) AS hits FROM visits GROUP BY page
NODE endpoint
SQL >
    %
    SELECT page, hits FROM counted WHERE page != {{String(but, 'none')}}
    ORDER BY hits DESC LIMIT {{Int32(limit, 10)}}
TYPE endpoint
""",
    # `tb sql --node` fails by itself where a pipe's file reads a data source's.
    "endpoints/numbered.pipe": """
NODE squares
SQL >
    SELECT number * number AS square FROM numbers(3)
NODE endpoint
SQL >
    SELECT sum(square) AS total FROM squares
TYPE endpoint
""",
}


@pytest.fixture(scope="module")
def tb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tb]:
    """In the folder of a project that is served with its rows."""
    folder = tmp_path_factory.mktemp("queries")
    project = write_files(folder / "project", PROJECT)
    (folder / "home").mkdir()
    with serving(project, folder / "data") as server:
        tb = Tb(project, tb_environ(server, folder / "home", token=server.token))
        try:
            yield tb
        finally:
            tb.close()


def test_rows_of_a_data_source_and_of_a_pipe_are_shown(tb: Tb) -> None:
    shown = tb("sql", "SELECT page, hits FROM visits ORDER BY page, hits;")
    for name in ("page", "String", "hits", "UInt32", "/a", "/b", "3", "5"):
        assert name in shown
    answer = json.loads(tb("--output", "json", "sql", "SELECT * FROM top_pages"))
    assert answer["data"] == [{"page": "/b", "hits": 6}, {"page": "/a", "hits": 3}]
    assert answer["meta"][1] == {"name": "hits", "type": "UInt64"}
    csv = tb("--output", "csv", "sql", "SELECT page, hits FROM top_pages", "--rows-limit", "1")
    assert csv.strip() == '"page","hits"\n"/b",6'
    assert "No rows" in tb("sql", "SELECT * FROM visits WHERE hits > 100")


def test_statistics_tell_what_was_read(tb: Tb) -> None:
    shown = tb("sql", "--stats", "SELECT count() AS c FROM visits WHERE hits > 0")
    assert "Rows read: 3\n" in shown
    assert "Bytes read: 12 bytes\n" in shown


def test_a_pipe_stands_behind_the_underscore_and_its_nodes_can_be_looked_at(tb: Tb) -> None:
    query = ("--output", "json", "sql", "--pipeline", "top_pages")
    answer = json.loads(tb(*query, "SELECT sum(hits) AS hits FROM _"))
    assert answer["data"] == [{"hits": 9}]
    file = ("--pipe", "endpoints/numbered.pipe", "--node", "squares")
    answer = json.loads(tb("--output", "json", "sql", *file))
    assert answer["data"] == [{"square": 0}, {"square": 1}, {"square": 4}]


def test_a_long_statement_is_posted(tb: Tb) -> None:
    condition = " AND ".join(f"page != 'no page {number}'" for number in range(180))
    assert 4096 < len(condition) < 8000
    query = f"SELECT sum(hits) AS hits FROM visits WHERE {condition}"
    assert json.loads(tb("--output", "json", "sql", query))["data"] == [{"hits": 9}]
    too_long = f"SELECT 1 AS n WHERE '{'x' * 8200}' != ''"
    assert "8,192" in tb("sql", too_long, status=1).replace(".", ",")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM nowhere", "Resource 'nowhere' not found"),
        ("SELECT nothing FROM visits", "nothing"),
        ("SELECT 1 +", "Syntax error"),
        ("SELECT * FROM file('/etc/passwd')", "file"),
        ("SELECT throwIf(1)", "throwIf"),
        ("SELECT no_such_function(1)", "Unknown function no_such_function"),
    ],
)
def test_errors_are_shown(tb: Tb, query: str, words: str) -> None:
    assert words in tb("sql", query, status=1)


def test_a_statement_over_an_endpoints_rows(tb: Tb) -> None:
    data = ("endpoint", "data", "top_pages")
    over = tb(*data, "--query", "SELECT count() AS pages, sum(hits) AS hits FROM _")
    assert "9" in over
    csv = tb(*data, "--query", "SELECT page FROM _ WHERE hits < 5", "--format", "csv")
    assert csv.strip() == '"page"\n"/a"'
    named = tb(
        *data, "--query", "SELECT count() AS n FROM top_pages", "--but", "/a", "--format", "csv"
    )
    assert named.strip() == '"n"\n1'


def test_rows_of_a_data_source_are_printed_and_exported(tb: Tb, tmp_path: Path) -> None:
    shown = tb("datasource", "data", "visits", "--limit", "10")
    assert shown.count("/b") == 2
    assert "hits" in shown
    csv, ndjson = tmp_path / "rows.csv", tmp_path / "rows.ndjson"
    export = ("datasource", "export", "visits")
    tb(*export, "--format", "csv", "--where", "hits > 2", "--target", str(csv))
    assert sorted(csv.read_text().splitlines()) == ['"/a",3', '"/b",5', '"page","hits"']
    tb(*export, "--rows", "2", "--target", str(ndjson))
    rows = [json.loads(line) for line in ndjson.read_text().splitlines()]
    assert len(rows) == 2
    assert all(row.keys() == {"page", "hits"} for row in rows)


def test_fixtures_written_as_sql_are_computed_by_the_server(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    sql = "SELECT '/' || toString(number) AS page, number * 2 AS hits FROM numbers(4)"
    files = {
        "datasources/visits.datasource": VISITS,
        "fixtures/visits.sql": sql,
        "endpoints/top_pages.pipe": PROJECT["endpoints/top_pages.pipe"],
    }
    folder = write_files(tmp_path / "computed", files)
    tb = open_tb(empty_server, folder)
    built = tb("build")
    assert "Error" not in built
    assert len((folder / "fixtures" / "visits.ndjson").read_text().splitlines()) == 4
    csv = tb("endpoint", "data", "top_pages", "--limit", "2", "--format", "csv")
    assert csv.strip() == '"page","hits"\n"/3",6\n"/2",4'


@pytest.mark.slow
def test_a_pipe_that_is_no_endpoint_has_tests_too(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    files = {
        "datasources/visits.datasource": VISITS,
        "datasources/totals.datasource": VISITS.replace("UInt32", "UInt64"),
        "fixtures/visits.ndjson": ROWS,
        "materializations/fill.pipe": (
            "NODE known\nSQL >\n    SELECT page, hits FROM visits WHERE page != ''\n"
            "NODE summed\nSQL >\n    SELECT page, sum(hits) AS hits FROM known GROUP BY page\n"
            "TYPE materialized\nDATASOURCE totals\n"
        ),
        "tests/fill.yaml": (
            "- name: sums\n  description: ''\n  parameters: ''\n"
            "  expected_result: |\n    /a\t3\n    /b\t6\n"
        ),
    }
    folder = write_files(tmp_path / "tested", files)
    tb = open_tb(empty_server, folder)
    assert "✓ 1/1 passed" in tb("test", "run")
    file = folder / "tests" / "fill.yaml"
    file.write_text(file.read_text().replace("\t6", "\t7"))
    failed = tb.run("test", "run")
    assert failed.status == 1
    assert "sums failed" in failed.output


@pytest.mark.slow
def test_tb_dev_shows_the_rows_of_a_node_that_was_changed(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    """It says nothing where that fails."""
    pipe = (
        "NODE seen_first\nSQL >\n    SELECT {} AS looked_at\n"
        "NODE endpoint\nSQL >\n    SELECT 1 AS n FROM seen_first\nTYPE endpoint\n"
    )
    folder = write_files(tmp_path / "dev", {"endpoints/told.pipe": pipe.format("'first'")})
    tb = open_tb(empty_server, folder)
    printed = tmp_path / "printed"
    with tb_dev(tb, printed):
        for number in range(int(DEADLINE_S)):  # a single write could be missed
            with (folder / "endpoints" / "told.pipe").open("r+") as file:
                file.write(pipe.format(f"'row {number:02}'"))
            try:
                wait_for(lambda: "row " in printed.read_text(), printed, seconds=1)
            except AssertionError:
                continue
            break
        assert "looked_at" in printed.read_text()
        assert re.search(r"row \d\d", printed.read_text())
