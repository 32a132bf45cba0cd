"""Slow endpoints move to the heavy lane, and one slow call does not."""

from __future__ import annotations

import random

from pipewren.engine.contract import Lane
from pipewren.serve.pace import Pace


def test_an_endpoint_that_is_always_slow_becomes_heavy_and_comes_back_when_quick() -> None:
    pace = Pace()
    lanes: list[Lane] = []
    for elapsed_s in (0.5, 0.001):
        for _ in range(60):
            pace.observe(elapsed_s)
        lanes.append(pace.lane)
    assert lanes == [Lane.HEAVY, Lane.LIGHT]


def test_one_slow_call_among_quick_ones_changes_nothing() -> None:
    pace = Pace()
    for number in range(300):
        pace.observe(9.0 if number % 10 == 0 else 0.002)
        assert pace.lane is Lane.LIGHT


def test_the_median_is_followed_whatever_the_spread() -> None:
    pace = Pace()
    numbers = random.Random(1)
    for _ in range(2000):
        pace.observe(numbers.lognormvariate(-4, 1))  # its median is e^-4, 18 ms
    assert 0.009 < pace.median_s < 0.036
