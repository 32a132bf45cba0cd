"""Slow endpoints move to the heavy lane, and one slow call does not."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from pipewren.deploy.deployment import Endpoint, ResultColumn
from pipewren.engine.contract import Lane
from pipewren.serve.pace import Pace, Paces


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


def test_the_first_call_of_a_text_that_is_not_known_counts_whole() -> None:
    slow, quick = Pace(takes_first=True), Pace(takes_first=True)
    slow.observe(3.0)
    quick.observe(0.001)
    quick.observe(3.0)
    assert (slow.lane, quick.lane) == (Lane.HEAVY, Lane.LIGHT)


def test_the_median_is_followed_whatever_the_spread() -> None:
    pace = Pace()
    numbers = random.Random(1)
    for _ in range(2000):
        pace.observe(numbers.lognormvariate(-4, 1))  # its median is e^-4, 18 ms
    assert 0.009 < pace.median_s < 0.036


def test_a_large_endpoint_that_answers_small_for_a_while_is_small_again() -> None:
    pace = Pace()
    pace.observe_large()
    for _ in range(7):
        pace.observe_streamed(100, 5000)
    pace.observe_streamed(9000, 5000)
    for _ in range(7):
        pace.observe_streamed(100, 5000)
    assert pace.is_large
    pace.observe_streamed(100, 5000)
    assert not pace.is_large


@pytest.mark.parametrize(("length", "is_large"), [(10, False), (401, True)])
def test_long_column_names_make_an_endpoint_large_for_good(length: int, is_large: bool) -> None:
    columns = tuple(ResultColumn(letter * length, "String") for letter in "ab")
    endpoint = Endpoint("top", "t_1", cast(Any, None), columns)
    paces = Paces()
    pace = paces.of(endpoint)
    assert pace.is_large is is_large
    for _ in range(20):
        pace.observe_streamed(1, 1)
    assert pace.is_large is is_large
    assert paces.of(endpoint) is pace
