"""Groups of rows from the event log into their tables, each exactly once.

    seal     the group is recorded in the log, with its token, before its rows go anywhere
    insert   under the token: a repetition adds only what is missing, in views too
    done     is recorded; the log lets go of the rows

A group that fails stays, is tried again a few times, and then given up: set aside in files, or, if
only a materialised view refused it, left as it is, since its rows are in their table. One that the
engine refuses for its rows is halved, until the row at fault is found: it goes to quarantine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from time import monotonic, perf_counter

from pipewren.engine.contract import Engine, Insert, QuerySpan
from pipewren.engine.insert_errors import InsertFailure, classify_insert_error
from pipewren.engine.query_log import inserts_noted
from pipewren.errors import EngineError, PipewrenError, Unavailable, ViewFailed
from pipewren.ingest.committer import Committer
from pipewren.ingest.log import EventLog
from pipewren.ingest.log_frames import Done, Extent, Sealed, Split
from pipewren.ingest.queues import RETRY_PAUSES_S, Group, NotYet, Pending, TableQueue
from pipewren.ingest.refused_rows import cut_in_half, quarantine_row
from pipewren.ingest.row_reader import ROW_SETTINGS
from pipewren.ingest.set_aside import set_aside
from pipewren.ingest.token_window import is_forgotten, may_be_forgotten, note_try

_BUSY_PAUSE_S = 1.0
STUCK_PAUSE_S = 5.0
_WITHOUT_FAILING_VIEWS = (("materialized_views_ignore_errors", "1"),)
_MAX_REFUSED = 50  # single rows of one group that go to quarantine; then it is set aside as it is

# Callers are not told the engine's text: a value that it shows may have come from another caller.
_SET_ASIDE_TEXT = (
    "Rows of this request, or of others that came with it, were refused by the engine and are set "
    "aside; the rest is stored. tinybird.datasources_ops_log says why"
)

_log = logging.getLogger("pipewren.ingest")


class Stuck(Unavailable):
    """What holds a group up is its own: its rows cannot be read, set aside or quarantined now."""


class Fate(Enum):
    """What becomes of a group: it is in; it is tried again; its parts go on as groups of their own,
    or its one row to quarantine; it is in its table, and a view has refused it for good; it is
    in a file."""

    WRITTEN = "written"
    LATER = "later"
    DIVIDED = "divided"
    VIEW_FAILED = "view_failed"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try to insert a group. `written_rows` has those of views; `error` says why
    it failed. `inserts` are found in the engine's query log, where there is one."""

    workspace_id: str
    table: str
    rows: int
    written_rows: int
    bytes: int
    elapsed_s: float
    error: str | None = None
    fate: Fate = Fate.WRITTEN
    inserts: Sequence[QuerySpan] = ()

    @property
    def is_over(self) -> bool:
        """Whether it is not tried again."""
        return self.fate is not Fate.LATER


class Inserter:
    """`observe` is told of every try."""

    def __init__(
        self,
        engine: Engine,
        log: EventLog,
        committer: Committer,
        data_dir: Path,
        observe: Callable[[Outcome], None],
    ) -> None:
        self._engine = engine
        self._log = log
        self._committer = committer
        self._data_dir = data_dir
        self._observe = observe
        self._unrecorded: list[Group] = []  # done, of which the log does not know yet
        self._recording = asyncio.Lock()

    async def seal(self, queue: TableQueue, last: Pending | None = None) -> tuple[Group, bool]:
        """The next rows of a queue that has some, as a group, up to `last`; and whether that one is
        in it. Raises Unavailable; then nothing has changed. The queue's lock is held, here and
        below."""
        taken = queue.take(last)
        group = Group(
            uuid.uuid4().hex,
            taken[0].shape,
            tuple(one.extent for one in taken),
            min(one.arrived_s for one in taken),
            [waiter for one in taken for waiter in one.waiters],
        )
        try:
            await self._committer.record(_sealed(queue, group))
        except BaseException:
            queue.put_back(taken)
            raise
        queue.failed.append(group)  # until it is known to be in
        return group, taken[-1] is last

    async def insert(self, queue: TableQueue, group: Group) -> None:
        """Try a group. Where it fails it is tried again later, or given up; raises Unavailable
        where the engine takes nothing now, which is not the group's fault, and Stuck where others
        can go on."""
        try:
            await self._insert(queue, group)
        except Stuck:
            group.retry_at_s = monotonic() + STUCK_PAUSE_S
            queue.tell_all(NotYet())
            raise

    async def _insert(self, queue: TableQueue, group: Group) -> None:
        began_s = perf_counter()
        if await may_be_forgotten(self._engine, group):
            await self.give_up(queue, group)
            return
        queue.note_insert(monotonic())
        rows = await self._read(group)
        try:
            with inserts_noted() as spans:
                written = await self._engine.insert(_insert(queue, group, rows))
        except PipewrenError as error:
            failure = classify_insert_error(error)
            group.reason = error.message
            if failure in (InsertFailure.BUSY, InsertFailure.DISK):
                if group.tries:
                    await note_try(self._engine, group)
                raise _wait(queue, group, error) from None
            fate = await self._fail(queue, group, rows, failure, error)
            elapsed_s = perf_counter() - began_s
            self._tell(queue, group, 0, elapsed_s, spans, error.message, fate)
        else:
            group.tell()
            self._tell(queue, group, written, perf_counter() - began_s, spans)
            await self._settle(queue, group)

    async def give_up(self, queue: TableQueue, group: Group) -> None:
        """Set a group aside that cannot wait any longer; one that is in its table is left there.
        Raises Unavailable."""
        if group.is_in_table:
            fate = await self._leave_without_view(queue, group)
        else:
            await self._set_aside(queue, group, await self._read(group))
            fate = Fate.SET_ASIDE
        self._tell(queue, group, 0, 0.0, (), group.reason, fate)

    async def forget(self, queue: TableQueue) -> None:
        """Let go of all that waits, which nobody will know at the next start: its workspace is
        gone. The log need not take a record of it; one of a seal without its rows would alarm."""
        extents = [pending.extent for pending in queue.pending]
        queue.tell_all(NotYet())
        queue.take_all()
        groups, queue.failed = queue.failed, []
        for group in groups:
            with contextlib.suppress(Unavailable):
                await self._committer.record(Done(group.token))
            extents += group.extents
        await self._log.release(extents)

    async def drop(self, queue: TableQueue, group: Group) -> None:
        """Forget a group whose rows nobody wants. Raises Unavailable."""
        group.tell()
        await self._settle(queue, group)

    async def record_done(self) -> None:
        """Have the log know all groups that are over. Raises Unavailable."""
        async with self._recording:
            groups, self._unrecorded = self._unrecorded, []
            try:
                for group in groups:
                    await self._committer.record(Done(group.token))
            except BaseException:
                # Said twice it does no harm; rows are let go of once only, below.
                self._unrecorded += groups
                raise
            await self._log.release([one for group in groups for one in group.extents])

    async def _fail(
        self,
        queue: TableQueue,
        group: Group,
        rows: bytes,
        failure: InsertFailure,
        error: PipewrenError,
    ) -> Fate:
        if failure is InsertFailure.GONE:
            await self._set_aside(queue, group, rows)
            return Fate.SET_ASIDE
        is_divisible = not group.is_in_table and len(group.refused) < _MAX_REFUSED
        if failure is InsertFailure.ROWS and is_divisible:
            return await self._take_apart(queue, group, rows)
        if failure is InsertFailure.VIEW:
            group.is_in_table = True
            if not group.is_in_other_views:
                await self._feed_other_views(queue, group, rows)
            group.tell(ViewFailed(_view_text(error)))
        if group.tries < len(RETRY_PAUSES_S):
            group.retry_at_s = monotonic() + RETRY_PAUSES_S[group.tries]
            group.tries += 1
            await note_try(self._engine, group)
            return Fate.LATER
        if group.is_in_table:
            return await self._leave_without_view(queue, group)
        await self._set_aside(queue, group, rows)
        return Fate.SET_ASIDE

    async def _feed_other_views(self, queue: TableQueue, group: Group, rows: bytes) -> None:
        """One view that fails keeps rows from all others of its table, whatever their order
        (measured): they get them by the same token. Raises Unavailable, before which nothing is
        known of the group that would let it end."""
        try:
            await self._engine.insert(_insert(queue, group, rows, _WITHOUT_FAILING_VIEWS))
        except PipewrenError as error:
            if classify_insert_error(error) in (InsertFailure.BUSY, InsertFailure.DISK):
                raise _wait(queue, group, error) from None
            _log.warning("views of %s were not fed: %s", queue.key[1], error.message)
        else:
            group.is_in_other_views = True

    async def _leave_without_view(self, queue: TableQueue, group: Group) -> Fate:
        if not group.is_in_other_views and not is_forgotten(group):
            await self._feed_other_views(queue, group, await self._read(group))
        _log.warning(
            "rows of %s are in their table and not in a materialised view, which refused them: %s",
            queue.key[1],
            group.reason,
        )
        await self._settle(queue, group)
        return Fate.VIEW_FAILED

    async def _take_apart(self, queue: TableQueue, group: Group, rows: bytes) -> Fate:
        """Two groups in the place of one of which nothing is in, or the one row to quarantine."""
        if group.rows == 1:
            batch = quarantine_row(queue.key[1], group.shape, rows, group.reason)
            if batch is None:
                await self._set_aside(queue, group, rows)
                return Fate.SET_ASIDE
            try:
                await self._committer.replace(queue.key[0], group.token, batch)
            except Unavailable as error:
                raise Stuck(error.message) from None
            group.refused.append(group.reason)
            queue.failed.remove(group)
            group.tell()
            await self._log.release(group.extents)
            return Fate.DIVIDED
        halves = [part_of(group, extents) for extents in cut_in_half(group.extents, rows)]
        sealed = tuple(_sealed(queue, half) for half in halves)
        await self._committer.record(Split(group.token, sealed))
        group.parts[0] += 1
        at = queue.failed.index(group)
        queue.failed[at : at + 1] = halves
        return Fate.DIVIDED

    async def _set_aside(self, queue: TableQueue, group: Group, rows: bytes) -> None:
        try:
            path = await asyncio.to_thread(set_aside, self._data_dir, queue.key, group, rows)
        except OSError as error:
            raise Stuck(f"Rows cannot be set aside: {error.strerror}") from None
        _log.error(
            "%d rows for %s were refused by the engine and are set aside in %s: %s",
            group.rows,
            queue.key[1],
            path.name,
            group.reason,
        )
        # No 503, which asks for another try: other rows of the caller's may be in their table.
        group.tell(PipewrenError(_SET_ASIDE_TEXT))
        await self._settle(queue, group)

    async def _read(self, group: Group) -> bytes:
        try:
            return await self._log.read(group.extents)
        except Unavailable as error:
            raise Stuck(error.message) from None

    async def _settle(self, queue: TableQueue, group: Group) -> None:
        queue.failed.remove(group)
        self._unrecorded.append(group)
        await self.record_done()

    def _tell(
        self,
        queue: TableQueue,
        group: Group,
        written: int,
        elapsed_s: float,
        inserts: Sequence[QuerySpan],
        error: str | None = None,
        fate: Fate = Fate.WRITTEN,
    ) -> None:
        key, size = queue.key, group.size
        self._observe(
            Outcome(*key, group.rows, written, size, elapsed_s, error, fate, tuple(inserts))
        )


def part_of(group: Group, extents: tuple[Extent, ...]) -> Group:
    """Some rows of a group, as one of their own. Who waits, waits for all."""
    return replace(group, token=uuid.uuid4().hex, extents=extents, tries=0, blocks_at_try=None)


def _insert(
    queue: TableQueue, group: Group, rows: bytes, settings: tuple[tuple[str, str], ...] = ()
) -> Insert:
    workspace_id, table = queue.key
    return Insert(
        database=f"w_{workspace_id}",
        table=table,
        columns=group.shape.columns,
        format=group.shape.format,
        body=rows,
        token=group.token,
        settings=(*ROW_SETTINGS, *settings),
    )


def _wait(queue: TableQueue, group: Group, error: PipewrenError) -> Unavailable:
    """The engine takes nothing now: the whole queue waits, and who waits for it is told."""
    group.retry_at_s = queue.busy_until_s = monotonic() + _BUSY_PAUSE_S
    queue.tell_all(NotYet())
    return Unavailable(error.message)


def _sealed(queue: TableQueue, group: Group) -> Sealed:
    return Sealed(group.token, *queue.key, group.shape.columns, group.shape.format, group.extents)


def _view_text(error: PipewrenError) -> str:
    view = error.view.rpartition("__mv")[0] if isinstance(error, EngineError) else ""
    return (
        f"The rows are in the data source, and the materialised view of pipe {view} refused them"
        f"{_cause(error)}. Do not send them again; tinybird.datasources_ops_log says more"
    )


def _cause(error: PipewrenError) -> str:
    return f" ({error.engine_name})" if isinstance(error, EngineError) else ""
