"""The settings of a statement that reads pipes: one query has one value of each.

A pipe's rows are its author's to say. With `join_use_nulls = 1` around it, `coalesce(b.open, 1)`
is another question than the author asked, and may show rows that the pipe keeps back (26.9,
tried). So where a setting changes what a statement means, all pipes that are read must agree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pipewren.sql.author_settings import OF_MEANING
from pipewren.sql.caller_errors import refused
from pipewren.sql.pipes import CompiledStatement

Settings = tuple[tuple[str, str], ...]

# What bounds the cost of any statement of a caller (engine-guard.md section 5): blocks, after
# each of which the time is looked at; the tree, its names replaced by what they stand for; what is
# computed at once, and what no count of memory sees. Of 1,852 statements of ClickHouse's
# documentation all answer the same under them. What a point query costs is not changed; a scan
# with GROUP BY is up to 1.15, a sort of everything 1.3 times as slow.
CALLER_BOUNDS: Settings = (
    ("compile_aggregate_expressions", "0"),
    ("compile_expressions", "0"),
    ("compile_regular_expressions", "0"),
    ("compile_sort_description", "0"),
    # What ARRAY JOIN and joins repeat would count once.
    ("enable_lazy_columns_replication", "0"),
    ("function_range_max_elements_in_block", "20000000"),
    ("max_analyze_depth", "1000"),
    ("max_ast_depth", "200"),
    ("max_ast_elements", "10000"),
    ("max_block_size", "8192"),
    ("max_bytes_ratio_before_external_distinct", "0"),
    ("max_bytes_ratio_before_external_group_by", "0"),
    ("max_bytes_ratio_before_external_join", "0"),
    ("max_bytes_ratio_before_external_sort", "0"),
    ("max_columns_to_read", "500"),
    ("max_expanded_ast_elements", "50000"),
    ("max_hyperscan_regexp_length", "1000"),
    ("max_hyperscan_regexp_total_length", "10000"),
    ("max_parser_depth", "400"),
    ("max_recursive_cte_evaluation_depth", "1000"),
    ("max_subquery_depth", "60"),
    ("max_temporary_columns", "1000"),
    ("max_temporary_data_on_disk_size_for_query", "1000000000"),
    ("max_temporary_non_const_columns", "1000"),
    ("max_untracked_memory", "1048576"),
)

_HIDING: Settings = (
    ("optimize_move_to_prewhere", "0"),
    ("optimize_move_to_prewhere_if_final", "0"),
)
_OFF = frozenset({"0", "false"})
_OFF_BY_DEFAULT = frozenset(
    {"join_use_nulls", "group_by_use_nulls", "aggregate_functions_null_for_empty", "final"}
)
# Words without which a text has nothing that the setting acts on.
_ACTS_ON = {
    "join_use_nulls": re.compile(r"\bJOIN\b", re.IGNORECASE),
    "group_by_use_nulls": re.compile(r"\b(?:ROLLUP|CUBE|GROUPING)\b", re.IGNORECASE),
}


def merge_settings(pipes: Sequence[CompiledStatement], own: Settings) -> Settings:
    """The settings of `pipes`, which the statement reads, and its own, as one, by name, with
    CALLER_BOUNDS. Raises
    BadRequest where they do not agree, or would change what a pipe means."""
    merged: dict[str, str] = {}
    for settings in (*[pipe.settings for pipe in pipes], own):
        for name, value in settings:
            if merged.setdefault(name, value) != value:
                raise refused(
                    f"The setting {name} has different values in the pipes that the statement "
                    "reads, or in its own SETTINGS: read them one at a time"
                )
    for pipe in pipes:
        given = dict(pipe.settings)
        for name, value in merged.items():
            if name not in given and _changes(name, value, pipe.sql):
                raise refused(
                    f"The setting {name} would change the rows of a pipe that the statement "
                    "reads and that has no such setting: leave it out, or read that pipe apart"
                )
    return tuple(sorted({**merged, **dict(CALLER_BOUNDS)}.items()))


def keep_rows_hidden(settings: Settings, *, filters: Collection[str]) -> Settings:
    """`settings` for a caller who may not see all rows that the statement reads: a pipe's WHERE, a
    fixed parameter or a filter hides some. No condition is moved to PREWHERE: the engine makes
    one of the pipe's and the caller's, in which functions without short circuit, such as toBool(),
    see hidden rows (26.9, tried: docs/row_filters.md). `filters` are the data sources that the
    statement itself reads under one. Raises BadRequest where a pipe's setting would have
    those read as with FINAL, which their filters do not expect."""
    merged = dict(settings)
    if filters and merged.get("final", "0").lower() not in _OFF:
        raise refused(
            "A pipe that the statement reads has the setting final, and the token has a row filter "
            f"on '{min(filters)}', which the statement reads too: read them apart"
        )
    return tuple(sorted({**merged, **dict(_HIDING)}.items()))


def _changes(name: str, value: str, sql: str) -> bool:
    """Whether the setting may change what `sql`, written without it, means."""
    if name not in OF_MEANING or (name in _OFF_BY_DEFAULT and value.lower() in _OFF):
        return False
    acts_on = _ACTS_ON.get(name)
    return acts_on is None or acts_on.search(sql) is not None
