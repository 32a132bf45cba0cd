"""A bounded memory of what was worked out: the entries used last."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Recent(Generic[_K, _V]):
    """At most `size` entries; the one not used for longest goes first."""

    __slots__ = ("_entries", "_size")

    def __init__(self, size: int) -> None:
        self._entries: OrderedDict[_K, _V] = OrderedDict()
        self._size = size

    def find(self, key: _K) -> _V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def forget(self, key: _K) -> None:
        self._entries.pop(key, None)

    def keep(self, key: _K, value: _V) -> None:
        self._entries[key] = value
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
