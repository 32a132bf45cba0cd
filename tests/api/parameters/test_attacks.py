"""What attackers send as parameters: each is a 400 and costs little."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipewren.serve.call import MAX_PARAMETERS

if TYPE_CHECKING:
    from tests.api.parameters.conftest import ParameterApi

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"&" * 900_000, FORM),
        (b"&".join(b"n%d=1" % n for n in range(80_000)), FORM),
        (b"a&" * 400_000, FORM),
        (json.dumps({f"n{n}": 1 for n in range(60_000)}).encode(), JSON),
        (json.dumps({f"n{n}": 1 for n in range(MAX_PARAMETERS + 1)}).encode(), JSON),
    ],
)
async def test_more_names_than_the_bound_are_refused(
    typed: ParameterApi, body: bytes, content_type: str
) -> None:
    expected = f"More than {MAX_PARAMETERS} parameters were sent"
    assert await typed.refused("", body, content_type) == expected


async def test_as_many_names_as_the_bound_are_taken(typed: ParameterApi) -> None:
    names = [f"n{n}" for n in range(MAX_PARAMETERS)]
    assert (await typed.call("&".join(f"{name}=1" for name in names))).status_code == 200
    assert (await typed.call("", json.dumps(dict.fromkeys(names, 1)), JSON)).status_code == 200
    # Repeats of one name count too: each is a value to keep.
    assert "More than" in await typed.refused("&".join(["a=1"] * (MAX_PARAMETERS + 1)))


async def test_names_that_hash_alike_as_integers_do_cost_nothing_special(
    typed: ParameterApi,
) -> None:
    # A hash that is a number's own value puts multiples of a power of two in one slot; texts are
    # hashed with a secret of the process, and the bound on names keeps any collision small.
    names = [str(n << 40) for n in range(MAX_PARAMETERS)]
    assert (await typed.call("&".join(f"{name}=1" for name in names))).status_code == 200
    values = json.dumps({"j": {str(n * (2**61 - 1)): n for n in range(20_000)}})
    assert (await typed.call("", values, JSON)).status_code in (200, 400)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from("siufbatdmj"), VALUES, max_size=4))
async def test_no_json_value_is_our_mistake(typed: ParameterApi, body: dict[str, Any]) -> None:
    answer = await typed.call("", json.dumps(body), JSON)
    assert answer.status_code in (200, 400), answer.text


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from([JSON, FORM, "", "text/plain"]))
async def test_no_bytes_are_our_mistake(
    typed: ParameterApi, body: bytes, content_type: str
) -> None:
    for sent in (body, b"s=" + body, b'{"s": "' + body + b'"}', b'{"j": ' + body + b"}"):
        answer = await typed.call("", sent, content_type or None)
        assert answer.status_code in (200, 400), answer.text
