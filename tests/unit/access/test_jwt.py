"""JWTs: what is refused, and how long a verified one is remembered."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from pipewren.access.caller import (
    MAX_TOKEN_BYTES,
    Caller,
    Keyring,
    Refusal,
    authenticate,
    change_keyring,
    find_caller,
)
from pipewren.access.claims import MAX_CLAIMS_BYTES, Claims, JwtScope
from pipewren.access.jwt import JwtCache, VerifiedJwt
from pipewren.access.rights import jwt_caller
from pipewren.errors import Forbidden
from tests.unit.access.jwts import (
    KEY,
    NOW,
    OTHER_KEY,
    OTHER_UUID,
    READ,
    ROWS,
    TOKENS,
    UUID,
    WORKSPACE_ID,
    claims,
    encoded,
    new_keyring,
    signed,
)


def refusal(token: str, keyring: Keyring | None = None) -> Refusal:
    found = find_caller(token, keyring or new_keyring(), NOW)
    assert isinstance(found, Refusal)
    return found


def as_json(**changes: Any) -> bytes:
    return json.dumps(claims(**changes)).encode()


def rsa_signed() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims(), private, algorithm="RS256")


def with_header(**changes: Any) -> str:
    return signed(claims(), {"alg": "HS256", "typ": "JWT", **changes})


def with_scope(**changes: Any) -> str:
    return signed(claims(scopes=[{**READ, **changes}]))


def cut(token: str, *parts: str) -> str:
    return ".".join(parts or token.split(".")[:2])


GOOD = signed(claims())
HEAD, BODY, SIGNATURE = GOOD.split(".")

HEADER_ATTACKS: dict[str, Callable[[], str]] = {
    "alg none without signature": lambda: cut("", encoded(b'{"alg":"none"}').decode(), BODY, ""),
    "alg none with a signature": lambda: with_header(alg="none"),
    "alg None by case": lambda: with_header(alg="nOnE"),
    "alg hs256 by case": lambda: with_header(alg="hs256"),
    "alg missing": lambda: signed(claims(), {"typ": "JWT"}),
    "alg empty": lambda: with_header(alg=""),
    "alg null": lambda: with_header(alg=None),
    "alg a list": lambda: with_header(alg=["HS256"]),
    "alg HS384": lambda: jwt.encode(claims(), KEY, algorithm="HS384"),
    "alg HS512": lambda: jwt.encode(claims(), KEY, algorithm="HS512"),
    "alg RS256 with a real RSA signature": rsa_signed,
    "alg RS256 over an HMAC": lambda: with_header(alg="RS256"),
    "alg ES256 over an HMAC": lambda: with_header(alg="ES256"),
    "alg twice": lambda: signed(claims(), b'{"alg":"HS256","alg":"none"}'),
    "alg twice, the good one last": lambda: signed(claims(), b'{"alg":"none","alg":"HS256"}'),
    "kid": lambda: with_header(kid="../../dev/null"),
    "kid of another workspace": lambda: with_header(kid=OTHER_UUID),
    "jku": lambda: with_header(jku="https://evil.example/jwks.json"),
    "jwk": lambda: with_header(jwk={"kty": "oct", "k": "AA"}),
    "x5u": lambda: with_header(x5u="https://evil.example/x.pem"),
    "x5c": lambda: with_header(x5c=["MIIB"]),
    "x5t": lambda: with_header(x5t="AA"),
    "crit": lambda: with_header(crit=["exp"]),
    "crit empty": lambda: with_header(crit=[]),
    "b64 false": lambda: with_header(b64=False, crit=["b64"]),
    "b64 true": lambda: with_header(b64=True),
    "zip": lambda: with_header(zip="DEF"),
    "cty": lambda: with_header(cty="JWT"),
    "enc": lambda: with_header(enc="A128GCM"),
    "typ of another kind": lambda: with_header(typ="at+jwt"),
    "typ a number": lambda: with_header(typ=1),
    "header a list": lambda: signed(claims(), ["HS256"]),
    "header no JSON": lambda: signed(claims(), b"HS256"),
    "two parts": lambda: cut(GOOD),
    "four parts": lambda: GOOD + ".AA",
    "five parts, as JWE": lambda: f"{HEAD}..{BODY}.{SIGNATURE}.AA",
    "no signature": lambda: f"{HEAD}.{BODY}.",
    "signature cut": lambda: GOOD[:-2],
    "signature longer": lambda: GOOD + "AAAA",
    "signature padded": lambda: GOOD + "=",
    "signature with other spare bits": lambda: (
        GOOD[:-1] + chr(ord(GOOD[-1]) + 1) if GOOD[-1] not in "Zz9_" else GOOD[:-1] + "-"
    ),
    "signature with a line break": lambda: GOOD[:-5] + "\n" + GOOD[-5:],
    "signature all zero": lambda: f"{HEAD}.{BODY}.{encoded(bytes(32)).decode()}",
    "signature of the claims alone": lambda: (
        f"{HEAD}.{BODY}.{encoded(hmac.digest(KEY, BODY.encode(), 'sha256')).decode()}"
    ),
    "claims changed after signing": lambda: (
        f"{HEAD}.{encoded(json.dumps(claims(name='x')).encode()).decode()}.{SIGNATURE}"
    ),
    "claims of standard base64": lambda: GOOD.replace(BODY, BODY + "+/"),
    "another workspace's key": lambda: signed(claims(), key=OTHER_KEY),
    "another workspace named, own key": lambda: signed(claims(workspace_id=OTHER_UUID)),
    "an unknown workspace": lambda: signed(claims(workspace_id=UUID.replace("a", "c"))),
    "the member's admin token as key": lambda: signed(
        claims(), key=new_keyring().entries[new_keyring().digests["3"]][0]
    ),
    "an empty key": lambda: signed(claims(), key=b""),
    "the admin token's signature part as key": lambda: signed(claims(), key=KEY.rsplit(b".", 1)[1]),
    "too long": lambda: signed(claims(name="x" * MAX_TOKEN_BYTES)),
    "claims too large": lambda: signed(claims(name="x" * MAX_CLAIMS_BYTES)),
    "nested without end": lambda: signed(b"[" * 5000 + b"]" * 1000),
    "claims no UTF-8": lambda: signed(b'{"workspace_id":"\xff"}'),
    "claims with a byte order mark": lambda: signed(
        b"\xef\xbb\xbf" + json.dumps(claims()).encode()
    ),
    "claims in UTF-16": lambda: signed(json.dumps(claims()).encode("utf-16")),
    "workspace_id missing": lambda: signed(claims(workspace_id=...)),
    "workspace_id null": lambda: signed(claims(workspace_id=None)),
    "workspace_id a list": lambda: signed(claims(workspace_id=[UUID])),
    "exp of so many digits": lambda: signed(
        json.dumps(claims()).replace(str(NOW + 60), "9" * 5000).encode()
    ),
}
CLAIM_ATTACKS: dict[str, Callable[[], str]] = {
    "workspace_id without hyphens": lambda: signed(claims(workspace_id=WORKSPACE_ID)),
    "exp missing": lambda: signed(claims(exp=...)),
    "exp null": lambda: signed(claims(exp=None)),
    "exp now": lambda: signed(claims(exp=NOW)),
    "exp past": lambda: signed(claims(exp=NOW - 1)),
    "exp zero": lambda: signed(claims(exp=0)),
    "exp negative": lambda: signed(claims(exp=-NOW)),
    "exp float": lambda: signed(claims(exp=NOW + 60.5)),
    "exp whole float": lambda: signed(claims(exp=float(NOW + 60))),
    "exp with an exponent": lambda: signed(
        json.dumps(claims()).replace(str(NOW + 60), "1e10").encode()
    ),
    "exp text": lambda: signed(claims(exp=str(NOW + 60))),
    "exp true": lambda: signed(claims(exp=True)),
    "exp a list": lambda: signed(claims(exp=[NOW + 60])),
    "exp huge": lambda: signed(claims(exp=10**30)),
    "exp in milliseconds": lambda: signed(claims(exp=(NOW + 60) * 1000)),
    "exp beyond 64 bits": lambda: signed(claims(exp=2**64 + NOW)),
    "nbf in the future": lambda: signed(claims(nbf=NOW + 1)),
    "nbf float": lambda: signed(claims(nbf=1.5)),
    "nbf text": lambda: signed(claims(nbf="0")),
    "nbf negative": lambda: signed(claims(nbf=-1)),
    "nbf huge": lambda: signed(claims(nbf=10**30)),
    "iat in the future": lambda: signed(claims(iat=NOW + 3600)),
    "iat float": lambda: signed(claims(iat=NOW - 1.5)),
    "iat text": lambda: signed(claims(iat="now")),
    "iat huge": lambda: signed(claims(iat=10**30)),
    "name missing": lambda: signed(claims(name=...)),
    "name empty": lambda: signed(claims(name="")),
    "name a number": lambda: signed(claims(name=1)),
    "name with a line break": lambda: signed(claims(name="a\nb")),
    "name too long": lambda: signed(claims(name="x" * 256)),
    "name half a surrogate": lambda: signed(claims(name="\ud800")),
    "scopes missing": lambda: signed(claims(scopes=...)),
    "scopes empty": lambda: signed(claims(scopes=[])),
    "scopes null": lambda: signed(claims(scopes=None)),
    "scopes an object": lambda: signed(claims(scopes=READ)),
    "scopes a text": lambda: signed(claims(scopes="ADMIN")),
    "scopes of texts": lambda: signed(claims(scopes=["PIPES:READ:top"])),
    "scopes too many": lambda: signed(
        claims(scopes=[{"type": "PIPES:READ", "resource": "t"}] * 101)
    ),
    "scope ADMIN": lambda: signed(claims(scopes=[READ, {"type": "ADMIN"}])),
    "scope ADMIN with a resource": lambda: with_scope(type="ADMIN"),
    "scope READ_ALL": lambda: with_scope(type="WORKSPACE:READ_ALL"),
    "scope TOKENS": lambda: with_scope(type="TOKENS"),
    "scope append": lambda: with_scope(type="DATASOURCES:APPEND"),
    "scope singular": lambda: with_scope(type="PIPE:READ"),
    "scope by case": lambda: with_scope(type="pipes:read"),
    "scope type missing": lambda: signed(claims(scopes=[{"resource": "top"}])),
    "scope type a list": lambda: with_scope(type=["PIPES:READ"]),
    "scope resource missing": lambda: signed(claims(scopes=[{"type": "PIPES:READ"}])),
    "scope resource empty": lambda: with_scope(resource=""),
    "scope resource a list": lambda: with_scope(resource=["top"]),
    "scope resource null": lambda: with_scope(resource=None),
    "scope with a misspelt fixed_param": lambda: with_scope(fixed_param={"a": "b"}),
    "scope with fixedParams": lambda: with_scope(fixedParams={"a": "b"}),
    "scope with an unknown claim": lambda: with_scope(columns=["a"]),
    "filter on a pipe": lambda: with_scope(filter="a = 1"),
    "fixed_params on a source": lambda: signed(claims(scopes=[{**ROWS, "fixed_params": {"a": 1}}])),
    "filter a list": lambda: signed(claims(scopes=[{**ROWS, "filter": ["a = 1"]}])),
    "filter empty": lambda: signed(claims(scopes=[{**ROWS, "filter": ""}])),
    "filter blank": lambda: signed(claims(scopes=[{**ROWS, "filter": " \n"}])),
    "filter null": lambda: signed(claims(scopes=[{**ROWS, "filter": None}])),
    "fixed_params a list": lambda: with_scope(fixed_params=[["a", "b"]]),
    "fixed_params null": lambda: with_scope(fixed_params=None),
    "fixed_params a text": lambda: with_scope(fixed_params="a=b"),
    "fixed parameter null": lambda: with_scope(fixed_params={"a": None}),
    "fixed parameter a list": lambda: with_scope(fixed_params={"a": ["b"]}),
    "fixed parameter an object": lambda: with_scope(fixed_params={"a": {"b": 1}}),
    "fixed parameter NaN": lambda: with_scope(fixed_params={"a": float("nan")}),
    "fixed parameter infinite": lambda: signed(
        json.dumps(claims(scopes=[{**READ, "fixed_params": {"a": 7}}]))
        .replace("7}", "1e999}")
        .encode()
    ),
    "fixed parameter too long": lambda: with_scope(fixed_params={"a": "x" * 4097}),
    "fixed parameters too many": lambda: with_scope(
        fixed_params={f"p{number}": 1 for number in range(101)}
    ),
    "fixed parameter without a name": lambda: with_scope(fixed_params={"": "b"}),
    "limits a number": lambda: signed(claims(limits=10)),
    "limits null": lambda: signed(claims(limits=None)),
    "limits with an unknown one": lambda: signed(claims(limits={"rpm": 10})),
    "rps a text": lambda: signed(claims(limits={"rps": "10"})),
    "rps a float": lambda: signed(claims(limits={"rps": 0.5})),
    "rps true": lambda: signed(claims(limits={"rps": True})),
    "rps null": lambda: signed(claims(limits={"rps": None})),
    "rps huge": lambda: signed(claims(limits={"rps": 10**12})),
    "a misspelt claim": lambda: signed(claims(limit={"rps": 10})),
    "an unknown claim": lambda: signed(claims(admin=True)),
    "aud": lambda: signed(claims(aud="another service")),
    "sub an object": lambda: signed(claims(sub={"a": 1})),
    "iss a list": lambda: signed(claims(iss=["x"])),
    "exp twice": lambda: signed(
        json.dumps(claims(exp=NOW - 60))[:-1].encode() + b',"exp":%d}' % (NOW + 60)
    ),
    "scopes twice": lambda: signed(
        json.dumps(claims())[:-1].encode() + b',"scopes":[{"type":"ADMIN"}]}'
    ),
    "fixed parameter twice": lambda: signed(
        json.dumps(claims(scopes=[{**READ, "fixed_params": {"a": 7}}]))
        .replace('"a": 7', '"a": 7, "a": 8')
        .encode()
    ),
    "a key twice by another spelling": lambda: signed(
        json.dumps(claims(exp=NOW - 60))[:-1].encode() + b',"\\u0065xp":%d}' % (NOW + 60)
    ),
}


def test_a_good_jwt_is_its_caller() -> None:
    caller = authenticate(GOOD, new_keyring(), NOW)
    assert (caller.workspace_id, caller.token_name, caller.is_jwt) == (WORKSPACE_ID, "acme", True)
    assert (set(caller.pipes), caller.rps, caller.is_admin) == ({"top"}, None, False)
    assert not caller.manages_tokens


def test_what_pyjwt_makes_by_default_is_taken() -> None:
    token = jwt.encode(claims(iat=NOW, nbf=NOW - 1, iss="me", sub="u", jti="1"), KEY)
    assert authenticate(token, new_keyring(), NOW).token_name == "acme"


@pytest.mark.parametrize("attack", [*HEADER_ATTACKS, *CLAIM_ATTACKS])
def test_every_trick_is_refused(attack: str) -> None:
    token = {**HEADER_ATTACKS, **CLAIM_ATTACKS}[attack]()
    keyring = new_keyring()
    with pytest.raises(Forbidden, match=r"^invalid authentication token") as raised:
        authenticate(token, keyring, NOW)
    assert len(keyring.jwts) == 0
    for part in (token, *token.split(".")):
        assert len(part) < 8 or part not in str(raised.value)


@pytest.mark.parametrize("attack", HEADER_ATTACKS)
def test_what_is_not_signed_counts_as_a_guess(attack: str) -> None:
    assert refusal(HEADER_ATTACKS[attack]()).is_guess


# These are no JSON to us, which shows before the signature is looked at.
NO_JSON = {attack for attack in CLAIM_ATTACKS if "twice" in attack or "NaN" in attack}


@pytest.mark.parametrize("attack", sorted(CLAIM_ATTACKS.keys() - NO_JSON))
def test_what_is_signed_is_told_what_is_wrong_and_counts_as_no_guess(attack: str) -> None:
    found = refusal(CLAIM_ATTACKS[attack]())
    assert not found.is_guess
    assert "signature" not in found.message


def test_of_an_unsigned_token_nothing_is_told_but_that() -> None:
    for changes in ({"exp": 1}, {"scopes": "x"}, {"workspace_id": UUID.replace("a", "c")}):
        found = refusal(signed(claims(**changes), key=b"x" * 32))
        assert "its signature is wrong, or it is not of a workspace" in found.message


@given(st.text(max_size=200) | st.from_regex(r"ey[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,43}"))
def test_no_text_is_a_token_or_an_error_of_ours(text: str) -> None:
    assert isinstance(find_caller(text, new_keyring(), NOW), Refusal)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    st.sampled_from(["workspace_id", "name", "exp", "scopes", "limits", "nbf", "iat"]), json_values
)
def test_no_value_of_a_claim_is_an_error_of_ours(name: str, value: Any) -> None:
    found = find_caller(signed(claims(**{name: value})), new_keyring(), NOW)
    assert isinstance(found, Refusal) or found.pipes == {"top"}


def test_a_verified_jwt_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = new_keyring()
    first = authenticate(GOOD, keyring, NOW)
    monkeypatch.setattr("pipewren.access.caller.verify_jwt", None)
    assert authenticate(GOOD, keyring, NOW + 59.999) is first


def test_a_remembered_jwt_ends_in_the_second_of_its_exp() -> None:
    keyring = new_keyring()
    authenticate(GOOD, keyring, NOW)
    with pytest.raises(Forbidden, match="expired"):
        authenticate(GOOD, keyring, NOW + 60)
    assert len(keyring.jwts) == 0


def test_a_remembered_jwt_ends_when_the_admin_token_is_refreshed() -> None:
    keyring = new_keyring()
    authenticate(GOOD, keyring, NOW)
    refreshed = change_keyring(keyring, changed=[replace(TOKENS[0], generation=2)])
    with pytest.raises(Forbidden, match="signature"):
        authenticate(GOOD, refreshed, NOW)
    renewed = signed(claims(), key=refreshed.jwt_keys[WORKSPACE_ID])
    assert authenticate(renewed, refreshed, NOW).token_name == "acme"


def test_a_remembered_jwt_ends_when_the_admin_token_is_deleted() -> None:
    keyring = new_keyring()
    authenticate(GOOD, keyring, NOW)
    with pytest.raises(Forbidden):
        authenticate(GOOD, change_keyring(keyring, deleted=["1"]), NOW)


def test_a_change_of_other_tokens_forgets_no_jwt(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = new_keyring()
    authenticate(GOOD, keyring, NOW)
    changed = change_keyring(keyring, changed=[replace(TOKENS[1], generation=2)], deleted=["3"])
    monkeypatch.setattr("pipewren.access.caller.verify_jwt", None)
    assert authenticate(GOOD, changed, NOW).token_name == "acme"


def test_the_first_use_is_told_of_once() -> None:
    keyring = new_keyring()
    told: list[Caller] = []
    for _ in range(3):
        find_caller(GOOD, keyring, NOW, on_first_use=told.append)
    assert [caller.token_name for caller in told] == ["acme"]


def test_the_memory_of_verified_jwts_is_bounded_in_number_and_bytes() -> None:
    keys = {WORKSPACE_ID: KEY}
    read = Claims(UUID, "n", NOW + 60, (JwtScope("PIPES:READ", "top"),))
    one = VerifiedJwt(jwt_caller(WORKSPACE_ID, read), NOW + 60, KEY)
    cache = JwtCache(max_tokens=3, max_bytes=100)
    for number in range(10):
        cache.keep(b"%d" % number, one, 10)
        cache.find(b"0", keys, NOW)  # used all the time, so it stays
    assert len(cache) == 3
    assert cache.find(b"0", keys, NOW) is not None
    assert cache.find(b"1", keys, NOW) is None
    cache.keep(b"large", one, 95)
    assert len(cache) == 1
    cache.keep(b"too large", one, 101)
    assert len(cache) == 0
