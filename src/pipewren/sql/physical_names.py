"""A statement whose tables are named by database and physical table, for what outlives the database
of its deployment: a materialised view binds to the tables that it finds when it is made."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pipewren.errors import StatementError
from pipewren.sql.function_list import FunctionList
from pipewren.sql.lifting import Tree
from pipewren.sql.query_tree import read_tree


def bind_tables(
    tree: Tree, functions: FunctionList, *, database: str, tables: Mapping[str, str], where: str
) -> Tree:
    """A copy of the parser's tree in which each name of `tables` is `database`.`physical`, called
    as it was. Raises StatementError for a table right of IN, which has no place for two parts."""
    bound = copy.deepcopy(tree)
    for use in read_tree(bound, functions).uses:
        physical = tables.get(use.name)
        if physical is None:
            continue
        if isinstance(use.place, list):
            _bind_right_side(use.place, database, physical)
        else:
            table: dict[str, Any] = use.place["database_and_table_name"]
            table.setdefault("alias", use.name)
            table |= {"name": f"{database}.{physical}", "name_parts": [database, physical]}
    if bound.get("type") != "SelectWithUnionQuery":
        raise StatementError(f"{where} is no SELECT")
    return bound


def _bind_right_side(arguments: list[Any], database: str, physical: str) -> None:
    old = arguments[1]
    new = {
        "type": "TableIdentifier",
        "name": f"{database}.{physical}",
        "name_parts": [database, physical],
    }
    if "alias" in old:
        new["alias"] = old["alias"]
    arguments[1] = new
