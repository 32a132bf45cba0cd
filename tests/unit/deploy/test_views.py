"""Which data sources' inserts reach another by materialised views."""

from __future__ import annotations

from pipewren.deploy.views import feeds_views, find_feeders
from pipewren.project.assembly import parse_project
from pipewren.sql.graph import compile_pipes

_TABLE = b"SCHEMA >\n    `a` Int32\n"


def _view(sql: str, target: str) -> bytes:
    return f"NODE n\nSQL >\n    {sql}\nTYPE materialized\nDATASOURCE {target}\n".encode()


PIPES = compile_pipes(
    parse_project(
        {
            **{f"{name}.datasource": _TABLE for name in ("raw", "middle", "total", "other", "log")},
            "to_middle.pipe": _view("SELECT a FROM cleaned", "middle"),
            "cleaned.pipe": b"NODE n\nSQL >\n    SELECT a FROM raw JOIN other USING (a)\n",
            "to_total.pipe": _view("SELECT sum(a) AS a FROM middle", "total"),
            "read.pipe": b"NODE n\nSQL >\n    SELECT a FROM log\nTYPE endpoint\n",
        }
    )
)


def test_a_chain_of_views_is_fed_by_what_its_first_one_reads_by_another_pipe() -> None:
    assert find_feeders(PIPES, "total") >= {"total", "middle", "raw", "other"}
    assert "total" not in find_feeders(PIPES, "middle")
    assert find_feeders(PIPES, "log") == {"log"}


def test_a_data_source_feeds_views_also_by_another_pipe() -> None:
    assert all(feeds_views(PIPES, name) for name in ("raw", "other", "middle"))
    assert not any(feeds_views(PIPES, name) for name in ("total", "log"))
