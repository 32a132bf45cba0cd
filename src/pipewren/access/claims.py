"""The claims of a JWT, read strictly (tokens.md section 7).

A claim of the wrong type, an unknown one, or one that its scope does not take refuses the whole
token: whatever narrows a token must never be overlooked to its holder's gain. The same rules hold
for a JWT that the server is asked to make.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_CLAIMS_BYTES = 6144  # a token of at most 8 KB, which a URL can hold
MAX_SCOPES = 100
MAX_FIXED_PARAMETERS = 100
MAX_TEXT_LENGTH = 4096
MAX_NAME_LENGTH = 255
MAX_RPS = 1_000_000
# The end of the year 9999: what is beyond is no time in seconds, but in milliseconds.
MAX_TIME_S = 253_402_300_799
MAX_ISSUED_AHEAD_S = 30  # clocks differ; `iat` gives no right, so a little may be overlooked

# What says nothing of rights. `aud` is not among them: it tells who else the token is meant for.
_INFORMATION = frozenset({"iss", "sub", "jti"})
_TIMES = frozenset({"exp", "nbf", "iat"})
_KNOWN = frozenset({"workspace_id", "name", "scopes", "limits"}) | _INFORMATION | _TIMES
_SCOPE_KEYS: Mapping[str, frozenset[str]] = {
    "PIPES:READ": frozenset({"type", "resource", "fixed_params"}),
    "DATASOURCES:READ": frozenset({"type", "resource", "filter"}),
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ClaimError(ValueError):
    """What is wrong with the claims, in words for the one who made the token."""


@dataclass(frozen=True, slots=True)
class JwtScope:
    """`type` is PIPES:READ, with fixed parameters as texts, or DATASOURCES:READ with a filter."""

    type: str
    resource: str
    filter: str = ""
    fixed_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claims:
    """`workspace_uuid` with hyphens; `exp` and `nbf` in seconds since 1970; `rps` in requests a
    second, None for no limit."""

    workspace_uuid: str
    name: str
    exp: int
    scopes: tuple[JwtScope, ...]
    rps: int | None = None
    nbf: int | None = None
    iat: int | None = None


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object without a repeated key at any level, NaN or Infinity. Raises ClaimError."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except ClaimError:
        raise
    except (ValueError, RecursionError):  # also of broken UTF-8 and of numbers without end
        raise ClaimError("it is not valid JSON") from None
    if not isinstance(value, dict):
        raise ClaimError("it is not a JSON object")
    return value


def read_claims(payload: Mapping[str, Any]) -> Claims:
    """Raises ClaimError naming the claim. Times are read here and judged by `check_times`."""
    _refuse_unknown(payload, _KNOWN, "the claim")
    workspace = payload.get("workspace_id")
    if not isinstance(workspace, str) or not _UUID.fullmatch(workspace):
        raise ClaimError("the claim workspace_id must be the workspace's UUID")
    for name in _INFORMATION & payload.keys():
        _text(payload[name], f"the claim {name}", MAX_NAME_LENGTH)
    if "exp" not in payload:
        raise ClaimError("the claim exp is missing: every JWT needs a time of its end")
    times = {name: _time(payload[name], f"the claim {name}") for name in _TIMES & payload.keys()}
    return Claims(
        workspace_uuid=workspace,
        name=_text(payload.get("name"), "the claim name", MAX_NAME_LENGTH),
        exp=times["exp"],
        scopes=read_jwt_scopes(payload.get("scopes")),
        rps=read_rps(payload["limits"]) if "limits" in payload else None,
        nbf=times.get("nbf"),
        iat=times.get("iat"),
    )


def check_times(claims: Claims, now_s: float) -> None:
    """The token has begun and has not ended. Raises ClaimError."""
    if now_s >= claims.exp:
        raise ClaimError("the JWT has expired (exp)")
    if claims.nbf is not None and now_s < claims.nbf:
        raise ClaimError("the JWT is not valid yet (nbf)")
    if claims.iat is not None and now_s + MAX_ISSUED_AHEAD_S < claims.iat:
        raise ClaimError("the JWT was issued in the future (iat)")


def read_jwt_scopes(value: Any) -> tuple[JwtScope, ...]:
    """The scopes of a JWT. Raises ClaimError."""
    if not isinstance(value, list) or not value:
        raise ClaimError("the claim scopes must be a list of at least one scope")
    if len(value) > MAX_SCOPES:
        raise ClaimError(f"the claim scopes has more than {MAX_SCOPES} scopes")
    return tuple(_read_scope(scope, f"scopes[{index}]") for index, scope in enumerate(value))


def read_rps(value: Any) -> int | None:
    """`{"rps": 10}`; 0 and below are no limit (tokens.md section 7). Raises ClaimError."""
    if not isinstance(value, dict):
        raise ClaimError("the claim limits must be an object")
    _refuse_unknown(value, frozenset({"rps"}), "the limit")
    rps = value.get("rps", 0)
    if type(rps) is not int or abs(rps) > MAX_RPS:
        raise ClaimError(f"limits.rps must be a whole number up to {MAX_RPS:,}")
    return rps if rps > 0 else None


def read_name(value: Any) -> str:
    """A token's name, as `name` claims and static tokens have it. Raises ClaimError."""
    return _text(value, "the name", MAX_NAME_LENGTH)


def _read_scope(value: Any, where: str) -> JwtScope:
    if not isinstance(value, dict):
        raise ClaimError(f"{where} must be an object")
    type_ = value.get("type")
    keys = _SCOPE_KEYS.get(type_) if isinstance(type_, str) else None
    if keys is None or not isinstance(type_, str):
        raise ClaimError(f"{where}.type must be {' or '.join(_SCOPE_KEYS)}")
    _refuse_unknown(value, keys, f"{where} ({type_}):")
    resource = _text(value.get("resource"), f"{where}.resource", MAX_NAME_LENGTH)
    condition = ""
    if "filter" in value:
        condition = value["filter"]
        if not isinstance(condition, str) or not condition.strip():
            raise ClaimError(f"{where}.filter must be a condition: leave it out for none")
        if len(condition) > MAX_TEXT_LENGTH or not _is_unicode(condition):
            raise ClaimError(f"{where}.filter is too long, or no Unicode")
    fixed = {}
    if "fixed_params" in value:
        fixed = _read_fixed(value["fixed_params"], f"{where}.fixed_params")
    return JwtScope(type_, resource, condition, fixed)


def _read_fixed(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_FIXED_PARAMETERS:
        raise ClaimError(f"{where} must be an object of at most {MAX_FIXED_PARAMETERS} names")
    fixed: dict[str, str] = {}
    for name, one in value.items():
        _text(name, f"a name in {where}", MAX_NAME_LENGTH)
        fixed[name] = _as_parameter(one, f"{where}.{name[:100]}")
    return fixed


def _as_parameter(value: Any, where: str) -> str:
    """As templates take it: a text. Types cast it as they cast what a caller sends."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH and _is_unicode(value):
        return value
    raise ClaimError(f"{where} must be a text, a number or a boolean")


def _text(value: Any, where: str, max_length: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ClaimError(f"{where} must be a text")
    if len(value) > max_length or _CONTROL.search(value):
        raise ClaimError(
            f"{where} must have at most {max_length} characters, and no control characters"
        )
    return value


def _time(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TIME_S:
        raise ClaimError(f"{where} must be a whole number of seconds since 1970")
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_unknown(value: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = value.keys() - known
    if unknown:
        raise ClaimError(
            f"{where} {min(unknown)[:100]!a} is unknown, there are: {', '.join(sorted(known))}"
        )


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ClaimError(f"the key {name[:100]!a} occurs twice")
        found[name] = value
    return found


def _refuse_constant(_: str) -> Any:
    raise ClaimError("NaN and Infinity are no JSON")
