"""Every directive of the three kinds of datafile, as data: what the lexer knows, what the parsers
accept and what `docs/reference/datafiles.md` prints (datafiles.md sections 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum


class Block(Enum):
    """Whether `DIRECTIVE >` may open a block of lines."""

    NO = "no"
    MAY = "may"
    MUST = "must"


class Fate(Enum):
    """What becomes of a directive."""

    READ = "read"
    CONNECTOR = "kept"  # of a connector: read and kept, nothing acts on it yet
    IGNORED = "ignored"  # deprecated: a warning
    REFUSED = "refused"  # deprecated: a mistake


class Scope(Enum):
    """Where a directive stands."""

    FILE = "file"
    NODE = "node"
    BOTH = "file or node"


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive. `key` is its name in `attributes`; `is_sql` says that its text is SQL."""

    name: str
    meaning: str
    block: Block = Block.NO
    scope: Scope = Scope.FILE
    fate: Fate = Fate.READ
    aliases: tuple[str, ...] = ()
    is_sql: bool = False

    @property
    def key(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of datafile. `prefixes` are those of settings that are read beyond the table."""

    extension: str
    name: str
    directives: tuple[Directive, ...]
    by_name: Mapping[str, Directive]
    prefixes: tuple[str, ...] = ()


def find_directive(kind: FileKind, word: str) -> Directive | None:
    """The directive that `word` names, in any case; None when there is none."""
    name = word.upper()
    known = kind.by_name.get(name)
    if known is None and name.startswith(kind.prefixes) and name.isidentifier():
        return Directive(name, "A setting that is kept as written.", Block.MAY)
    return known


def _kind(
    extension: str, name: str, directives: Iterable[Directive], prefixes: tuple[str, ...] = ()
) -> FileKind:
    table = tuple(directives)
    names = {word: one for one in table for word in (one.name, *one.aliases)}
    return FileKind(extension, name, table, names, prefixes)


def _node(name: str, meaning: str, *aliases: str) -> Directive:
    return Directive(name, meaning, scope=Scope.NODE, aliases=aliases)


def _sink(name: str, meaning: str) -> Directive:
    return Directive(name, meaning, scope=Scope.NODE, fate=Fate.CONNECTOR)


def _connector(name: str, meaning: str) -> Directive:
    return Directive(name, meaning, fate=Fate.CONNECTOR)


def _ignored(name: str) -> Directive:
    return Directive(name, "Deprecated: ignored with a warning.", fate=Fate.IGNORED)


def _refused(name: str) -> Directive:
    return Directive(name, "Deprecated: refused.", fate=Fate.REFUSED)


def _sql(name: str, meaning: str, *aliases: str) -> Directive:
    return Directive(name, meaning, aliases=aliases, is_sql=True)


_INCLUDE = Directive(
    "INCLUDE",
    'Puts a file of the project in this place: `INCLUDE "part.incl" "key=value"` replaces `$key` '
    "in it. Files of a folder only: refused in uploaded files.",
    scope=Scope.BOTH,
)
_TAGS = "Comma separated. Plain tags filter resources; `key=value` entries are operational."

PIPE = _kind(
    "pipe",
    "pipe",
    (
        Directive(
            "DESCRIPTION",
            "Before any NODE the pipe's, after one that node's.",
            Block.MAY,
            Scope.BOTH,
        ),
        Directive("TOKEN", "`TOKEN name READ`: a token that may call the pipe. Repeatable."),
        Directive("TAGS", _TAGS, scope=Scope.BOTH),
        _node("NODE", "`NODE name`: begins a node.", "SCOPE"),
        Directive(
            "SQL",
            "The node's SELECT; a template when its first character is `%`.",
            Block.MUST,
            Scope.NODE,
            is_sql=True,
        ),
        _node(
            "TYPE",
            "`endpoint`, `copy`, `materialized`, `sink` or `standard` (when there is none). One "
            "node at most is not standard.",
        ),
        _node("DATASOURCE", "Materialized: the data source that it fills. Required there."),
        _node("DEPLOYMENT_METHOD", "Materialized: `alter`."),
        _node("TARGET_DATASOURCE", "Copy: the data source that it fills. Required there."),
        _node("COPY_SCHEDULE", "Copy: a cron expression of five fields, or `@on-demand`."),
        _node("MODE", "Copy: `append` (the default) or `replace`.", "COPY_MODE"),
        _node("ON_DEMAND_COMPUTE", "`true` or `false`."),
        _node("FILTER", "Read; refused on standard, copy and materialized nodes."),
        _sink("EXPORT_CONNECTION_NAME", "Sink: the connection it writes to. Required there."),
        _sink("EXPORT_SCHEDULE", "Sink: a cron expression, or `@on-demand`. Required there."),
        _sink("EXPORT_KAFKA_TOPIC", "Kafka sink: the topic."),
        _sink("EXPORT_BUCKET_URI", "S3 or GCS sink: the bucket."),
        _sink("EXPORT_FILE_TEMPLATE", "S3 or GCS sink: the name of the files."),
        _sink("EXPORT_FORMAT", "S3 or GCS sink: the format of the files."),
        _sink("EXPORT_COMPRESSION", "S3 or GCS sink: the compression of the files."),
        _sink("EXPORT_WRITE_STRATEGY", "S3 or GCS sink: what happens to a file of that name."),
        _sink("EXPORT_STRATEGY", "S3 or GCS sink: what is written."),
        _ignored("VERSION"),
        _ignored("EXPORT_SERVICE"),
        _INCLUDE,
    ),
)

DATASOURCE = _kind(
    "datasource",
    "datasource",
    (
        Directive("DESCRIPTION", "What the data source is for.", Block.MAY),
        Directive(
            "TOKEN",
            "`TOKEN name READ` or `TOKEN name APPEND`: a token that may read or add rows. "
            "Repeatable.",
        ),
        Directive("TAGS", _TAGS),
        Directive(
            "SCHEMA",
            "The columns, comma separated: ``name Type `json:$.path` DEFAULT expression "
            "CODEC(codecs)``. Required.",
            Block.MAY,
            is_sql=True,
        ),
        _sql("ENGINE", "The table engine; `MergeTree` when there is none."),
        _sql("ENGINE_SORTING_KEY", "`ORDER BY`; `tuple()` when there is none.", "SORTING_KEY"),
        _sql("ENGINE_PARTITION_KEY", "`PARTITION BY`.", "PARTITION_KEY"),
        _sql("ENGINE_PRIMARY_KEY", "`PRIMARY KEY`; the sorting key by default.", "PRIMARY_KEY"),
        _sql("ENGINE_SAMPLING_KEY", "`SAMPLE BY`.", "SAMPLING_KEY"),
        _sql("ENGINE_TTL", "`TTL`: when rows are removed. An empty one is ignored.", "TTL"),
        _sql("ENGINE_SETTINGS", "Settings of the table: `name = value, ...`, plain values only."),
        _sql("ENGINE_VER", "ReplacingMergeTree: the column with the row's version."),
        _sql("ENGINE_IS_DELETED", "ReplacingMergeTree: the column that marks removed rows."),
        _sql("ENGINE_SIGN", "CollapsingMergeTree, VersionedCollapsingMergeTree: the sign column."),
        _sql("ENGINE_VERSION", "VersionedCollapsingMergeTree: the version column."),
        _sql("ENGINE_COLUMNS", "SummingMergeTree: the columns to sum; all numbers by default."),
        Directive(
            "INDEXES",
            "One a line: `name expression TYPE type(arguments) GRANULARITY n`.",
            Block.MAY,
            is_sql=True,
        ),
        Directive(
            "FORWARD_QUERY",
            "The SELECT list that makes rows of the new schema of rows of the old one, no FROM.",
            Block.MUST,
            is_sql=True,
        ),
        Directive("BACKFILL", "`skip`: the rows there are stay out of a changed data source."),
        Directive("SHARED_WITH", "Names of workspaces, by line, comma or blank.", Block.MAY),
        _connector("KAFKA_CONNECTION_NAME", "Kafka: the connection."),
        _connector("KAFKA_TOPIC", "Kafka: the topic."),
        _connector("KAFKA_GROUP_ID", "Kafka: the consumer group."),
        _connector("KAFKA_AUTO_OFFSET_RESET", "Kafka: where a new group begins."),
        _connector("STORE_RAW_VALUE", "Kafka: whether the raw message is kept."),
        _connector("STORE_HEADERS", "Kafka: whether the headers are kept."),
        _connector("KEY_FORMAT", "Kafka: the format of keys."),
        _connector("VALUE_FORMAT", "Kafka: the format of messages."),
        _connector("IMPORT_CONNECTION_NAME", "S3, GCS or DynamoDB: the connection."),
        _connector("IMPORT_SCHEDULE", "S3 or GCS: `@once`, `@on-demand` or `@auto`."),
        _connector("IMPORT_BUCKET_URI", "S3 or GCS: the files."),
        _connector("IMPORT_FORMAT", "S3 or GCS: the format of the files, in lower case."),
        _connector("IMPORT_FROM_TIMESTAMP", "S3 or GCS: the oldest file to take."),
        _connector("IMPORT_TABLE_ARN", "DynamoDB: the table."),
        _connector("IMPORT_EXPORT_BUCKET", "DynamoDB: the bucket for the export."),
        _connector("PG_CONNECTION_NAME", "PostgreSQL: the connection."),
        _connector("PG_TABLE", "PostgreSQL: the table."),
        _ignored("VERSION"),
        _ignored("IMPORT_SERVICE"),
        _ignored("IMPORT_EXTERNAL_DATASOURCE"),
        _ignored("KAFKA_TARGET_PARTITIONS"),
        _ignored("EXPORT_SERVICE"),
        _refused("SOURCE"),
        _refused("IMPORT_STRATEGY"),
        _refused("KAFKA_STORE_BINARY_HEADERS"),
        _INCLUDE,
    ),
)

CONNECTION = _kind(
    "connection",
    "connection",
    (
        Directive("TYPE", "`kafka`, `s3`, `gcs`, `dynamodb`, `postgres`, ... Required."),
        Directive("DESCRIPTION", "What the connection is for.", Block.MAY),
        _ignored("VERSION"),
        _INCLUDE,
    ),
    prefixes=("KAFKA_", "S3_", "GCS_", "DYNAMODB_", "PG_", "POSTGRES_", "CONNECTION_"),
)

KINDS: Mapping[str, FileKind] = {one.extension: one for one in (PIPE, DATASOURCE, CONNECTION)}
