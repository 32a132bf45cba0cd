"""A request's URL as it may be written down: without what opens anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

_VARIABLES = b"/v0/variables"
_TOKENS = b"/v0/tokens/"  # behind it a token's value may stand
_OPENING = frozenset({b"token"})
_OPENING_OF_VARIABLES = frozenset({b"token", b"value"})  # a secret's value


def loggable_url(scope: Mapping[str, Any]) -> str:
    """Path and query of ASGI's `scope`, percent-encoded as they were sent, so without blanks and
    control characters; parameters that carry a token or a secret's value are left out, however
    their names were spelt."""
    path: bytes = scope.get("raw_path") or scope["path"].encode(errors="replace")
    query: bytes = scope["query_string"]
    plain = _plain(path)
    if plain.startswith(_TOKENS):
        rest = plain[len(_TOKENS) :].rstrip(b"/")
        path = b"/v0/tokens/***/refresh" if rest.endswith(b"/refresh") else b"/v0/tokens/***"
    if query:
        hidden = _OPENING_OF_VARIABLES if plain.startswith(_VARIABLES) else _OPENING
        pairs = [
            pair
            for pair in query.split(b"&")
            if pair and _plain(pair.partition(b"=")[0]) not in hidden
        ]
        if pairs:
            path += b"?" + b"&".join(pairs)
    return path.decode("ascii", "backslashreplace")


def _plain(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" ")) if b"%" in text or b"+" in text else text
