"""Row filters put into a statement (tokens.md section 7, engine-guard.md section 3).

Two ways. Where the statement reads its tables by bare names and nothing in it would tell a table
from a subquery, each filtered data source gets a CTE of its name in front, which every use of the
name then means: text put before text. Else the parser's tree is changed (`filtered_tree.py`),
written by the engine, parsed again and compared. Which way, and whether at all, is read off the
tree, once for all statements that differ in their values only (`statement_facts.py`); the text
that a tree became is kept too.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipewren.errors import Forbidden, PipewrenError, StatementError
from pipewren.sql.filter_conditions import FilterConditions
from pipewren.sql.filtered_tree import LEFT_OFF, find_tree_hindrances, put_filters_in
from pipewren.sql.function_list import FunctionList
from pipewren.sql.lifting import Lifted, join_parts, lift, split_at_marks
from pipewren.sql.parser import Parser, write_same
from pipewren.sql.pipes import CompiledStatement
from pipewren.sql.query_tree import Hindrance, Part
from pipewren.sql.recent import Recent
from pipewren.sql.shape import Opening
from pipewren.sql.statement_facts import (
    MAX_KEPT_CHARACTERS,
    MAX_STATEMENTS,
    StatementFacts,
    StatementReader,
    key_of,
)
from pipewren.sqltext import Sql, quote_identifier

# In which a rewritten statement runs: the engine refuses every bare name of a table there, its own
# tables' too (26.9, tried). "" would be the one that the connection was in last.
NO_DATABASE = "_temporary_and_external_tables"

# Words that mean a function where no column or alias has their name (26.9, all were tried).
_OF_THE_DATABASE = frozenset({"currentdatabase", "current_database", "database", "schema"})
_AS_FUNCTIONS = _OF_THE_DATABASE | {
    *("today", "curdate", "current_date", "now", "current_timestamp", "localtime"),
    *("localtimestamp", "user", "currentuser", "current_user", "session_user"),
    *("currenthandler", "currentrequesturl"),
}


@dataclass(frozen=True, slots=True)
class FilteredStatement:
    """The statement to run, and the database for its bare names."""

    statement: CompiledStatement
    database: str


@dataclass(frozen=True, slots=True)
class SealedStatement:
    """A statement that may be put into another one, with whatever names that one gives: `sql`
    names every table with its database. `names` are bare words that it may mean functions by,
    which an alias outside could still stand for, in lower case; `needs_database`: it asks for the
    current database, or names what is in it as a text."""

    sql: Sql
    names: frozenset[str]
    needs_database: bool


@dataclass(frozen=True, slots=True)
class Schema:
    """What filters must know of a deployment: the `database` with its data sources' aliases, the
    names of each one's `columns`, and which data sources are `derived` from it, by materialised
    views or copies, at any distance (`unfilterable.find_derived`). `columns` has those of
    quarantines, too; `quarantines` are their names by data source."""

    database: str
    columns: Mapping[str, Collection[str]]
    derived: Mapping[str, frozenset[str]]
    quarantines: Mapping[str, str] = field(default_factory=dict)
    unstored: frozenset[str] = frozenset()


class RowFilters:
    """The filters of one deployment, with what was learned of its statements and their texts."""

    __slots__ = (
        *("_conditions", "_functions", "_heads", "_parser", "_reader", "_schema", "_sealed"),
        "_written",
    )

    def __init__(self, parser: Parser, schema: Schema, functions: FunctionList) -> None:
        self._parser = parser
        self._schema = schema
        self._functions = functions
        self._reader = StatementReader(parser, schema.columns, functions)
        self._conditions = FilterConditions(parser, schema.columns, functions)
        self._written: Recent[tuple[str, ...], tuple[str | int, ...]] = Recent(MAX_STATEMENTS)
        self._sealed: Recent[tuple[str, ...], SealedStatement] = Recent(MAX_STATEMENTS)
        self._heads = {
            name: f"{quote_identifier(name)} AS (\nSELECT * FROM "
            f"{quote_identifier(schema.database)}.{quote_identifier(name)} "
            for name in schema.columns
        }

    async def apply(
        self,
        statement: CompiledStatement,
        filters: Mapping[str, Sequence[str]],
        *,
        unfiltered: Collection[str] = (),
    ) -> FilteredStatement:
        """`statement` with `filters` (data source -> texts, of which one must be true) on all that
        it reads. `unfiltered` are data sources that the token may read whole, which lets it read
        those that were made of a filtered one. Raises Forbidden where a filter cannot act,
        BadRequest for a filter's text, EngineError for SQL that cannot be parsed."""
        if not filters:
            return FilteredStatement(statement, self._schema.database)
        sql = statement.sql
        facts, lifted = await self._reader.read(sql)
        acting = [name for name in filters if name in facts.names]
        self._check(facts, filters, acting, unfiltered)
        if not acting:
            return FilteredStatement(statement, self._schema.database)
        conditions = {name: await self._conditions.find(name, filters[name]) for name in acting}
        if facts.takes_ctes:
            whole = self._schema.columns if _reads_final(statement) else self._schema.unstored
            text = self._put_in_front(sql, facts, conditions, whole)
            database = self._schema.database
        else:
            text = await self._rewrite(statement, lifted or lift(sql), facts, conditions)
            database = NO_DATABASE
        settings = tuple(one for one in statement.settings if one[0] not in LEFT_OFF)
        return FilteredStatement(replace(statement, sql=text, settings=settings), database)

    async def seal(
        self, statement: CompiledStatement, filters: Mapping[str, Sequence[str]]
    ) -> SealedStatement:
        """`statement` under `filters`, as `apply` has them, made fit for any place where a table
        may stand. Raises as `apply` does, and StatementError where it cannot be done."""
        sql = statement.sql
        kind = "f" if _reads_final(statement) else ""
        key = (sql, kind, *[part for name in sorted(filters) for part in (name, *filters[name])])
        sealed = self._sealed.find(key)
        if sealed is None:
            facts, lifted = await self._reader.read(sql, needs_tree=True)
            for one in facts.reading.hindrances:
                if one.part in (Part.UNKNOWN, Part.LAMBDA):
                    raise StatementError(f"It cannot be read as a table: {one.reason}")
            acting = [name for name in filters if name in facts.names]
            if filters:
                self._check(facts, filters, acting, ())
            conditions = {name: await self._conditions.find(name, filters[name]) for name in acting}
            lifted = lifted or lift(sql)
            text = await self._rewrite(statement, lifted, facts, conditions, seals=True)
            calls = frozenset(name.lower() for name in facts.reading.calls)
            names = _AS_FUNCTIONS.intersection(name.lower() for name in facts.reading.bare)
            needs_database = not (calls | names).isdisjoint(_OF_THE_DATABASE) or any(
                name.startswith(("dict", "joinget")) for name in calls
            )
            sealed = SealedStatement(text, names, needs_database)
            if len(sql) <= MAX_KEPT_CHARACTERS:
                self._sealed.keep(key, sealed)
        return sealed

    async def condition(
        self, name: str, texts: Sequence[str], columns: Collection[str] | None = None
    ) -> str:
        """One condition, in brackets, of which any of `texts` must be true: over the rows of a data
        source, or of a pipe with these `columns`. Raises BadRequest."""
        return await self._conditions.find(name, texts, columns)

    async def check(self, datasource: str, text: str) -> None:
        """Raises BadRequest for a text that is no filter over the data source's columns, and for a
        data source that there is not."""
        if datasource in self._schema.columns:
            await self._conditions.find(datasource, (text,))

    async def find_hindrances(self, sql: str) -> tuple[frozenset[str], tuple[Hindrance, ...]]:
        """The data sources that a statement reads, and what keeps filters off it."""
        facts, _ = await self._reader.read(sql)
        found = [] if facts.hindrance is None else [facts.hindrance]
        for name in sorted(facts.names):
            one = find_tree_hindrances(facts.reading, (name,), final=False)
            if one is not None:
                found.append(one)
        return facts.names, tuple(found)

    @property
    def derived(self) -> Mapping[str, frozenset[str]]:
        """Data sources made of each other: see `Schema`."""
        return self._schema.derived

    @property
    def quarantines(self) -> Mapping[str, str]:
        """The name of each data source's quarantine."""
        return self._schema.quarantines

    def _check(
        self,
        facts: StatementFacts,
        filters: Mapping[str, Sequence[str]],
        acting: Sequence[str],
        unfiltered: Collection[str],
    ) -> None:
        if facts.hindrance is not None:
            raise _refuse(min(acting or filters), facts.hindrance.reason)
        for name in filters:
            quarantine = self._schema.quarantines.get(name)
            if quarantine is not None and quarantine in facts.names:
                raise _refuse(name, quarantine_reason(quarantine))
            made = self._schema.derived.get(name)
            if made:
                for target in sorted(
                    made.intersection(facts.names).difference(filters, unfiltered)
                ):
                    reason = f"it reads '{target}', which is made of all rows of '{name}'"
                    raise _refuse(name, reason)

    def _put_in_front(
        self,
        sql: str,
        facts: StatementFacts,
        conditions: Mapping[str, str],
        without_prewhere: Collection[str],
    ) -> Sql:
        heads = self._heads
        head = ", ".join(
            [
                f"{heads[name]}{'WHERE' if name in without_prewhere else 'PREWHERE'} {text}\n)"
                for name, text in conditions.items()
            ]
        )
        opening = facts.opening
        if opening is Opening.PLAIN:
            return Sql(f"WITH {head}\n{sql}")
        if opening is Opening.WITH:
            return Sql(f"WITH {head},\n{sql[facts.head :]}")
        if opening is Opening.WITH_RECURSIVE:
            return Sql(f"WITH RECURSIVE {head},\n{sql[facts.head :]}")
        return Sql(f"WITH {head}\nSELECT * FROM (\n{sql}\n)")

    async def _rewrite(
        self,
        statement: CompiledStatement,
        lifted: Lifted,
        facts: StatementFacts,
        conditions: Mapping[str, str],
        *,
        seals: bool = False,
    ) -> Sql:
        acting = sorted(conditions)
        is_final = _reads_final(statement)
        hindrance = find_tree_hindrances(facts.reading, conditions, final=is_final)
        if hindrance is None and lifted.is_reserved:
            hindrance = Hindrance(None, "the statement holds a word that is kept for the server")
        if hindrance is not None:
            raise _cannot(hindrance.datasource, acting, hindrance.reason)
        kind = f"\0{'s' if seals else ''}{'f' if is_final else ''}"
        key = (*key_of(lifted, facts.marked.fixed), kind, *acting)
        parts = self._written.find(key)
        if parts is None:
            try:
                whole = self._schema.columns if is_final else self._schema.unstored
                parts = await self._write(lifted, facts, acting, whole, seals=seals)
            except RecursionError:
                raise _cannot(None, acting, "the statement is nested too deeply") from None
            if len(statement.sql) <= MAX_KEPT_CHARACTERS:
                self._written.keep(key, parts)
        values = (*lifted.values, *[conditions[name] for name in acting])
        return Sql(join_parts(parts, values))

    async def _write(
        self,
        lifted: Lifted,
        facts: StatementFacts,
        acting: Sequence[str],
        without_prewhere: Collection[str],
        *,
        seals: bool,
    ) -> tuple[str | int, ...]:
        """The text of the filtered tree, its slots those of the statement's values and, behind
        them, of the conditions."""
        expected = put_filters_in(
            copy.deepcopy(facts.marked.tree),
            self._functions,
            database=self._schema.database,
            datasources=self._schema.columns,
            acting=acting,
            without_prewhere=without_prewhere,
            seals=seals,
        )
        text = await write_same(self._parser, expected)
        if text is None:
            raise _cannot(None, acting, "the statement is changed by being written out")
        return split_at_marks(text, lifted, facts.marked.fixed, acting)


def _reads_final(statement: CompiledStatement) -> bool:
    """Whether a setting has every table read as with FINAL."""
    if not statement.settings:
        return False
    return dict(statement.settings).get("final", "0") not in ("0", "false")


def quarantine_reason(quarantine: str) -> str:
    """Why who reads a data source under a filter reads nothing of its quarantine: what a row there
    should have in the filter's columns may be just what was wrong with it."""
    return f"it reads '{quarantine}', whose rows cannot be filtered"


def _cannot(datasource: str | None, acting: Sequence[str], reason: str) -> PipewrenError:
    """Where no filter is in play, it is the text that cannot be put into another."""
    if datasource is None and not acting:
        return StatementError(f"It cannot be read as a table: {reason}")
    return _refuse(datasource or acting[0], reason)


def _refuse(datasource: str, reason: str) -> Forbidden:
    return Forbidden(
        f"The token has a row filter on '{datasource}', which cannot be applied here: {reason}. "
        "Use a token without the filter, or ask the pipe's author to write it differently"
    )
