"""Hints to a statement's plan: where it reads far more than its filter keeps, because the filter
misses the table's sorting key.

Read off `EXPLAIN json = 1, indexes = 1, actions = 1` (26.9): each ReadFromMergeTree tells how many
granules each index left over, and the actions of the filters above it which columns they need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pipewren.project.model import Datasource
from pipewren.sql.tokens import scan_tokens, unquote

# Fewer rows are read in a few milliseconds, whatever the key is.
MIN_ROWS = 100_000
_MOST_SHOWN = 5
_KEEPS_ROWS = frozenset({"Expression", "Filter"})  # steps whose columns are the table's own
_OWN_NAME = re.compile(r"__table\d+\.")
_PRIMARY = "PrimaryKey"

Plan = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """One read of a table. `table` is its physical name, with the database; granules are those of
    the table, and those left over by all indexes. `columns` are what its filters need; `used` the
    columns of the key that the primary index could go by."""

    table: str
    granules: int
    selected: int
    columns: frozenset[str]
    used: frozenset[str]

    @property
    def misses(self) -> bool:
        """Whether there is a filter, and the indexes leave over more than half of the table."""
        return bool(self.columns) and 2 * self.selected > self.granules


def read_scans(document: bytes) -> list[Scan]:
    """The reads in a plan as JSON. Empty for what cannot be read."""
    try:
        plans = msgspec.json.decode(document, type=list[dict[str, dict[str, Any]]])
    except (msgspec.DecodeError, RecursionError):
        return []
    scans: list[Scan] = []
    waiting: list[tuple[Plan, frozenset[str]]] = [
        (one.get("Plan", {}), frozenset()) for one in plans
    ]
    while waiting:
        plan, columns = waiting.pop()
        kind = plan.get("Node Type")
        if kind == "ReadFromMergeTree":
            scan = _read_scan(plan, columns)
            if scan is not None:
                scans.append(scan)
        above: frozenset[str] = columns if kind in _KEEPS_ROWS else frozenset()
        if kind == "Filter":
            above |= _needed(plan.get("Expression", {}), plan.get("Filter Column", ""))
        waiting += [(part, above) for part in plan.get("Plans", ())]
    scans.reverse()
    return scans


def describe_scan(scan: Scan, datasource: Datasource, rows: int) -> str:
    """What is wrong and what to do, in words; "" where the filter could not do better. `rows` are
    those that the scan reads."""
    engine = datasource.engine
    key = engine.primary_key or engine.sorting_key or "tuple()"
    names = {column.name for column in datasource.columns}
    words = [unquote(token) for token in scan_tokens(key) if token.is_name]
    in_key = [name for name in dict.fromkeys(words) if name in names]
    filtered = sorted(scan.columns & names)
    if not filtered:
        return ""
    part = "all" if scan.selected == scan.granules else f"{scan.selected} of {scan.granules}"
    text = (
        f"'{datasource.name}' is read nearly whole: {part} granules, about {rows:,} rows. The "
        f"filter is on {_name(filtered)}, and the sorting key is {key}"
    )
    if not in_key:
        return f"{text}: set ENGINE_SORTING_KEY to begin with {_name(filtered)}"
    others = [name for name in filtered if name not in in_key]
    if in_key[0] in filtered and in_key[0] not in scan.used:
        return (
            f"{text}, whose index cannot go by the condition on {in_key[0]} as it is written: "
            f"compare {in_key[0]} itself with a value or a list, without a function around it or "
            "an OR with another column"
        )
    if in_key[0] in filtered:
        text += f", where the condition on {in_key[0]} keeps most rows"
        if not others:
            return ""  # that is what was asked for
        return f"{text}: {_advise(others)}"
    if not others:
        return (
            f"{text}, in which {_name(filtered)} comes behind {in_key[0]}: filter by {in_key[0]} "
            f"too, or put {_name(filtered)} first"
        )
    return (
        f"{text}, which does not begin with that: filter by {in_key[0]} too, or {_advise(others)}"
    )


def _advise(columns: list[str]) -> str:
    return (
        f"read the rows from a data source whose ENGINE_SORTING_KEY begins with {_name(columns)} "
        "(a materialized view can fill it), or add an index on it under INDEXES"
    )


def _read_scan(plan: Plan, columns: frozenset[str]) -> Scan | None:
    indexes = plan.get("Indexes") or ()
    if not indexes:
        return None
    used: set[str] = set()
    for index in indexes:
        if index.get("Type") == _PRIMARY:
            used.update(index.get("Keys", ()))
    needed = frozenset[str]()
    for prewhere in _prewheres(plan.get("Prewhere info") or {}):
        name = prewhere.get("Prewhere filter column", "")
        needed |= _needed(prewhere.get("Prewhere filter expression", {}), name)
    return Scan(
        plan.get("Description", ""),
        indexes[0].get("Initial Granules", 0),
        indexes[-1].get("Selected Granules", 0),
        columns | needed,
        frozenset(used),
    )


def _prewheres(info: Plan) -> Iterator[Plan]:
    for value in info.values():
        if isinstance(value, dict) and "Prewhere filter column" in value:
            yield value


def _needed(expression: Plan, name: str) -> frozenset[str]:
    """The columns that the column `name` of an action list is made of. Filters of the engine's own
    (`__topKFilter`, those of joins) need none: no author wrote them."""
    slots: dict[int, frozenset[str]] = {}
    found: frozenset[str] = frozenset()
    inputs = expression.get("Inputs", ())
    for action in expression.get("Actions", ()):
        arguments = action.get("Arguments", ())
        kind = action.get("Node Type")
        if kind == "INPUT":
            # An INPUT's argument is the number of the input, those of others are slots.
            index = arguments[0] if arguments else -1
            source = inputs[index]["Name"] if 0 <= index < len(inputs) else ""
            needs = frozenset({_OWN_NAME.sub("", source)})
        elif str(action.get("Function", "")).startswith("__"):
            needs = frozenset()
        else:
            needs = frozenset[str]().union(*(slots.get(one, frozenset()) for one in arguments))
        slots[action.get("Result", -1)] = needs
        if action.get("Result Name") == name:
            found = needs
    return found


def _name(columns: list[str]) -> str:
    shown = ", ".join(columns[:_MOST_SHOWN])
    return shown if len(columns) <= _MOST_SHOWN else f"{shown} and others"
