"""The SETTINGS that an author may write at the end of a statement.

Our connections are read-only, where SETTINGS are refused, so they are lifted off the text and
given to the connection. On the list is what changes how a query is read, joined, aggregated or
printed. Everything else is refused: limits, rights, what isolates callers, what writes.
`max_threads` and `max_execution_time` are none of the list: they become the statement's own limits,
under the server's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipewren.errors import StatementError
from pipewren.sql.tokens import Kind, Token, unquote

# What a query means: with another value it may have other rows.
OF_MEANING = frozenset(
    {"join_use_nulls", "join_default_strictness", "any_join_distinct_right_table_keys", "final"}
    | {"group_by_use_nulls", "aggregate_functions_null_for_empty", "transform_null_in"}
    | {"union_default_mode", "intersect_default_mode", "except_default_mode"}
    | {"cast_keep_nullable", "prefer_column_name_to_alias", "enable_positional_arguments"}
    | {"empty_result_for_aggregation_by_empty_set", "totals_mode", "extremes"}
    | {"joined_subquery_requires_alias", "data_type_default_nullable"}
    | {"asterisk_include_alias_columns", "asterisk_include_materialized_columns"}
    | {"short_circuit_function_evaluation", "decimal_check_overflow"}
    | {"function_json_value_return_type_allow_nullable"}
    | {"function_json_value_return_type_allow_complex"}
    | {"date_time_input_format", "date_time_overflow_behavior"}
    | {"count_distinct_implementation", "do_not_merge_across_partitions_select_final"}
    | {"distributed_group_by_no_merge", "distributed_product_mode"}
)
ALLOWED_SETTINGS = OF_MEANING.union(
    # output
    {"date_time_output_format"}
    | {"output_format_json_quote_64bit_integers", "output_format_json_quote_64bit_floats"}
    | {"output_format_json_quote_denormals", "output_format_json_quote_decimals"}
    | {"output_format_json_escape_forward_slashes", "output_format_json_named_tuples_as_objects"}
    | {"output_format_decimal_trailing_zeros", "output_format_csv_crlf_end_of_line"}
    | {"format_csv_delimiter", "format_csv_null_representation"}
    | {"format_tsv_null_representation"}
    # how it is run
    | {"join_algorithm", "max_block_size", "preferred_block_size_bytes"}
    | {"optimize_read_in_order", "optimize_aggregation_in_order", "optimize_move_to_prewhere"}
    | {"optimize_move_to_prewhere_if_final", "optimize_skip_unused_shards"}
    | {"optimize_use_projections", "optimize_trivial_count_query", "optimize_distinct_in_order"}
    | {"optimize_functions_to_subcolumns", "optimize_rewrite_sum_if_to_count_if"}
    | {"optimize_use_implicit_projections"}
    | {"use_skip_indexes", "use_skip_indexes_if_final"}
    | {"use_query_condition_cache", "use_uncompressed_cache"}
    | {"query_plan_enable_optimizations", "query_plan_filter_push_down"}
    | {"query_plan_join_swap_table", "query_plan_optimize_prewhere"}
    | {"query_plan_read_in_order", "query_plan_remove_redundant_sorting"}
    | {"enable_optimize_predicate_expression", "compile_expressions"}
    | {"compile_aggregate_expressions", "compile_sort_description"}
    | {"force_primary_key", "force_index_by_date", "force_data_skipping_indices"}
    | {"ignore_data_skipping_indices", "merge_tree_min_rows_for_concurrent_read"}
    | {"group_by_two_level_threshold", "group_by_two_level_threshold_bytes"}
    | {"count_distinct_optimization"}
)

MAX_THREADS = "max_threads"
MAX_EXECUTION_TIME = "max_execution_time"
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class AuthorSettings:
    """`values` in order; the limits apart from them."""

    values: tuple[tuple[str, str], ...] = ()
    max_threads: int | None = None
    max_execution_time_s: float | None = None


def read_settings(tokens: Sequence[Token], where: str) -> AuthorSettings:
    """`tokens` are those behind SETTINGS, to the end. Raises StatementError for what is not
    allowed or cannot be read."""
    values: dict[str, str] = {}
    index = 0
    while True:
        name, index, value = _read_assignment(tokens, index, where)
        values[name] = value
        if index == len(tokens):
            break
        if tokens[index].text != ",":
            raise _unreadable(where)
        index += 1
    threads = values.pop(MAX_THREADS, None)
    if threads is not None and not (threads.isascii() and threads.isdigit() and int(threads)):
        raise StatementError(f"{where}: SETTINGS max_threads takes a number from 1 on")
    seconds = values.pop(MAX_EXECUTION_TIME, None)
    if seconds is not None and not (_SECONDS.fullmatch(seconds) and float(seconds) > 0):
        raise StatementError(
            f"{where}: SETTINGS max_execution_time takes a number of seconds above 0"
        )
    for name in values:
        if name not in ALLOWED_SETTINGS:
            raise StatementError(
                f"{where}: the setting {name} cannot be given in an endpoint's SETTINGS. Remove "
                "it; limits and rights are the server's, and only settings of how a query is "
                "read, joined or printed are allowed"
            )
    return AuthorSettings(
        tuple(values.items()),
        int(threads) if threads else None,
        float(seconds) if seconds else None,
    )


def _read_assignment(tokens: Sequence[Token], index: int, where: str) -> tuple[str, int, str]:
    part = tokens[index : index + 4]
    if len(part) < 3 or not part[0].is_name or part[1].text != "=":
        raise _unreadable(where)
    name, value = unquote(part[0]), part[2]
    if value.text == "-" and len(part) == 4 and part[3].kind is Kind.NUMBER:
        return name, index + 4, "-" + part[3].text
    if value.kind in (Kind.STRING, Kind.NUMBER):
        return name, index + 3, unquote(value)
    if value.keyword in ("TRUE", "FALSE"):
        return name, index + 3, "1" if value.keyword == "TRUE" else "0"
    raise _unreadable(where)


def _unreadable(where: str) -> StatementError:
    return StatementError(
        f"{where}: its SETTINGS cannot be read. Write them last, as name = value with a number or "
        "a string, separated by commas"
    )
