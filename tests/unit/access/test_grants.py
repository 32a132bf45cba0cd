"""What a token that narrows opens, and how."""

from __future__ import annotations

from typing import Any

import pytest

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import Refusal, authenticate, find_caller
from pipewren.access.grants import PLAIN, fix_values
from pipewren.access.jwt import JwtError, sign_jwt
from pipewren.errors import Forbidden
from pipewren.storage.deployments import TableVersion
from tests.unit.access.jwts import (
    NOW,
    READ,
    ROWS,
    WORKSPACE_ID,
    claims,
    new_keyring,
    signed,
)

TABLES = {"visits": TableVersion("visits", 1, "t_5", "")}


def grant_of(*scopes: dict[str, Any], **changes: Any) -> Any:
    caller = authenticate(signed(claims(scopes=list(scopes), **changes)), new_keyring(), NOW)
    return authorize_endpoint(caller, "top", "t_1", tables=TABLES)


def test_a_plain_scope_narrows_nothing() -> None:
    assert grant_of(READ) is PLAIN
    assert grant_of({**READ, "resource": "t_1"}, limits={"rps": 0}) is PLAIN
    assert grant_of(READ, ROWS, limits={"rps": -1}) is PLAIN


def test_fixed_parameters_are_those_of_the_scope_of_the_endpoint_as_texts() -> None:
    fixed = {"t": "acme", "n": 5, "f": 1.5, "yes": True, "no": False, "empty": ""}
    other = {"type": "PIPES:READ", "resource": "other", "fixed_params": {"t": "x"}}
    grant = grant_of({**READ, "fixed_params": fixed}, other)
    assert grant.fixed == {
        **{"t": "acme", "n": "5", "f": "1.5"},
        **{"yes": "true", "no": "false", "empty": ""},
    }


@pytest.mark.parametrize("second", [{}, {"a": "2"}, {"a": "1", "b": "1"}])
@pytest.mark.parametrize("spelling", ["top", "t_1"])
def test_two_scopes_of_one_endpoint_with_other_fixed_parameters_open_nothing(
    spelling: str, second: dict[str, str]
) -> None:
    with pytest.raises(Forbidden, match="several scopes"):
        grant_of(
            {**READ, "fixed_params": {"a": "1"}},
            {"type": "PIPES:READ", "resource": spelling, "fixed_params": second},
        )
    same = {**READ, "resource": spelling, "fixed_params": {"a": 1}}
    assert grant_of({**READ, "fixed_params": {"a": "1"}}, same).fixed == {"a": "1"}


def test_filters_are_handed_on_by_the_sources_name() -> None:
    by_id = {**ROWS, "resource": "t_5", "filter": "b = 2"}
    grant = grant_of(READ, {**ROWS, "filter": "a = 1"}, by_id)
    assert {name: sorted(found) for name, found in grant.filters.items()} == {
        "visits": ["a = 1", "b = 2"]
    }


def test_an_unfiltered_scope_on_the_same_source_wins() -> None:
    unfiltered = {**ROWS, "resource": "t_5"}
    assert grant_of(READ, {**ROWS, "filter": "a = 1"}, unfiltered).filters == {}


def test_a_rate_limit_is_handed_on() -> None:
    grant = grant_of(READ, limits={"rps": 7})
    assert grant.rps == 7


def test_a_jwt_opens_no_endpoint_that_it_does_not_name() -> None:
    for scope in ({**READ, "resource": "other"}, {**ROWS, "resource": "top"}):
        for extra in ({}, {"limits": {"rps": 1}}):
            with pytest.raises(Forbidden, match="PIPES:READ:top"):
                grant_of(scope, **extra)


def test_a_route_that_applies_no_grant_refuses_what_narrows() -> None:
    token = signed(claims(scopes=[{**READ, "fixed_params": {"a": "1"}}]))
    caller = authenticate(token, new_keyring(), NOW)
    with pytest.raises(Forbidden, match="fixed parameters"):
        authorize_endpoint(caller, "top", "t_1")


def test_fixed_values_win_however_the_name_was_sent() -> None:
    sent = {"t": ["x", "y"], "T": "z", "ﬆ": 1, "other": 5}
    assert fix_values(sent, {"t": "acme", "ST": "s"}) == {"t": "acme", "ST": "s", "other": 5}
    assert fix_values(sent, {}) is sent
    assert sent["t"] == ["x", "y"]


def test_a_short_admin_token_signs_no_jwt_and_opens_none() -> None:
    keyring = new_keyring(**{"1": "sixteen bytes .."})
    short = keyring.jwt_keys[WORKSPACE_ID]
    with pytest.raises(JwtError, match="at least 32 bytes"):
        sign_jwt(claims(), short)
    found = find_caller(signed(claims(), key=short), keyring, NOW)
    assert isinstance(found, Refusal)
    assert found.is_guess
