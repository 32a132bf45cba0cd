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
        self.lost: dict[str, int] = {}  # rows by token, of groups that are not over
        self._now_s = monotonic()

    def add_rows(self, head: Rows, extent: Extent) -> None:
        pending = Pending(Shape(head.columns, head.format), extent, self._now_s)
        rows = self.pending.setdefault((head.workspace_id, head.table), {})
        rows[extent.segment, extent.offset] = pending
        if head.ends:
            self.end_group(head.ends)

    def add_group(self, head: Sealed) -> None:
        """Of a group that is done, some files may have gone, and others not, before the frame that
        says so: what is left of its rows is in no other group."""
        rows = self.pending.get((head.workspace_id, head.table), {})
        self._keep(
            head,
            tuple(
                extent
                for extent in head.extents
                if rows.pop((extent.segment, extent.offset), None) is not None
            ),
        )

    def split(self, head: Split) -> None:
        known = self.groups.pop(head.token, None)
        self.lost.pop(head.token, None)
        there = known[1].extents if known is not None else ()
        for part in head.groups:
            self._keep(part, tuple(one for one in part.extents if _is_within(one, there)))

    def end_group(self, token: str) -> None:
        self.lost.pop(token, None)
        known = self.groups.pop(token, None)
        if known is not None:
            self.over += known[1].extents

    def tell_lost(self) -> None:
        for token, count in self.lost.items():
            (_, table), _ = self.groups[token]
            _log.error("%d rows for %s are missing in the event log and may be lost", count, table)

    def _keep(self, head: Sealed, there: tuple[Extent, ...]) -> None:
        shape = Shape(head.columns, head.format)
        group = Group(head.token, shape, there, self._now_s)
        self.groups[head.token] = (head.workspace_id, head.table), group
        if len(there) < len(head.extents):
            self.lost[head.token] = sum(one.count for one in head.extents) - group.rows


def _is_within(part: Extent, extents: Iterable[Extent]) -> bool:
    return any(
        one.segment == part.segment
        and one.offset <= part.offset
        and part.offset + part.length <= one.offset + one.length
        for one in extents
    )


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
    reader.tell_lost()
    return _make_queues(reader), reader.over


def _make_queues(reader: _Reader) -> dict[Key, TableQueue]:
    queues: dict[Key, TableQueue] = {}
    for key, group in reader.groups.values():
        if group.extents:
            queues.setdefault(key, TableQueue(key)).failed.append(group)
    for key, rows in reader.pending.items():
        for pending in _in_order(rows.values()):
            queues.setdefault(key, TableQueue(key)).add(pending)
    return queues


def _in_order(pending: Iterable[Pending]) -> list[Pending]:
    return sorted(pending, key=lambda one: (one.extent.segment, one.extent.offset))
