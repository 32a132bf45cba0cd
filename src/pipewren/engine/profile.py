"""Profiles: the settings that a connection is made with and keeps.

A reader is `readonly=1`, where SETTINGS are refused, so what differs by statement (limits, an
author's settings) goes in when the connection is made (design, decision 6). The settings are
given by one SET, which, unlike the connection string, refuses unknown names and needs no escaping
of `&`. `readonly=1` comes last, since nothing can be set after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipewren.engine import query_log
from pipewren.engine.config import READER_ROLE, WRITERS_NICE
from pipewren.engine.contract import Limits
from pipewren.engine.options import EngineOptions, write_memory_bytes
from pipewren.errors import EngineError
from pipewren.sqltext import Sql, quote_literal, trusted_sql

# What every connection has. UTC because the host's zone leaks into results otherwise.
_COMMON: tuple[tuple[str, str], ...] = (
    ("session_timezone", "UTC"),
    ("implicit_select", "0"),  # else `selec` is a SELECT
    query_log.NO_LOG,
    ("http_max_tries", "1"),
)

# Formats as endpoints.md section 3 has them, and speed: parallel formatting is a third of a small
# query (engine-chdb.md section 2).
_FORMATS: tuple[tuple[str, str], ...] = (
    ("output_format_parallel_formatting", "0"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "0"),
    ("output_format_json_escape_forward_slashes", "1"),
    ("output_format_json_validate_utf8", "1"),  # else text that is not UTF-8 is no valid JSON
    ("output_format_parquet_string_as_string", "0"),
)

# Row order and leniency of the reference's older ClickHouse (engine-compat.md); what they cost
# stands in docs/engine.md.
_COMPATIBILITY: tuple[tuple[str, str], ...] = (
    ("enable_packed_string_keys_in_aggregation", "0"),
    ("join_algorithm", "direct,hash"),
    ("allow_suspicious_types_in_group_by", "1"),
    ("allow_suspicious_types_in_order_by", "1"),
    ("allow_dynamic_type_in_join_keys", "1"),
    ("joined_subquery_requires_alias", "0"),
)

# Without it a row filter's hidden rows show in error texts (engine-guard.md section 3).
_GUARD: tuple[tuple[str, str], ...] = (
    ("allow_reorder_prewhere_conditions", "0"),
    # 200 do for all of the documentation's statements; with the default of a million, 8 KB of
    # `INTERVAL (` take the parser 1.3 s.
    ("max_parser_backtracks", "50000"),
)

# A statement's settings may not touch what isolates callers or what `Limits` says.
RESERVED_SETTINGS = frozenset(
    {"readonly", "log_comment", "allow_ddl", "allow_introspection_functions", "profile"}
    | {"max_execution_time", "max_memory_usage", "max_result_rows", "max_result_bytes"}
    | {
        "max_threads",
        "max_rows_to_read",
        "read_overflow_mode",
        "result_overflow_mode",
        "timeout_overflow_mode",
    }
    | {"allow_reorder_prewhere_conditions", "log_profile_events"}
    | {name for name, _ in query_log.SETTINGS}
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a connection is made: `settings` in order, and the role that it takes, if any."""

    settings: tuple[tuple[str, str], ...]
    role: str | None = None
    database: str = "system"  # never `default`: its bare names are files (engine-compat.md)

    @property
    def is_logged(self) -> bool:
        """Whether what its connections run is in the query log."""
        return query_log.SETTINGS[0] in self.settings


def make_reader_profile(
    limits: Limits, settings: tuple[tuple[str, str], ...], options: EngineOptions
) -> Profile:
    """A read-only profile. Raises EngineError for a setting that a statement may not change."""
    for name, _ in settings:
        if name in RESERVED_SETTINGS:
            raise EngineError(
                f"[Error] The setting {name} cannot be changed. (READONLY)",
                engine_code=164,
                engine_name="READONLY",
                status=400,
            )
    merged = dict(_COMMON + _FORMATS + _COMPATIBILITY + _GUARD)
    merged |= {
        "max_execution_time": f"{limits.max_execution_time_s:g}",
        "max_memory_usage": str(limits.max_memory_bytes),
        "max_result_rows": str(limits.max_result_rows),
        "max_result_bytes": str(limits.max_result_bytes),
        "max_threads": str(limits.max_threads),
        "max_rows_to_read": str(limits.max_rows_to_read),
        "max_query_size": str(options.max_query_bytes),
    }
    if options.query_log:
        merged |= query_log.SETTINGS
    merged |= dict(settings)
    return Profile((*merged.items(), ("readonly", "1")), role=READER_ROLE)


def make_rows_profile(reader: Profile) -> Profile:
    """For rows that come with a statement of Pipewren's own: the function `format` counts as making
    a table, which neither the role nor `readonly=1` allows. Nothing can be written by it."""
    return Profile((*reader.settings[:-1], ("readonly", "2")))


def make_admin_profile(options: EngineOptions, *, writes: bool = False) -> Profile:
    """For DDL, KILL and, where it `writes`, inserts: all rights, no time limit, but a bound on
    memory, since a runaway `INSERT ... SELECT` takes the process's (engine-compat.md)."""
    logs = query_log.SETTINGS if writes and options.query_log else ()
    return Profile(
        (
            *(dict(_COMMON) | dict(logs)).items(),
            *_COMPATIBILITY,
            ("max_memory_usage", str(write_memory_bytes(options))),
            ("max_query_size", str(max(options.max_query_bytes, 4_194_304))),
            # Column sets and VALUES go through expressions of any depth; the rest is the default.
            ("input_format_skip_unknown_fields", "0"),
            # The pieces that a body of over 10 MB is parsed in are part of its token: once by
            # `send_insert` and once in the statement, the same rows would be in twice.
            ("input_format_parallel_parsing", "0"),
            ("os_threads_nice_value_query", str(WRITERS_NICE if writes else 0)),
            ("show_table_uuid_in_table_create_query_if_not_nil", "1"),
        )
    )


def set_statement(profile: Profile, log_comment: str) -> Sql:
    """One SET of everything; `log_comment` is the name that KILL finds the connection by."""
    pairs = (("log_comment", log_comment), *profile.settings)
    return trusted_sql(
        "SET " + ", ".join(f"{name} = {quote_literal(value)}" for name, value in pairs)
    )
