"""`X-Forwarded-*` is believed from trusted proxies, and from nobody else."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.serve.bounds import HttpBounds
from pipewren.serve.forwarded import base_url, client_address, read_address
from pipewren.serve.traffic import Traffic

PROXIES = tuple(map(ip_network, ("127.0.0.1", "10.0.0.0/8", "fd00::/8")))
CALLER = "203.0.113.7"


def scope(peer: str | None = "127.0.0.1", *headers: tuple[str, str]) -> dict[str, Any]:
    return {
        "client": None if peer is None else (peer, 40000),
        "server": ("192.0.2.1", 7181),
        "scheme": "http",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


def address_of(peer: str | None, *forwarded: str) -> str | None:
    return client_address(scope(peer, *(("x-forwarded-for", one) for one in forwarded)), PROXIES)


def url_of(peer: str, **headers: str) -> str:
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return base_url(scope(peer, *sent), PROXIES, None)


def test_a_stranger_is_who_the_connection_says_whatever_is_claimed() -> None:
    assert address_of(CALLER, "127.0.0.1") == CALLER
    assert address_of(CALLER, "10.1.1.1, 8.8.8.8") == CALLER
    assert client_address(scope("127.0.0.1", ("x-forwarded-for", CALLER)), ()) == "127.0.0.1"


def test_a_trusted_proxy_names_its_client() -> None:
    assert address_of("127.0.0.1", CALLER) == CALLER
    assert address_of("10.2.3.4", "2001:db8::1") == "2001:db8::1"


def test_the_right_most_address_that_is_no_proxy_wins() -> None:
    assert address_of("127.0.0.1", f"1.1.1.1, {CALLER}, 10.0.0.9") == CALLER
    assert address_of("127.0.0.1", "1.1.1.1", f"{CALLER}", "10.0.0.9, 10.0.0.8") == CALLER


def test_a_chain_of_proxies_alone_ends_at_the_farthest() -> None:
    assert address_of("127.0.0.1", "10.0.0.9, 10.0.0.8") == "10.0.0.9"
    assert address_of("127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize(
    "garbage",
    ["unknown", "", " ", "_hidden", "999.1.1.1", "1.2.3", "\xff", "a" * 9000, "::1]", "-"],
)
def test_garbage_ends_the_chain_since_what_is_left_of_it_may_be_a_strangers(garbage: str) -> None:
    assert address_of("127.0.0.1", f"1.1.1.1, {garbage}, 10.0.0.9") == "10.0.0.9"
    assert address_of("127.0.0.1", f"1.1.1.1, {garbage}") == "127.0.0.1"


def test_a_unix_socket_has_no_address() -> None:
    assert address_of(None, CALLER) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7:1234", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("1.2.3.4:", None),
        ("1.2.3.4:123456", None),
        ("٣.1.1.1", None),
        ("0x7f.1", None),
        ("127.1", None),
        ("010.0.0.1", None),
    ],
)
def test_addresses_are_read_as_proxies_write_them(text: str, expected: str | None) -> None:
    address = read_address(text)
    assert (None if address is None else str(address)) == expected


def test_a_dual_stack_socket_sees_a_trusted_proxy_too() -> None:
    assert address_of("::ffff:127.0.0.1", CALLER) == CALLER


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=30), max_size=6))
def test_no_header_makes_a_stranger_somebody_else_nor_breaks_the_reading(texts: list[str]) -> None:
    assert address_of(CALLER, *texts) == CALLER
    known = address_of("127.0.0.1", *texts, CALLER)
    assert known == CALLER


def test_links_follow_a_trusted_proxy() -> None:
    sent = {"host": "pipewren:7181", "x_forwarded_proto": "https"}
    assert url_of("127.0.0.1", **sent) == "https://pipewren:7181"
    assert url_of("127.0.0.1", **sent, x_forwarded_host="api.example.com") == (
        "https://api.example.com"
    )
    assert url_of("10.0.0.1", x_forwarded_host="[2001:db8::1]:8443") == (
        "http://[2001:db8::1]:8443"
    )


def test_a_stranger_changes_no_links_but_by_the_host_that_it_asked() -> None:
    sent = {"x_forwarded_proto": "https", "x_forwarded_host": "evil.example"}
    assert url_of(CALLER, host="mine:1", **sent) == "http://mine:1"
    assert url_of(CALLER, host="evil/?x=", **sent) == "http://192.0.2.1:7181"


def test_of_several_values_the_one_that_the_nearest_proxy_wrote_counts() -> None:
    assert url_of("127.0.0.1", x_forwarded_proto="http, https", x_forwarded_host="a, b") == (
        "https://b"
    )


@pytest.mark.parametrize("host", ["a b", "a/b", "a@b", "a:99999999", "a\r\nx: y", "", "é", "'><x>"])
def test_a_host_or_scheme_that_is_none_is_ignored(host: str) -> None:
    sent = {"host": "mine", "x_forwarded_host": host, "x_forwarded_proto": "javascript"}
    assert url_of("127.0.0.1", **sent) == "http://mine"
    assert url_of("127.0.0.1", host=host) == "http://192.0.2.1:7181"


def test_a_public_url_wins_over_all() -> None:
    told = scope("127.0.0.1", ("host", "a"), ("x-forwarded-host", "b"))
    assert base_url(told, PROXIES, "https://c/x") == "https://c/x"


def test_the_sockets_own_address_stands_in_for_a_host() -> None:
    assert base_url({**scope(), "server": ("::1", 80)}, (), None) == "http://[::1]:80"
    assert base_url({**scope(), "server": None}, (), None) == "http://localhost"


def test_connections_of_a_proxy_do_not_count_by_address() -> None:
    traffic = Traffic(HttpBounds(max_connections_per_address=1, shared_networks=("10.0.0.0/8",)))
    proxy, stranger = ("10.0.0.1", 1), (CALLER, 1)
    assert [traffic.admit(proxy) for _ in range(3)] == [None, None, None]
    assert traffic.admit(stranger) is None
    refused = traffic.admit(stranger)
    assert refused is not None
    assert "max_connections_per_address" in refused
    for _ in range(3):
        traffic.leave(proxy)
    for _ in range(2):
        traffic.leave(stranger)
    assert traffic.connections == 0
    assert traffic.admit(stranger) is None


def test_connections_of_a_proxy_do_count_in_all() -> None:
    traffic = Traffic(HttpBounds(max_connections=2, shared_networks=("10.0.0.0/8",)))
    answers = [traffic.admit(("10.0.0.1", port)) for port in range(3)]
    assert answers[:2] == [None, None]
    assert "max_connections" in str(answers[2])
