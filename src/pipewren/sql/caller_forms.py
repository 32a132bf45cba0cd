"""DESCRIBE and SHOW TABLES, which callers may send, as SELECTs, which the guard reads."""

from __future__ import annotations

from pipewren.sql.caller_errors import refused
from pipewren.sql.lifting import Tree
from pipewren.sql.query_tree import children_of
from pipewren.sql.tokens import Kind, scan_tokens
from pipewren.sqltext import quote_identifier, quote_literal

_SHOW_KEYS = frozenset({"type", "like", "case_insensitive_like", "limit_length", "format_ast"})
_FIRST_CHARACTERS = 1000  # in which the first words are looked for


def first_word(sql: str) -> str:
    """What a statement begins with; "" where that is no word."""
    tokens = scan_tokens(sql[:_FIRST_CHARACTERS])
    return tokens[0].text if tokens else ""


def read_describe(sql: str) -> str | None:
    """`DESCRIBE t`, which the parser has no tree for, as `SELECT * FROM t`; None for what is no
    DESCRIBE. What that makes of any other text is checked by its tree (`is_only_a_table`)."""
    tokens = scan_tokens(sql[:_FIRST_CHARACTERS])
    if not tokens or tokens[0].keyword not in ("DESCRIBE", "DESC"):
        return None
    rest = tokens[1:]
    if len(rest) > 1 and rest[0].keyword == "TABLE" and rest[1].kind is not Kind.OTHER:
        rest = rest[1:]
    if not rest:
        return "SELECT * FROM "  # the parser says what is missing
    if rest[0].keyword not in ("SELECT", "WITH", "FROM"):
        return "SELECT * FROM " + sql[rest[0].start :]
    tokens = scan_tokens(sql)
    while tokens[-1].text == ";":
        tokens.pop()
    end = len(tokens)
    if tokens[-2].keyword == "FORMAT" and tokens[-1].is_name:
        end -= 2
    inner = sql[rest[0].start : tokens[end - 1].end]
    return f"SELECT * FROM (\n{inner}\n) {sql[tokens[end - 1].end : tokens[-1].end]}"


def is_only_a_table(tree: Tree) -> bool:
    selects = children_of(tree.get("list_of_selects"))
    if len(selects) != 1 or selects[0].keys() != {"type", "select", "tables"}:
        return False
    columns = children_of(selects[0]["select"])
    elements = children_of(selects[0]["tables"])
    return columns == [{"type": "Asterisk"}] and (
        len(elements) == 1 and elements[0].keys() == {"type", "table_expression"}
    )


def write_show_tables(tree: Tree) -> str:
    """`SHOW TABLES [LIKE 'x'] [LIMIT n]` as a SELECT of the workspace's tables."""
    for key, value in tree.items():
        if key not in _SHOW_KEYS and value is not False:
            raise refused("SHOW TABLES takes LIKE, LIMIT and FORMAT only")
    sql = "SELECT name FROM system.tables"
    if "like" in tree:
        operator = "ILIKE" if tree.get("case_insensitive_like") else "LIKE"
        sql += f" WHERE name {operator} {quote_literal(str(tree['like']))}"
    sql += " ORDER BY name"
    limit = tree.get("limit_length")
    if limit is not None:
        number = limit.get("value", {}).get("value")
        if limit.get("type") != "Literal" or not isinstance(number, int):
            raise refused("SHOW TABLES takes a number after LIMIT")
        sql += f" LIMIT {number}"
    if "format_ast" in tree:
        sql += f" FORMAT {quote_identifier(str(tree['format_ast'].get('name')))}"
    return sql
