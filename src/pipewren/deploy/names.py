"""Physical names, and the way back: error texts of the engine name `w_<id>_d3.events` or
`w_<id>.events__2`, which callers know as `events`."""

from __future__ import annotations

import re

_QUALIFIED = re.compile(
    r"`?w_[0-9a-f]{32}(?P<deployment>_d\d+)?`?(?:\.(?P<quote>`?)(?P<name>[A-Za-z_]\w*)(?P=quote))?"
)
_VERSION = re.compile(r"__\d+$")


def logical_names(text: str) -> str:
    """`text` with every physical name replaced by the one that the project's files use."""
    return _QUALIFIED.sub(_logical, text)


def _logical(match: re.Match[str]) -> str:
    name: str | None = match["name"]
    if name is None:
        return "the workspace"
    return name if match["deployment"] else _VERSION.sub("", name)
