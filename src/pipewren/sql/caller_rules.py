"""Which table functions and settings the SQL of callers may use, by engine version.

One file by version in `engine_lists/`, as for functions (`function_list.py`): what a later
ClickHouse adds is refused until somebody has tried what it costs and what it reads
(engine-guard.md sections 5 and 6, query-api.md section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pipewren.errors import StartError

_ANY = "*"


@dataclass(frozen=True, slots=True)
class CallerRules:
    """`table_functions` are in lower case: the engine takes a few in any case and refuses the
    others, so case makes none pass. `values` has the words that a setting's value may be made of,
    where not all may stand."""

    table_functions: frozenset[str]
    settings: frozenset[str]
    values: Mapping[str, frozenset[str]]

    def allows_value(self, setting: str, value: str) -> bool:
        """Whether `setting` may have `value`: one word or several with commas, in any case."""
        if setting not in self.settings:
            return False
        allowed = self.values.get(setting)
        if allowed is None:
            return True
        return all(word.strip().lower() in allowed for word in value.split(","))


@cache
def load_caller_rules(version: str) -> CallerRules:
    """The rules for an engine of `version`, as `26.9.2.1`. Raises StartError where there are
    none."""
    release = "_".join(version.split(".")[:2])
    source = files("pipewren.sql").joinpath("engine_lists", f"callers_{release}.txt")
    if not source.is_file():
        raise StartError(
            f"Pipewren has no list of what callers may use in ClickHouse {version}: use the "
            "version of chDB that it was installed with"
        )
    tables: set[str] = set()
    settings: dict[str, frozenset[str]] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        head, _, words = line.partition(":")
        kind, *name = head.split()
        if kind == "table":
            tables.update(word.lower() for word in words.split())
        else:
            settings[name[0]] = frozenset(words.split())
    return CallerRules(
        frozenset(tables),
        frozenset(settings),
        {name: words for name, words in settings.items() if words != {_ANY}},
    )
