"""JWTs: HS256 with the workspace admin token as key, nothing else (tokens.md section 7).

The signature is PyJWT's work; what surrounds it is strict. A header has `alg` and `typ` and
nothing more, so that no `kid`, `jku`, `x5c` or `crit` can ask for another key or other rules, and
the key comes from `workspace_id` alone. Who refreshes the admin token voids every JWT.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from jwt import InvalidTokenError
from jwt.api_jws import PyJWS

from pipewren.access.claims import (
    MAX_CLAIMS_BYTES,
    ClaimError,
    check_times,
    parse_object,
    read_claims,
)
from pipewren.access.rights import Caller, jwt_caller

ALGORITHM = "HS256"
# RFC 7518 section 3.2. A shorter key could be guessed from any one JWT, without asking the server.
MIN_KEY_BYTES = 32
MAX_CACHED = 10_000
MAX_CACHED_BYTES = 16_000_000

_JWS = PyJWS(algorithms=[ALGORITHM], options={"enforce_minimum_key_length": True})
_WRONG = "its signature is wrong, or it is not of a workspace of this server"


class JwtError(ValueError):
    """Why a JWT is refused. `is_signed`: it was made with the right key, so its sender does not
    guess."""

    def __init__(self, reason: str, *, is_signed: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_signed = is_signed


@dataclass(frozen=True, slots=True)
class VerifiedJwt:
    """`key` is the one that it was verified with: another key ends it, and so does `exp`."""

    caller: Caller
    exp: int
    key: bytes


class JwtCache:
    """Verified JWTs by the digest of their text: bounded in number and in bytes of the texts;
    those not used for longest go first. What was refused is not kept."""

    def __init__(self, max_tokens: int = MAX_CACHED, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._verified: OrderedDict[bytes, tuple[VerifiedJwt, int]] = OrderedDict()
        self._bytes = 0
        self._max_tokens = max_tokens
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._verified)

    def find(self, digest: bytes, keys: Mapping[str, bytes], now_s: float) -> Caller | None:
        """The caller, while neither `exp` has come nor the workspace's key changed."""
        entry = self._verified.get(digest)
        if entry is None:
            return None
        verified = entry[0]
        caller = verified.caller
        if now_s >= verified.exp or keys.get(caller.workspace_id) != verified.key:
            self._drop(digest)
            return None
        self._verified.move_to_end(digest)
        return caller

    def keep(self, digest: bytes, verified: VerifiedJwt, size_bytes: int) -> None:
        """Remember a verified JWT whose text has `size_bytes`."""
        self._drop(digest)
        self._verified[digest] = (verified, size_bytes)
        self._bytes += size_bytes
        while len(self._verified) > self._max_tokens or self._bytes > self._max_bytes:
            self._drop(next(iter(self._verified)))

    def _drop(self, digest: bytes) -> None:
        entry = self._verified.pop(digest, None)
        if entry is not None:
            self._bytes -= entry[1]


def looks_like_jwt(token: bytes) -> bool:
    """Three parts, of which the first is the base64url of an object."""
    return token.startswith(b"ey") and token.count(b".") == 2


def sign_jwt(payload: Mapping[str, Any], key: bytes) -> str:
    """Raises JwtError when the workspace admin token is too short to be a key."""
    if len(key) < MIN_KEY_BYTES:
        raise JwtError(
            f"JWTs need a workspace admin token of at least {MIN_KEY_BYTES} bytes as their key: "
            "the setting admin_token gives a shorter one",
            is_signed=False,
        )
    return _JWS.encode(msgspec.json.encode(payload), key, algorithm=ALGORITHM)


def verify_jwt(token: bytes, keys: Mapping[str, bytes], now_s: float) -> VerifiedJwt:
    """Raises JwtError. `keys` are by workspace id, 32 hex digits.

    Claims are looked at before the signature only as far as it takes to find the key, and nothing
    is told of them before it holds.
    """
    try:
        header, payload, signature = token.split(b".")
        _check_header(parse_object(_decode(header)))
        raw = _decode(payload)
        if len(raw) > MAX_CLAIMS_BYTES:
            raise ClaimError(f"its claims are larger than {MAX_CLAIMS_BYTES:,} bytes")
        if len(_decode(signature)) != 32:
            raise ClaimError("its signature is not of HS256")
        claimed = parse_object(raw)
    except ValueError as error:
        reason = str(error) if isinstance(error, ClaimError) else "it is not three parts"
        raise JwtError(reason, is_signed=False) from None
    key, workspace_id = _find_key(claimed.get("workspace_id"), keys)
    if key is None or len(key) < MIN_KEY_BYTES:  # strangers need not know which
        raise JwtError(_WRONG, is_signed=False)
    try:
        signed: bytes = _JWS.decode(token, key, algorithms=[ALGORITHM])
    except InvalidTokenError:
        raise JwtError(_WRONG, is_signed=False) from None
    try:
        claims = read_claims(parse_object(signed))
        check_times(claims, now_s)
    except ClaimError as error:
        raise JwtError(str(error), is_signed=True) from None
    return VerifiedJwt(jwt_caller(workspace_id, claims), claims.exp, key)


def _find_key(claim: Any, keys: Mapping[str, bytes]) -> tuple[bytes | None, str]:
    if not isinstance(claim, str):
        return None, ""
    workspace_id = claim.replace("-", "")  # `read_claims` holds it to the one spelling
    return keys.get(workspace_id), workspace_id


def _check_header(header: Mapping[str, Any]) -> None:
    unknown = header.keys() - {"alg", "typ"}
    if unknown:
        raise ClaimError(f"its header has {min(unknown)[:50]!a}, where only alg and typ may be")
    if header.get("alg") != ALGORITHM:
        raise ClaimError(f"its header must have alg {ALGORITHM}")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.upper() != "JWT":
        raise ClaimError("its header has a typ other than JWT")


def _decode(part: bytes) -> bytes:
    """Base64url without padding, in the one spelling that its bytes have. Raises ClaimError."""
    try:
        raw = base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
    except binascii.Error:
        raw = b""
    if not raw or base64.urlsafe_b64encode(raw).rstrip(b"=") != part:
        raise ClaimError("a part of it is not base64url")
    return raw
