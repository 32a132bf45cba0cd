"""What must be known of a statement before filters are put in, from its tree, parsed once for all
statements that differ in their values only.

Kept by the skeleton of the text (`scans.py`, quick) where every hidden value is a literal of the
tree and the filters are put in front; and by what `lifting.py` takes out, bare numbers too, whose
values can be put back one by one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from pipewren.errors import BadRequest
from pipewren.sql.function_list import FunctionList
from pipewren.sql.lifting import Lifted, Marked, lift, parse_lifted
from pipewren.sql.open_names import find_reads_of_themselves
from pipewren.sql.parser import Parser
from pipewren.sql.query_tree import Hindrance, Reading, read_tree
from pipewren.sql.recent import Recent
from pipewren.sql.scans import make_careful_skeleton, make_skeleton
from pipewren.sql.shape import Opening, read_shape

MAX_STATEMENTS = 1024
MAX_KEPT_CHARACTERS = 65_536

# What else than a string can hold a quote (scans.py): then the quick skeleton is not right.
_HAZARD = re.compile(r"['`\"$#‘“]|--|//|/\*")


@dataclass(frozen=True, slots=True)
class StatementFacts:
    """`names` are the data sources that it reads; `hindrance` what keeps any filter off it.
    `takes_ctes`: a CTE of a data source's name in front means the same as the data source;
    `opening` and `head` say how one is put there (shape.py)."""

    reading: Reading
    marked: Marked
    names: frozenset[str]
    hindrance: Hindrance | None
    takes_ctes: bool
    opening: Opening
    head: int


class StatementReader:
    """The facts of a deployment's statements. `datasources` are the names of its tables."""

    __slots__ = ("_by_skeleton", "_datasources", "_fixed", "_functions", "_lifted", "_parser")

    def __init__(
        self, parser: Parser, datasources: Collection[str], functions: FunctionList
    ) -> None:
        self._parser = parser
        self._datasources = datasources
        self._functions = functions
        self._by_skeleton: Recent[str, StatementFacts] = Recent(MAX_STATEMENTS)
        self._fixed: Recent[str, frozenset[int]] = Recent(MAX_STATEMENTS)
        self._lifted: Recent[tuple[str, ...], StatementFacts] = Recent(MAX_STATEMENTS)

    async def read(
        self, sql: str, *, needs_tree: bool = False
    ) -> tuple[StatementFacts, Lifted | None]:
        """The facts of `sql`, and what was lifted out of it, where that was needed. `needs_tree`:
        `marked` must be of `sql` itself, with a mark for each of its values; lists of any length
        have one skeleton. Raises the parser's EngineError, StatementError for what is no single
        SELECT, and BadRequest for what is nested too deeply."""
        skeleton = None if needs_tree else _skeleton_of(sql)
        found = self._by_skeleton.find(skeleton) if skeleton is not None else None
        if found is not None:
            return found, None
        lifted = lift(sql)
        fixed = self._fixed.find(lifted.skeleton)
        facts = self._lifted.find(key_of(lifted, fixed)) if fixed is not None else None
        if facts is not None:
            return facts, lifted
        try:
            facts = await self._learn(sql, lifted)
        except RecursionError:
            raise BadRequest("The statement is nested too deeply for a row filter") from None
        if len(sql) <= MAX_KEPT_CHARACTERS:
            self._keep(skeleton, lifted, facts)
        return facts, lifted

    async def _learn(self, sql: str, lifted: Lifted) -> StatementFacts:
        marked = await parse_lifted(self._parser.parse, lifted)
        reading = read_tree(marked.tree, self._functions)
        hindrance = next(iter(reading.hindrances), None)
        for use in reading.uses:
            if use.name not in self._datasources and not isinstance(use.place, list):
                reason = f"it reads '{use.name[:80]}', which is no data source"
                hindrance = hindrance or Hindrance(None, reason)
        caught = find_reads_of_themselves(marked.tree, reading)
        for name in sorted(caught.intersection(self._datasources)):
            reason = f"'{name[:80]}' in its WITH reads the data source of that name"
            hindrance = hindrance or Hindrance(None, reason)
        shape = read_shape(sql, "The statement")
        return StatementFacts(
            reading,
            marked,
            reading.names.intersection(self._datasources),
            hindrance,
            not reading.is_odd and reading.declared.isdisjoint(self._datasources),
            shape.opening,
            shape.head,
        )

    def _keep(self, skeleton: str | None, lifted: Lifted, facts: StatementFacts) -> None:
        fixed = facts.marked.fixed
        self._fixed.keep(lifted.skeleton, fixed)
        self._lifted.keep(key_of(lifted, fixed), facts)
        if (
            skeleton is not None
            and facts.takes_ctes
            and lifted.is_whole
            and not _hides(skeleton, lifted, fixed)
        ):
            self._by_skeleton.keep(skeleton, facts)


def key_of(lifted: Lifted, fixed: frozenset[int]) -> tuple[str, ...]:
    """By what a marked tree is kept: the skeleton and the values that are not slots."""
    if not fixed:
        return (lifted.skeleton,)
    return (lifted.skeleton, *(lifted.values[index] for index in sorted(fixed)))


def _skeleton_of(sql: str) -> str | None:
    if "\0" in sql:
        return None
    skeleton = make_skeleton(sql)
    if skeleton is None or _HAZARD.search(skeleton):
        return make_careful_skeleton(sql)
    return skeleton


def _hides(skeleton: str, lifted: Lifted, fixed: frozenset[int]) -> bool:
    """Whether another text of the same skeleton may have another value at a fixed place."""
    for index in fixed:
        value = lifted.values[index]
        if value[0] == "'":
            return True
        other = "1" * len(value) if value != "1" * len(value) else "2" * len(value)
        values = [*lifted.values[:index], other, *lifted.values[index + 1 :]]
        text = "".join(piece + one for piece, one in zip(lifted.pieces, [*values, ""], strict=True))
        if _skeleton_of(text) == skeleton:
            return True
    return False
