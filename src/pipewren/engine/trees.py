"""Trees of statements, as `parseQueryToJSON` writes them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pipewren.errors import BadRequest

# Floats that look like integers, which formatQueryFromJSON refuses or, of -0, loses the sign. In
# texts quotes are escaped, so nothing else looks so.
_FLOATS = re.compile(rb'("field_type":"Float64","value":)(-0|-?[0-9]{20,})(?=[},])')


def decode_tree(body: bytes) -> dict[str, Any]:
    """Raises BadRequest for what is nested too deeply, and for texts that are not UTF-8."""
    try:
        tree: dict[str, Any] = msgspec.json.decode(_FLOATS.sub(rb"\1\2.0", body))
    except (RecursionError, msgspec.DecodeError, UnicodeDecodeError):
        raise _unreadable(body) from None
    return tree


def _unreadable(body: bytes) -> BadRequest:
    """Why a tree cannot be decoded."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return BadRequest("A text in the statement is not UTF-8: write its bytes with unhex('...')")
    return BadRequest("The statement is nested too deeply.")
