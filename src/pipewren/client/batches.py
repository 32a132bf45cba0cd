"""Events in batches, and the report of what got through (data-apis.md section 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

import msgspec

from pipewren.client.errors import ClientError, InvalidArgument, NotAllSent
from pipewren.client.exchange import Target, fetch, unreadable
from pipewren.client.requests import events_request
from pipewren.client.retries import with_retries
from pipewren.client.steps import Steps

MAX_BATCH_BYTES = 10_000_000  # a request's limit on the smallest plan (limits.md section 4)
MAX_BATCH_ROWS = 100_000
_TOO_LARGE = 413

EventRow = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class EventsBatch:
    """One request that was accepted: `rows` rows from index `first_row` on."""

    first_row: int
    rows: int
    successful_rows: int
    quarantined_rows: int


@dataclass(frozen=True, slots=True)
class EventsReport:
    """The batches that were accepted, in order and without gaps from row 0 on."""

    batches: tuple[EventsBatch, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows were accepted in all, quarantined ones included."""
        return sum(batch.rows for batch in self.batches)

    @property
    def successful_rows(self) -> int:
        return sum(batch.successful_rows for batch in self.batches)

    @property
    def quarantined_rows(self) -> int:
        return sum(batch.quarantined_rows for batch in self.batches)


class _Counts(msgspec.Struct, frozen=True):
    successful_rows: int
    quarantined_rows: int


def send_rows(
    target: Target,
    datasource: str,
    rows: Iterable[EventRow],
    *,
    wait: bool,
    max_batch_bytes: int,
    max_batch_rows: int,
) -> Steps[EventsReport]:
    """Sends one batch after the other; a batch that the server finds too large (413) in halves.

    The first failure ends it. When no batch had got through its own error is raised, else
    NotAllSent. What `rows` itself raises is let through, with a note of how much was sent.
    """
    if max_batch_bytes < 1 or max_batch_rows < 1:
        raise InvalidArgument("max_batch_bytes and max_batch_rows must be at least 1")
    report = EventsReport()
    batches = cut_batches(rows, max_bytes=max_batch_bytes, max_rows=max_batch_rows)
    waiting: list[list[bytes]] = []
    while True:
        batch: list[bytes] = []
        try:
            if not waiting:
                waiting.extend(_next_batch(batches, report))
                if not waiting:
                    return report
            batch = waiting.pop()
            counts = yield from _send_batch(target, datasource, batch, wait=wait)
        except ClientError as error:
            if error.status == _TOO_LARGE and len(batch) > 1:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
                continue
            if not report.batches:
                raise
            raise NotAllSent(error, report, rows=len(batch)) from error
        accepted = EventsBatch(
            report.rows, len(batch), counts.successful_rows, counts.quarantined_rows
        )
        report = EventsReport((*report.batches, accepted))


def cut_batches(
    rows: Iterable[EventRow], *, max_bytes: int, max_rows: int
) -> Iterator[list[bytes]]:
    """Rows as lines of JSON, in lists that are within both bounds once joined by line ends.

    Lazy: a batch is yielded as soon as the next row does not fit. Raises InvalidArgument for a row
    that cannot be encoded, or that is over `max_bytes` alone, after yielding the rows before it.
    """
    batch: list[bytes] = []
    size = 0
    for index, row in enumerate(rows):
        try:
            line = encode_row(row)
            if len(line) > max_bytes:
                raise ValueError(f"it is {len(line)} bytes of JSON, over max_batch_bytes")
        except (TypeError, ValueError, RecursionError) as error:
            why = str(error)
        else:
            if batch and (size + 1 + len(line) > max_bytes or len(batch) >= max_rows):
                yield batch
                batch, size = [], 0
            size += len(line) + bool(batch)
            batch.append(line)
            continue
        if batch:
            yield batch
        raise InvalidArgument(f"Row {index} cannot be sent: {why}")
    if batch:
        yield batch


def encode_row(row: EventRow) -> bytes:
    """A row as one line of JSON.

    Dates and times become ISO text, UUIDs and Decimals text, enums their values. Raises TypeError
    for what JSON cannot hold and ValueError for NaN and infinities, which would arrive as null.
    """
    if not isinstance(row, Mapping):
        raise TypeError(f"it is a {type(row).__name__}, not a mapping of columns to values")
    text = json.dumps(
        dict(row), default=_encode_value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text.encode()


def _encode_value(value: object) -> object:
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value is a {type(value).__name__}, which JSON does not have")


def _next_batch(batches: Iterator[list[bytes]], report: EventsReport) -> list[list[bytes]]:
    """The next batch in a list, or an empty one at the end."""
    try:
        return [batch for batch in (next(batches, None),) if batch is not None]
    except ClientError:
        raise
    except Exception as error:
        error.add_note(f"pipewren: {report.rows} rows had been sent before this")
        raise


def _send_batch(
    target: Target, datasource: str, batch: list[bytes], *, wait: bool
) -> Steps[_Counts]:
    request = events_request(datasource, b"\n".join(batch), wait=wait)
    answer = yield from with_retries(
        lambda: fetch(target, request), target.policy, target.clock, label=request.label
    )
    try:
        return msgspec.json.decode(answer.body, type=_Counts)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"it does not count the rows: {error}"
    raise unreadable(target, request, answer.head, why)
