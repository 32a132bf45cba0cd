"""How long each endpoint's queries take, and so which lane they run in and how big they may be.

An endpoint whose moving median passes 100 ms moves to the heavy lane, where it cannot hold up the
quick ones (design, decision 1). One whose result passed the bound of small answers is remembered
as large, so that its next call does not run twice (decision 12).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipewren.engine.contract import Lane

HEAVY_S = 0.100
LIGHT_S = 0.070  # back only well below, so that an endpoint near the line does not flap
_STEP = 1.15


@dataclass(slots=True)
class Pace:
    """A running median: each observation moves it one step towards itself, so that a single slow
    call, however slow, is one step only."""

    median_s: float = 0.002
    lane: Lane = Lane.LIGHT
    is_large: bool = False

    def observe(self, elapsed_s: float) -> None:
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


@dataclass(slots=True)
class Paces:
    """By endpoint id."""

    by_endpoint: dict[str, Pace] = field(default_factory=dict)

    def of(self, endpoint_id: str) -> Pace:
        pace = self.by_endpoint.get(endpoint_id)
        if pace is None:
            pace = self.by_endpoint[endpoint_id] = Pace()
        return pace
