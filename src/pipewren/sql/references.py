"""Which names a statement reads as tables: a walk over its tokens that knows scopes.

A name is read where a table can stand: after FROM, JOIN, a comma of a FROM, in the brackets of
those, after IN (also `IN (name)` and `in(x, name)`), in a query inside `view(...)`; quoted or not.
A qualified name (`db.name`), a function, an alias and a column are not; but `others` has the
parts of qualified names in such places, table functions, and the names that those, or functions
such as `joinGet`, are given: no table of a deployment, but something that is read. A name that a
WITH of the same text declares is `owner`ed by that declaration, by the rules of ClickHouse 26.9
(tried): a WITH covers its SELECT, what is nested in it, all bodies of its own list, and later arms
of a UNION up to one with a WITH of its own; a body does not see its own name, unless it recurs.

Limits: no grammar. In doubt a name counts as read; a text that ClickHouse's parser refuses gives
any result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipewren.sql.tokens import Kind, Token, unquote

SET_OPERATIONS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
QUERY_STARTS = frozenset({"SELECT", "WITH", "FROM"})
_END_OF_FROM = frozenset(
    {"WHERE", "PREWHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "SETTINGS", "FORMAT", "INTO"}
    | {"WINDOW", "QUALIFY", "FETCH"}
    | SET_OPERATIONS
)
_BEFORE_QUERY = frozenset({"(", "ALL", "DISTINCT"} | SET_OPERATIONS)
# Before `in(`: then it is the function, not the operator between a value and a list.
_BEFORE_VALUE = frozenset(
    {"SELECT", "WHERE", "PREWHERE", "HAVING", "QUALIFY", "ON", "AND", "OR", "NOT", "XOR", "BY"}
    | {"WHEN", "THEN", "ELSE", "CASE", "DISTINCT", "IF", "WITH", "(", "[", ",", "=", "<", ">", "-"}
    | {"+", "*", "/", "%", "|", "?", ":"}
)
_IN_FUNCTIONS = frozenset(
    f"{scope}{name}{ending}"
    for scope, names in (
        ("", ("in", "notIn", "nullIn", "notNullIn")),
        ("global", ("In", "NotIn", "NullIn", "NotNullIn")),
    )
    for name in names
    for ending in ("", "IgnoreSet")
)
# What may follow a table without being its alias.
_AFTER_TABLE = frozenset(
    {"FINAL", "SAMPLE", "ON", "USING", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "OUTER"}
    | {"GLOBAL", "LOCAL", "ANY", "ALL", "ASOF", "SEMI", "ANTI", "PASTE", "ARRAY", "NATURAL"}
    | {"SELECT", "WITH", "OFFSET", "ONLY"}
    | _END_OF_FROM
)


# Table functions that find tables by their arguments, by names or by texts.
_NAMING = frozenset(
    {"merge", "remote", "remoteSecure", "cluster", "clusterAllReplicas", "loop", "dictionary"}
    | {"mergeTreeIndex", "mergeTreeProjection", "viewExplain"}
)
_FIRST_NAMES = ("joinGet", "joinGetOrNull", "dictGet", "dictHas", "dictIsIn", "hasColumnInTable")


@dataclass(slots=True, eq=False)
class Declaration:
    """A name of a WITH list. `body` is the index of its opening bracket; None: an expression's
    alias, which stands for a table after IN only."""

    name: str
    token: int
    body: int | None


@dataclass(slots=True, eq=False)
class _With:
    is_recursive: bool
    declarations: dict[str, Declaration] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Frame:
    """What stands between two brackets, or the whole text."""

    parent: _Frame | None = None
    # The parent's WITH at this place, the declaration whose body this is, the `view` in front.
    outer_with: _With | None = None
    body_of: Declaration | None = None
    view: int | None = None
    current_with: _With | None = None
    is_query: bool = False
    is_in_with: bool = False
    is_in_from: bool = False
    expects_table: bool = False
    commas_list_tables: bool = True
    has_set_operation: bool = False
    is_position: bool = False  # `position(needle IN haystack)`
    function: str | None = None  # the table function whose arguments these are


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that is read, at the token `token`. `owner`: what declares it in the same text."""

    name: str
    token: int
    is_after_in: bool
    has_alias: bool
    owner: Declaration | None
    view: int | None  # the token `view` of the innermost `view(...)` around it


@dataclass(frozen=True, slots=True)
class References:
    """`others` are indexes of tokens: names, and texts that name tables."""

    names: tuple[Reference, ...]
    declarations: tuple[Declaration, ...]
    others: tuple[int, ...] = ()


@dataclass(slots=True)
class _Walk:
    tokens: Sequence[Token]
    partners: Mapping[int, int]
    found: list[tuple[int, bool, _Frame, _With | None]] = field(default_factory=list)
    declarations: list[Declaration] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    function_at: int = -1  # the bracket of a table function


def find_references(tokens: Sequence[Token], partners: Mapping[int, int]) -> References:
    """All names that are read and declared. The brackets of `tokens` are balanced."""
    walk = _Walk(tokens, partners)
    bodies: dict[int, Declaration] = {}
    frame = _Frame(is_query=True)
    for index, token in enumerate(tokens):
        if frame.function is not None and not frame.is_query:
            _read_argument(walk, frame, index)
        if token.kind is Kind.OPEN:
            frame = _open_frame(walk, frame, index, bodies.get(index))
        elif token.kind is Kind.CLOSE:
            frame = frame.parent or frame
        elif frame.expects_table and not _begins_query(token):
            frame.expects_table = False
            if _is_table(walk, index):
                walk.found.append((index, False, frame, frame.current_with))
            elif token.is_name:
                _read_other(walk, index)
        elif frame.is_in_with and _declare(walk, frame, index, bodies):
            pass
        elif token.text == ",":
            frame.expects_table = frame.is_in_from and frame.commas_list_tables
        elif token.kind is Kind.WORD and _before(walk, index) not in (".", "AS"):
            _read_keyword(walk, frame, index)
    names = tuple(_resolve(walk, *one) for one in walk.found)
    return References(names, tuple(walk.declarations), tuple(walk.others))


def is_query_start(tokens: Sequence[Token], index: int) -> bool:
    """Whether the keyword at `index` (a WITH, say) begins a query, not `WITH TOTALS`."""
    return index == 0 or tokens[index - 1].keyword in _BEFORE_QUERY


def is_set_operation(tokens: Sequence[Token], index: int) -> bool:
    """UNION, EXCEPT or INTERSECT between two queries; `* EXCEPT (a)` is none."""
    if tokens[index].keyword not in SET_OPERATIONS:
        return False
    index += 1
    while index < len(tokens) and tokens[index].keyword in ("(", "ALL", "DISTINCT"):
        index += 1
    return index < len(tokens) and tokens[index].keyword in QUERY_STARTS


def _open_frame(walk: _Walk, frame: _Frame, index: int, body_of: Declaration | None) -> _Frame:
    is_join_tree = frame.expects_table and walk.tokens[index].text == "("
    frame.expects_table = False
    before = walk.tokens[index - 1].text if index else ""
    if before in _IN_FUNCTIONS and (index == 1 or _before(walk, index - 1) in _BEFORE_VALUE):
        _find_last_argument(walk, frame, index)
    if before.startswith(_FIRST_NAMES) and index + 1 < len(walk.tokens):
        first = walk.tokens[index + 1]
        if first.is_name or first.kind is Kind.STRING:
            walk.others += _parts(walk, index + 1)
    function = frame.function if not frame.is_query else None
    if index == walk.function_at:
        function = before
    return _Frame(
        parent=frame,
        outer_with=frame.current_with,
        body_of=body_of,
        view=index - 1 if before == "view" else frame.view,
        is_in_from=is_join_tree,
        expects_table=is_join_tree,
        is_position=before.lower() == "position",
        function=function,
    )


def _read_other(walk: _Walk, index: int) -> None:
    """A qualified name, or a table function, in the place of a table."""
    parts = _parts(walk, index)
    walk.others += parts
    if _keyword(walk, parts[-1] + 1) == "(":
        walk.function_at = parts[-1] + 1


def _parts(walk: _Walk, index: int) -> list[int]:
    """The tokens of `a.b.c`."""
    parts = [index]
    while _keyword(walk, parts[-1] + 1) == "." and parts[-1] + 2 < len(walk.tokens):
        parts.append(parts[-1] + 2)
    return parts


def _read_argument(walk: _Walk, frame: _Frame, index: int) -> None:
    token = walk.tokens[index]
    is_call = token.kind is Kind.WORD and _keyword(walk, index + 1) == "("
    if is_call or token.keyword in QUERY_STARTS:
        return
    if token.is_name or (token.kind is Kind.STRING and frame.function in _NAMING):
        walk.others.append(index)


def _find_last_argument(walk: _Walk, frame: _Frame, index: int) -> None:
    last = walk.partners[index] - 1
    if walk.tokens[last].is_name and walk.tokens[last - 1].text == ",":
        walk.found.append((last, True, frame, frame.current_with))


def _read_keyword(walk: _Walk, frame: _Frame, index: int) -> None:
    tokens, keyword = walk.tokens, walk.tokens[index].keyword
    if keyword == "FROM":
        is_first = index > 0 and tokens[index - 1].kind is Kind.OPEN
        if (frame.is_query or is_first) and not _is_comparison(walk, index):
            frame.is_query, frame.is_in_with = True, False
            frame.is_in_from = frame.expects_table = frame.commas_list_tables = True
    elif keyword == "JOIN":
        frame.expects_table = frame.commas_list_tables = _before(walk, index) != "ARRAY"
    elif keyword == "USING":
        frame.commas_list_tables = False
    elif keyword == "IN" and not frame.is_position:
        _read_in(walk, frame, index + 1)
    elif keyword == "SELECT":
        frame.is_query = True
        frame.is_in_with = frame.is_in_from = frame.expects_table = False
    elif keyword == "WITH" and is_query_start(tokens, index):
        is_recursive = (
            _keyword(walk, index + 1) == "RECURSIVE" and _keyword(walk, index + 2) != "AS"
        )
        frame.current_with = _With(is_recursive)
        frame.is_query = True
        frame.is_in_with, frame.is_in_from, frame.expects_table = True, False, False
    elif keyword in _END_OF_FROM:
        frame.is_in_from = False
        if is_set_operation(tokens, index):
            frame.has_set_operation = True


def _is_comparison(walk: _Walk, index: int) -> bool:
    """`IS [NOT] DISTINCT FROM`, not a clause."""
    return _before(walk, index) == "DISTINCT" and _before(walk, index - 1) in ("IS", "NOT")


def _read_in(walk: _Walk, frame: _Frame, index: int) -> None:
    depth = 0
    while _keyword(walk, index + depth) == "(":
        depth += 1
    name = index + depth
    if name >= len(walk.tokens) or not walk.tokens[name].is_name:
        return
    parts = _parts(walk, name)
    if any(_keyword(walk, parts[-1] + step) != ")" for step in range(1, depth + 1)):
        return
    if len(parts) > 1:
        walk.others += parts
    elif depth or _keyword(walk, name + 1) != "(":
        walk.found.append((name, True, frame, frame.current_with))


def _declare(walk: _Walk, frame: _Frame, index: int, bodies: dict[int, Declaration]) -> bool:
    """Read the begin of an element `name AS (` or the end of one, `expression AS name`."""
    token, current = walk.tokens[index], frame.current_with
    if current is None or not token.is_name:
        return False
    before = _before(walk, index)
    declaration: Declaration | None = None
    if before in (",", "WITH") or (before == "RECURSIVE" and current.is_recursive):
        body = _body_of(walk, index)
        if body is not None:
            declaration = bodies[body] = Declaration(unquote(token), index, body)
    elif before == "AS" and _keyword(walk, index + 1) in (",", "SELECT", "FROM"):
        declaration = Declaration(unquote(token), index, None)
    if declaration is None:
        return False
    current.declarations[declaration.name] = declaration
    walk.declarations.append(declaration)
    return True


def _body_of(walk: _Walk, index: int) -> int | None:
    """The bracket of `name [(columns)] AS [NOT MATERIALIZED] (`."""
    following = index + 1
    if _keyword(walk, following) == "(":
        following = walk.partners[following] + 1
    if _keyword(walk, following) != "AS":
        return None
    following += 1
    while _keyword(walk, following) in ("NOT", "MATERIALIZED"):
        following += 1
    return following if _keyword(walk, following) == "(" else None


def _is_table(walk: _Walk, index: int) -> bool:
    token, following = walk.tokens[index], _keyword(walk, index + 1)
    if token.kind is Kind.STRING:
        return True
    return token.is_name and following not in (".", "(")


def _resolve(
    walk: _Walk, index: int, is_after_in: bool, frame: _Frame, current: _With | None
) -> Reference:
    name = unquote(walk.tokens[index])
    owner, view = _find_owner(name, is_after_in, frame, current), frame.view
    following = walk.tokens[index + 1] if index + 1 < len(walk.tokens) else None
    has_alias = following is not None and (
        following.kind is Kind.QUOTED
        or (following.kind is Kind.WORD and following.keyword not in _AFTER_TABLE)
    )
    return Reference(name, index, is_after_in, has_alias, owner, view)


def _find_owner(
    name: str, is_after_in: bool, frame: _Frame, current: _With | None
) -> Declaration | None:
    below: _Frame | None = None
    while True:
        declared = current.declarations.get(name) if current is not None else None
        if declared is not None and (declared.body is not None or is_after_in):
            is_inside = below is not None and below.body_of is declared
            recurs = current is not None and current.is_recursive
            if not is_inside or (recurs and below is not None and below.has_set_operation):
                return declared
        if frame.parent is None:
            return None
        below, frame, current = frame, frame.parent, frame.outer_with


def _begins_query(token: Token) -> bool:
    return token.kind is Kind.WORD and token.keyword in QUERY_STARTS


def _before(walk: _Walk, index: int) -> str:
    return walk.tokens[index - 1].keyword if index > 0 else ""


def _keyword(walk: _Walk, index: int) -> str:
    return walk.tokens[index].keyword if index < len(walk.tokens) else ""
