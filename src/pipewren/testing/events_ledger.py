"""What was sent to the Events API and what came of it, judged against what tables hold: nothing
that was acknowledged lost, nothing twice, nothing invented, nothing truncated back again.

A request's ids tell which request they are of: those of request N are `N * IDS` and up, first of
the rows that fit, then of those that do not. So a table is compared by one line for each request.
Times are those of one monotonic clock, in seconds.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

IDS = 1000  # ids of one request, at most


@dataclass(slots=True)
class Sent:
    """One request of `good` rows that fit the schema and `bad` ones that do not. `status` is 0
    until it is answered, and stays so where the connection broke."""

    number: int
    source: str
    good: int
    bad: int
    wait: bool
    sent_s: float
    ended_s: float = math.inf
    status: int = 0

    @property
    def is_acknowledged(self) -> bool:
        return self.status in (200, 202)


@dataclass(frozen=True, slots=True)
class Truncated:
    """`sent_s` is of the attempt that was answered with success."""

    table: str
    sent_s: float
    answered_s: float


@dataclass(frozen=True, slots=True)
class LookUp:
    """How many rows of a request a reader saw after its answer 200 with `wait=true`."""

    sent: Sent
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a table holds of one request; `odd` rows have other values than were sent."""

    rows: int
    unique: int
    least: int
    greatest: int
    odd: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A table that gets rows of `source`: the good ones, or with `is_quarantine` the bad ones."""

    table: str
    source: str
    is_quarantine: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind`: lost, twice, invented, garbled, resurrected, unseen or answer."""

    kind: str
    table: str
    text: str


@dataclass(slots=True)
class Ledger:
    """Writers of several threads add to it."""

    sent: dict[int, Sent] = field(default_factory=dict)
    truncated: list[Truncated] = field(default_factory=list)
    look_ups: list[LookUp] = field(default_factory=list)
    answers: list[Problem] = field(default_factory=list)
    acknowledged: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, sent: Sent) -> None:
        with self._lock:
            self.sent[sent.number] = sent

    def answer(self, sent: Sent, status: int, counts: object, now_s: float) -> None:
        """`counts` is the decoded body. An answer that the contract does not know is a problem."""
        told = {"successful_rows": sent.good, "quarantined_rows": sent.bad}
        with self._lock:
            sent.status, sent.ended_s = status, now_s
            if sent.is_acknowledged:
                self.acknowledged += 1
                is_known = counts == told and (sent.wait or status == 202)
            else:
                is_known = status in (429, 503)
            if not is_known:
                text = f"request {sent.number} (wait={sent.wait}): {status} {counts}, sent {told}"
                self.answers.append(Problem("answer", sent.source, text))

    def break_off(self, sent: Sent, now_s: float) -> None:
        sent.ended_s = now_s

    def describe(self) -> str:
        """One line: requests by what came of them, truncates, look-ups."""
        statuses = Counter(sent.status or "broken off" for sent in self.sent.values())
        rows = sum(sent.good + sent.bad for sent in self.sent.values() if sent.is_acknowledged)
        return (
            f"{len(self.sent)} requests {dict(statuses)}, {rows} rows acknowledged, "
            f"truncates {dict(Counter(one.table for one in self.truncated))}, "
            f"{len(self.look_ups)} look-ups"
        )


def find_problems(
    ledger: Ledger, holdings: Iterable[tuple[Kept, Mapping[int, Found]]]
) -> list[Problem]:
    """Everything that is wrong; `holdings` are tables with what they hold by request number."""
    problems = [*ledger.answers, *_unseen(ledger)]
    for kept, holding in holdings:
        truncates = [one for one in ledger.truncated if one.table == kept.table]
        problems += [
            Problem("invented", kept.table, f"request {number} was never sent: {found}")
            for number, found in holding.items()
            if number not in ledger.sent or ledger.sent[number].source != kept.source
        ]
        for number, sent in ledger.sent.items():
            if sent.source == kept.source:
                problems += _judge(kept, sent, holding.get(number), truncates)
    return problems


def summarize(problems: Sequence[Problem]) -> str:
    """How many of each kind, and the first of each."""
    counts = Counter((problem.kind, problem.table) for problem in problems)
    firsts = {(problem.kind, problem.table): problem.text for problem in reversed(problems)}
    return "\n".join(
        f"{number} {kind} in {table}, such as: {firsts[kind, table]}"
        for (kind, table), number in counts.items()
    )


def _judge(
    kept: Kept, sent: Sent, found: Found | None, truncates: Sequence[Truncated]
) -> Iterable[Problem]:
    first = sent.number * IDS + (sent.good if kept.is_quarantine else 0)
    expected = sent.bad if kept.is_quarantine else sent.good
    text = f"{sent}, {expected} expected, {found}"
    is_gone = any(sent.ended_s <= truncate.sent_s for truncate in truncates)
    if found is None:
        found = Found(0, 0, first, first, 0)
    if found.rows > found.unique or found.rows > expected:
        yield Problem("twice", kept.table, text)
    if found.unique and not first <= found.least <= found.greatest < first + expected:
        yield Problem("invented", kept.table, text)
    if found.odd:
        yield Problem("garbled", kept.table, text)
    if is_gone and found.rows:
        yield Problem("resurrected", kept.table, text)
    is_kept = all(truncate.answered_s <= sent.sent_s for truncate in truncates)
    if sent.is_acknowledged and is_kept and found.unique < expected:
        yield Problem("lost", kept.table, text)


def _unseen(ledger: Ledger) -> Iterable[Problem]:
    """Rows that a reader did not see after they were written, and that no truncate explains."""
    for look_up in ledger.look_ups:
        explained = any(
            one.table == look_up.table and one.answered_s > look_up.sent.sent_s
            for one in ledger.truncated
        )
        if look_up.rows != look_up.sent.good and not explained:
            yield Problem("unseen", look_up.table, f"{look_up}")
