"""Writes the CREATE TABLE of a data source.

Comments are taken out of expressions, so that one at an end swallows nothing; keys of several
expressions get brackets. The parser has seen to it that each piece is whole (engines.py,
schema.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from pipewren.project.engines import ENGINES, read_settings_text
from pipewren.project.fragments import has_several, strip_comments
from pipewren.project.model import Column, Datasource, Index, TableEngine
from pipewren.sqltext import Sql, quote_identifier, quote_literal

# What every table must have from its first DDL on (engine-chdb.md sections 5, 6 and 8): inserts
# exactly once, merges that reach the disk, and parts kept long enough to come back to.
TABLE_SETTINGS: Mapping[str, str] = {
    "non_replicated_deduplication_window": "1000",
    "min_rows_to_fsync_after_merge": "1",
    "min_compressed_bytes_to_fsync_after_merge": "1",
    "fsync_part_directory": "1",
    "old_parts_lifetime": "480",
}
# Real projects have dimensions that are not in the sorting key (engine-compat.md, Settings).
_LOOSE_DIMENSIONS = {"allow_dimensions_outside_sorting_key": "1"}
_WITH_DIMENSIONS = frozenset(("SummingMergeTree", "AggregatingMergeTree"))


def table_ddl(
    datasource: Datasource,
    *,
    database: str,
    table: str,
    uuid: str | None = None,
    settings: Mapping[str, str] = TABLE_SETTINGS,
) -> Sql:
    """The CREATE TABLE statement of `datasource`, as `database`.`table`.

    `settings` are table settings as they stand in SQL; what ENGINE_SETTINGS says wins over them.
    A table of the engine Null has no keys, indexes and settings.
    """
    engine = datasource.engine
    rule = ENGINES[engine.name]
    items = [_column(column) for column in datasource.columns]
    if rule.is_stored:
        items += [_index(index) for index in datasource.indexes]
    name = f"{quote_identifier(database)}.{quote_identifier(table)}"
    identity = f" UUID {quote_literal(uuid)}" if uuid else ""
    body = ",\n".join(f"    {item}" for item in items)
    lines = [f"CREATE TABLE {name}{identity}", f"(\n{body}\n)", f"ENGINE = {_engine(engine)}"]
    if rule.is_stored:
        lines += _clauses(engine)
        merged = _merge_settings(engine, settings)
        if merged:
            pairs = ", ".join(f"{key} = {value}" for key, value in merged.items())
            lines.append(f"SETTINGS {pairs}")
    return Sql("\n".join(lines))


def _column(column: Column) -> str:
    parts = [quote_identifier(column.name), column.type]
    if column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if column.codec is not None:
        parts.append(f"CODEC({column.codec})")
    return " ".join(part for part in parts if part)


def _index(index: Index) -> str:
    granularity = f" GRANULARITY {index.granularity}" if index.granularity is not None else ""
    name = quote_identifier(index.name)
    return f"INDEX {name} {_bracketed(index.expression)} TYPE {index.type}{granularity}"


def _engine(engine: TableEngine) -> str:
    values = [getattr(engine, field) for field in ENGINES[engine.name].parameters]
    given = [strip_comments(value) for value in values if value]
    if engine.name == "SummingMergeTree" and given:
        given = [given[0] if given[0].startswith("(") else f"({given[0]})"]
    return f"{engine.name}({', '.join(given)})"


def _clauses(engine: TableEngine) -> list[str]:
    keys = (
        ("PARTITION BY", engine.partition_key),
        ("ORDER BY", engine.sorting_key or "tuple()"),
        ("PRIMARY KEY", engine.primary_key),
        ("SAMPLE BY", engine.sampling_key),
    )
    clauses = [f"{clause} {_bracketed(text)}" for clause, text in keys if text]
    if engine.ttl:
        clauses.append(f"TTL {strip_comments(engine.ttl)}")
    return clauses


def _bracketed(text: str) -> str:
    return f"({strip_comments(text)})" if has_several(text) else strip_comments(text)


def _merge_settings(engine: TableEngine, settings: Mapping[str, str]) -> dict[str, str]:
    merged = dict(settings)
    if engine.name in _WITH_DIMENSIONS:
        merged |= _LOOSE_DIMENSIONS
    return merged | read_settings_text(engine.settings or "")
