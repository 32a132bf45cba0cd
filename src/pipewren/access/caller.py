"""Who calls: a token's text -> `Caller`, or Forbidden (tokens.md sections 1 and 8).

Look-up is by digest, then the whole value is compared in constant time, so that neither the time
of the look-up nor that of the comparison tells anything of a near miss.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipewren.access.brute_force import Attempts
from pipewren.access.jwt import JwtCache, JwtError, looks_like_jwt, verify_jwt
from pipewren.access.rights import Caller, caller_of
from pipewren.access.token_value import TokenValue, sign_token
from pipewren.errors import Forbidden
from pipewren.storage.tokens import ADMIN_TOKEN, StoredToken

__all__ = [
    "MAX_TOKEN_BYTES",
    "Caller",
    "Keyring",
    "Refusal",
    "authenticate",
    "build_keyring",
    "caller_of",
    "change_keyring",
    "digest_of",
    "find_caller",
]

MAX_TOKEN_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Signer:
    """What values are computed from: the server's key, the workspaces' UUIDs by id, and the
    values that a setting gave, by the token's id and generation: a token that is refreshed has a
    computed one from then on."""

    key: bytes = field(repr=False)
    workspace_uuids: Mapping[str, str]
    given: Mapping[tuple[str, int], str] = field(repr=False)

    def value_of(self, token: StoredToken) -> TokenValue:
        """A token's value, given or computed."""
        given = self.given.get((token.id, token.generation))
        if given is not None:
            return TokenValue(given)
        return sign_token(self.key, token, workspace_uuid=self.workspace_uuids[token.workspace_id])


@dataclass(frozen=True, slots=True)
class Keyring:
    """All static tokens of all workspaces: digest of the value -> value and caller. A change of
    tokens makes a new one; the JWTs that were verified and the bad attempts go along with it.

    `jwt_keys` are the workspace admin tokens by workspace id.
    """

    entries: Mapping[bytes, tuple[bytes, Caller]] = field(repr=False)
    digests: Mapping[str, bytes] = field(repr=False)  # by token id
    jwt_keys: Mapping[str, bytes] = field(repr=False)
    signer: Signer = field(repr=False)
    jwts: JwtCache = field(repr=False)
    attempts: Attempts = field(repr=False)

    def value_of(self, workspace_id: str, name: str) -> TokenValue | None:
        """The value of a token by name, for the console's first start and the CLI."""
        for value, caller in self.entries.values():
            if caller.workspace_id == workspace_id and caller.token_name == name:
                return TokenValue(value.decode())
        return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a token is none. `is_guess`: its sender does not hold what makes a token."""

    message: str
    is_guess: bool


def build_keyring(
    key: bytes,
    tokens: Iterable[StoredToken],
    *,
    workspace_uuids: Mapping[str, str],
    given: Mapping[str, str],
    attempts: Attempts | None = None,
) -> Keyring:
    """Compute every token's value. `given` holds values that a setting gave, by token id, for the
    tokens as they are now."""
    known = list(tokens)
    values = {(one.id, one.generation): given[one.id] for one in known if one.id in given}
    signer = Signer(key, workspace_uuids, values)
    empty = Keyring({}, {}, {}, signer, JwtCache(), Attempts() if attempts is None else attempts)
    return change_keyring(empty, changed=known)


def change_keyring(
    keyring: Keyring, *, changed: Iterable[StoredToken] = (), deleted: Iterable[str] = ()
) -> Keyring:
    """The keyring with tokens added or replaced, and others, by id, gone. The old one stays as it
    is, so that a request sees all of a change or nothing."""
    entries, digests = dict(keyring.entries), dict(keyring.digests)
    jwt_keys = dict(keyring.jwt_keys)

    def drop(token_id: str) -> None:
        digest = digests.pop(token_id, None)
        if digest is not None:
            value, caller = entries.pop(digest)
            if jwt_keys.get(caller.workspace_id) == value:
                del jwt_keys[caller.workspace_id]

    for token_id in deleted:
        drop(token_id)
    for token in changed:
        drop(token.id)
        value = keyring.signer.value_of(token).encode()
        digest = digest_of(value)
        entries[digest] = (value, caller_of(token))
        digests[token.id] = digest
        if token.name == ADMIN_TOKEN and token.origin == "default":
            jwt_keys[token.workspace_id] = value
    return replace(keyring, entries=entries, digests=digests, jwt_keys=jwt_keys)


def authenticate(token: str | None, keyring: Keyring, now_s: float) -> Caller:
    """The caller behind a token's text. Raises Forbidden (403, never 401: tokens.md section 8)."""
    found = find_caller(token, keyring, now_s)
    if isinstance(found, Refusal):
        raise Forbidden(found.message)
    return found


def find_caller(
    token: str | None,
    keyring: Keyring,
    now_s: float,
    *,
    on_first_use: Callable[[Caller], None] | None = None,
) -> Caller | Refusal:
    """The caller behind a token's text, a static token's or a JWT's. `on_first_use` is told of a
    JWT that was not in the cache."""
    if not token:
        return _NO_TOKEN
    value = token.encode("utf-8", "surrogatepass")
    if len(value) > MAX_TOKEN_BYTES:
        return _TOO_LONG
    digest = digest_of(value)
    entry = keyring.entries.get(digest)
    if entry is not None and hmac.compare_digest(entry[0], value):
        return entry[1]
    caller = keyring.jwts.find(digest, keyring.jwt_keys, now_s)
    if caller is not None:
        return caller
    if not looks_like_jwt(value):
        return Refusal(f"invalid authentication token. Invalid token {_mask(token)}", True)
    try:
        verified = verify_jwt(value, keyring.jwt_keys, now_s)
    except JwtError as error:
        return Refusal(
            f"invalid authentication token. Invalid token {_mask(token)}: {error.reason}",
            is_guess=not error.is_signed,
        )
    keyring.jwts.keep(digest, verified, len(value))
    if on_first_use is not None:
        on_first_use(verified.caller)
    return verified.caller


def digest_of(value: bytes) -> bytes:
    """What a value is looked up by."""
    return hashlib.sha256(value).digest()


_NO_TOKEN = Refusal(
    "invalid authentication token. No token was sent: pass it as `Authorization: Bearer <token>` "
    "or as `?token=<token>`",
    is_guess=False,
)
_TOO_LONG = Refusal("invalid authentication token. The token is too long", is_guess=True)


def _mask(token: str) -> str:
    # Enough for a developer to see which kind of token it was, nothing to try again with.
    return "b'p.ey...'" if token.startswith("p.ey") else "b'...'"
