"""The one XML file of the engine: static roles, server bounds, defaults of MergeTree tables.

ClickHouse reads it at the process's first connect and never again, ignores what it does not know,
and a role cannot be added later (engine-chdb.md section 8, engine-guard.md sections 0 and 2). So
it is written before each start and `find_unapplied` compares it with what the server says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from pipewren.engine import query_log
from pipewren.engine.disk import kept_free_bytes
from pipewren.engine.options import EngineOptions, server_memory_bytes

FILE_NAME = "engine.xml"
ADMIN_ROLE = "admin"
# Inserts and merges give way to reads on the processor, where the system lets the process do that
# (Linux's CAP_SYS_NICE): a look-up beside steady inserts takes a quarter less (docs/events.md).
WRITERS_NICE = 10
READER_ROLE = "reader"

# Every workspace's databases begin with `w_` (design, decision 10), so one static role fits all.
_ROLES = f"""\
  <roles>
    <{ADMIN_ROLE}><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></{ADMIN_ROLE}>
    <{READER_ROLE}><grants>
      <query>GRANT SELECT ON w_*.*</query><query>GRANT SHOW DATABASES ON system.*</query>
    </grants></{READER_ROLE}>
  </roles>
  <profiles><default/></profiles>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    <grants><query>GRANT {ADMIN_ROLE}</query><query>GRANT {READER_ROLE}</query></grants>
  </default></users>
  <quotas><default/></quotas>
"""


def server_settings(options: EngineOptions) -> Mapping[str, int]:
    return {
        "max_server_memory_usage": server_memory_bytes(options),
        "mark_cache_size": options.mark_cache_bytes,
        "index_mark_cache_size": options.mark_cache_bytes,
        "background_pool_size": options.background_threads,
        "os_threads_nice_value_merge_mutate": WRITERS_NICE,
    }


def table_settings(options: EngineOptions) -> Mapping[str, int]:
    """Defaults of MergeTree tables. DDL states them too, since a table keeps what it was made with.

    Old parts stay for minutes, because a merge on a full disk replaces good parts by a broken one
    (section 0.1); merges are synced, because what they replace had been. However much of a table
    a full disk has broken, the rest of it must open.
    """
    return {
        "old_parts_lifetime": 480,
        "non_replicated_deduplication_window": 1000,
        "fsync_after_insert": int(options.fsync),
        "fsync_part_directory": int(options.fsync),
        "min_rows_to_fsync_after_merge": 1,
        "min_compressed_bytes_to_fsync_after_merge": 1,
        "max_suspicious_broken_parts": 1_000_000,
        "max_suspicious_broken_parts_bytes": 1_000_000_000_000_000,
    }


def render_config(options: EngineOptions, file: Path) -> str:
    """The XML text; `file` is where it will stand, since it names itself as the users' file."""
    server = "".join(
        f"  <{name}>{value}</{name}>\n" for name, value in server_settings(options).items()
    )
    tables = "".join(f"<{name}>{value}</{name}>" for name, value in table_settings(options).items())
    kept = kept_free_bytes(options.disk_reserve_bytes)
    disk = f"<keep_free_space_bytes>{kept}</keep_free_space_bytes>"
    logs = query_log.CONFIG if options.query_log else ""
    users = escape(str(file))
    return (
        "<clickhouse>\n  <logger><level>none</level></logger>\n"
        f"{server}{logs}  <merge_tree>{tables}</merge_tree>\n{_ROLES}"
        "  <storage_configuration><disks>"
        f"<default>{disk}</default></disks></storage_configuration>\n"
        f"  <user_directories><users_xml><path>{users}</path></users_xml></user_directories>\n"
        "</clickhouse>\n"
    )


def find_unapplied(
    expected: Mapping[str, int], actual: Mapping[str, str]
) -> list[tuple[str, int, str | None]]:
    """Settings that the server does not have as written: (name, expected, actual)."""
    return [
        (name, value, actual.get(name))
        for name, value in expected.items()
        if actual.get(name) != str(value)
    ]
