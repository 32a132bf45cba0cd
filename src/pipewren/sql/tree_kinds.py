"""Which parts a SELECT's tree may have in the engine's version: kinds of nodes, and their keys.

One file by version (`engine_lists/tree_*.txt`), as for functions: what a later ClickHouse adds to
its tree is refused until somebody has looked at what it can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pipewren.errors import StartError


@cache
def load_tree_kinds(version: str) -> Mapping[str, frozenset[str]]:
    """The keys of each kind for an engine of `version`, as `26.9.2.1`; one that must be false has
    `!` in front. Raises StartError where there is no list."""
    release = "_".join(version.split(".")[:2])
    source = files("pipewren.sql").joinpath("engine_lists", f"tree_{release}.txt")
    if not source.is_file():
        raise StartError(
            f"Pipewren has no list of the parts of statements in ClickHouse {version}: use the "
            "version of chDB that it was installed with"
        )
    kinds: dict[str, frozenset[str]] = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, _, keys = line.partition(":")
            kinds[kind] = kinds.get(kind, frozenset()).union(keys.split())
    return kinds
