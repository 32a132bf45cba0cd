"""Random statements over the tables of test_row_filters.py, for which a filtered table and one that
holds the visible rows only must answer the same.

Every statement has one answer: no ANY, no rand(), windows and LIMIT BY over a total order. What
differs between rows is kept small enough to join: `k` columns have few rows of the same value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

# Name and kind of column: `k` a number that tells rows apart, `n` a number, `s` a text, `a` an
# array.
Columns = tuple[tuple[str, str], ...]
BASE: Columns = (("tenant", "s"), ("id", "k"), ("flag", "n"), ("secret", "s"), ("arr", "a"))
_ALIASES = ("t", "x", "ev", "rep", "other", "id", "flag", "secret")
# In a FROM with joins an alias stands for a table of its name too, so there it is another name.
_JOINED = ("t", "x", "id", "flag", "secret")
_CTES = ("c", "d", "ev", "rep")
_JOINS = ("INNER JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN")
_SETS = ("UNION ALL", "UNION DISTINCT", "EXCEPT", "INTERSECT", "EXCEPT DISTINCT")
# Each fails, or tells, where it meets a hidden row: those have a flag and another secret. The
# engine knows how to leave out some of them row by row, and others not.
_PROBES = (
    "intDiv(1, 1 - flag) = 1",
    "NOT throwIf(flag)",
    "toInt64(replaceOne(secret, '+', '')) >= 0",
    "toBool(if(flag, 'zz', 'true'))",
    "bitShiftLeft(1, if(flag, -1, 1)) >= 0",
    "mapFromArrays([1], if(flag, [1, 2], [1])) != map()",
    "toUUID(if(flag, secret, '00000000-0000-0000-0000-000000000000')) != toUUID('00000000-0000-0000-0000-000000000001')",  # noqa: E501
    "toBool(if(tenant = 'b', tenant, 'true'))",
    "bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0",
    "intDiv(1, tenant = 'a') = 1",
)


@dataclass(slots=True)
class Writer:
    """`ctes` are the names of the WITH around, with their columns; `unread` are tables of whose
    name the CTE is that is being written: filters refuse most that read themselves."""

    rng: Random
    ctes: dict[str, Columns] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()

    def chance(self, of: float) -> bool:
        return self.rng.random() < of

    def query(self, depth: int) -> tuple[str, Columns]:
        """A SELECT, or several with set operations, perhaps under a WITH."""
        outer = dict(self.ctes)
        head = self._with(depth) if depth and self.chance(0.3) else ""
        sql, columns = self._select(depth)
        if depth and self.chance(0.2):
            kinds = [kind for _, kind in columns]
            arms = [sql]
            for _ in range(self.rng.randint(1, 2)):
                arms.append(self._matching(kinds, depth - 1))
            operation = self.rng.choice(_SETS)
            sql = f"SELECT * FROM ({f' {operation} '.join(f'({one})' for one in arms)})"
        self.ctes = outer
        return f"{head}{sql}", columns

    def _with(self, depth: int) -> str:
        made = []
        for name in self.rng.sample(_CTES, self.rng.randint(1, 2)):
            before = self.unread
            if self.chance(0.98):
                self.unread |= {name}
            sql, columns = self.query(depth - 1)
            self.unread = before
            made.append(f"{name} AS ({sql})")
            self.ctes = {**self.ctes, name: columns}
        scalars = [f"{self.rng.randint(1, 9)} AS w"] if self.chance(0.2) else []
        return f"WITH {', '.join([*scalars, *made])} "

    def _matching(self, kinds: list[str], depth: int) -> str:
        """A SELECT of columns of these kinds."""
        sql, columns = self.query(depth)
        shown = []
        for kind in kinds:
            same = [name for name, one in columns if one == kind or (kind == "n" and one == "k")]
            shown.append(self.rng.choice(same) if same else _ZERO[kind])
        return f"SELECT {', '.join(shown)} FROM ({sql}) AS m"

    def _source(self, depth: int, alias: str, *, joins: bool) -> tuple[str, Columns, bool]:
        """Something after FROM with `alias`, and whether it takes PREWHERE. No SAMPLE in joins: of
        a table that is joined to itself the engine takes the sample of both (26.9, tried)."""
        roll = self.rng.random()
        if depth and roll < 0.35:
            sql, columns = self.query(depth - 1)
            return f"({sql}) AS {alias}", columns, False
        if self.ctes and roll < 0.55:
            name = self.rng.choice(sorted(self.ctes))
            return f"{name} AS {alias}", self.ctes[name], False
        tables = ("ev", "ev", "ev", "rep", "rep", "other")
        free = [name for name in tables if name not in self.ctes and name not in self.unread]
        if not free:
            return f"(SELECT 1 AS one) AS {alias}", (("one", "k"),), False
        if roll > 0.95 and "ev" not in self.unread:
            return f"view(SELECT * FROM ev) AS {alias}", BASE, False
        name = self.rng.choice(free)
        clauses = " FINAL" if name == "rep" else ""
        if not joins and self.chance(0.2):
            clauses += self.rng.choice((" SAMPLE 1/2", " SAMPLE 1/3 OFFSET 1/3", " SAMPLE 0.9"))
        return f"{name} AS {alias}{clauses}", BASE, name != "rep"

    def _select(self, depth: int) -> tuple[str, Columns]:
        joins = self.chance(0.3)
        alias = self.rng.choice(_JOINED if joins else _ALIASES)
        source, columns, takes_prewhere = self._source(depth, alias, joins=joins)
        clauses = ""
        if self.chance(0.1) and ("arr", "a") in columns and "JOIN" not in source:
            kind = self.rng.choice(("ARRAY JOIN", "LEFT ARRAY JOIN"))
            source += f" {kind} arr AS e"
            columns = (*columns, ("e", "n"))
            takes_prewhere = False
        elif joins:
            joined = self._join(source, alias, columns, depth)
            if joined is not None:
                source, columns = joined
                takes_prewhere = False
        if takes_prewhere and self.chance(0.25):
            clauses += f" PREWHERE {self._condition(columns, depth)}"
        if self.chance(0.75):
            clauses += f" WHERE {self._condition(columns, depth)}"
        roll = self.rng.random()
        if roll < 0.3:
            return self._grouped(source, columns, clauses)
        if roll < 0.45:
            return self._windowed(source, columns, clauses)
        return self._plain(source, columns, clauses)

    def _join(
        self, source: str, alias: str, columns: Columns, depth: int
    ) -> tuple[str, Columns] | None:
        other = self.rng.choice(("r", "y"))
        right, theirs, _ = self._source(min(depth, 1), other, joins=True)
        keys = [name for name, kind in columns if kind == "k"]
        their_keys = [name for name, kind in theirs if kind == "k"]
        if not keys or not their_keys:
            return None
        kind = self.rng.choice(_JOINS)
        on = f"{alias}.{self.rng.choice(keys)} = {other}.{self.rng.choice(their_keys)}"
        if self.chance(0.3) and ("flag", "n") in columns:
            on += f" AND bitShiftLeft(1, if({alias}.flag, -1, 1)) >= 0"
        shown = [f"{alias}.{name} AS {name}" for name, _ in columns]
        made = columns
        if "SEMI" not in kind and "ANTI" not in kind:
            extra = self.rng.choice(theirs)
            shown.append(f"{other}.{extra[0]} AS j")
            made = (*[one for one in columns if one[0] != "j"], ("j", _LOOSE[extra[1]]))
            shown = [one for one in shown[:-1] if not one.endswith(" AS j")] + shown[-1:]
        sql = f"SELECT {', '.join(shown)} FROM {source} {kind} {right} ON {on}"
        return f"({sql}) AS joined", made

    def _plain(self, source: str, columns: Columns, clauses: str) -> tuple[str, Columns]:
        kept = self._some(columns)
        shown = [name for name, _ in kept]
        made = kept
        if self.chance(0.5):
            name, kind = self.rng.choice(columns)
            text, kind = self._computed(name, kind)
            # Perhaps the name of another column, which the alias then stands for in the WHERE too.
            taken = {one for one, _ in kept}
            new = self.rng.choice(("z", "n", "secret", "flag"))
            if new not in taken:
                shown.append(f"{text} AS {new}")
                made = (*kept, (new, kind))
        distinct = "DISTINCT " if self.chance(0.15) else ""
        if self.chance(0.1) and not distinct and columns == BASE:
            shown, made = ["*"], columns
            if "flag" in clauses and self.chance(0.5):
                shown = ["* EXCEPT (secret)"]
                made = tuple(one for one in columns if one[0] != "secret")
            return f"SELECT {', '.join(shown)} FROM {source}{clauses}", made
        sql = f"SELECT {distinct}{', '.join(shown)} FROM {source}{clauses}"
        if self.chance(0.15):
            sql = f"{sql} ORDER BY ALL LIMIT {self.rng.randint(1, 2000)}"
        return sql, made

    def _grouped(self, source: str, columns: Columns, clauses: str) -> tuple[str, Columns]:
        keys = self._some([one for one in columns if one[1] != "a"])[:2]
        numbers = [name for name, kind in columns if kind in "kn"]
        counted = "count()"
        if numbers and self.chance(0.7):
            function = self.rng.choice(("sum", "max", "min", "uniqExact"))
            counted = f"{function}({self.rng.choice(numbers)})"
        if numbers and self.chance(0.2):
            counted = f"countIf({self._condition(columns, 0)})"
        named = [(name, kind) for name, kind in keys if name != "h"]
        sql = f"SELECT {', '.join([*[name for name, _ in named], f'{counted} AS h'])} FROM {source}"
        sql += clauses
        if named:
            sql += f" GROUP BY {', '.join(name for name, _ in named)}"
            if self.chance(0.1):
                sql += " WITH TOTALS"
                sql = f"SELECT * FROM ({sql})"
            elif self.chance(0.3):
                sql += f" HAVING h > {self.rng.randint(0, 3)}"
        return sql, (*named, ("h", "n"))

    def _windowed(self, source: str, columns: Columns, clauses: str) -> tuple[str, Columns]:
        names = [name for name, _ in columns]
        order = ", ".join(names)
        part = f"PARTITION BY {self.rng.choice(names)} " if self.chance(0.5) else ""
        function = self.rng.choice(("row_number()", "count()", f"max({names[0]})", "rank()"))
        kind = "n" if not function.startswith("max") else _LOOSE[columns[0][1]]
        kept = tuple(one for one in self._some(columns) if one[0] != "v")
        shown = ", ".join(
            [*[name for name, _ in kept], f"{function} OVER ({part}ORDER BY {order})"]
        )
        sql = f"SELECT {shown} AS v FROM {source}{clauses}"
        if self.chance(0.3) and kind == "n":
            sql += f" QUALIFY v < {self.rng.randint(2, 500)}"
        return sql, (*kept, ("v", kind))

    def _some(self, columns: Columns | list[tuple[str, str]]) -> Columns:
        """Some of the columns, always one that joins where there is one."""
        columns = tuple(dict(columns).items())
        if not columns:
            return ()
        kept = [one for one in columns if one[1] == "k" or self.chance(0.6)]
        return tuple(kept or columns[:1])

    def _computed(self, name: str, kind: str) -> tuple[str, str]:
        if kind in "kn":
            texts = (f"{name} + 1", f"intDiv({name}, 3)", f"{name} * 2", f"if({name} > 5, 1, 0)")
            text = self.rng.choice(texts)
            return text, "n"
        if kind == "s":
            return self.rng.choice(
                ((f"length({name})", "n"), (f"upper({name})", "s"), (f"{name} || '!'", "s"))
            )
        return f"length({name})", "n"

    def _condition(self, columns: Columns, depth: int) -> str:
        made = [self._one_condition(columns, depth) for _ in range(self.rng.choice((1, 1, 2, 3)))]
        if self.chance(0.15):
            made[0] = f"NOT ({made[0]})"
        return self.rng.choice((" AND ", " AND ", " OR ")).join(f"({one})" for one in made)

    def _one_condition(self, columns: Columns, depth: int) -> str:
        names = {name for name, _ in columns}
        if self.chance(0.35) and {"flag", "secret", "tenant"} <= names:
            return self.rng.choice(_PROBES)
        name, kind = self.rng.choice(columns)
        if kind in "kn":
            roll = self.rng.random()
            if roll < 0.15:
                inner = self._matching([kind], max(0, depth - 1))
                return f"{name} {self.rng.choice(('IN', 'NOT IN'))} ({inner})"
            if roll < 0.25:
                inner = self._matching(["n"], 0)
                return f"{name} < (SELECT count() FROM ({inner}))"
            if roll < 0.3:
                return f"{name} IN (1, 2, 3, 6, 9, 12)"
            if (
                roll < 0.35
                and "ev" not in {*self.ctes, *self.unread}
                and {"flag", "secret"} <= names
            ):
                return f"exists(SELECT 1 FROM ev WHERE {self.rng.choice(_PROBES[:6])})"
            return f"{name} % {self.rng.randint(2, 7)} {self.rng.choice(('= 0', '> 1', '!= 0'))}"
        if kind == "s":
            return self.rng.choice(
                (f"{name} != '7'", f"{name} LIKE '%1%'", f"{name} IN ('a', '1', '2', '10')")
            )
        return f"{self.rng.choice(('length', 'notEmpty'))}({name}) > 0"


_ZERO = {"k": "0", "n": "0", "s": "''", "a": "[]"}
_LOOSE = {"k": "n", "n": "n", "s": "s", "a": "a"}  # of rows that may be repeated


def write_statement(seed: int) -> str:
    """The statement of a seed, its rows in one order."""
    sql, _ = Writer(Random(seed)).query(depth=3)
    return f"SELECT * FROM ({sql}) ORDER BY ALL LIMIT 200"
