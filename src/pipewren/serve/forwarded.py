"""Who called, and how they reach this server, where proxies stand in between.

A proxy tells of its client in `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, and
so can anyone. They are believed only where the connection comes from one of `trusted_proxies`, and
of each header only what a trusted proxy wrote: the values are read from the right, where each
proxy appends.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_HOST = re.compile(r"[A-Za-z0-9._\-]{1,255}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
_V4_WITH_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):\d{1,5}")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")


def client_address(scope: Mapping[str, Any], trusted: Collection[Network]) -> str | None:
    """The address of the one who called: the right-most of the chain that is no trusted proxy.

    What is not an address ends the chain, and the last hop before it counts: what stands further
    left, a stranger may have written. None where there is no address, as on a Unix socket.
    """
    peer = read_address(scope["client"][0]) if scope.get("client") else None
    if peer is None or not is_trusted(peer, trusted):
        return str(peer) if peer is not None else None
    nearest = peer
    for text in reversed(list(_values(scope, b"x-forwarded-for"))):
        hop = read_address(text)
        if hop is None:
            break
        nearest = hop
        if not is_trusted(hop, trusted):
            break
    return str(nearest)


def base_url(scope: Mapping[str, Any], trusted: Collection[Network], public_url: str | None) -> str:
    """This server as its caller reaches it, without a final slash: `public_url` where it is set,
    else what a trusted proxy forwards, else the Host header, else the socket's own address.

    The Host header is the caller's word, so only what looks like a host is taken.
    """
    if public_url is not None:
        return public_url
    scheme, host = scope.get("scheme", "http"), _last_host(scope, b"host")
    peer = read_address(scope["client"][0]) if trusted and scope.get("client") else None
    if peer is not None and is_trusted(peer, trusted):
        proto = _last(scope, b"x-forwarded-proto").lower()
        scheme = proto if proto in ("http", "https") else scheme
        host = _last_host(scope, b"x-forwarded-host") or host
    if host is None:
        name, port = scope.get("server") or ("localhost", None)
        name = f"[{name}]" if ":" in str(name) else name
        host = f"{name}:{port}" if port else str(name)
    return f"{scheme}://{host}"


@lru_cache(4096)
def read_address(text: str) -> Address | None:
    """An address as proxies write it, with a port or without; None for what is none. One of IPv4
    in IPv6's clothes, as a dual-stack socket gives it, is the IPv4 address."""
    text = text.strip()
    with_port = _V4_WITH_PORT.fullmatch(text) or _BRACKETED.fullmatch(text)
    try:
        address = ip_address(with_port[1] if with_port else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:  # of a link: it names nobody here
            return IPv6Address(int(address))
    return address


def is_trusted(address: Address, trusted: Collection[Network]) -> bool:
    return any(address in network for network in trusted)


def _values(scope: Mapping[str, Any], name: bytes) -> Iterator[str]:
    """Of all headers of the name, in order, split at the commas."""
    for header, value in scope["headers"]:
        if header == name:
            for part in value.decode("latin-1").split(","):
                yield part.strip()


def _last(scope: Mapping[str, Any], name: bytes) -> str:
    return next(reversed(list(_values(scope, name))), "")


def _last_host(scope: Mapping[str, Any], name: bytes) -> str | None:
    host = _last(scope, name)
    return host if _HOST.fullmatch(host) else None
