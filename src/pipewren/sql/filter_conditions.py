"""Row filters' texts -> conditions, checked and written by the engine, once for all that differ in
their values only: each customer's token has another `tenant_id = '...'`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipewren.sql.filter_text import FilterPattern, check_size, read_pattern
from pipewren.sql.function_list import FunctionList
from pipewren.sql.lifting import join_parts, lift
from pipewren.sql.parser import Parser
from pipewren.sql.recent import Recent
from pipewren.sql.statement_facts import key_of

MAX_FILTERS = 4096
MAX_PATTERNS = 512


class FilterConditions:
    """The conditions of a deployment's data sources; `columns` are each one's names."""

    __slots__ = ("_columns", "_fixed", "_functions", "_known", "_parser", "_patterns")

    def __init__(
        self, parser: Parser, columns: Mapping[str, Collection[str]], functions: FunctionList
    ) -> None:
        self._parser = parser
        self._columns = columns
        self._functions = functions
        self._known: Recent[tuple[str, str], str] = Recent(MAX_FILTERS)
        self._fixed: Recent[tuple[str, str], frozenset[int]] = Recent(MAX_PATTERNS)
        self._patterns: Recent[tuple[str, ...], FilterPattern] = Recent(MAX_PATTERNS)

    async def find(
        self, datasource: str, texts: Sequence[str], columns: Collection[str] | None = None
    ) -> str:
        """One condition in brackets: a row is shown where one of `texts` is true (tokens.md
        section 4); where there is none, no row is. `columns` are given for what is no data source,
        and are the same as long as there are these conditions. Raises BadRequest."""
        known = self._columns[datasource] if columns is None else columns
        found = [await self._find_one(datasource, text, known) for text in texts]
        if len(found) == 1:
            return found[0]
        return "(" + " OR ".join(found or ["0"]) + ")"

    async def _find_one(self, datasource: str, text: str, columns: Collection[str]) -> str:
        condition = self._known.find((datasource, text))
        if condition is None:
            check_size(text)
            lifted = lift(text)
            fixed = self._fixed.find((datasource, lifted.skeleton))
            pattern = None
            if fixed is not None:
                pattern = self._patterns.find((datasource, *key_of(lifted, fixed)))
            if pattern is None:
                pattern = await read_pattern(
                    lifted, columns, datasource, self._parser, self._functions
                )
                self._fixed.keep((datasource, lifted.skeleton), pattern.fixed)
                self._patterns.keep((datasource, *key_of(lifted, pattern.fixed)), pattern)
            condition = "(" + join_parts(pattern.parts, lifted.values) + ")"
            self._known.keep((datasource, text), condition)
        return condition
