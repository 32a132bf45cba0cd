"""A caller's SQL -> what may run of it (query-api.md section 3; engine-guard.md section 1).

The engine's parser gives a tree; what is in it must be on the lists (`query_tree.py`), and each
table must be one that the caller may read. Then either the caller's own text runs, where it names
data sources only and all are the caller's whole, or the tree with every table put in its place is
written, parsed again and compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex

from pipewren.errors import EngineError, Forbidden
from pipewren.sql.caller_errors import (
    QUERY_API,
    refuse_hindrance,
    refuse_kind,
    refuse_restricted,
    refused,
    syntax_error,
)
from pipewren.sql.caller_forms import (
    first_word,
    is_only_a_table,
    read_describe,
    write_show_tables,
)
from pipewren.sql.caller_rules import CallerRules
from pipewren.sql.constant_columns import computes_names, may_be_large
from pipewren.sql.filtered_tree import find_tree_hindrances, put_filters_in, put_right_of_in
from pipewren.sql.function_list import Access, FunctionList
from pipewren.sql.lifting import Tree
from pipewren.sql.open_names import (
    close_dotted_names,
    find_reads_of_themselves,
    has_names_right_of_in,
)
from pipewren.sql.own_databases import OWN_DATABASES
from pipewren.sql.parser import Parser, write_same
from pipewren.sql.query_tree import Part, Reading, TableUse, read_tree
from pipewren.sql.time_zones import find_unplain_zone

_DATABASE = re.compile(rf"{OWN_DATABASES}(?:\.|\Z)").match
_OF_SESSIONS = frozenset(
    {"currentdatabase", "currentuser", "currenthandler", "currentrequesturl", "session_user"}
    | {"current_database", "current_user"}
)
_MAY_BE_COLUMNS = frozenset({"user", "database", "schema"})
_OF_STORAGE = frozenset({"_database", "_table"})
_TAIL = re.compile(r"(?:\sFORMAT\s+(\w+))?[\s;]*\Z", re.IGNORECASE | re.ASCII)
_MAX_MATCHERS = 24


@dataclass(frozen=True, slots=True)
class Datasource:
    """A table of the deployment, of which the caller sees rows that meet any of `filters`; ()
    where all are seen. `has_states`: of its columns some are aggregate states. `is_stored`: it
    keeps rows."""

    name: str
    filters: tuple[str, ...] = ()
    has_states: bool = False
    is_stored: bool = True


@dataclass(frozen=True, slots=True)
class Derived:
    """Something whose rows a SELECT makes: a pipe, a node, a table of the server's own. `kind` and
    `name` are for whoever resolved it; `has_states` as above, or not known."""

    kind: str
    name: str
    has_states: bool = False


# (database or "", name) -> what the caller means by it; None: nothing that the caller may read.
Resolve = Callable[[str, str], Datasource | Derived | None]


@dataclass(frozen=True, slots=True)
class CallerStatement:
    """`parts` are text and slots, by number: those of the `derived` tables, and behind them the
    conditions of the `filters` (data source, texts). `declared` are the names that the statement
    gives, in lower case, which may not be words that a derived table means functions by. `format`
    is that of its FORMAT, `settings` those of its SETTINGS. `is_own_text`: its names of tables are
    bare, in the deployment's database; `is_description`: what runs is DESCRIBE of it;
    `has_open_names`: it has names that are tables where there are such.
    `may_be_large`: its rows may be larger than the engine counts (constant_columns.py);
    `gives_names`: it has names besides those of one table, which what is put in might find."""

    parts: tuple[str | int, ...]
    derived: tuple[Derived, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    declared: frozenset[str] = frozenset()
    format: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    is_own_text: bool = False
    is_description: bool = False
    has_open_names: bool = False
    may_be_large: bool = False
    gives_names: bool = False


async def read_caller_statement(
    sql: str,
    resolve: Resolve,
    *,
    parser: Parser,
    functions: FunctionList,
    rules: CallerRules,
    database: str,
    may_run_own_text: bool,
) -> CallerStatement:
    """Read, check and write a caller's statement. `database` is that of the deployment's aliases;
    `may_run_own_text`: the caller may read all that a bare name could mean there.

    Raises BadRequest, Forbidden (a table that is unknown or not the caller's) or EngineError, each
    as query-api.md section 4 has it.
    """
    if not sql.strip():
        raise refused("Empty query")
    if "\0" in sql:
        raise refused("The statement holds a NUL character")
    try:
        return await _Reader(resolve, parser, functions, rules, database, may_run_own_text).read(
            sql
        )
    except RecursionError:
        raise refused("The statement is nested too deeply") from None


@dataclass(slots=True)
class _Reader:
    resolve: Resolve
    parser: Parser
    functions: FunctionList
    rules: CallerRules
    database: str
    may_run_own_text: bool

    async def read(self, sql: str) -> CallerStatement:
        described = read_describe(sql)
        text = sql if described is None else described
        tree = await self._parse(text)
        if tree.get("type") == "ShowTablesQuery":
            text = write_show_tables(tree)
            tree = await self._parse(text)
        if tree.get("type") != "SelectWithUnionQuery":
            raise refuse_kind(str(tree.get("type")))
        if described is not None and not is_only_a_table(tree):
            raise refused("DESCRIBE takes one table or one subquery in brackets")
        format = tree.pop("format_ast", None)
        lifted = tree.pop("settings_ast", None)
        reading = read_tree(tree, self.functions, takes_databases=True)
        chosen = self._read_settings(tree, reading, lifted)
        self._check(reading)
        zone = find_unplain_zone(tree)
        if zone is not None:
            raise refused(
                f"The time zone or the type that {zone[:60]}() takes must be written out, and be "
                "no file"
            )
        if computes_names(tree):
            raise refused(
                "A type that is not written out cannot stand beside untuple(), t.* or "
                "t.COLUMNS(): write it out, or name the columns"
            )
        meanings = [(use, self._resolve(use, reading)) for use in reading.uses]
        statement = CallerStatement(
            parts=(),
            declared=frozenset(name.lower() for name in reading.declared),
            format=format["name"] if format else None,
            settings=chosen,
            is_description=described is not None,
            may_be_large=described is None
            and may_be_large(
                tree, has_states=any(one is not None and one.has_states for _, one in meanings)
            ),
        )
        is_bare = _names_bare_tables_only(meanings)
        is_bare = is_bare and _MAY_BE_COLUMNS.isdisjoint(name.lower() for name in reading.bare)
        is_bare = is_bare and not has_names_right_of_in(tree, reading, dotted=True)
        if self.may_run_own_text and not chosen and is_bare:
            own = _cut_tail(text, statement.format)
            if own is not None:
                return replace(statement, parts=(own,), is_own_text=True)
        return await self._write(statement, tree, reading, meanings)

    async def _parse(self, text: str) -> Tree:
        try:
            return await self.parser.parse(text)
        except EngineError as error:
            raise syntax_error(error, first_word(text)) from None

    def _check(self, reading: Reading) -> None:
        """Everything that is refused whatever the caller may read."""
        for hindrance in reading.hindrances:
            is_table = hindrance.part is Part.TABLE_FUNCTION
            if not (is_table and hindrance.name.lower() in self.rules.table_functions):
                raise refuse_hindrance(hindrance)
        if reading.matchers > _MAX_MATCHERS:
            # Each level of `SELECT *, *` in another multiplies, and no limit holds the planning.
            raise refused(f"The statement has more than {_MAX_MATCHERS} asterisks")
        for name in reading.calls:
            function = self.functions.find(name)
            if function is not None and function.access is not Access.ANYONE:
                raise refuse_restricted(f"function {name[:60]}")
        if reading.parameters:
            raise refused(
                "Query parameters, {name:Type}, cannot be given a value here: use a template"
            )
        for name in sorted(reading.declared):
            # A CTE `db.t` is read where `db.t` is meant (26.9, tried).
            if _DATABASE(name):
                raise refused(f"The name {name[:60]} is kept for the server: choose another one")
        for name in sorted(reading.bare):
            # Without a table nothing else can have the name of a function without brackets.
            is_alone = not reading.tables and name not in reading.declared
            if name.lower() in _OF_SESSIONS or (is_alone and name.lower() in _MAY_BE_COLUMNS):
                raise refuse_restricted(f"function {name[:60]}")
        if not reading.columns.isdisjoint(_OF_STORAGE):
            raise refused("_database and _table are not told: they name what is inside the server")

    def _read_settings(
        self, tree: Tree, reading: Reading, lifted: Tree | None
    ) -> tuple[tuple[str, str], ...]:
        """Those at the end, taken off the tree. The engine ignores others, so they are refused."""
        last = tree["list_of_selects"]["children"][-1]
        changes: list[Tree] = list(lifted.get("changes", ())) if lifted else []
        for select in reading.settings:
            if select is not last:
                raise refused("SETTINGS can stand at the end of the whole statement only")
            changes += select.pop("settings").get("changes", ())
        found: dict[str, str] = {}
        for change in changes:
            name, value = str(change.get("name")), change.get("value")
            if name not in self.rules.settings:
                raise refuse_restricted(f"setting '{name[:60]}'")
            if not isinstance(value, dict) or not isinstance(value.get("value"), str | int):
                raise refused(f"The value of the setting {name} is no number or text")
            found[name] = str(value["value"])[:100]
            if not self.rules.allows_value(name, found[name]):
                allowed = ", ".join(sorted(self.rules.values[name]))
                raise refused(f"The setting {name} may be {allowed} here")
        return tuple(sorted(found.items()))

    def _resolve(self, use: TableUse, reading: Reading) -> Datasource | Derived | None:
        """None for a name right of IN that is a column's or an alias."""
        meaning = self.resolve(use.database, use.name)
        if isinstance(use.place, list):
            if meaning is not None and use.name in reading.declared:
                raise refused(
                    f"'{use.name[:60]}' right of IN is the name of two things: give the alias or "
                    "the CTE another name"
                )
            return meaning
        if meaning is None:
            name = f"{use.database}.{use.name}" if use.database else use.name
            raise Forbidden(f"Resource '{name[:200]}' not found", documentation=QUERY_API)
        return meaning

    async def _write(
        self,
        statement: CallerStatement,
        tree: Tree,
        reading: Reading,
        meanings: Sequence[tuple[TableUse, Datasource | Derived | None]],
    ) -> CallerStatement:
        filters = {
            one.name: one.filters
            for _, one in meanings
            if isinstance(one, Datasource) and one.filters
        }
        hindrance = find_tree_hindrances(reading, filters, final=False)
        if hindrance is not None:
            raise Forbidden(
                f"The token has a row filter on '{hindrance.datasource}', which cannot be applied "
                f"here: {hindrance.reason}. Write the statement differently"
            )
        # What stands for tables and filters until they are put in, unknown to whoever wrote the
        # statement: texts are looked through for it, literals too, where it may be escaped.
        mark = f"pw{token_hex(8)}_"
        gives_names = not _is_of_one_table(tree, reading)
        for name in sorted(find_reads_of_themselves(tree, reading)):
            raise refused(f"'{name[:60]}' in WITH reads itself: give one of the two another name")
        derived: dict[Derived, int] = {}
        for use, meaning in meanings:
            if isinstance(meaning, Derived):
                slot = derived.setdefault(meaning, len(derived))
                _put_mark(use, f"{mark}t{slot}")
            elif isinstance(meaning, Datasource) and use.database:
                _qualify(use, self.database)
        names = {one.name for _, one in meanings if isinstance(one, Datasource)}
        expected = put_filters_in(
            tree,
            self.functions,
            database=self.database,
            datasources=names,
            acting=filters,
            without_prewhere={
                one.name for _, one in meanings if isinstance(one, Datasource) and not one.is_stored
            },
            mark=f"{mark}f",
        )
        close_dotted_names(expected)
        text = await write_same(self.parser, expected)
        if text is None:
            raise refused("The statement is changed by being written out: write it more plainly")
        pairs = tuple(sorted(filters.items()))
        parts = _split(text, mark, len(derived), [name for name, _ in pairs])
        return replace(
            statement,
            parts=parts,
            derived=tuple(derived),
            filters=pairs,
            gives_names=gives_names,
            has_open_names=has_names_right_of_in(expected, reading, dotted=False),
        )


def _names_bare_tables_only(
    meanings: Sequence[tuple[TableUse, Datasource | Derived | None]],
) -> bool:
    return all(
        meaning is None
        or (isinstance(meaning, Datasource) and not meaning.filters and not use.database)
        for use, meaning in meanings
    )


def _is_of_one_table(tree: Tree, reading: Reading) -> bool:
    """Whether it is one SELECT from one table and gives no name to anything."""
    selects = tree["list_of_selects"]["children"]
    return (
        len(selects) == 1
        and reading.tables == len(reading.uses) == 1
        and reading.uses[0].select is selects[0]
        and not reading.declared
    )


def _cut_tail(sql: str, format: str | None) -> str | None:
    """`sql` without the FORMAT that its tree has and without semicolons, which may not stand inside
    brackets; None where that is not plain to see. Where the tail is the end of a comment, it is
    one in what is left, too."""
    tail = _TAIL.search(sql)
    if tail is None or tail[1] != format:
        return None
    return sql[: tail.start()]


def _put_mark(use: TableUse, mark: str) -> None:
    if isinstance(use.place, list):
        put_right_of_in(use, mark)
        return
    table = use.place["database_and_table_name"]
    table.setdefault("alias", use.name)
    table["name"] = mark
    table.pop("name_parts", None)


def _qualify(use: TableUse, database: str) -> None:
    """`workspace.events` is the deployment's table."""
    table = use.place["database_and_table_name"]
    table |= {"name": f"{database}.{use.name}", "name_parts": [database, use.name]}
    table.setdefault("alias", use.name)


def _split(text: str, mark: str, count: int, filtered: Sequence[str]) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    position = 0
    for found in re.finditer(rf"\b{mark}(?:t(\d+)|f(\w+))\b", text):
        slot = int(found[1]) if found[1] else count + filtered.index(found[2])
        parts += (text[position : found.start()], slot)
        position = found.end()
    return (*parts, text[position:])
