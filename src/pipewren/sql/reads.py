"""Which tables a node can read, whatever is sent (templating.md section 5, `table`).

Every way through a template is made into a text with marks for values (`template/paths.py`), and
each text is read as a statement is (`references.py`). A mark in the place of a table must be a
`table()`; anything else there is the author's mistake. Names are fixed by that, and a statement
that reads another one (a way that was not made, text that a caller's value has become) is refused
when it is put together: `check_reads`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipewren.errors import TemplateError, TemplateSyntaxError
from pipewren.sql.references import find_references
from pipewren.sql.service_datasources import SERVICE_DATASOURCES
from pipewren.sql.shape import Shape
from pipewren.sql.tokens import Kind, Token, match_brackets, scan_tokens, unquote
from pipewren.template.failures import failure, shorten
from pipewren.template.paths import Mark, Paths
from pipewren.template.template import Rendered


@dataclass(frozen=True, slots=True)
class Reads:
    """`names` are all that any branch can read: data sources, pipes, nodes, and the author's own
    words for them; those that `table()` can choose from included where they are written down
    (`table('a')`, a parameter with an enum). `is_open`: a `table()` may choose any name of the
    deployment besides, but no service data source: they tell of other callers. `others` are
    qualified names and the like (references.py)."""

    names: frozenset[str]
    others: frozenset[str] = frozenset()
    is_open: bool = False


def reads_of_shape(shape: Shape) -> Reads:
    """What a literal text reads."""
    return Reads(frozenset(shape.names), shape.others)


def find_reads(paths: Paths, known: Collection[str]) -> Reads:
    """What a template can read. `known` are the names that the node could mean: where not every
    way could be made, those that the template's text mentions are on the list. Raises
    TemplateSyntaxError for a value that lands where a table must be named."""
    names: set[str] = set()
    others: set[str] = set()
    is_open = False
    for text in paths.texts:
        tokens = scan_tokens(text)
        partners = match_brackets(tokens)
        if not _is_whole(tokens, partners):
            continue  # this way is no statement, and is refused if it is ever gone
        references = find_references(tokens, partners)
        for one in references.names:
            if one.owner is not None:
                _check_place(paths, tokens, one.token)
                continue
            mark = _check_place(paths, tokens, one.token)
            if mark is None:
                names.add(one.name)
            elif mark.origin.choices is None:
                is_open = True
            else:
                names |= mark.origin.choices
        for index in references.others:
            others.add(_check_fixed(paths, tokens[index]))
        for declaration in references.declarations:
            if declaration.body is not None:
                _check_fixed(paths, tokens[declaration.token])
    if not paths.is_complete:
        for literal in paths.literals:
            words = {unquote(token) for token in scan_tokens(literal) if token.is_name}
            names |= words.intersection(known)
    return Reads(frozenset(names), frozenset(others), is_open)


def check_reads(reads: Reads, rendered: Rendered, shape: Shape, where: str) -> None:
    """Raises TemplateError for a statement that reads what `reads` does not say."""
    chosen = rendered.tables
    if chosen:
        for name in chosen:
            is_open = reads.is_open and name not in SERVICE_DATASOURCES
            if not is_open and name not in reads.names:
                allowed = ", ".join(sorted(reads.names)[:10])
                raise failure(
                    f"table() names '{shorten(name, 60)}', which is none of the names that the "
                    f"template allows there: {allowed or 'data sources and pipes'}"
                )
    others = reads.others
    if chosen and not SERVICE_DATASOURCES.isdisjoint(chosen):
        others = others.union(*(name.split(".") for name in chosen if name in SERVICE_DATASOURCES))
    if reads.names.issuperset(shape.names) and others.issuperset(shape.others):
        return
    extra = {*shape.names, *shape.others} - reads.names - others - set(chosen)
    if extra or not others.issuperset(shape.others):
        shown = shorten(min(extra), 60) if extra else min(shape.others - others)
        raise TemplateError(
            f"{where} would read '{shown}', which its template neither names as a table nor "
            "chooses by table(): no other value may become the name of a table"
        )


def _is_whole(tokens: Sequence[Token], partners: Mapping[int, int]) -> bool:
    """Whether all that is opened is closed."""
    return not any(
        token.kind is Kind.BROKEN
        or (token.kind in (Kind.OPEN, Kind.CLOSE) and index not in partners)
        for index, token in enumerate(tokens)
    )


def _check_place(paths: Paths, tokens: list[Token], index: int) -> Mark | None:
    """The mark at the place of a table, if there is one. It must be a whole `table()`."""
    token = tokens[index]
    mark = paths.mark_of(token.text)
    if mark is not None and not mark.origin.is_table:
        raise _refuse(mark)
    glued = mark is None and paths.mark_in(token.text)
    neighbours = [tokens[index - 1]] if index else []
    neighbours += tokens[index + 1 : index + 2]
    for other in neighbours:
        if other.kind in (Kind.WORD, Kind.STRING, Kind.QUOTED) and (
            other.end == token.start or other.start == token.end
        ):
            glued = glued or paths.mark_in(other.text) or mark
    if glued:
        raise _refuse(glued)
    return mark


def _check_fixed(paths: Paths, token: Token) -> str:
    mark = paths.mark_in(token.text)
    if mark is not None:
        raise _refuse(mark)
    return unquote(token)


def _refuse(mark: Mark) -> TemplateSyntaxError:
    function = mark.origin.function
    if mark.origin.is_table:
        message = "table() prints a part of a name here"
    elif mark.origin.is_value:
        message = "a value stands in the place of a table"
    else:
        message = f"{function}() stands in the place of a table"
    return TemplateSyntaxError(
        f"{message}. Use table() as the whole name: it takes the data sources and pipes of the "
        "project only",
        line=mark.line,
        column=mark.column,
    )
