"""Who calls: a token's text -> `Caller`, or Forbidden (tokens.md sections 1 and 8).

Look-up is by digest, then the whole value is compared in constant time, so that neither the time
of the look-up nor that of the comparison tells anything of a near miss.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipewren.access.token_value import TokenValue, sign_token
from pipewren.errors import Forbidden
from pipewren.storage.tokens import Scope, StoredToken

MAX_TOKEN_BYTES = 8192
ADMIN_SCOPES = frozenset({"ADMIN", "ADMIN_USER"})


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller and what the token lets it do, read off the scopes once.

    `pipes` are the names that `PIPES:READ` names; `reads_all` stands for ADMIN and
    WORKSPACE:READ_ALL.
    """

    workspace_id: str
    token_id: str
    token_name: str
    is_admin: bool
    reads_all: bool
    pipes: frozenset[str]
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class Keyring:
    """All static tokens of all workspaces: digest of the value -> value and caller. Immutable; a
    change of tokens makes a new one."""

    entries: Mapping[bytes, tuple[bytes, Caller]]

    def value_of(self, workspace_id: str, name: str) -> TokenValue | None:
        """The value of a token by name, for the console's first start and the CLI."""
        for value, caller in self.entries.values():
            if caller.workspace_id == workspace_id and caller.token_name == name:
                return TokenValue(value.decode())
        return None


def build_keyring(
    key: bytes,
    tokens: Iterable[StoredToken],
    *,
    workspace_uuids: Mapping[str, str],
    given: Mapping[str, str],
) -> Keyring:
    """Compute every token's value. `given` holds values that a setting gives, by token id."""
    entries: dict[bytes, tuple[bytes, Caller]] = {}
    for token in tokens:
        uuid = workspace_uuids[token.workspace_id]
        value = (given.get(token.id) or sign_token(key, token, workspace_uuid=uuid)).encode()
        entries[_digest(value)] = (value, caller_of(token))
    return Keyring(entries)


def caller_of(token: StoredToken) -> Caller:
    """What a token's scopes allow. A scope with a filter gives nothing: row filters are not
    applied yet, and ignoring one would widen the right."""
    types = {scope.type for scope in token.scopes}
    is_admin = not types.isdisjoint(ADMIN_SCOPES)
    return Caller(
        workspace_id=token.workspace_id,
        token_id=token.id,
        token_name=token.name,
        is_admin=is_admin,
        reads_all=is_admin or "WORKSPACE:READ_ALL" in types,
        pipes=frozenset(
            scope.resource
            for scope in token.scopes
            if scope.type == "PIPES:READ" and not scope.filter
        ),
        scopes=token.scopes,
    )


def authenticate(token: str | None, keyring: Keyring) -> Caller:
    """The caller behind a token's text. Raises Forbidden (403, never 401: tokens.md section 8)."""
    if not token:
        raise Forbidden(
            "invalid authentication token. No token was sent: pass it as `Authorization: Bearer "
            "<token>` or as `?token=<token>`"
        )
    value = token.encode("utf-8", "surrogateescape")
    if len(value) > MAX_TOKEN_BYTES:
        raise Forbidden("invalid authentication token. The token is too long")
    entry = keyring.entries.get(_digest(value))
    if entry is None or not hmac.compare_digest(entry[0], value):
        raise Forbidden(f"invalid authentication token. Invalid token {_mask(token)}")
    return entry[1]


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def _mask(token: str) -> str:
    # Enough for a developer to see which kind of token it was, nothing to try again with.
    return "b'p.ey...'" if token.startswith("p.ey") else "b'...'"
