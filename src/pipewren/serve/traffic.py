"""What all connections of a server share: bounds, their number, the lines that all heads have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_network

from pipewren.serve.answers import header_lines
from pipewren.serve.bounds import HttpBounds
from pipewren.serve.forwarded import is_trusted, read_address
from pipewren.serve.request_ids import make_request_ids


class Traffic:
    """`bounds` hold for each connection. Used on the event loop only."""

    def __init__(self, bounds: HttpBounds) -> None:
        self.bounds = bounds
        self.connections = 0
        self.request_ids = make_request_ids()
        self._shared = tuple(map(ip_network, bounds.shared_networks))
        self._by_address: Counter[str] = Counter()
        self._lines_of: Sequence[tuple[bytes, bytes]] | None = None
        self._lines = b""

    def admit(self, client: tuple[str, int] | None) -> str | None:
        """Count a connection; the reason where there are too many."""
        self.connections += 1
        bounds = self.bounds
        counts = client is not None and not self._is_shared(client[0])
        if client is not None and counts:
            self._by_address[client[0]] += 1
        if bounds.max_connections and self.connections > bounds.max_connections:
            return f"The server has {bounds.max_connections} connections (max_connections)"
        most = bounds.max_connections_per_address
        if most and client is not None and counts and self._by_address[client[0]] > most:
            return f"Your address has {most} connections (max_connections_per_address)"
        return None

    def leave(self, client: tuple[str, int] | None) -> None:
        self.connections -= 1
        if client is not None and not self._is_shared(client[0]):
            self._by_address[client[0]] -= 1
            if self._by_address[client[0]] <= 0:
                del self._by_address[client[0]]

    def _is_shared(self, address: str) -> bool:
        if not self._shared:
            return False
        parsed = read_address(address)
        return parsed is not None and is_trusted(parsed, self._shared)

    def common_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The lines of uvicorn's default headers, a list that it replaces every second."""
        if headers is not self._lines_of:
            self._lines_of = headers
            self._lines = header_lines(headers)
        return self._lines
