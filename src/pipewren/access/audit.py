"""Audit lines: who did what, when, and whether it was allowed, one JSON object a line.

They go to the logger `pipewren.audit`: INFO for what was allowed, WARNING for what was refused. A
token is named by name and id. Its value is in no line: there is no parameter that would take it.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from pipewren.access.rights import Caller

AUDIT = logging.getLogger("pipewren.audit")
_MAX_TEXT = 255


def open_audit(stream: TextIO | None = None) -> None:
    """Write audit lines to `stream`, stderr by default, unless a handler is set already."""
    AUDIT.setLevel(logging.INFO)
    if not AUDIT.handlers:
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        AUDIT.addHandler(handler)
        AUDIT.propagate = False


def record_action(
    action: str,
    *,
    allowed: bool,
    caller: Caller | None,
    address: str | None,
    at_s: float,
    target: str | None = None,
    reason: str | None = None,
) -> None:
    """One line. `action` is `token.create` and the like, `target` the name of what was acted on,
    `reason` why it was refused. `caller` is None for a token that is not known."""
    level = logging.INFO if allowed else logging.WARNING
    if not AUDIT.isEnabledFor(level):
        return
    line = {
        "audit": action,
        "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds"),
        "allowed": allowed,
        "workspace_id": caller.workspace_id if caller else None,
        "token": _cut(caller.token_name) if caller else None,
        "token_id": caller.token_id or None if caller else None,
        "kind": ("jwt" if caller.is_jwt else "static") if caller else None,
        "address": address,
        "target": _cut(target),
        "reason": _cut(reason),
    }
    # ASCII: a name cannot break the line.
    text = json.dumps({key: value for key, value in line.items() if value is not None})
    AUDIT.log(level, "%s", text)


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_MAX_TEXT]
