"""What an authorized call carries with it: a `Grant`.

A token does not only open an endpoint, it can narrow what is behind it. Whoever takes a grant
applies all of it, or refuses the call: nothing in a token is ignored to its holder's gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Grant:
    """`fixed` are parameters that win over the caller's, as texts. `filters` are conditions by
    data source, of which a row must meet any one; `result_filters` the same for the rows of the
    pipe itself. `rps`: requests a second for all tokens of the name; None is no limit."""

    fixed: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    result_filters: Sequence[str] = ()
    rps: int | None = None

    @property
    def is_plain(self) -> bool:
        """Nothing is narrowed: reading is all there is to it."""
        return not (self.fixed or self.filters or self.result_filters or self.rps is not None)


PLAIN = Grant()


def fix_values(values: Mapping[str, Any], fixed: Mapping[str, str]) -> Mapping[str, Any]:
    """The caller's values with the fixed ones in their place, whatever the caller sent under the
    name: a list, a number, another spelling by case (tokens.md section 7). They win silently."""
    if not fixed:
        return values
    folded = {name.casefold() for name in fixed}
    kept = {name: value for name, value in values.items() if name.casefold() not in folded}
    kept.update(fixed)
    return kept
