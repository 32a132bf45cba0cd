"""A project's files as frozen records: what `loader.load_project` returns.

Names are those of datafiles.md. Positions count lines and columns from 1. Text that will become
SQL is kept as the author wrote it (dedented where datafiles.md section 2 says so).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a datafile. `file` is relative to the project's folder, with `/`."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Warning:
    """Something read and not acted on (a deprecated directive, a connector)."""

    message: str
    position: Position


class NodeType(Enum):
    STANDARD = "standard"
    ENDPOINT = "endpoint"
    MATERIALIZED = "materialized"
    COPY = "copy"
    SINK = "sink"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """A `TOKEN name PERMISSION` line (tokens.md section 5)."""

    name: str
    permission: Literal["READ", "APPEND"]
    position: Position


@dataclass(frozen=True, slots=True)
class Tags:
    """`TAGS a,b,k=v`: plain tags filter resources, `k=v` entries are operational."""

    names: tuple[str, ...] = ()
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One NODE of a pipe.

    `sql` has no leading `%`; `is_template` says that there was one. `sql_line` is the file's line
    on which `sql` begins, so that a template's line n is the file's line `sql_line + n - 1`.
    `attributes` holds every other directive of the node in lower case (`datasource`,
    `target_datasource`, `copy_schedule`, `mode`, `export_bucket_uri`, ...), as written.
    """

    name: str
    sql: str
    is_template: bool
    type: NodeType
    position: Position
    sql_line: int
    # For each line of `sql`, the file's line: blank and comment lines are dropped from blocks
    # (datafiles.md section 1.5), so the difference is not constant.
    sql_lines: tuple[int, ...] = ()
    description: str = ""
    tags: Tags = Tags()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipe:
    """A `.pipe` file. `output` is its one node that is not standard, if any."""

    name: str
    nodes: tuple[Node, ...]
    position: Position
    content: str
    description: str = ""
    tokens: tuple[TokenGrant, ...] = ()
    tags: Tags = Tags()
    warnings: tuple[Warning, ...] = ()

    @property
    def output(self) -> Node | None:
        return next((node for node in self.nodes if node.type is not NodeType.STANDARD), None)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a SCHEMA. `type` is ClickHouse's type text, Nullable included; empty when there
    is only a DEFAULT, of which ClickHouse then takes the type."""

    name: str
    type: str
    position: Position
    jsonpath: str | None = None
    default: str | None = None  # an expression, as written
    codec: str | None = None  # what stands between `CODEC(` and `)`

    @property
    def is_nullable(self) -> bool:
        return self.type.startswith("Nullable(") or self.type.startswith("LowCardinality(Nullable(")


@dataclass(frozen=True, slots=True)
class Index:
    """A line of INDEXES. `type` is with its arguments, `bloom_filter(0.01)`."""

    name: str
    expression: str
    type: str
    granularity: int | None
    position: Position


@dataclass(frozen=True, slots=True)
class TableEngine:
    """ENGINE and its ENGINE_* directives, unquoted. None where not written."""

    name: str = "MergeTree"
    sorting_key: str | None = None
    partition_key: str | None = None
    primary_key: str | None = None
    sampling_key: str | None = None
    ttl: str | None = None
    settings: str | None = None
    ver: str | None = None
    is_deleted: str | None = None
    sign: str | None = None
    version: str | None = None
    columns: str | None = None  # SummingMergeTree


@dataclass(frozen=True, slots=True)
class Datasource:
    """A `.datasource` file. `attributes` holds directives of connectors (`kafka_topic`,
    `import_schedule`, ...) in lower case: read, kept, and acted on by later pieces."""

    name: str
    columns: tuple[Column, ...]
    position: Position
    content: str
    schema_text: str
    engine: TableEngine = TableEngine()
    description: str = ""
    tokens: tuple[TokenGrant, ...] = ()
    tags: Tags = Tags()
    indexes: tuple[Index, ...] = ()
    forward_query: str | None = None
    backfill: str | None = None
    shared_with: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """A `.connection` file: its type and settings, in lower case, as written."""

    name: str
    type: str
    settings: Mapping[str, str]
    position: Position
    content: str
    description: str = ""
    warnings: tuple[Warning, ...] = ()


@dataclass(frozen=True, slots=True)
class Fixture:
    """A file of rows under `fixtures/`, for the data source of the same name."""

    datasource: str
    path: Path
    format: Literal["csv", "ndjson", "parquet"]
    compression: Literal["gzip"] | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A whole project; resources by name, in order of their files' paths. `warnings` are those of
    all files and of the folder."""

    root: Path
    datasources: Mapping[str, Datasource]
    pipes: Mapping[str, Pipe]
    connections: Mapping[str, Connection]
    fixtures: tuple[Fixture, ...] = ()
    warnings: tuple[Warning, ...] = ()
