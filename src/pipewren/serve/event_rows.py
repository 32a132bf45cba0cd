"""From the body of events to rows, good and bad, with bounds on time and memory.

A byte of a body can become a thousand: `{}` is a row of all DEFAULTs, or one with a reason for each
column. So what comes out is counted too, as it comes, and the loop is given away in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal

import msgspec

from pipewren.deploy.few_at_once import take_a_breath
from pipewren.ingest.batch import Batch
from pipewren.ingest.quarantine_rows import quarantine_batch
from pipewren.ingest.row_judge import Judge, judge
from pipewren.ingest.row_reader import ReadRows, RowReader, UnsureRow, slice_end, split_json
from pipewren.project.model import Datasource
from pipewren.serve.event_bodies import Share
from pipewren.storage.deployments import TableVersion
from pipewren.storage.quarantine import quarantine_version

Format = Literal["ndjson", "json"]

# Lines read at a time: 64 KB are 0.3 ms where all is well, and 400 where each has many faults.
# So slices begin small, and are as large as fit into the time that the loop is held.
SLICE_BYTES = 64_000
_FIRST_BYTES = 4000
_LEAST_BYTES = 250
_HELD_S = 0.002
# A longer line is read beside the loop. Taken apart, each of its values is an object.
_LONG_BYTES = 256_000
_VALUE_BYTES = 128
_ROW_BYTES = 64  # of a row that an array of JSON is split into
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNSURE_VALUES = 20_000  # of rows that wait to be judged


class EventRows:
    """What became of a body: `good` has `count` lines of the reader's format, `bad` the quarantine
    rows. `held` bytes of the share are taken for them beside those for the body."""

    __slots__ = ("_allowed", "_datasource", "_reader", "_share", "bad", "count", "good", "held")

    def __init__(
        self, reader: RowReader, datasource: Datasource, share: Share, body_bytes: int
    ) -> None:
        self._reader = reader
        self._datasource = datasource
        self._share = share
        self._allowed = body_bytes  # for which the body's own share has room
        self.good: list[bytes] = []
        self.count = 0
        self.bad: list[Batch] = []
        self.held = 0

    @property
    def bad_count(self) -> int:
        return sum(batch.count for batch in self.bad)

    def add(self, read: ReadRows) -> None:
        """Raises Unavailable and PayloadTooLarge where there is no room for them."""
        size = len(read.good)
        if read.count:
            self.good.append(read.good)
            self.count += read.count
        if read.bad:
            # Written at once: a row's reasons take several times the room of their text.
            batch = quarantine_batch(self._datasource, "", read.bad, datetime.now(UTC))
            self.bad.append(batch)
            size += len(batch.rows)
        self._allowed -= size
        if self._allowed < 0:
            grown, self._allowed = -2 * self._allowed, 0  # they are put together once more
            self._share.take(grown)
            self.held += grown

    def let_go(self) -> None:
        """They are not wanted: give back what was taken for them."""
        self._share.give_back(self.held)
        self.held = 0

    def batches(self, table: TableVersion) -> list[Batch]:
        """For the data source's table and its quarantine, those of them that get rows."""
        batches: list[Batch] = []
        if self.count:
            reader, rows = self._reader, b"".join(self.good)
            batches.append(Batch(table.table, reader.columns, reader.format, rows, self.count))
        if self.bad:
            rows = b"".join(batch.rows for batch in self.bad)
            first, name = self.bad[0], quarantine_version(table).table
            batches.append(Batch(name, first.columns, first.format, rows, self.bad_count))
        return batches


async def read_event_rows(
    reader: RowReader,
    datasource: Datasource,
    body: bytes,
    format: Format,
    engine: Judge,
    share: Share,
) -> EventRows:
    """Raises Unavailable, and PayloadTooLarge for rows that take more memory than there is; what
    the engine says where it does not answer."""
    rows = EventRows(reader, datasource, share, len(body))
    body = body.removeprefix(_BYTE_ORDER_MARK)  # as of files; it would spoil the first row
    unsure: list[UnsureRow] = []
    most_unsure = max(1, _UNSURE_VALUES // max(1, len(reader.columns)))
    pace = _Pace()
    turn = _Turn(share.turn)
    with share.lent(_split_bytes(body, format)), turn:
        for lines in await _cut(body, format, pace):
            read = await _read(reader, lines, share, pace)
            rows.add(read)
            unsure += read.unsure
            if len(unsure) >= most_unsure:
                turn.end()
                rows.add(await judge(reader, unsure, engine))
                unsure = []
            if turn.is_over:
                await turn.wait_for_next()
    if unsure:
        rows.add(await judge(reader, unsure, engine))
    return rows


class _Turn:
    """Of a body to hold the loop. The first is for the asking, so that small bodies, which need
    no more, do not wait behind long ones."""

    __slots__ = ("_began_s", "_is_held", "_lock")

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._is_held = False
        self._began_s = perf_counter()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self.end()

    @property
    def is_over(self) -> bool:
        return perf_counter() - self._began_s > _HELD_S

    async def wait_for_next(self) -> None:
        await take_a_breath()  # before the lock is let go: the breath is everybody's
        self.end()
        await self._lock.acquire()
        self._is_held = True
        self._began_s = perf_counter()

    def end(self) -> None:
        if self._is_held:
            self._is_held = False
            self._lock.release()


class _Pace:
    """How large the next slice is, by how long the one before took."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = _FIRST_BYTES

    def note(self, took_s: float) -> None:
        factor = min(4.0, _HELD_S / max(took_s, 1e-6))
        self.size = int(min(SLICE_BYTES, max(_LEAST_BYTES, self.size * factor)))


async def _cut(body: bytes, format: Format, pace: _Pace) -> Iterator[Sequence[bytes] | bytes]:
    """Pieces of the body: whole lines, or single rows of JSON."""
    if format == "ndjson":
        return _cut_lines(body, pace)
    if len(body) <= _LONG_BYTES:
        return _cut_rows(split_json(body), pace)
    return _cut_rows(await asyncio.to_thread(split_json, body), pace)


def _cut_lines(body: bytes, pace: _Pace) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        end = slice_end(body, start, pace.size)
        yield body[start:end]
        start = end


def _cut_rows(rows: Sequence[bytes | msgspec.Raw], pace: _Pace) -> Iterator[Sequence[bytes]]:
    taken: list[bytes] = []
    size = 0
    for row in rows:
        line = bytes(row)
        taken.append(line)
        size += len(line)
        if size >= pace.size:
            yield taken
            taken, size = [], 0
    if taken:
        yield taken


async def _read(
    reader: RowReader, lines: Sequence[bytes] | bytes, share: Share, pace: _Pace
) -> ReadRows:
    read = reader.read if isinstance(lines, bytes) else reader.read_each
    long = _long_bytes(lines)
    if long:
        with share.lent(long):
            return await asyncio.to_thread(read, lines)  # type: ignore[arg-type]
    began_s = perf_counter()
    found = read(lines)  # type: ignore[arg-type]
    pace.note(perf_counter() - began_s)
    return found


def _split_bytes(body: bytes, format: Format) -> int:
    """What the rows of an array take beside their text."""
    return (body.count(b",") + 1) * _ROW_BYTES if format == "json" else 0


def _long_bytes(lines: Sequence[bytes] | bytes) -> int:
    """What the values of a long line take when it is taken apart; 0 for lines that are short."""
    line = lines if isinstance(lines, bytes) else lines[-1]
    return line.count(b",") * _VALUE_BYTES if len(line) > _LONG_BYTES else 0
