"""Free disk space, which the engine does not watch: on a full disk it acknowledges inserts whose
rows are lost and leaves empty definition files (engine-chdb.md section 0.1)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipewren.errors import Unavailable

_ENGINE_PART = 4  # of the reserve, which the engine keeps free

# These free space, so they run below the reserve as well; the rest writes definitions or rows.
_FREEING = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(DROP|TRUNCATE|DETACH|KILL|SYSTEM)\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class DiskReserve:
    """Free bytes of `path`'s file system below which nothing may be written."""

    path: Path
    reserve_bytes: int

    def free_bytes(self) -> int:
        """Bytes that this process may still write; 0 when the file system cannot be read."""
        try:
            system = os.statvfs(self.path)
        except OSError:
            return 0
        return system.f_bavail * system.f_frsize

    def is_writable(self) -> bool:
        return self.free_bytes() >= self.reserve_bytes

    def require(self, *, coming_bytes: int = 0) -> None:
        """Raise `Unavailable` unless `coming_bytes` fit above the reserve."""
        free = self.free_bytes()
        if free - coming_bytes < self.reserve_bytes:
            raise Unavailable(
                f"The disk is nearly full: {free // 1_000_000} MB are free, and "
                f"{self.reserve_bytes // 1_000_000} MB are kept in reserve. Reading goes on; "
                "nothing can be written until space is freed or the reserve is lowered.",
                retry_after_s=5,
            )


def frees_space(sql: str) -> bool:
    """True for statements that may run below the reserve: DROP, TRUNCATE, DETACH, KILL, SYSTEM."""
    return _FREEING.match(sql) is not None


def kept_free_bytes(reserve_bytes: int) -> int:
    """`keep_free_space_bytes` of the engine's disk. Below it TRUNCATE and DROP PARTITION fail too,
    so it is less than the reserve, and enough for what the server itself writes."""
    return reserve_bytes // _ENGINE_PART
