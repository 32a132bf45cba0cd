"""What a statement of a project's files may not do, read off its tree before the engine sees it.

`DESCRIBE` and `CREATE` run scalar subqueries, open files and reach servers (engine-guard.md
section 1), so this comes first. The walk is total: every node, whatever its kind, in every depth;
names are looked for where the parser is known to put them, and in parts of a kind that is not known
no refused name may stand at all. Names of tables without a database are the engine's to resolve.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pipewren.sql.author_rules import OWN_FIRST, PASSES, REASONS, AuthorRules
from pipewren.sql.author_settings import ALLOWED_SETTINGS, MAX_EXECUTION_TIME, MAX_THREADS
from pipewren.sql.evaluated_texts import (
    OF_AGGREGATES,
    OF_COLUMNS,
    is_plain_aggregate,
    is_plain_table_function,
)
from pipewren.sql.lifting import Tree
from pipewren.sql.own_databases import OWN_DATABASES
from pipewren.sql.query_tree import IN_FUNCTIONS, children_of
from pipewren.sql.time_zones import has_zone_file
from pipewren.sql.trees import nodes_of, text_of

_SETTINGS = ALLOWED_SETTINGS | {MAX_THREADS, MAX_EXECUTION_TIME}
_SERVICE = "tinybird"  # `tinybird.pipe_stats_rt`: service_datasources.py
# The tables of `system` that hold no state: rows of zeros and numbers.
_CONSTANT = frozenset({"one", "numbers", "numbers_mt", "zeros", "zeros_mt"})
_OF_THE_SERVER = re.compile(
    r"(?:system|default|information_schema|_temporary_and_external_tables|"
    rf"{OWN_DATABASES})",
    re.IGNORECASE,
).fullmatch
_OWN_DATABASE = frozenset(
    {"currentdatabase", "current_database", "database", "schema", "currentschemas"}
)
_ROOT = frozenset({"out_file", "format_ast", "compression"})
# Functions that are called without brackets, also in quotes, and whose names no column has.
_WITHOUT_BRACKETS = frozenset({"currentuser", "currenthandler", "currentrequesturl"})
_PLAINLY = "Write its name as one text, with numbers and texts as its parameters"
_KINDS = frozenset(
    {"ArrayJoin", "Asterisk", "ColumnsApplyTransformer", "ColumnsExceptTransformer"}
    | {"ColumnsListMatcher", "ColumnsRegexpMatcher", "ColumnsReplaceTransformer"}
    | {"ColumnsReplaceTransformerReplacement", "ColumnsTransformerList", "ExpressionList"}
    | {"Function", "Identifier", "InterpolateElement", "Literal", "OrderByElement"}
    | {"QualifiedAsterisk", "QualifiedColumnsListMatcher", "QualifiedColumnsRegexpMatcher"}
    | {"QueryParameter", "SampleRatio", "SelectQuery", "SelectWithUnionQuery", "SetQuery"}
    | {"Subquery", "TableExpression", "TableIdentifier", "TableJoin", "TablesInSelectQuery"}
    | {"TablesInSelectQueryElement", "WindowDefinition", "WindowListElement", "WithElement"}
    | {"SelectIntersectExceptQuery"}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is what stands in the text, "" where no word does; `reason` a sentence without its
    end, `the function file() reads files of the server`; `hint` what to do instead."""

    name: str
    reason: str
    hint: str = ""


@dataclass(slots=True)
class _Walk:
    rules: AuthorRules
    is_open: Callable[[str], bool]
    is_statement: bool
    aliases: set[str] = field(default_factory=set)
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def add(self, name: str, reason: str, hint: str = "") -> None:
        self.found.setdefault((name, reason), Finding(name, reason, hint))


def find_forbidden(
    tree: Tree,
    rules: AuthorRules,
    *,
    is_open: Callable[[str], bool] = lambda name: False,
) -> list[Finding]:
    """All that is forbidden in a statement's tree, each once. `is_open`: whether a name holds what
    a caller's value will be put in place of, which may be no function's name."""
    walk = _Walk(rules, is_open, is_statement=True)
    if tree.get("type") != "SelectWithUnionQuery":
        walk.add("", "it is no SELECT", "A node is one SELECT")
    for key in _ROOT.intersection(tree):
        word = "INTO OUTFILE" if key == "out_file" else "FORMAT"
        walk.add(word.split()[-1], f"it has {word}", "A call chooses the format by its extension")
    return _walk_tree(walk, tree)


def find_forbidden_in_table(tree: Tree, rules: AuthorRules) -> list[Finding]:
    """The same for the tree of a CREATE TABLE, whose SETTINGS and kinds of parts are others."""
    return _walk_tree(_Walk(rules, lambda name: False, is_statement=False), tree)


def name_reason(rules: AuthorRules, word: str, *, is_table: bool) -> str:
    """Why a refused function or table function is, as `Finding.reason`."""
    verdicts = rules.table_verdicts if is_table else rules.verdicts
    verdict = next((verdicts[one] for one in verdicts if one.lower() == word.lower()), "")
    what = "table function" if is_table else "function"
    reason = REASONS.get(verdict, "is not on the list of those that a project may use")
    return f"the {what} {word[:60]}() {reason}"


def _walk_tree(walk: _Walk, tree: Tree) -> list[Finding]:
    nodes = nodes_of(tree)
    walk.aliases.update(str(node["alias"]) for node in nodes if "alias" in node)
    tables: list[int] = []  # Function nodes that are table functions
    for node in nodes:
        kind = node.get("type")
        if kind == "TableExpression" and isinstance(node.get("table_function"), dict):
            tables += _read_table_function(walk, node["table_function"])
        elif kind == "Function" and id(node) not in tables:
            _read_function(walk, node)
        elif kind == "ColumnsApplyTransformer" and isinstance(node.get("func_name"), str):
            _check_function(walk, node["func_name"])
            _check_passed(walk, node["func_name"])
        elif kind == "TableIdentifier":
            _read_table(walk, node)
        elif kind == "Identifier" and str(node.get("name")).lower() in _WITHOUT_BRACKETS:
            walk.add(str(node["name"]), name_reason(walk.rules, str(node["name"]), is_table=False))
        elif kind == "SetQuery" and walk.is_statement:
            _read_settings(walk, node)
        elif kind == "QueryParameter" and "Identifier" in str(node.get("param_type")):
            walk.add(str(node.get("name")), "a parameter of type Identifier stands for a name", "")
        elif kind not in _KINDS and walk.is_statement:
            _read_unknown(walk, node)
    return list(walk.found.values())


def _read_table_function(walk: _Walk, node: Tree) -> list[int]:
    name = str(node.get("name"))
    verdict = walk.rules.judge_table_function(name)
    own = [id(node)]
    arguments = children_of(node.get("arguments"))
    if walk.is_open(name):
        walk.add(name, "a value stands in the place of a function's name", "")
    elif not is_plain_table_function(name, arguments) or (
        name.lower() in OF_COLUMNS and _is_open_text(walk, arguments)
    ):
        walk.add(
            name,
            f"the columns of {name}() are more than names and types",
            "Write them as one text, 'name Type, name Type', without a value in it",
        )
    elif verdict != PASSES:
        walk.add(
            name,
            name_reason(walk.rules, name, is_table=True),
            "Read data sources, pipes and nodes by their names",
        )
    if name.lower() == "viewifpermitted":
        for argument in children_of(node.get("arguments")):
            if argument.get("type") == "Function":
                own += _read_table_function(walk, argument)
    return own


def _read_function(walk: _Walk, node: Tree) -> None:
    name = str(node.get("name"))
    arguments = children_of(node.get("arguments"))
    verdict = _check_function(walk, name, arguments)
    if has_zone_file(name, arguments):
        walk.add(name, f"the time zone of {name[:60]}() is a file of the server", "")
    if name.lower() in OF_AGGREGATES and (
        not is_plain_aggregate(arguments) or _is_open_text(walk, arguments)
    ):
        walk.add(name, f"{name}() does not name its aggregate function plainly", _PLAINLY)
    if verdict == OWN_FIRST and arguments and not _is_own_name(walk, arguments[0]):
        walk.add(
            name,
            f"{name}() does not name its dictionary or table plainly",
            "Write its name as a text, without a database and without a value in it",
        )
    function = walk.rules.functions.find(name)
    if function is not None and function.takes_functions:
        for argument in arguments:
            if argument.get("type") == "Identifier" and "name_parts" not in argument:
                _check_passed(walk, str(argument.get("name")))
    if name.lower() in IN_FUNCTIONS and len(arguments) == 2:
        parts = arguments[1].get("name_parts") or []
        if parts and _OF_THE_SERVER(str(parts[0])):
            _refuse_database(walk, ".".join(map(str, parts)))


def _check_function(walk: _Walk, name: str, arguments: list[Tree] | None = None) -> str | None:
    verdict = walk.rules.judge_function(name)
    if walk.is_open(name):
        walk.add(
            name,
            "a value stands in the place of a function's name",
            "Choose between functions with {% if %}",
        )
    elif verdict is None and walk.rules.is_unclassified(name):
        walk.add(name, f"{name[:60]}() is not on the list of functions that were looked at", "")
    elif verdict in REASONS and not _asks_own_database(name, arguments):
        shown = name_reason(walk.rules, name, is_table=False)
        if name.lower() == "globalvariable":
            shown = f"@@ {REASONS['session']}"
        walk.add(name, shown, "")
    return verdict


def _asks_own_database(name: str, arguments: list[Tree] | None) -> bool:
    """`hasColumnInTable(currentDatabase(), 'events', 'page')`."""
    if name != "hasColumnInTable" or arguments is None or len(arguments) != 3:
        return False
    return str(arguments[0].get("name")).lower() in _OWN_DATABASE and (
        arguments[0].get("type") == "Function"
    )


def _is_open_text(walk: _Walk, arguments: list[Tree]) -> bool:
    """Whether a caller's value will be in a text that the engine evaluates."""
    text = text_of(arguments[0]) if arguments else None
    return text is not None and walk.is_open(text)


def _check_passed(walk: _Walk, name: str) -> None:
    """A function that is passed by its name, `arrayMap(toString, list)`."""
    if name.lower() in OF_AGGREGATES:
        walk.add(name, f"{name}() does not name its aggregate function plainly", _PLAINLY)
    if walk.is_open(name):
        walk.add(
            name,
            "a value stands in the place of a function's name",
            "Write a lambda: x -> ...",
        )
    elif walk.rules.judge_function(name) in (*REASONS, OWN_FIRST):
        walk.add(name, name_reason(walk.rules, name, is_table=False), "")


def _is_own_name(walk: _Walk, argument: Tree) -> bool:
    if argument.get("type") == "Literal":
        value = argument.get("value")
        name = value.get("value") if isinstance(value, dict) else value
    elif argument.get("type") == "Identifier" and "name_parts" not in argument:
        name = argument.get("name")
        if name in walk.aliases:
            return False
    else:
        return False
    return isinstance(name, str) and "." not in name and not walk.is_open(name)


def _read_table(walk: _Walk, node: Tree) -> None:
    parts = node.get("name_parts")
    if not parts:
        return
    passes = parts[0] == _SERVICE or (parts[0] == "system" and parts[1] in _CONSTANT)
    if not passes or len(parts) != 2:
        _refuse_database(walk, ".".join(map(str, parts)))


def _refuse_database(walk: _Walk, name: str) -> None:
    first = name.partition(".")[0]
    walk.add(
        first,
        f"it reads {name[:80]}, by the name of a database",
        "Read data sources, pipes and nodes by their names alone",
    )


def _read_settings(walk: _Walk, node: Tree) -> None:
    for change in node.get("changes", ()):
        name = str(change.get("name"))
        if name not in _SETTINGS:
            walk.add(name, f"the setting {name[:60]} cannot be given in SETTINGS", "Remove it")


def _read_unknown(walk: _Walk, node: Tree) -> None:
    for key, value in node.items():
        if key != "type" and isinstance(value, str) and value.lower() in walk.rules.refused_words:
            kind = str(node.get("type", "a part"))[:40]
            walk.add(value, f"{value[:60]} stands in a part that is not known ({kind})", "")
