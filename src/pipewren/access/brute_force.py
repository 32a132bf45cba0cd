"""Repeated bad tokens are slowed down, by client address.

Each address may send so many bad tokens a minute; they come back evenly over the minute. With none
left, a token of that address is not looked at (429), but for those that it sent with success while
it still had some: a stranger behind the same router does not shut out who was there before.
Nothing is kept of addresses that have sent no bad token, and good calls pay nothing then.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from pipewren.errors import TooManyRequests

MAX_BAD_TOKENS_PER_MINUTE = 60
MAX_ADDRESSES = 10_000
MAX_PROVEN = 64  # tokens by address
_WINDOW_S = 60.0


@dataclass(slots=True)
class _Record:
    left: float
    at_s: float
    proven: set[bytes] = field(default_factory=set)


class Attempts:
    """Bad tokens by address. `max_per_minute` of 0 turns it off. Times are seconds of any clock.
    `counted` are the bad tokens, `refused` those that were not looked at, of all addresses."""

    def __init__(
        self,
        max_per_minute: int = MAX_BAD_TOKENS_PER_MINUTE,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._max = max_per_minute
        self._max_addresses = max_addresses
        self.counted = self.refused = 0
        self._records: OrderedDict[str, _Record] = OrderedDict()  # the last to fail at the end

    @property
    def is_watching(self) -> bool:
        """Whether any address has sent a bad token lately."""
        return bool(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def check(self, address: str, digest: bytes, now_s: float) -> None:
        """Before a token is looked at. Raises TooManyRequests while the address has to wait."""
        key = _network(address)
        record = self._records.get(key)
        if record is None:
            return
        self._refill(record, now_s)
        if record.left >= self._max:
            del self._records[key]
        elif record.left < 1 and digest not in record.proven:
            self.refused += 1
            wait_s = math.ceil((1 - record.left) * _WINDOW_S / self._max)
            raise TooManyRequests(
                f"Too many requests with bad tokens from this address: limit of {self._max} a "
                f"minute exceeded (max_bad_tokens_per_minute). Try again in {wait_s} s",
                retry_after_s=max(wait_s, 1),
                limit=self._max,
            )

    def count(self, address: str, now_s: float) -> None:
        """A bad token came from the address."""
        self.counted += 1
        if not self._max:
            return
        key = _network(address)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(float(self._max), now_s)
            if len(self._records) > self._max_addresses:
                self._records.popitem(last=False)
        self._refill(record, now_s)
        record.left = max(record.left - 1, 0.0)
        self._records.move_to_end(key)

    def prove(self, address: str, digest: bytes) -> None:
        """A good token came from the address: it stays good there while others are not looked
        at."""
        record = self._records.get(_network(address))
        if record is not None and len(record.proven) < MAX_PROVEN:
            record.proven.add(digest)

    def _refill(self, record: _Record, now_s: float) -> None:
        gained = max(now_s - record.at_s, 0.0) * self._max / _WINDOW_S
        record.left = min(record.left + gained, float(self._max))
        record.at_s = now_s


def _network(address: str) -> str:
    """An IPv6 host has a whole /64 to call from: it counts as one."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address
