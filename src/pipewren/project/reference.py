"""The reference page of the datafiles, from the tables that the parsers read by."""

from __future__ import annotations

from pipewren.project.ddl import TABLE_SETTINGS
from pipewren.project.directives import KINDS, Block, Fate, FileKind, Scope
from pipewren.project.engines import REFUSED_SETTINGS, SUPPORTED_ENGINES
from pipewren.project.loader import USUAL_FOLDERS
from pipewren.project.names import MAX_NAME_CHARACTERS, RESERVED_WORDS
from pipewren.project.schema import MAX_COLUMNS
from pipewren.project.source import MAX_FILE_BYTES

PIPE_EXAMPLE = """\
DESCRIPTION >
    Most visited pages

TOKEN dashboard READ
TAGS web,kpi

NODE filtered
DESCRIPTION rows in range
SQL >
    %
    SELECT page FROM visits WHERE at >= {{DateTime(since, '2024-01-01 00:00:00')}}

NODE endpoint
SQL >
    SELECT page, count() AS hits FROM filtered GROUP BY page

TYPE endpoint
"""
DATASOURCE_EXAMPLE = """\
DESCRIPTION >
    Page visits

TOKEN tracker APPEND

SCHEMA >
    `at` DateTime64(3) `json:$.timestamp` DEFAULT now64(3),
    `page` LowCardinality(String) `json:$.page`,
    `tags` Array(String) `json:$.tags[:]`,
    `note` Nullable(String) `json:$.meta.note` CODEC(ZSTD(1))

ENGINE "MergeTree"
ENGINE_PARTITION_KEY "toYYYYMM(at)"
ENGINE_SORTING_KEY "page, at"
ENGINE_TTL "toDateTime(at) + INTERVAL 30 DAY"

INDEXES >
    i_page lower(page) TYPE bloom_filter(0.01) GRANULARITY 4
"""
CONNECTION_EXAMPLE = """\
TYPE kafka
KAFKA_BOOTSTRAP_SERVERS localhost:9092
KAFKA_KEY {{ tb_secret("kafka_key") }}
KAFKA_SECRET {{ tb_secret("kafka_secret", "") }}
"""
EXAMPLES = {
    "pipe": PIPE_EXAMPLE,
    "datasource": DATASOURCE_EXAMPLE,
    "connection": CONNECTION_EXAMPLE,
}
_ABOUT = {
    "pipe": "A chain of SQL nodes. A node sees the others by name; the one node with a `TYPE` is "
    "what the pipe gives. A pipe without one is read by its name in SQL and is no endpoint.",
    "datasource": "A table and who may read it or add rows. A changed `SCHEMA` or engine makes a "
    "new table.",
    "connection": "How to reach another system. Connections, and the directives of connectors in "
    "other files, are read and kept; nothing acts on them yet, and a warning says so. A setting "
    "beyond the table is any name that begins with {prefixes}; it may be a block.",
}


def render_page() -> str:
    """The page, without the line that says that it is generated."""
    parts = ["# Datafiles\n", _folders(), _reading()]
    for kind in KINDS.values():
        parts += [f"## `.{kind.extension}`\n", _about(kind)]
        parts.append(f"```\n{EXAMPLES[kind.extension]}```\n")
        parts.append(_table(kind))
        if kind.extension == "datasource":
            parts += [_columns(), _engines()]
    return "\n".join(parts)


def _folders() -> str:
    usual = ", ".join(f"`{folder}/`" for folder in USUAL_FOLDERS)
    words = ", ".join(sorted(RESERVED_WORDS))
    return f"""\
A project is a folder. All `.pipe`, `.datasource` and `.connection` files in it are read, at any
depth: {usual} are a habit and not a rule. Not read are hidden folders, `vendor/` (shared data
sources of other workspaces; a warning says so), `node_modules/`, `venv/`, and `tests/` and
`fixtures/` of the project's root.

A file's name without folders and extension is the resource's name. It begins with a letter or `_`
and goes on with letters, digits and `_`, at most {MAX_NAME_CHARACTERS} characters. Pipes and data
sources share one name space; connections have their own. A node's name follows the same rule and
differs from every pipe and data source. These words are no names: {words}.

`fixtures/NAME.ndjson`, `.csv` or `.parquet`, also with `.gz`, holds rows for the data source NAME.
Of several files for one data source the first in this order is loaded. A fixture without its data
source is a mistake; `.sql` fixtures are not loaded, with a warning.
"""


def _reading() -> str:
    return f"""\
## How a file is read
- Text is UTF-8, with or without byte order mark; lines end in LF or CR LF; at most
  {MAX_FILE_BYTES:,} bytes.
- A directive is the first word of a line, in any case. Its arguments are split at blanks; `"..."`
  and `'...'` group; `#` at the beginning of a word starts a comment. A value in matching quotes
  loses them; several words are joined by one blank.
- `DIRECTIVE >` opens a block: the lines up to the next one that begins **in column 1** with a
  directive of that kind of file. An indented `TYPE endpoint` stays in the block, and an unknown
  word in column 1 too. Blank lines and lines with only a `#` comment are left out. Text behind `>`
  on the same line is dropped, with a warning.
- Outside of a block an unknown directive is a mistake. A directive that counts once and is given
  again: the last one counts, with a warning.
- `$NAME` stays as written: the server does not put in its environment. `INCLUDE "part.incl"
  "NAME=value"` replaces `$NAME` and `${{NAME}}` in the included file, which is looked for beside
  the file and then from the project's root, and never lies outside of it.
- `{{{{ tb_secret("name", "default") }}}}` is read in `.datasource` and `.connection` files, on
  one line, not in SQL (schema, keys, indexes, queries), and no other `{{{{ }}}}` is. A value can
  hold any text: it is put in after the file was cut into directives.
- All mistakes of all files are listed at once, each with its file, line and column.
"""


def _about(kind: FileKind) -> str:
    prefixes = ", ".join(f"`{prefix}`" for prefix in kind.prefixes)
    return _ABOUT[kind.extension].replace("{prefixes}", prefixes) + "\n"


def _table(kind: FileKind) -> str:
    lines = ["| directive | block | stands in | |", "|---|---|---|---|"]
    for one in kind.directives:
        names = ", ".join(f"`{name}`" for name in (one.name, *one.aliases))
        block = {Block.NO: "", Block.MAY: "may", Block.MUST: "must"}[one.block]
        scope = "" if kind.extension != "pipe" and one.scope is not Scope.NODE else one.scope.value
        note = " Kept, not acted on yet." if one.fate is Fate.CONNECTOR else ""
        meaning = one.meaning.replace("|", "\\|")
        lines.append(f"| {names} | {block} | {scope} | {meaning}{note} |")
    return "\n".join(lines) + "\n"


def _columns() -> str:
    return f"""\
### Columns
``name Type `json:$.path` DEFAULT expression CODEC(codecs)``, comma separated, at most
{MAX_COLUMNS:,}. A trailing comma and `--` comments are fine. `DEFAULT` stands before `CODEC`; the
JSON path before, between or behind them. There must be a type or a `DEFAULT`, of which ClickHouse
then takes the type. A name of letters, digits and `._*<>+-'` needs no backticks; none has blanks.
Paths are `$.a`, `$.a.b`, `$.a[:]`, `$.a[:].b`, or `$` for the whole row. Types are those of
ClickHouse, but for `Int`, `UInt` and `Boolean`, and `DateTime64` needs its precision.
`MATERIALIZED`, `ALIAS`, `EPHEMERAL`, `NULL`, `NOT NULL`, `TTL` and `COMMENT` are refused.
"""


def _engines() -> str:
    lines = [
        "### Engines\n",
        "| engine | takes | required |",
        "|---|---|---|",
    ]
    for rule in SUPPORTED_ENGINES:
        takes = ", ".join(f"`ENGINE_{name.upper()}`" for name in rule.parameters)
        required = [f"`ENGINE_{name.upper()}`" for name in rule.required]
        if rule.needs_sorting_key:
            required.append("a sorting key that is not `tuple()`")
        if not rule.is_stored:
            takes = "no keys, indexes or settings: it keeps no row"
        lines.append(f"| {rule.name} | {takes} | {', '.join(required)} |")
    settings = ", ".join(f"`{name} = {value}`" for name, value in TABLE_SETTINGS.items())
    refused = ", ".join(f"`{name}`" for name in sorted(REFUSED_SETTINGS))
    lines += [
        "",
        f"Every table has the settings {settings}; Summing and Aggregating ones also "
        "`allow_dimensions_outside_sorting_key = 1`. `ENGINE_SETTINGS` wins over them, and may not "
        f"hold {refused}. The sorting key may hold no nullable or AggregateFunction column, no "
        "aggregate function, and not the column of `ENGINE_VER`.",
    ]
    return "\n".join(lines) + "\n"
