"""A row filter's text: one expression over one data source's columns (tokens.md section 7).

It is read by ClickHouse's parser and let through part by part: columns, literals, and functions of
the list that see one row and nothing else. No subquery, no aggregate, nothing that multiplies or
numbers rows, nothing random: a filter says of each row whether it is shown, and always the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipewren.errors import BadRequest, EngineError
from pipewren.sql.evaluated_texts import OF_AGGREGATES
from pipewren.sql.function_list import Access, FunctionList
from pipewren.sql.lifting import Lifted, Tree, lift, parse_lifted, split_at_marks
from pipewren.sql.parser import Parser, write_same
from pipewren.sql.query_tree import IN_FUNCTIONS, children_of

MAX_FILTER_BYTES = 4_096
MAX_FILTER_NODES = 1_000

_NOT_FOR_ROWS = frozenset(
    {"arrayjoin", "unnest", "untuple", "rownumberinblock", "rownumberinallblocks", "blocknumber"}
    | {"blocksize", "blockserializedsize", "runningaccumulate", "runningconcurrency", "neighbor"}
    | {"runningdifference", "runningdifferencestartingwithfirstvalue", "ignore", "materialize"}
    | {"grouping", "exists", "getsubcolumn"}
    | OF_AGGREGATES  # they evaluate a text, and see more than is written
)
_TIMES = frozenset(
    {"now", "now64", "nowinblock", "nowinblock64", "today", "yesterday", "curdate", "current_date"}
    | {"current_timestamp", "utctimestamp", "utc_timestamp", "localtime", "localtimestamp"}
)
_FUNCTION_KEYS = frozenset({"type", "name", "arguments", "is_operator", "is_lambda_function"})
_ROOT_KEYS = frozenset(
    {"type", "union_mode", "list_of_selects", "is_outfile_append", "is_outfile_truncate"}
    | {"is_into_outfile_with_stdout"}
)
_HOW = "A filter is one condition over the data source's columns, such as tenant_id = 'acme'"


@dataclass(frozen=True, slots=True)
class FilterPattern:
    """A filter's text as the engine writes it, with slots for all values but the `fixed` ones."""

    parts: tuple[str | int, ...]
    fixed: frozenset[int]


async def check_filter(
    text: str,
    columns: Collection[str],
    *,
    parser: Parser,
    functions: FunctionList,
    datasource: str = "",
) -> None:
    """Raises BadRequest for a text that is no filter over `columns` (names, nested ones dotted)."""
    check_size(text)
    await read_pattern(lift(text), columns, datasource, parser, functions)


def check_size(text: str) -> None:
    """Raises BadRequest for a text that is empty, too long, or holds a NUL."""
    if not text.strip():
        raise BadRequest(f"The row filter is empty. {_HOW}")
    if len(text) > MAX_FILTER_BYTES or len(text.encode(errors="replace")) > MAX_FILTER_BYTES:
        raise BadRequest(f"The row filter is longer than {MAX_FILTER_BYTES:,} bytes")
    if lift(text).is_reserved:
        raise BadRequest("The row filter holds a NUL character, or a word kept for the server")


async def read_pattern(
    lifted: Lifted,
    columns: Collection[str],
    datasource: str,
    parser: Parser,
    functions: FunctionList,
) -> FilterPattern:
    """Parse and check a filter once, for all that differ in their values. Raises BadRequest."""

    async def parse(text: str) -> Tree:
        return await parser.parse(f"SELECT\n{text}\n")

    try:
        marked = await parse_lifted(parse, lifted)
    except EngineError:
        raise BadRequest(f"The row filter cannot be parsed. {_HOW}") from None
    try:
        _Check(columns, datasource, functions).check(_only_expression(marked.tree))
    except RecursionError:
        raise BadRequest("The row filter is nested too deeply") from None
    text = await write_same(parser, marked.tree)
    if text is None:
        raise BadRequest("The row filter is changed by being written out: write it more plainly")
    written = text.removeprefix("SELECT").strip()
    return FilterPattern(split_at_marks(written, lifted, marked.fixed), marked.fixed)


def _only_expression(tree: Tree) -> Tree:
    selects = children_of(tree.get("list_of_selects"))
    if (
        tree.get("type") == "SelectWithUnionQuery"
        and tree.keys() <= _ROOT_KEYS
        and len(selects) == 1
        and selects[0].keys() == {"type", "select"}
    ):
        expressions = children_of(selects[0]["select"])
        if len(expressions) == 1:
            return expressions[0]
    raise BadRequest(f"The row filter is more than one expression. {_HOW}")


class _Check:
    """The walk over one filter."""

    __slots__ = ("columns", "datasource", "functions", "nodes")

    def __init__(self, columns: Collection[str], datasource: str, functions: FunctionList) -> None:
        self.columns = columns
        self.datasource = datasource
        self.functions = functions
        self.nodes = 0

    def check(self, node: Tree, bound: frozenset[str] = frozenset()) -> None:
        """`bound` are the parameters of the lambdas around the node."""
        self.nodes += 1
        if self.nodes > MAX_FILTER_NODES:
            raise BadRequest(f"The row filter has more than {MAX_FILTER_NODES:,} parts")
        kind = node.get("type")
        if "alias" in node:
            raise BadRequest(f"The row filter names a part of itself with AS. {_HOW}")
        if kind == "Identifier" and node.keys() <= {"type", "name", "name_parts"}:
            self._check_column(node, bound)
        elif kind == "Function":
            self._check_function(node, bound)
        elif kind != "Literal" or node.keys() != {"type", "value"}:
            what = "a subquery" if kind in ("Subquery", "SelectWithUnionQuery") else f"a {kind}"
            raise BadRequest(f"The row filter holds {what}. {_HOW}")

    def _check_column(self, node: Tree, bound: frozenset[str]) -> None:
        parts: list[str] = node.get("name_parts") or [node["name"]]
        if self.datasource and parts[0] == self.datasource and len(parts) > 1:
            # Only where no column's name begins so: then the engine takes the column.
            parts = parts if parts[0] in self.columns else parts[1:]
        if parts[0] in bound:
            return
        if any(".".join(parts[:length]) in self.columns for length in range(1, len(parts) + 1)):
            return
        name = node["name"][:60]
        raise BadRequest(f"The row filter names '{name}', which is no column of the data source")

    def _check_function(self, node: Tree, bound: frozenset[str]) -> None:
        name = node["name"]
        arguments = children_of(node.get("arguments"))
        if node.get("is_lambda_function") and name == "lambda" and len(arguments) == 2:
            bound = bound | {str(one["name"]) for one in children_of(arguments[0].get("arguments"))}
            self.check(arguments[1], bound)
            return
        extra = node.keys() - _FUNCTION_KEYS
        if extra - {"kind"} or "is_lambda_function" in node:
            raise BadRequest(f"The row filter calls {name[:60]}() over more than one row. {_HOW}")
        function = self.functions.find(name)
        if function is None or function.access is not Access.ANYONE:
            raise BadRequest(f"The row filter calls {name[:60]}(), which a filter may not call")
        lowered = function.name.lower()
        if (
            function.is_aggregate
            or lowered in _NOT_FOR_ROWS
            or not (function.is_deterministic or lowered in _TIMES)
        ):
            raise BadRequest(
                f"The row filter calls {name[:60]}(), which looks at other rows than the one, or "
                "answers differently each time"
            )
        is_in = name.lower() in IN_FUNCTIONS
        for index, argument in enumerate(arguments):
            if is_in and index == 1 and argument.get("type") == "Identifier":
                raise BadRequest(
                    "The row filter has a name right of IN, which may be a table: write the values"
                )
            if function.takes_functions and index == 0 and argument.get("type") == "Identifier":
                raise BadRequest(f"The row filter passes {argument['name'][:60]} to {name}()")
            self.check(argument, bound)
