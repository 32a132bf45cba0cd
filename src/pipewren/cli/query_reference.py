"""The page of what statements of callers may use, made of the lists that the guard reads."""

from __future__ import annotations

from collections.abc import Iterable

from pipewren.serve.formats import NAMED
from pipewren.serve.query_settings import CALLER_BOUNDS
from pipewren.serve.system_tables import SYSTEM_TABLES
from pipewren.sql.author_rules import REASONS, load_author_rules
from pipewren.sql.caller_rules import load_caller_rules
from pipewren.sql.function_list import Access, load_functions
from pipewren.sql.tree_kinds import load_tree_kinds

VERSION = "26.9"


def render_page() -> str:
    """Markdown. One list a section, in order of names."""
    functions = load_functions(VERSION)
    rules = load_caller_rules(VERSION)
    verdicts = load_author_rules(VERSION).verdicts
    listed = [one for one in functions.exact.values() if one.access is Access.ANYONE]
    refused = sorted(set(functions.exact) - {one.name for one in listed})
    lines = [
        f"# What SQL over the API may use (ClickHouse {VERSION})\n",
        "What is on none of these lists is refused, also what a later ClickHouse adds. How it is "
        "used is in [SQL over the API](../query_api.md).\n",
        "## Formats\n",
        _code(NAMED),
        "\n## Table functions\n",
        _code(sorted(rules.table_functions)),
        "\n`view(SELECT ...)`, too. A list of columns, as in `values('a UInt8', 1)`, has names and "
        "types only.",
        "\n## Tables of `system`\n",
        _code(sorted(SYSTEM_TABLES)),
        "\n## SETTINGS at the end\n",
        *(
            f"- `{name}`"
            + (f": {_code(sorted(rules.values[name]))}" if name in rules.values else "")
            for name in sorted(rules.settings)
        ),
        "\n## Settings that bound each statement\n",
        "| setting | value |",
        "|---|---|",
        *(f"| `{name}` | {value} |" for name, value in CALLER_BOUNDS),
        "\n## Functions that are refused\n",
    ]
    for reason, text in REASONS.items():
        names = [name for name in refused if verdicts.get(name) == reason]
        if names:
            lines.append(f"- What {text}: {_code(names)}")
    others = [name for name in refused if verdicts.get(name) not in REASONS]
    lines += [
        "- What cannot be stopped by a limit, reads what no filter reaches, or tells of other "
        f"sessions: {_code(others)}",
        f"\n## Functions ({len(listed)})\n",
        "With their combinators (`sumIf`, `quantileState`) and in any case where ClickHouse takes "
        "that.\n",
        _code(sorted((one.name for one in listed), key=str.lower)),
        "\n## Parts of a statement\n",
        "Kinds of nodes of ClickHouse's tree, and their keys.\n",
    ]
    kinds = load_tree_kinds(VERSION)
    lines += [f"- `{kind}`: {', '.join(sorted(kinds[kind]))}" for kind in sorted(kinds)]
    return "\n".join(lines) + "\n"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
