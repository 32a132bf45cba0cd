"""How long each endpoint's queries take, and so which lane they run in and how big they may be.

An endpoint whose moving median passes 100 ms moves to the heavy lane, where it cannot hold up the
quick ones (design, decision 1). One whose result passed the bound of small answers is remembered
as large, so that its next call does not run twice (decision 12), until it has given small ones
for a while: else a single caller could have all others' answers streamed for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipewren.deploy.deployment import Endpoint
from pipewren.engine.contract import Lane

HEAVY_S = 0.100
LIGHT_S = 0.070  # back only well below, so that an endpoint near the line does not flap
_STEP = 1.15
_SMALL_BYTES = 4_000_000  # well below the bound, again against flapping
_SMALL_ROWS = 5_000
_SMALL_IN_A_ROW = 8
# JSON repeats the names in every row, and the engine's bound on results does not count them.
_LONG_NAMES_BYTES = 800


@dataclass(slots=True)
class Pace:
    """A running median: each observation moves it one step towards itself, so that a single slow
    call, however slow, is one step only. With `takes_first` the first is the median: of a text that
    somebody sends, and may send once, nothing else is known."""

    median_s: float = 0.002
    lane: Lane = Lane.LIGHT
    is_large: bool = False
    stays_large: bool = False
    small_in_a_row: int = 0
    takes_first: bool = False

    def observe(self, elapsed_s: float) -> None:
        if self.takes_first:
            self.takes_first = False
            self.median_s = elapsed_s
        if elapsed_s > self.median_s:
            self.median_s *= _STEP
        elif elapsed_s < self.median_s:
            self.median_s /= _STEP
        if self.median_s < 0.0002:
            self.median_s = 0.0002
        if self.lane is Lane.LIGHT and self.median_s > HEAVY_S:
            self.lane = Lane.HEAVY
        elif self.lane is Lane.HEAVY and self.median_s < LIGHT_S:
            self.lane = Lane.LIGHT

    def observe_large(self) -> None:
        self.is_large = True
        self.small_in_a_row = 0

    def observe_streamed(self, rows: int, size_bytes: int) -> None:
        """Of one that was taken for large."""
        if rows > _SMALL_ROWS or size_bytes > _SMALL_BYTES:
            self.small_in_a_row = 0
            return
        self.small_in_a_row += 1
        if self.small_in_a_row >= _SMALL_IN_A_ROW and not self.stays_large:
            self.is_large = False
            self.small_in_a_row = 0


@dataclass(slots=True)
class Paces:
    """By endpoint id."""

    by_endpoint: dict[str, Pace] = field(default_factory=dict)

    def of(self, endpoint: Endpoint) -> Pace:
        pace = self.by_endpoint.get(endpoint.id)
        if pace is None:
            names = sum(len(column.name) for column in endpoint.columns or ())
            is_wide = names > _LONG_NAMES_BYTES
            pace = Pace(is_large=is_wide, stays_large=is_wide)
            self.by_endpoint[endpoint.id] = pace
        return pace
