"""Links name the server as its callers reach it: by `public_url`, by a trusted proxy's word, or by
the host that was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN = "admin token value"
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com"}
# The address that calls of these tests come from.
CALLER = "127.0.0.1"


async def links(api: Api, headers: Mapping[str, str]) -> set[str]:
    """The beginnings of all links that the server gives."""
    document = (await api.call("/v0/pipes/openapi.json", headers=headers)).json()
    url = (await api.call("/examples/query.http?pipe=top", headers=headers)).text
    shown = (await api.call("/v0/pipes/top", token=ADMIN, headers=headers)).json()
    listed = (await api.call("/v0/pipes", token=ADMIN, headers=headers)).json()
    urls = [one["url"] for one in (shown, *listed["pipes"]) if one["url"]]
    assert len(urls) > 1
    ends = ["/v0"] * len(document["servers"]) + ["/v0/pipes/top.json"] * 1
    found = [one["url"] for one in document["servers"]] + [url.partition("?")[0]]
    assert all(one.endswith(end) for one, end in zip(found, ends, strict=True))
    return {one.partition("/v0")[0] for one in (*found, *urls)}


async def test_without_settings_links_name_the_host_that_was_asked(api: Api) -> None:
    assert await links(api, {}) == {"http://localhost"}
    assert await links(api, {"Host": "here:1"}) == {"http://here:1"}
    assert await links(api, {"Host": "here:1", **FORWARDED}) == {"http://here:1"}


@pytest.mark.parametrize("trusted", [[CALLER], ["127.0.0.0/8", "::1"]])
async def test_a_trusted_proxy_tells_what_links_begin_with(
    make_api: MakeApi, trusted: list[str]
) -> None:
    api = await make_api(trusted_proxies=trusted)
    assert await links(api, FORWARDED) == {"https://api.example.com"}
    assert await links(api, {"Host": "here"}) == {"http://here"}


async def test_other_proxies_are_not_believed(make_api: MakeApi) -> None:
    api = await make_api(trusted_proxies=["10.0.0.0/8"])
    assert await links(api, {"Host": "here", **FORWARDED}) == {"http://here"}


async def test_the_public_url_is_what_links_begin_with(make_api: MakeApi) -> None:
    api = await make_api(public_url="https://example.com/data/", trusted_proxies=[CALLER])
    assert await links(api, {"Host": "here", **FORWARDED}) == {"https://example.com/data"}
