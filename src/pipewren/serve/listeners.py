"""The listening sockets: bound once by the supervisor, before any server process exists, and kept
open over its restarts, so that connections wait in the backlog and none is refused."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from pipewren.errors import StartError

IPV4_LOOPBACK = "127.0.0.1"
IPV6_LOOPBACK = "::1"
_PAIR_ATTEMPTS = 16  # free ports to try until one is free on both loopback addresses
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


@dataclass(frozen=True, slots=True)
class Listeners:
    """Listening sockets of one port. `warning` is something that the user should know."""

    sockets: tuple[socket.socket, ...]
    url: str
    warning: str | None = None

    @property
    def port(self) -> int:
        port: int = self.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        for listener in self.sockets:
            listener.close()


@dataclass(frozen=True, slots=True)
class _Address:
    """`companion` addresses were not asked for by name: they may be missing or taken."""

    family: int
    host: str
    companion: bool = False


def open_listeners(host: str, port: int, backlog: int, *, option: str = "--port") -> Listeners:
    """Bind and listen on every address of `host`; port 0 takes a free one. `option` is where the
    user says which, for messages.

    `127.0.0.1` and `localhost` mean both loopback addresses, since some clients ask for
    `http://localhost` at ::1 only. `::` means all addresses of both families. Raises StartError
    when the port is taken or not allowed, or the address is not one of this machine.
    """
    if not 0 <= port <= 65535:
        raise StartError(f"{port} is not a port: choose one from 1 to 65535, or 0 for a free one.")
    addresses = _find_addresses(host)
    for attempt in range(1, _PAIR_ATTEMPTS + 1):
        listeners = _listen_on_all(addresses, host, port, backlog, option)
        if listeners.warning is None or port != 0 or attempt == _PAIR_ATTEMPTS:
            break
        listeners.close()
    return listeners


def _find_addresses(host: str) -> tuple[_Address, ...]:
    if host == IPV4_LOOPBACK:
        return (
            _Address(socket.AF_INET, IPV4_LOOPBACK),
            _Address(socket.AF_INET6, IPV6_LOOPBACK, companion=True),
        )
    if host == "localhost":  # not looked up: /etc/hosts may name one of the two, or none
        return (
            _Address(socket.AF_INET, IPV4_LOOPBACK),
            _Address(socket.AF_INET6, IPV6_LOOPBACK),
        )
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare:
        raise StartError(f"The host is empty: give --host an address. {_HOST_HINT}")
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a host name"
        raise StartError(f"Cannot find the host {host!r}: {reason}. {_HOST_HINT}") from None
    return tuple(dict.fromkeys(_Address(family, str(entry[0])) for family, *_, entry in found))


_HOST_HINT = "Use 127.0.0.1 for this machine only, or 0.0.0.0 for all its addresses."


def _listen_on_all(
    addresses: tuple[_Address, ...], host: str, port: int, backlog: int, option: str
) -> Listeners:
    opened: list[socket.socket] = []
    warning: str | None = None
    try:
        for address in addresses:
            try:
                opened.append(_listen(address, port, backlog))
            except OSError as error:
                if error.errno in _ABSENT:
                    continue
                if address.companion:
                    warning = (
                        f"Port {port} of {address.host} cannot be used ({error.strerror}): "
                        f"http://localhost:{port} may reach another program, use "
                        f"http://{host}:{port}"
                    )
                    continue
                raise StartError(_explain(error, address.host, port, option)) from None
            else:
                port = opened[-1].getsockname()[1]
        if not opened:
            raise StartError(f"{host} is not an address of this machine. {_HOST_HINT}")
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return Listeners(tuple(opened), _url(host, port), warning)


def _listen(address: _Address, port: int, backlog: int) -> socket.socket:
    listener = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: an answer never waits for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.family == socket.AF_INET6:
            only_ipv6 = address.host != "::"
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only_ipv6))
        listener.bind((address.host, port))
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _explain(error: OSError, host: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use: stop the program that listens there, or choose "
            f"another port with {option} (0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return (
            f"Port {port} of {host} is not allowed for this user: choose a port above 1023 with "
            f"{option}."
        )
    return f"Cannot listen on port {port} of {host}: {error.strerror}. {_HOST_HINT}"


def _url(host: str, port: int) -> str:
    bare = host.strip("[]")
    return f"http://[{bare}]:{port}" if ":" in bare else f"http://{bare}:{port}"
