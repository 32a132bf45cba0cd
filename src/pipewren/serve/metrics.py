"""What is counted while the server runs, for `GET /metrics` (serve/metrics_page.py).

`observe` is on every request's path: one look-up, a bisection and a few additions, under 2 µs
(prometheus-client's counter and histogram with labels take 6). All else is read off the server's
objects when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from time import monotonic

from pipewren.engine.contract import Engine
from pipewren.errors import PipewrenError
from pipewren.serve.metric_families import BOUNDS_S, Histogram
from pipewren.serve.request_record import RequestRecord

MAX_SERIES = 5000
OTHER = "(other)"  # the pipe of requests beyond MAX_SERIES; no pipe can be called so
FIGURES_EVERY_S = 1.0
LAG_PAUSE_S = 0.25

_log = logging.getLogger("pipewren.serve")

# Workspace id, route, name of the endpoint or "", status.
Key = tuple[str, str, str, int]


class Series(Histogram):
    """The requests of one key. `rows` and `bytes` are what their statements scanned."""

    __slots__ = ("bytes", "rows")

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.bytes = 0


class Metrics:
    """Used on the event loop only. `deploys` counts by kind and result."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._series: dict[Key, Series] = {}
        # Rows of events: workspace id, data source, what became of them.
        self.event_rows: Counter[tuple[str, str, str]] = Counter()
        self.loop_lag = Histogram()
        self.deploys: Counter[tuple[str, str]] = Counter()
        self.figures = EngineFigures()

    def observe(self, record: RequestRecord) -> None:
        """An observer of the server: a request is over."""
        key = (record.workspace_id, record.route, record.name, record.status)
        series = self._series.get(key)
        if series is None:
            series = self._open(key)
        duration_s = record.ended_s - record.began_s
        series.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        series.total_s += duration_s
        statistics = record.statistics
        if statistics is not None:
            series.rows += statistics.rows_read
            series.bytes += statistics.bytes_read
        events = record.events
        if events is not None and events.rows:
            for result, rows in (
                ("accepted", events.accepted),
                ("quarantined", events.quarantined),
                ("refused", events.rows - events.accepted - events.quarantined),
            ):
                if rows:
                    self.event_rows[record.workspace_id, events.datasource, result] += rows

    def series(self) -> Iterator[tuple[Key, Series]]:
        return iter(self._series.items())

    def forget(self, is_gone: Callable[[Key], bool]) -> None:
        """Let go of what cannot be called any more, so that its labels do not pile up."""
        for key in [key for key in self._series if is_gone(key)]:
            del self._series[key]

    def forget_rows(self, is_gone: Callable[[str, str], bool]) -> None:
        """The same for rows of events, by workspace id and data source."""
        for key in [key for key in self.event_rows if is_gone(key[0], key[1])]:
            del self.event_rows[key]

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_PAUSE_S
            await asyncio.sleep(LAG_PAUSE_S)
            self.loop_lag.observe(max(0.0, loop.time() - due_s))

    def _open(self, key: Key) -> Series:
        """A new series; beyond the bound one of few, by route and class of status."""
        if len(self._series) >= self._max_series:
            key = ("", key[1], OTHER, key[3] // 100 * 100)
        return self._series.setdefault(key, Series())


class EngineFigures:
    """The engine's own figures, read once for all who ask within `FIGURES_EVERY_S`."""

    def __init__(self) -> None:
        self._reading: asyncio.Task[Mapping[str, int] | None] | None = None
        self._began_s = 0.0

    async def read(self, engine: Engine) -> Mapping[str, int] | None:
        """None where the engine does not tell them; the log says why."""
        now_s = monotonic()
        reading = self._reading
        if reading is None or (reading.done() and now_s - self._began_s >= FIGURES_EVERY_S):
            self._began_s = now_s
            reading = self._reading = asyncio.get_running_loop().create_task(_read(engine))
        # A caller who hangs up leaves it to the others.
        return await asyncio.shield(reading)


async def _read(engine: Engine) -> Mapping[str, int] | None:
    try:
        return await engine.figures()
    except PipewrenError as error:
        _log.warning("the engine's figures cannot be read: %s", error.message)
        return None
