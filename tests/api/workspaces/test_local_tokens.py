"""Which requests `GET /tokens` answers, rule by rule; over sockets: e2e/test_local_tokens.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.serve.local_tokens import why_off, why_refused
from pipewren.settings import Settings
from tests.api.conftest import WORKSPACE

if TYPE_CHECKING:
    from tests.api.workspaces.conftest import Account


def scope_of(
    headers: Mapping[str, str] | None = None,
    *,
    peer: str | None = "127.0.0.1",
    hosts: tuple[str, ...] = ("localhost:7181",),
) -> dict[str, Any]:
    pairs = [(b"host", host.encode()) for host in hosts]
    pairs += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"client": (peer, 5000) if peer else None, "headers": pairs}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:7181"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_program_on_this_machine_is_answered(host: str, peer: str) -> None:
    headers = {"user-agent": "python-requests/2", "accept": "*/*", "sec-fetch-site": "none"}
    assert why_refused(scope_of(headers, peer=peer, hosts=(host,))) is None


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", None, "unix"])
def test_a_peer_that_is_not_on_this_machine_is_refused(peer: str | None) -> None:
    assert "this machine" in str(why_refused(scope_of(peer=peer)))


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost."),
        *("127.0.0.2", "0.0.0.0", "::1", "[::]", "localhost:", "localhost:7181:1", "localhost@x"),
        *("user@localhost", "localhost,evil", " localhost", "localhost\n", "2130706433"),
    ],
)
def test_any_other_host_header_is_refused(host: str) -> None:
    assert "Host" in str(why_refused(scope_of(hosts=(host,))))


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("evil", "localhost")])
def test_no_host_header_and_two_of_them_are_refused(hosts: tuple[str, ...]) -> None:
    assert "Host" in str(why_refused(scope_of(hosts=hosts)))


@pytest.mark.parametrize(
    "name",
    [
        *("via", "forwarded", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"),
        *("x-forwarded-host", "x-forwarded-anything", "x-forwarded"),
    ],
)
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
def test_a_header_of_a_proxy_is_refused_whatever_it_says(name: str, value: str) -> None:
    assert "proxy" in str(why_refused(scope_of({name: value})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("origin", "null"), ("origin", "http://localhost:7181"), ("origin", "")),
        *(("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-origin")),
        *(("sec-fetch-site", "same-site"), ("sec-fetch-site", "")),
    ],
)
def test_a_page_in_a_browser_is_refused(name: str, value: str) -> None:
    assert "browser" in str(why_refused(scope_of({name: value})))


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "::1"}, True),
        ({"host": "[::1]"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "192.168.1.2"}, False),
        ({"host": "myhost"}, False),
        ({"public_url": "https://api.example.com"}, False),
        ({"trusted_proxies": ("127.0.0.1",)}, False),
        ({"local_tokens": False}, False),
        ({"host": "0.0.0.0", "local_tokens": True}, True),
        ({"public_url": "https://api.example.com", "local_tokens": True}, True),
        ({"trusted_proxies": ("127.0.0.1",), "local_tokens": True}, True),
    ],
)
def test_it_exists_only_while_the_server_is_local_unless_a_setting_says_otherwise(
    settings: dict[str, Any], is_on: bool
) -> None:
    assert (why_off(Settings(**settings)) is None) is is_on


async def test_there_are_exactly_three_tokens_that_work(account: Account) -> None:
    answer = await account.ask("GET", "/tokens", None)
    assert answer.json() == {
        "user_token": account.user,
        "admin_token": account.account,
        "workspace_admin_token": account.admin,
    }
    assert answer.headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_refused_request_gets_403_and_no_cors_headers(
    account: Account, method: str
) -> None:
    headers = {"origin": "http://localhost", "access-control-request-method": "GET"}
    answer = await account.ask(method, "/tokens/", None, headers=headers)
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert "p.ey" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_are_not_allowed(account: Account, method: str) -> None:
    assert (await account.ask(method, "/tokens", None)).status_code == 405


async def test_switched_off_it_is_403_with_the_reason(
    make_account: Callable[..., Awaitable[Account]],
) -> None:
    account = await make_account(local_tokens=False)
    answer = await account.ask("GET", "/tokens", account.admin)
    assert answer.status_code == 403
    assert "local_tokens" in answer.json()["error"]


async def test_a_deleted_default_token_is_told_of(account: Account) -> None:
    deleted = await account.ask("DELETE", "/v0/tokens/workspace admin token", account.admin)
    assert deleted.status_code == 200
    answer = await account.ask("GET", "/tokens", None)
    assert answer.status_code == 503
    assert WORKSPACE.id not in answer.text
