"""What keeps rows safe on a disk that fills up, since the engine does not (engine-chdb.md 0.1).

    below the reserve         inserts and DDL are refused; what merges are about to write counts
    below a quarter of it     the engine itself refuses: merges stop, TRUNCATE fails, and DROP
                              TABLE works (`disk.kept_free_bytes`)
    a write has failed        a part may be broken, maybe one that a merge has put in the place of
                              good ones: merges stop, nothing is written any more, and the server
                              starts anew, while the good parts are still there
                              (`old_parts_lifetime`); insert_tokens.py does the rest

Some other program can take what is free at any moment, so none of this is enough alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pipewren.engine.connection import Connection
from pipewren.engine.disk import DiskReserve
from pipewren.errors import PipewrenError, Unavailable
from pipewren.sqltext import trusted_sql

# The only trace of a write that the disk refused. Whatever fails counts, merges too.
_FAILED = (
    "SELECT sum(value) FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
)
_FAILED_QUERY = trusted_sql(_FAILED)
# Merges and mutations reserve a tenth more than what they read. The engine's own figure of what is
# reserved would count twice what they have written already.
_WATCH_QUERY = trusted_sql(
    f"SELECT ({_FAILED}), toUInt64(1.1 * sum("
    "total_size_bytes_compressed * (1 - least(progress, 1)))) FROM system.merges"
)
_STOP_MERGES = trusted_sql("SYSTEM STOP MERGES")

_T = TypeVar("_T")
_log = logging.getLogger("pipewren.engine")


class DiskGuard:
    """`failed_writes` since the start, which began at `counted_before`. Used by the threads of
    several workers and by the event loop: what they share are whole numbers, set at once."""

    def __init__(self, path: Path, reserve_bytes: int, counted_before: int) -> None:
        self._reserve = DiskReserve(path, reserve_bytes)
        self._counted_before = counted_before
        self._merging_bytes = 0
        self.failed_writes = 0

    @property
    def reason(self) -> str | None:
        """Why this process must be replaced, if it must."""
        if not self.failed_writes:
            return None
        return "The disk refused a write of the engine: the server starts again to put that right."

    def free_bytes(self) -> int:
        return self._reserve.free_bytes()

    def reason_not_to_write(self) -> str | None:
        try:
            self.require()
        except Unavailable as error:
            return error.message
        return None

    def require(self, coming_bytes: int = 0) -> None:
        """Raise `Unavailable` unless `coming_bytes` may be written now; costs one statvfs."""
        if self.failed_writes:
            raise _broken_disk()
        self._reserve.require(coming_bytes=coming_bytes + self._merging_bytes)

    def run(self, connection: Connection, act: Callable[[Connection], _T]) -> _T:
        """`act`, which writes. Raises what it raises, and `Unavailable` where a write has failed
        meanwhile, though it may have told nothing of it."""
        try:
            outcome = act(connection)
        except PipewrenError:
            self._note(connection, count_failed_writes(connection))
            raise
        self._note(connection, count_failed_writes(connection))
        return outcome

    def watch(self, connection: Connection) -> None:
        """See what merges do; to be called each second. Raises `Unavailable` as `run` does."""
        failed, merging = msgspec.json.decode(connection.execute(_WATCH_QUERY, None))
        self._merging_bytes = int(merging)
        self._note(connection, int(failed))

    def _note(self, connection: Connection, counted: int) -> None:
        failed = counted - self._counted_before
        if failed > self.failed_writes:
            is_first = not self.failed_writes
            self.failed_writes = failed
            if is_first:
                _log.error("the disk refused %d writes of the engine", failed)
                connection.execute(_STOP_MERGES, None)
        if self.failed_writes:
            raise _broken_disk()


def count_failed_writes(connection: Connection) -> int:
    """Since the process opened the engine first."""
    return int(msgspec.json.decode(connection.execute(_FAILED_QUERY, None))[0])


def _broken_disk() -> Unavailable:
    return Unavailable(
        "The disk refused a write of the engine, so that what was written last may be lost. "
        "Nothing is written until the server has started again, which it does by itself. Free "
        "disk space, and try again.",
        retry_after_s=5,
    )
