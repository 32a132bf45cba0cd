"""The texts that a template can print: one for each way through its blocks, a mark in the place of
each value. What a text reads is the same whatever stands in its values, so these texts show which
tables a template can read, and where its values land.

Ways multiply with each block. Up to `_MAX_WAYS` all are made; beyond, each branch is taken at
least once, and `is_complete` says that some ways are missing. Loops are gone through not at all,
once and twice, which is complete where a turn leaves no open end (`_is_quiet`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipewren.template.escaping import is_plain_name
from pipewren.template.nodes import For, If, Jump, Node, Output, Statement, Text, Try, While
from pipewren.template.origins import Origin, Origins

_MAX_WAYS = 32
_MAX_CHARACTERS = 200_000  # of all ways together
# Where `break` or `continue` cuts a turn. Half a surrogate pair, which no statement may hold.
_CUT = "\ud800"
_IS_MARK = re.compile(r"'?__mark(?P<number>[0-9]+)__'?").fullmatch
_VALUE_MARK = re.compile(r"'__mark[0-9]+__'")
_HOLDS_MARK = re.compile(r"__mark([0-9]+)__").search
# With none of these and closed brackets, what stands behind a turn is read as what is before it.
_LOUD = re.compile(
    r"\b(?:FROM|JOIN|WITH|SELECT|IN|USING|UNION|EXCEPT|INTERSECT|WHERE|PREWHERE|GROUP|HAVING|ORDER"
    r"|LIMIT|SETTINGS|FORMAT|WINDOW|QUALIFY)\b|['\"`$#]|--|//|/\*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value's place in the template, 1-based, and where the value comes from. `secret`: the one
    that it may hold."""

    origin: Origin
    line: int
    column: int
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Paths:
    """`texts` hold a word (a name, a table) or a string (a value) for each mark; `literals` are the
    template's own pieces of text."""

    texts: tuple[str, ...]
    marks: tuple[Mark, ...]
    literals: tuple[str, ...]
    is_complete: bool

    def mark_of(self, token: str) -> Mark | None:
        """The mark that a token is."""
        found = _IS_MARK(token)
        return self.marks[int(found["number"])] if found else None

    def mark_in(self, token: str) -> Mark | None:
        """The first mark that a token holds."""
        found = _HOLDS_MARK(token)
        return self.marks[int(found[1])] if found else None

    def with_numbers(self, text: str) -> str:
        """One of `texts` with a number for each value, for places that take no string."""
        return _VALUE_MARK.sub("1", text)


def find_secret_texts(paths: Paths) -> tuple[str, ...]:
    """The texts in which a value may be a secret, with `{name: String}` in its place."""
    holding = {number: mark.secret for number, mark in enumerate(paths.marks) if mark.secret}
    texts: list[str] = []
    for text in paths.texts if holding else ():
        shown = text
        for number, secret in holding.items():
            name = secret if is_plain_name(secret) else "secret"
            shown = re.sub(rf"'?__mark{number}__'?", f"{{{name}: String}}", shown)
        if shown != text:
            texts.append(shown)
    return tuple(texts)


def find_paths(nodes: Sequence[Node], origins: Origins) -> Paths:
    """The ways through a template's tree."""
    walk = _Walk(origins)
    texts = walk.expand(nodes)
    whole = tuple(dict.fromkeys(text.replace(_CUT, "") for text in texts))
    return Paths(whole, tuple(walk.marks), tuple(walk.literals), walk.is_complete)


@dataclass(slots=True)
class _Walk:
    origins: Origins
    marks: list[Mark] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    is_complete: bool = True

    def expand(self, nodes: Sequence[Node]) -> list[str]:
        """The texts of a block."""
        return self._combine([self._node(node) for node in nodes])

    def _node(self, node: Node) -> list[str]:
        match node:
            case Text(text):
                self.literals.append(text)
                return [text]
            case Output(expression):
                return [self._output(expression)]
            case If(branches):
                bodies = [text for _, body in branches for text in self.expand(body)]
                return bodies if branches[-1][0] is None else [*bodies, ""]
            case For() | While():
                return self._loop(node)
            case Try():
                return self._try(node)
            case Jump():
                return [_CUT]
            case Statement():
                return [""]

    def _output(self, expression: object) -> str:
        pieces: list[str] = []
        for part in self.origins.parts_of(expression):  # type: ignore[arg-type]
            if isinstance(part, str):
                pieces.append(part)
                continue
            origin = self.origins.of(part)
            text = f"__mark{len(self.marks)}__"
            pieces.append(f"'{text}'" if origin.is_value else text)
            secret = self.origins.secret_in(part)
            self.marks.append(Mark(origin, part.lineno, part.col_offset + 1, secret))
        return "".join(pieces)

    def _loop(self, node: For | While) -> list[str]:
        turns = [text.partition(_CUT)[0] for text in self.expand(node.body)]
        turns = list(dict.fromkeys(turns))
        if not all(_is_quiet(turn) for turn in turns):
            self.is_complete = False
        behind = list(dict.fromkeys([*self.expand(node.orelse), ""])) if node.orelse else [""]
        once = self._combine([turns, behind])
        return [*behind, *once, *self._combine([turns, once])]

    def _try(self, node: Try) -> list[str]:
        """What has been printed when something fails stays."""
        final = self.expand(node.final)
        parts = [self._node(one) for one in node.body]
        whole = self._combine([*parts, self.expand(node.orelse), final])
        handlers = [text for one in node.handlers for text in self.expand(one.body)] or [""]
        for position, one in enumerate(node.body):
            if not isinstance(one, Text):
                whole += self._combine([*parts[:position], handlers, final])
            if not isinstance(one, Text | Output | Statement):
                self.is_complete = False  # it may fail in its middle
        return list(dict.fromkeys(whole))

    def _combine(self, parts: list[list[str]]) -> list[str]:
        """The texts of parts that follow each other."""
        parts = [part for part in parts if part != [""]]
        counts = [len(part) for part in parts]
        ways = math.prod(counts)
        if ways == 1:
            return ["".join(part[0] for part in parts)]
        size = sum(max(map(len, part)) for part in parts)
        if ways <= _MAX_WAYS and ways * size <= _MAX_CHARACTERS:
            return list(dict.fromkeys(map("".join, itertools.product(*parts))))
        self.is_complete = False
        steps = sum(counts) - len(counts) + 1
        if steps <= _MAX_WAYS and steps * size <= _MAX_CHARACTERS:  # one other branch at a time
            texts = ["".join(part[0] for part in parts)]
            for position, part in enumerate(parts):
                before = "".join(one[0] for one in parts[:position])
                behind = "".join(one[0] for one in parts[position + 1 :])
                texts += [f"{before}{text}{behind}" for text in part[1:]]
        else:
            texts = ["".join(part[n % len(part)] for part in parts) for n in range(max(counts))]
        return list(dict.fromkeys(texts))


def _is_quiet(turn: str) -> bool:
    plain = re.sub(r"'__mark[0-9]+__'", "0", turn)
    closed = all(plain.count(one) == plain.count(other) for one, other in ("()", "[]", "{}"))
    return closed and _LOUD.search(plain) is None
