"""Which functions there are in the engine's version, and who may call them.

A list of names that are let through, one file by version (`engine_lists/`): a function that a
later ClickHouse adds is refused until somebody has looked at it (engine-guard.md section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files

from pipewren.errors import StartError

# Suffixes of aggregate functions, in the order of system.aggregate_function_combinators.
_COMBINATORS = (
    *("SimpleState", "OrDefault", "Distinct", "Resample", "ForEach", "ArgMax", "ArgMin", "OrNull"),
    *("Tuple", "Merge", "State", "Array", "Map", "If"),
)
# Not in system.functions: a lambda, `untuple(x)`, which is spread, and what the analyzer makes
# something else of.
_OF_THE_PARSER = ("lambda", "untuple", "exists", "grouping")


class Access(Enum):
    """Who may call a function."""

    ANYONE = "+"
    AUTHORS = "-"  # tells of the server or of other sessions, or cannot be stopped
    NOBODY = "!"  # reads files, tables or dictionaries: no row filter reaches there


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `is_deterministic`: False where a call gives another result each time."""

    name: str
    access: Access
    is_aggregate: bool = False
    takes_functions: bool = False
    is_deterministic: bool = True


@dataclass(frozen=True, slots=True)
class FunctionList:
    """The functions of one version. `folded` are those of which case does not count."""

    version: str
    exact: Mapping[str, Function]
    folded: Mapping[str, Function]

    def find(self, name: str) -> Function | None:
        """The function that `name` calls, combinators taken off (`sumIfMerge` is `sum`); None for
        one that is not on the list. As the engine does: the exact name first, suffixes by case."""
        rest = name
        while True:
            function = self.exact.get(rest) or self.folded.get(rest.lower())
            if function is not None and (rest is name or function.is_aggregate):
                return function
            ending = next((one for one in _COMBINATORS if rest.endswith(one)), None)
            if ending is None or ending == rest:
                return None
            rest = rest[: -len(ending)]


@cache
def load_functions(version: str) -> FunctionList:
    """The list for an engine of `version`, as `26.9.2.1`. Raises StartError where there is none."""
    release = "_".join(version.split(".")[:2])
    source = files("pipewren.sql").joinpath("engine_lists", f"clickhouse_{release}.txt")
    if not source.is_file():
        raise StartError(
            f"Pipewren has no list of the functions of ClickHouse {version}, without which row "
            "filters cannot be checked: use the version of chDB that it was installed with"
        )
    exact: dict[str, Function] = {name: Function(name, Access.ANYONE) for name in _OF_THE_PARSER}
    folded: dict[str, Function] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, access, *rest = line.split(" ")
        marks = rest[0] if rest else ""
        function = Function(name, Access(access), "a" in marks, "h" in marks, "n" not in marks)
        exact[name] = function
        if "i" in marks:
            folded[name.lower()] = function
    return FunctionList(version, exact, folded)
