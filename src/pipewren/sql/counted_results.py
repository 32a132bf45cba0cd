"""A caller's SELECT written so that `max_result_bytes` counts its rows (see constant_columns.py).

The join changes no row, and cuts its output as soon as a block holds 64 rows or 1,000 bytes, a
constant counted once: so a larger constant comes one row a block and counts for every row, and a
LowCardinality's values with every block. What the size of a block does not tell is seen from the
types that the engine gives the columns (DESCRIBE): states become text there, as which they are
printed, and what remains, names in types, divides the limit. All tried on 26.9.

A type may depend on the second in which a statement runs (`CAST(x, if(now() ..., ...))`) or on
rows: one that has other types than were described ends with TYPES_CHANGED.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipewren.sql.caller_errors import refused
from pipewren.sql.value_sizes import longest_name
from pipewren.sqltext import quote_identifier, quote_literal

# Half of the cure: without them 1 GB came through the same join. 0 bytes or rows at the minimum
# would put blocks together again; a swapped or replanned join cuts the other side's.
COUNTED_SETTINGS: tuple[tuple[str, str], ...] = (
    # A block of large values is made before it is counted. With 4,096 rows, values of 100 KB took
    # 800 MB, with 512 of them 130; a GROUP BY of a million rows is 1.7 times as slow.
    ("max_block_size", "512"),
    # JSON's paths are kept with the values then, and counted, not once for a column.
    ("max_dynamic_subcolumns_in_json_type_parsing", "0"),
    ("max_joined_block_size_bytes", "1000"),
    ("max_joined_block_size_rows", "64"),
    ("min_joined_block_size_bytes", "1"),
    ("min_joined_block_size_rows", "1"),
    ("query_plan_join_swap_table", "false"),
    ("query_plan_optimize_join_order_limit", "0"),
)
# Types are compared as texts. toTypeName() writes those of tuples in lines, where a name holds no
# raw line break; DESCRIBE does not.
DESCRIBE_SETTINGS = (*COUNTED_SETTINGS, ("print_pretty_type_names", "0"))
_TYPES = r"replaceAll(replaceRegexpAll(toTypeName(tuple({}.*)), '\n *', '\n'), ',\n', ', ')"
_TYPES = f"replaceAll({_TYPES}, '\\n', '')"
TYPES_CHANGED = "pipewren: the types of the columns are not those that were described"
_MAX_COLUMNS = 4000
_MAX_NAMES = 1_000_000  # bytes of the columns' names, which JSON repeats in every row
_PLAIN_NAME = 8  # bytes of a name in a type that need no lower limit: a number prints as many
_MAX_DIVISOR = 256
_STATE = "AggregateFunction("
_INNER_STATE = re.compile(r"\bAggregateFunction\(")
# Its argument is a type without types in it, or Nullable of one.
_LOW = re.compile(
    r"\bLowCardinality\((\w+(?:\((?:[^()']|'(?:[^'\\]|\\.)*')*\))?|Nullable\(\w+\(\d+\)\))\)"
)
_EMPTY_TUPLE = re.compile(r"\bTuple\(\s*\)")


@dataclass(frozen=True, slots=True)
class Counted:
    """`sql` runs with COUNTED_SETTINGS, max_result_bytes divided by `divisor`, and no more rows
    than may hold `names_bytes` each."""

    sql: str
    names_bytes: int
    divisor: int


def describe(sql: str) -> str:
    """The statement that gives `count_all` its columns: name and type first in every row. It runs
    scalar subqueries, so under the same limits as the SELECT, which must have neither FORMAT nor
    SETTINGS nor a semicolon at its end."""
    return f"DESCRIBE (\n{sql}\n)"


def count_all(
    sql: str, columns: Sequence[tuple[str, str]], *, finalize_states: bool = False
) -> Counted:
    """`sql` (see `describe`) as it may run; `columns` are its names and types. The columns keep
    their names and order; aggregate states become String, as they are printed, or with
    `finalize_states` (endpoints.md, finalize_aggregations) what they come to.

    Raises BadRequest for results that no limit would hold.
    """
    if len(columns) > _MAX_COLUMNS:
        raise refused(f"The result has more than {_MAX_COLUMNS:,} columns")
    names_bytes = sum(len(name.encode()) + 8 for name, _ in columns)
    if names_bytes > _MAX_NAMES:
        raise refused("The names of the result's columns are too long: give them shorter ones")
    rows = _free_alias(name for name, _ in columns)
    replaced: dict[str, str] = {}
    longest = 0
    for name, type in columns:
        quoted = quote_identifier(name)
        if type.startswith(_STATE):
            value = f"finalizeAggregation({rows}.{quoted})"
            if not finalize_states:
                value = f"CAST({rows}.{quoted}, 'String')"
            replaced[name] = f"{value} AS {quoted}"
            if not finalize_states:
                continue  # names in its type are printed by nobody
        else:
            full = _without_low_cardinality(name, type)
            if full != type:
                replaced[name] = f"CAST({rows}.{quoted}, {quote_literal(full)}) AS {quoted}"
        longest = max(longest, longest_name(type))
    divisor = 1
    while divisor * _PLAIN_NAME < longest:
        divisor *= 2
    if divisor > _MAX_DIVISOR:
        raise refused("The type of a column of the result has a name that is too long")
    selected = f"{rows}.*"
    if replaced:
        selected += f" REPLACE({', '.join(replaced.values())})"
    types = quote_literal(f"Tuple({', '.join(type for _, type in columns)})")
    # On the right side unnamed columns would become `r.1`. A text may end in a comment.
    return Counted(
        f"SELECT {selected} FROM (\n{sql}\n) AS {rows} CROSS JOIN (SELECT 1) AS z WHERE NOT "
        f"throwIf({_TYPES.format(rows)} != {types}, {quote_literal(TYPES_CHANGED)})",
        names_bytes,
        divisor,
    )


def _free_alias(names: Iterable[str]) -> str:
    """An alias that no column has: `r.*` is what a Map of the name `r` holds."""
    first = {name.partition(".")[0] for name in names}
    alias = "r"
    while alias in first:
        alias += "_"
    return alias


def _without_low_cardinality(name: str, type: str) -> str:
    """What stands inside other types, where one row may have a value a million times. Raises
    BadRequest for what is inside and has no size to count."""
    if _EMPTY_TUPLE.search(type):
        raise refused(f"The column {name[:60]} is, or holds, a tuple without elements")
    if _INNER_STATE.search(type):
        raise refused(
            f"The column {name[:60]} holds aggregate states inside of another type: use "
            "finalizeAggregation() or a function that ends in Merge"
        )
    if type.startswith("LowCardinality("):
        return type
    full = _LOW.sub(r"\1", type)
    if "LowCardinality(" in full:
        raise refused(f"The column {name[:60]} is of a type that cannot be returned: {type[:100]}")
    return full
