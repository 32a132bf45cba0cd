"""What the event log says at the start: rows that are in no group, and groups that are not done."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic

from pipewren.ingest.log import EventLog
from pipewren.ingest.log_frames import Done, Extent, Rows, Sealed, Split
from pipewren.ingest.queues import Group, Key, Pending, Shape, TableQueue

_log = logging.getLogger("pipewren.ingest")

_Place = tuple[int, int]  # file and offset


class _Reader:
    def __init__(self) -> None:
        self.pending: dict[Key, dict[_Place, Pending]] = {}
        self.groups: dict[str, tuple[Key, Group]] = {}
        self.over: list[Extent] = []
        self.missing: dict[str, Sealed] = {}
        self._now_s = monotonic()

    def add_rows(self, head: Rows, extent: Extent) -> None:
        pending = Pending(Shape(head.columns, head.format), extent, self._now_s)
        rows = self.pending.setdefault((head.workspace_id, head.table), {})
        rows[extent.segment, extent.offset] = pending

    def add_group(self, head: Sealed) -> None:
        rows = self.pending.get((head.workspace_id, head.table), {})
        places = [(extent.segment, extent.offset) for extent in head.extents]
        if not all(place in rows for place in places):
            # Files go when their rows are in; the frame that says so comes later.
            self.missing[head.token] = head
            return
        for place in places:
            del rows[place]
        self._keep(head)

    def split(self, head: Split) -> None:
        if self.groups.pop(head.token, None) is not None:
            for part in head.groups:
                self._keep(part)

    def end_group(self, token: str) -> None:
        self.missing.pop(token, None)
        known = self.groups.pop(token, None)
        if known is not None:
            self.over += known[1].extents

    def tell_missing(self) -> None:
        for head in self.missing.values():
            _log.error(
                "rows of a group for %s are missing in the event log: %d rows may be lost",
                head.table,
                sum(extent.count for extent in head.extents),
            )

    def _keep(self, head: Sealed) -> None:
        shape = Shape(head.columns, head.format)
        group = Group(head.token, shape, head.extents, self._now_s)
        self.groups[head.token] = (head.workspace_id, head.table), group


def read_log(log: EventLog) -> tuple[dict[Key, TableQueue], list[Extent]]:
    """The queues of all tables that have rows in the log, and the extents of rows that are in their
    tables, to be released. Reads the whole log."""
    reader = _Reader()
    for frame, segment in log.recover():
        head = frame.head
        if isinstance(head, Rows):
            reader.add_rows(head, Extent(segment, frame.offset, frame.length, head.count))
        elif isinstance(head, Sealed):
            reader.add_group(head)
        elif isinstance(head, Split):
            reader.split(head)
        elif isinstance(head, Done):
            reader.end_group(head.token)
    reader.tell_missing()
    return _make_queues(reader), reader.over


def _make_queues(reader: _Reader) -> dict[Key, TableQueue]:
    queues: dict[Key, TableQueue] = {}
    for key, group in reader.groups.values():
        queues.setdefault(key, TableQueue(key)).failed.append(group)
    for key, rows in reader.pending.items():
        for pending in _in_order(rows.values()):
            queues.setdefault(key, TableQueue(key)).add(pending)
    return queues


def _in_order(pending: Iterable[Pending]) -> list[Pending]:
    return sorted(pending, key=lambda one: (one.extent.segment, one.extent.offset))
