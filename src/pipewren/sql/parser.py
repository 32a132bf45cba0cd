"""ClickHouse's own parser, the only grammar (design, decision 4): text to tree and back."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from pipewren.engine.contract import Result, Statement
from pipewren.engine.trees import decode_tree
from pipewren.errors import BadRequest
from pipewren.sql.lifting import Tree
from pipewren.sqltext import Sql

_FORMAT = Sql("SELECT formatQueryFromJSON({q:String})")
_PARSE = Sql("SELECT parseQueryToJSON({q:String})")
# Both in one call, which costs the engine half a millisecond by itself.
_WRITE = Sql("SELECT formatQueryFromJSON({q:String}) AS text, parseQueryToJSON(text) AS tree")
_PARAMETER_BYTES = 200_000
# formatQueryFromJSON counts the tree's JSON, some 15 times the text, against max_query_size
# (engine-guard.md section 1).
_MORE_BYTES = (("max_query_size", "16000000"),)
_OPERATOR = frozenset({"is_operator"})
_WRITTEN = msgspec.json.Decoder(tuple[str, str])


class Parser(Protocol):
    """What an engine gives; `engine.contract.Engine` is one."""

    async def parse(self, sql: str) -> dict[str, Any]: ...

    async def run(self, statement: Statement) -> Result: ...


async def parse_to_read(parser: Parser, sql: str) -> Tree:
    """The tree of `sql`, to be read and never to be written again: bytes of its texts that are no
    UTF-8 (`'\\xff'`) are replaced. Raises EngineError; BadRequest for what is nested too deeply."""
    statement = Statement(_PARSE, "", format="RawBLOB", parameters=(("q", sql),))
    body = (await parser.run(statement)).body.decode(errors="replace")
    try:
        tree: Tree = msgspec.json.decode(body)
    except (RecursionError, msgspec.DecodeError):
        raise BadRequest("The statement is nested too deeply.") from None
    return tree


def is_same_statement(first: Any, second: Any) -> bool:
    """Whether two trees are of one statement: the flag that a function was written as an operator
    (`x::T`, `a || b`) is lost when some are written out, and means nothing."""
    if first == second:
        return True
    if isinstance(first, dict) and isinstance(second, dict):
        keys = first.keys() - _OPERATOR
        return keys == second.keys() - _OPERATOR and all(
            is_same_statement(first[key], second[key]) for key in keys
        )
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same_statement, first, second))
    return False


async def format_tree(parser: Parser, tree: Tree) -> str:
    """The text that the engine writes of a tree. Raises EngineError."""
    return (await parser.run(_about(tree, _FORMAT, "RawBLOB"))).body.decode()


async def write_same(parser: Parser, tree: Tree) -> str | None:
    """The text that the engine writes of a tree, which it reads back as the same statement; None
    where it does not. Raises EngineError, and BadRequest as `parse` does."""
    result = await parser.run(_about(tree, _WRITE, "JSONCompactEachRow"))
    text, written = _WRITTEN.decode(result.body)
    return text if is_same_statement(decode_tree(written.encode()), tree) else None


def _about(tree: Tree, sql: Sql, format: str) -> Statement:
    text = msgspec.json.encode(tree).decode()
    settings = _MORE_BYTES if len(text) > _PARAMETER_BYTES else ()
    return Statement(sql, "", format=format, settings=settings, parameters=(("q", text),))
