"""A request's URL as it may be written down: without what opens anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

_VARIABLES = b"/v0/variables"
_TOKENS = b"/v0/tokens/"  # behind it a token's value may stand
_TOKEN = re.compile(rb"eyJ[\w-]+\.[\w-]+").search  # static ones and JWTs
_MAX_DECODED = 3  # times that a text is decoded to see what it hides
_OPENING = frozenset({b"token"})
_OPENING_OF_VARIABLES = frozenset({b"token", b"value"})  # a secret's value


def loggable_url(scope: Mapping[str, Any]) -> str:
    """Path and query of ASGI's `scope`, percent-encoded as they were sent, so without blanks and
    control characters; parameters that carry a token or a secret's value are left out, however
    their names were spelt, and values that hide a token are `***`. (One that is plain to see the
    log's lines mask themselves.)"""
    path: bytes = scope.get("raw_path") or scope["path"].encode(errors="replace")
    query: bytes = scope["query_string"]
    plain = _plain(path)
    if plain.startswith(_TOKENS):
        rest = plain[len(_TOKENS) :].rstrip(b"/")
        path = b"/v0/tokens/***/refresh" if rest.endswith(b"/refresh") else b"/v0/tokens/***"
    if query:
        hidden = _OPENING_OF_VARIABLES if plain.startswith(_VARIABLES) else _OPENING
        pairs = [
            pair.partition(b"=")[0] + b"=***" if b"%" in pair and _hides_token(pair) else pair
            for pair in query.split(b"&")
            if pair and _plain(pair.partition(b"=")[0]) not in hidden
        ]
        if pairs:
            path += b"?" + b"&".join(pairs)
    return path.decode("ascii", "backslashreplace")


def _hides_token(pair: bytes) -> bool:
    """Also where it is encoded several times."""
    for _ in range(_MAX_DECODED):
        before, pair = pair, _plain(pair)
        if pair == before:
            return False
        if _TOKEN(pair):
            return True
    return b"%" in pair and _plain(pair) != pair  # who encodes so often hides something


def _plain(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" ")) if b"%" in text or b"+" in text else text
