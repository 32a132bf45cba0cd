"""`tb build`, `tb test run`, `tb dev`, `tb pull` and `tb fmt`, without Tinybird's container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipewren.testing.clients import install_npm_package
from pipewren.testing.serving import RunningServer, serving, write_files
from pipewren.testing.tb_command import Tb, tb_dev, wait_for

EXAMPLES = Path(__file__).parents[3] / "examples"
FIRST = "NODE endpoint\nSQL >\n    SELECT 'first' AS answer\nTYPE endpoint\n"


def test_the_example_is_built_with_its_rows_and_a_second_build_has_nothing_to_do(
    empty_server: RunningServer, open_tb: Callable[..., Tb], web_analytics: Path
) -> None:
    tb = open_tb(empty_server, web_analytics)
    first = tb("build")
    for file in ("datasources/page_views.datasource", "materializations/pages_by_day_mv.pipe"):
        assert f"✓ {file} created" in first
    assert "Build completed" in first
    assert "No changes. Build skipped." in tb("build")
    rows = tb("endpoint", "data", "site_overview", "--format", "csv")
    assert '"garden.example","Gårdens have","[\'ann\',\'bo\']",19,10,1.9' in rows
    assert "Gårdens have" in tb("endpoint", "data", "site_overview")


def test_a_failed_build_names_each_file_and_leaves_what_answers(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "failing", {"endpoints/told.pipe": FIRST})
    tb = open_tb(empty_server, folder)
    tb("build")
    write_files(
        folder,
        {
            "endpoints/told.pipe": FIRST.replace("'first' AS answer", "nothing FROM nowhere"),
            "endpoints/other.pipe": FIRST.replace("'first' AS answer", "1 FROM elsewhere"),
        },
    )
    failed = tb("build", status=1)
    assert "endpoints/told.pipe" in failed
    assert "nowhere" in failed
    assert "endpoints/other.pipe" in failed
    assert "elsewhere" in failed
    assert "first" in tb("endpoint", "data", "told")


def test_what_is_pulled_is_what_was_built(
    empty_server: RunningServer, open_tb: Callable[..., Tb], web_analytics: Path, tmp_path: Path
) -> None:
    tb = open_tb(empty_server, web_analytics)
    tb("build")
    (web_analytics / "pulled").mkdir()
    for folder in ("datasources", "endpoints", "materializations"):
        (web_analytics / folder).rename(tmp_path / folder)
    tb("pull", "--force")
    assert "No changes. Build skipped." in tb("build")
    pulled = (web_analytics / "endpoints" / "traffic.pipe").read_text()
    assert pulled.strip() == (tmp_path / "endpoints" / "traffic.pipe").read_text().strip()


def test_formatted_files_build_to_the_same_answers(
    empty_server: RunningServer, open_tb: Callable[..., Tb], web_analytics: Path
) -> None:
    tb = open_tb(empty_server, web_analytics)
    tb("build")
    before = tb("endpoint", "data", "top_pages", "--site", "garden.example", "--format", "csv")
    tb("fmt", "endpoints/top_pages.pipe", "--yes")
    tb("build")
    after = tb("endpoint", "data", "top_pages", "--site", "garden.example", "--format", "csv")
    assert after == before
    assert '"/tools",3,3,73.7' in after


@pytest.mark.slow
def test_the_tests_of_the_example_pass(
    empty_server: RunningServer, open_tb: Callable[..., Tb], web_analytics: Path
) -> None:
    tb = open_tb(empty_server, web_analytics)
    passed = tb("test", "run")
    assert "✓ 7/7 passed" in passed
    assert "✗" not in passed


@pytest.mark.slow
def test_the_tests_of_all_flights_pass(
    empty_server: RunningServer, open_tb: Callable[..., Tb]
) -> None:
    passed = open_tb(empty_server, EXAMPLES / "flights")("test", "run")
    assert "✓ 12/12 passed" in passed


def test_the_example_is_served_from_its_folder_too(web_analytics: Path, tmp_path: Path) -> None:
    with serving(web_analytics, tmp_path / "data", token="web_billing") as server:
        status, answer = server.get("/v0/pipes/busiest_site.json")
    assert (status, answer["data"]) == (200, [{"site": "garden.example", "views": 19}])


@pytest.mark.slow
def test_a_test_that_expects_something_else_fails(
    empty_server: RunningServer, open_tb: Callable[..., Tb], web_analytics: Path
) -> None:
    file = web_analytics / "tests" / "busiest_site.yaml"
    file.write_text(file.read_text().replace('"views":19', '"views":20'))
    failed = open_tb(empty_server, web_analytics).run("test", "run", "busiest_site")
    assert failed.status == 1
    assert "busiest failed" in failed.output


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_the_tests_of_ghosts_own_project_pass(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    project = install_npm_package("ghost", "6.65.0") / "core" / "server" / "data" / "tinybird"
    folder = tmp_path / "ghost"
    folder.symlink_to(project)
    passed = open_tb(empty_server, folder).run("test", "run")
    assert passed.status == 0, passed.output
    assert "✓ 30/30 passed" in passed.output


@pytest.mark.slow
def test_tb_dev_builds_a_file_that_is_changed_in_place(
    empty_server: RunningServer, open_tb: Callable[..., Tb], tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "dev", {"endpoints/told.pipe": FIRST})
    tb = open_tb(empty_server, folder)
    printed = tmp_path / "printed"
    with tb_dev(tb, printed):
        wait_for(lambda: _write_and_ask(tb), printed)


def _write_and_ask(tb: Tb) -> bool:
    """It says that it watches a little before it does: a single write could be missed."""
    with (tb.folder / "endpoints" / "told.pipe").open("r+") as file:
        file.write(FIRST.replace("first", "later"))
    return "later" in tb.run("endpoint", "data", "told").output
