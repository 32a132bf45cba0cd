"""Bounds on what clients may do to a server before a request of theirs is answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Sizes in bytes, times in seconds; see the settings of the same names. Connections from
    `shared_networks`, addresses and CIDRs as text, are those of proxies, for many clients each:
    they do not count by address. A client that takes no more of its answer than what fills some
    buffers in `stalled_reader_s`, which is no setting, is cut off: others wait for the room that
    its answer has in the spool."""

    max_url_bytes: int = 8192
    max_headers_bytes: int = 65_536
    head_timeout_s: float = 10.0
    min_body_bytes_per_s: int = 1000
    keep_alive_s: float = 75.0
    stalled_reader_s: float = 60.0
    max_connections: int = 4096
    max_connections_per_address: int = 1024
    shared_networks: tuple[str, ...] = ()
