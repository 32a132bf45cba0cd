"""Plans as ClickHouse 26.9 writes them, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from pipewren.project.assembly import parse_project
from pipewren.project.model import Datasource
from pipewren.serve.plan_hints import Scan, describe_scan, read_scans

Plan = dict[str, Any]
FILE = """
SCHEMA >
    `tenant` String,
    `at` DateTime,
    `user` UInt32,
    `price` Float64
ENGINE_SORTING_KEY "{key}"
"""


def datasource(key: str = "tenant, toDate(at)") -> Datasource:
    text = FILE.replace("{key}", key)
    project = parse_project({"datasources/visits.datasource": text.encode()})
    return project.datasources["visits"]


def index(type: str, selected: int, *keys: str) -> Plan:
    return {
        "Type": type,
        "Keys": list(keys),
        "Initial Granules": 100,
        "Selected Granules": selected,
    }


def actions(name: str, function: str, *columns: str) -> Plan:
    """An action list that makes the column `name` of `columns`, with one more that it lets pass."""
    inputs = [*columns, "__table1.other"]
    made: list[Plan] = [
        {"Node Type": "INPUT", "Result Name": one, "Arguments": [n], "Result": n}
        for n, one in enumerate(inputs)
    ]
    arguments = list(range(len(columns)))
    made.append(
        {
            "Node Type": "FUNCTION",
            "Function": function,
            "Result Name": name,
            "Arguments": arguments,
            "Result": len(inputs),
        }
    )
    return {"Inputs": [{"Name": one} for one in inputs], "Actions": made}


def read(*indexes: Plan, **more: Any) -> Plan:
    name = "w_1.visits__1"
    return {
        "Node Type": "ReadFromMergeTree",
        "Description": name,
        "Indexes": list(indexes),
        **more,
    }


def scans_of(plan: Plan) -> list[Scan]:
    return read_scans(json.dumps([{"Plan": plan}]).encode())


def filtered(plan: Plan, *columns: str, kind: str = "Filter") -> Plan:
    made = actions("the filter", "equals", *columns)
    return {"Node Type": kind, "Filter Column": "the filter", "Expression": made, "Plans": [plan]}


def test_a_filter_above_a_read_needs_the_columns_that_it_is_made_of() -> None:
    whole = read(index("PrimaryKey", 100))
    (scan,) = scans_of(filtered(whole, "__table1.user", "__table12.price"))
    assert scan == Scan("w_1.visits__1", 100, 100, frozenset({"user", "price"}), used=frozenset())
    assert scan.misses


def test_a_prewhere_counts_and_filters_of_the_engines_own_do_not() -> None:
    def prewhere(function: str) -> Plan:
        made = actions("f", function, "user")
        inner = {"Prewhere filter column": "f", "Prewhere filter expression": made}
        return read(
            index("PrimaryKey", 100), **{"Prewhere info": {"Need": True, "Prewhere filter": inner}}
        )

    (of_author,) = scans_of(prewhere("equals"))
    (of_engine,) = scans_of(prewhere("__topKFilter"))
    assert (of_author.columns, of_engine.columns) == (frozenset({"user"}), frozenset())
    assert (of_author.misses, of_engine.misses) == (True, False)


def test_filters_above_a_group_or_a_join_are_not_the_tables() -> None:
    for between in ("Aggregating", "Join"):
        inner = {"Node Type": between, "Plans": [read(index("PrimaryKey", 100))]}
        assert [scan.columns for scan in scans_of(filtered(inner, "hits"))] == [frozenset()]
    passed = {"Node Type": "Expression", "Plans": [read(index("PrimaryKey", 100))]}
    (scan,) = scans_of(filtered(passed, "user"))
    assert scan.columns == {"user"}


@pytest.mark.parametrize(("selected", "misses"), [(100, True), (51, True), (50, False)])
def test_what_all_indexes_leave_over_counts(selected: int, misses: bool) -> None:
    one = read(index("PrimaryKey", 100), index("Skip", selected))
    (scan,) = scans_of(filtered(one, "user"))
    assert (scan.selected, scan.misses) == (selected, misses)


@pytest.mark.parametrize(
    "document", [b"", b"ReadFromMergeTree", b"[]", b"{}", b'["a"]', b'[{"Plan": 3}]', b"[" * 9999]
)
def test_what_is_no_plan_has_no_scans(document: bytes) -> None:
    assert read_scans(document) == []


def describe(columns: set[str], *, used: Collection[str] = (), key: str = "") -> str:
    scan = Scan("w_1.visits__1", 100, 100, frozenset(columns), frozenset(used))
    return describe_scan(scan, datasource(key) if key else datasource(), 800_000)


def test_each_way_to_miss_the_key_has_its_own_advice() -> None:
    begin = "'visits' is read nearly whole: all granules, about 800,000 rows. The filter is on "
    other = describe({"user", "price"})
    assert other.startswith(f"{begin}price, user, and the sorting key is tenant, toDate(at), which")
    assert "ENGINE_SORTING_KEY begins with price, user" in other
    behind = describe({"at"}, used={"at"})
    assert behind.startswith(f"{begin}at, and the sorting key is tenant, toDate(at), in which at")
    assert "filter by tenant too, or put at first" in behind
    assert "compare tenant itself" in describe({"tenant"})
    assert "keeps most rows: read" in describe({"tenant", "user"}, used={"tenant"})
    assert "set ENGINE_SORTING_KEY to begin with user" in describe({"user"}, key="tuple()")


def test_a_condition_on_the_key_that_keeps_most_rows_is_what_was_asked_for() -> None:
    assert describe({"tenant"}, used={"tenant"}) == ""
    assert describe({"no column of it"}) == ""
