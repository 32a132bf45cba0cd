"""A statement's tree with every table behind its filter.

Each filtered table becomes `(SELECT * FROM db.t SAMPLE .. PREWHERE filter) AS t`, all other
tables get their database: the statement then runs where no data source has a bare name, so that
a name that was taken for a CTE and is none fails instead of being read whole.

The filter is a PREWHERE because the engine then adds nothing to it. Of a WHERE and a condition
around it the engine makes one PREWHERE, in which a function without short circuit, such as
toBool() or bitShiftLeft(), sees hidden rows where it reads no column but the filter's own (26.9,
tried: docs/row_filters.md). With FINAL it is a WHERE, since a PREWHERE would see old versions of
rows; conditions are not moved there (LEFT_OFF).

PREWHERE is a WHERE over the filtered rows: of the same SELECT where it has one table only, else
around the table's subquery, in front of its JOINs. As PREWHERE it would see hidden rows first
(engine-guard.md section 4).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipewren.sql.function_list import FunctionList
from pipewren.sql.lifting import FILTER_MARK, Tree
from pipewren.sql.query_tree import Hindrance, Reading, TableUse, read_tree

# Off by default, and not to be set where a filter acts: it makes a PREWHERE of a FINAL table's
# filter, and of conditions around it (26.9, tried).
LEFT_OFF = frozenset({"optimize_move_to_prewhere_if_final"})


def find_tree_hindrances(
    reading: Reading, acting: Collection[str], *, final: bool
) -> Hindrance | None:
    """What keeps the filters of `acting` from being put into the tree, if anything does. `final`:
    the setting of that name is on, so that every table is read so."""
    for use in reading.uses:
        if use.name not in acting:
            continue
        if isinstance(use.place, list):
            if use.name in reading.declared:
                return Hindrance(
                    use.name, f"'{use.name}' right of IN may be the name of two things"
                )
            continue
        size = use.place.get("sample_size")
        if size is not None and int(size["numerator"]) > int(size["denominator"]):
            return Hindrance(use.name, "SAMPLE with a number of rows depends on hidden rows")
        has_prewhere = use.select is not None and "prewhere" in use.select
        if has_prewhere and (final or any(_is_final(one) for one in _tables_of(use.select))):
            return Hindrance(use.name, "PREWHERE with FINAL would see hidden rows first")
    return None


def put_filters_in(
    tree: Tree,
    functions: FunctionList,
    *,
    database: str,
    datasources: Collection[str],
    acting: Collection[str],
    without_prewhere: Collection[str] = (),
    seals: bool = False,
    mark: str = FILTER_MARK,
) -> Tree:
    """`tree`, changed, with `mark` and its name as the condition for each table of `acting`.
    `without_prewhere` are those that take none: with a setting `final` that is on, all of them.
    `seals`: a CTE right of IN becomes a subquery, which an alias outside the statement cannot
    stand for (26.9, tried)."""
    reading = read_tree(tree, functions, takes_databases=True)
    if seals:
        for use in reading.ctes_after_in:
            put_right_of_in(use, use.name)
    for use in reading.uses:
        if use.name not in datasources or use.database not in ("", database):
            continue
        clause = "where" if use.name in without_prewhere else "prewhere"
        if isinstance(use.place, list):
            _replace_right_side(use, database, mark if use.name in acting else None, clause)
        elif use.name in acting:
            _replace_table(use, database, mark, clause)
        else:
            table = use.place["database_and_table_name"]
            table.setdefault("alias", use.name)
            table |= {"name": f"{database}.{use.name}", "name_parts": [database, use.name]}
    _move_prewheres(reading, acting)
    return tree


def _replace_right_side(use: TableUse, database: str, mark: str | None, clause: str) -> None:
    condition = _identifier(mark + use.name) if mark else None
    _put_right(use, _subquery(_table(use.name, database), condition, clause))


def put_right_of_in(use: TableUse, table: str) -> None:
    """The rows of `table`, which is no table of a database, right of IN."""
    _put_right(use, _subquery(_table(table), None))


def _put_right(use: TableUse, subquery: Tree) -> None:
    """`subquery` right of IN."""
    old = use.place[1]
    if "alias" in old:
        subquery["alias"] = old["alias"]
    use.place[1] = subquery


def _replace_table(use: TableUse, database: str, mark: str, clause: str) -> None:
    place = use.place
    table = place.pop("database_and_table_name")
    inner = _table(use.name, database)
    for key in ("final", "sample_size", "sample_offset"):
        if key in place:
            inner[key] = place.pop(key)
    if _is_final(inner):
        clause = "where"
    place["subquery"] = _subquery(inner, _identifier(mark + use.name), clause)
    place["subquery"]["alias"] = table.get("alias", use.name)


def _move_prewheres(reading: Reading, acting: Collection[str]) -> None:
    done: list[int] = []
    for use in reading.uses:
        select = use.select
        if use.name not in acting or select is None or id(select) in done:
            continue
        done.append(id(select))
        if "prewhere" not in select:
            continue
        elements = select["tables"]["children"]
        first = elements[0]["table_expression"]
        if len(elements) == 1:
            condition = select.pop("prewhere")
            if "where" in select:
                condition = _both(condition, select["where"])
            select["where"] = condition
        elif first is use.place:
            alias = first["subquery"]["alias"]
            inner: Tree = {"type": "TableExpression", "subquery": first["subquery"]}
            first["subquery"] = _subquery(inner, select.pop("prewhere"))
            first["subquery"]["alias"] = alias


def _both(first: Tree, second: Tree) -> Tree:
    return {
        "type": "Function",
        "name": "and",
        "arguments": {"type": "ExpressionList", "children": [first, second]},
        "is_operator": True,
    }


def _table(name: str, database: str = "") -> Tree:
    identifier: Tree = {"type": "TableIdentifier", "name": name}
    if database:
        identifier |= {"name": f"{database}.{name}", "name_parts": [database, name]}
    return {"type": "TableExpression", "database_and_table_name": identifier}


def _identifier(name: str) -> Tree:
    return {"type": "Identifier", "name": name}


def _subquery(table: Tree, condition: Tree | None, clause: str = "where") -> Tree:
    """`(SELECT * FROM table WHERE condition)`, as the parser makes it; `clause` may be
    `prewhere`."""
    element = {"type": "TablesInSelectQueryElement", "table_expression": table}
    select: Tree = {
        "type": "SelectQuery",
        "select": {"type": "ExpressionList", "children": [{"type": "Asterisk"}]},
        "tables": {"type": "TablesInSelectQuery", "children": [element]},
    }
    if condition is not None:
        select[clause] = condition
    union = {
        "type": "SelectWithUnionQuery",
        "union_mode": "UNION_DEFAULT",
        "list_of_selects": {"type": "ExpressionList", "children": [select]},
        "is_outfile_append": False,
        "is_outfile_truncate": False,
        "is_into_outfile_with_stdout": False,
    }
    return {"type": "Subquery", "children": [union]}


def _tables_of(select: Any) -> list[Tree]:
    return [
        element["table_expression"]
        for element in select["tables"]["children"]
        if "table_expression" in element
    ]


def _is_final(table: Tree) -> bool:
    return bool(table.get("final"))
