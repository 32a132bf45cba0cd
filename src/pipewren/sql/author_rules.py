"""What functions and table functions the SQL of a project's files may call, by engine version.

One file by version in `engine_lists/`. What reads nothing but its arguments passes, however much
it costs (issue: real projects use it); what reads files, the network, other databases or the
server's state is refused (engine-guard.md sections 2 and 6, engine-compat.md, Danger). Table
functions pass by a list of their own; functions by the list of all functions that are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from pipewren.errors import StartError
from pipewren.sql.function_list import FunctionList, load_functions

PASSES = "passes"
OWN_FIRST = "own_first"
REASONS: Mapping[str, str] = {
    "files": "reads files of the server",
    "network": "reaches other servers over the network",
    "catalogue": "reads tables by names that no deployment fixes",
    "server": "tells of the server or changes its state",
    "session": "tells of the server's sessions and settings",
    "program": "looks into the running program",
    "internal": "is internal to ClickHouse",
}


@dataclass(frozen=True, slots=True)
class AuthorRules:
    """`verdicts` are of functions that not everybody may call, `table_verdicts` of all table
    functions, by name: `PASSES`, `OWN_FIRST` or a key of `REASONS`. `unclassified` are functions
    that the engine has and no list of ours, in lower case. Names that neither knows pass: the
    engine refuses them, or its parser makes something of them (`exists`, `grouping`)."""

    functions: FunctionList
    verdicts: Mapping[str, str]
    table_verdicts: Mapping[str, str]
    refused_words: frozenset[str]  # functions and table functions that are refused, in lower case
    unclassified: frozenset[str] = frozenset()

    def with_functions_of(self, names: Iterable[str]) -> AuthorRules:
        """The same for an engine that has the functions `names`."""
        listed = self.functions.exact
        return replace(
            self, unclassified=frozenset(name.lower() for name in names if name not in listed)
        )

    def is_unclassified(self, name: str) -> bool:
        """Whether `name` calls a function that nobody has looked at; combinators may follow it."""
        return bool(self.unclassified) and name.lower().startswith(tuple(self.unclassified))

    def judge_function(self, name: str) -> str | None:
        """The verdict on the function that `name` calls; None where there is no such function."""
        function = self.functions.find(name)
        return None if function is None else self.verdicts.get(function.name, PASSES)

    def judge_table_function(self, name: str) -> str | None:
        """The verdict on a table function; None for one that is not on the list, which is refused
        too. ClickHouse takes some names in any case, so that case never makes one pass."""
        verdict = self.table_verdicts.get(name)
        if verdict is not None:
            return verdict
        folded = [key for key in self.table_verdicts if key.lower() == name.lower()]
        return self.table_verdicts[folded[0]] if folded else None


@cache
def load_author_rules(version: str) -> AuthorRules:
    """The rules for an engine of `version`, as `26.9.2.1`. Raises StartError where there are
    none."""
    functions = load_functions(version)
    release = "_".join(version.split(".")[:2])
    source = files("pipewren.sql").joinpath("engine_lists", f"authors_{release}.txt")
    if not source.is_file():
        raise StartError(
            f"Pipewren has no list of what projects may call in ClickHouse {version}: use the "
            "version of chDB that it was installed with"
        )
    verdicts: dict[str, dict[str, str]] = {"function": {}, "table": {}}
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        head, _, names = line.partition(":")
        kind, verdict = head.split()
        verdicts[kind].update(dict.fromkeys(names.split(), verdict))
    words = frozenset(
        name.lower()
        for of_kind in verdicts.values()
        for name, verdict in of_kind.items()
        if verdict in REASONS
    )
    return AuthorRules(functions, verdicts["function"], verdicts["table"], words)
