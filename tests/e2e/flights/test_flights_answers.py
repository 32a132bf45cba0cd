"""Every endpoint of `examples/flights` over HTTP, against figures worked out without the server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.project.loader import load_project

if TYPE_CHECKING:
    from pipewren.testing.serving import RunningServer
    from tests.e2e.flights.figures import Figures

Parameters = Mapping[str, Any]
CASES: tuple[tuple[str, Parameters], ...] = (
    ("ping", {}),
    ("aircraft", {"tailnum": "N14228"}),
    ("aircraft", {"tailnum": "N201AA"}),
    ("aircraft", {"tailnum": "N381AA"}),  # has a speed
    ("aircraft", {"tailnum": "' OR 1 = 1 --"}),
    ("aircraft_flights", {"tailnum": "N14228"}),
    ("aircraft_flights", {"tailnum": "N14228", "page": 3, "page_size": 30}),
    ("aircraft_flights", {"tailnum": "N14228", "page": 9}),
    ("aircraft_flights", {"tailnum": "N725MQ", "page_size": 500, "order": "asc"}),
    ("aircraft_flights", {"tailnum": "N725MQ", "page_size": 500, "include_cancelled": "false"}),
    ("airport_search", {"text": "kennedy"}),
    ("airport_search", {"text": "Jfk"}),
    ("airport_search", {"text": "den", "limit": 40}),
    ("airport_search", {"text": "martha's v"}),
    ("airport_search", {"text": "regional", "timezone": "America/Denver", "limit": 100}),
    ("airport_search", {"text": "a", "min_altitude_feet": 7000, "max_altitude_feet": 7500}),
    ("airport_search", {"text": "municipal", "max_altitude_feet": -1}),
    ("busiest_routes", {}),
    ("busiest_routes", {"limit": 300}),
    ("busiest_routes", {"origin": "JFK", "carriers": ["DL", "B6"], "limit": 5}),
    ("busiest_routes", {"carriers": ["UA"], "start_date": "2013-07-01", "end_date": "2013-07-01"}),
    ("busiest_routes", {"sort_by": "mean_departure_delay", "limit": 300}),
    ("busiest_routes", {"sort_by": "distance_miles", "origin": "LGA"}),
    ("busiest_routes", {"sort_by": "cancelled_flights", "origin": "EWR", "limit": 25}),
    ("carrier_delays", {}),
    ("carrier_delays", {"delay": "arrival"}),
    ("carrier_delays", {"carrier": "OO"}),
    ("carrier_delays", {"carrier": "UA", "delay": "arrival"}),
    ("carrier_delays", {"carrier": "ua"}),
    ("carrier_totals", {}),
    ("carrier_totals", {"late_minutes": -10, "origins": ["JFK"]}),
    ("carrier_totals", {"start_date": "2013-02-08", "end_date": "2013-02-09"}),
    ("carrier_totals", {"start_date": "2014-01-01"}),
    ("carrier_ranking", {}),
    ("carrier_ranking", {"min_flights": 10000}),
    ("carrier_ranking", {"origins": ["EWR", "LGA"], "late_minutes": 1, "start_date": "2013-12-01"}),
    ("carrier_ranking", {"start_date": "2013-02-09", "end_date": "2013-02-09"}),
    ("carrier_podium", {}),
    ("carrier_podium", {"places": 1, "min_flights": 1000, "origins": ["JFK"]}),
    ("carrier_podium", {"places": 20, "end_date": "2013-03-31"}),
    ("delays_by_hour", {}),
    ("delays_by_hour", {"origin": "LGA", "weekdays": [6, 7]}),
    ("delays_by_hour", {"weekdays": [1], "start_date": "2013-06-01", "end_date": "2013-08-31"}),
    ("on_time", {}),
    ("on_time", {"granularity": "quarter", "late_minutes": 60}),
    ("on_time", {"granularity": "week", "carriers": ["UA", "DL"], "origins": ["JFK", "LGA"]}),
    ("on_time", {"granularity": "day", "start_date": "2013-02-07", "end_date": "2013-02-11"}),
    ("on_time", {"carriers": ["XX"]}),
    ("weather_impact", {}),
    ("weather_impact", {"condition": "visibility"}),
    ("weather_impact", {"condition": "rain", "origin": "EWR"}),
    ("worst_days", {}),
    ("worst_days", {"sort_by": "mean_departure_delay", "limit": 1100}),
    ("worst_days", {"sort_by": "max_gust_mph", "origin": "EWR", "limit": 365}),
    ("worst_days", {"sort_by": "rain_inches", "min_flights": 300, "limit": 50}),
    ("worst_days", {"start_date": "2013-12-25", "limit": 30}),
)


def ask(server: RunningServer, endpoint: str, parameters: Parameters) -> tuple[int, Any]:
    sent = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    return server.get(f"/v0/pipes/{endpoint}.json", **sent)


@pytest.mark.parametrize(
    ("endpoint", "parameters"), CASES, ids=[f"{name}-{values}" for name, values in CASES]
)
def test_an_answer_is_what_the_figures_say(
    flights_server: RunningServer, figures: Figures, endpoint: str, parameters: Parameters
) -> None:
    expected = getattr(figures, endpoint)(**parameters)
    status, answer = ask(flights_server, endpoint, parameters)
    assert status == 200, answer
    assert answer["data"] == expected
    assert answer["rows"] == len(expected)


def test_every_endpoint_has_figures(flights_project: Path) -> None:
    endpoints = {path.stem for path in (flights_project / "endpoints").glob("*.pipe")}
    assert {endpoint for endpoint, _ in CASES} == endpoints


def test_the_pages_of_a_history_are_together_the_whole_history(
    flights_server: RunningServer, figures: Figures
) -> None:
    whole = figures.aircraft_flights("N14228", page_size=500)
    pages: list[Any] = []
    for page in range(len(whole) // 20 + 1):
        _, answer = ask(
            flights_server,
            "aircraft_flights",
            {"tailnum": "N14228", "page": page, "page_size": 20},
        )
        assert answer["rows_before_limit_at_least"] == len(whole)
        pages += answer["data"]
    assert pages == whole


@pytest.mark.parametrize(
    ("endpoint", "parameters", "message"),
    [
        ("aircraft", {}, "Required parameter is not defined"),
        ("airport_search", {}, "Required parameter is not defined"),
        ("aircraft_flights", {"tailnum": "N14228", "page_size": 501}, "page_size is at most 500"),
        ("aircraft_flights", {"tailnum": "N14228", "page": -1}, "Error validating '-1' to type"),
        ("busiest_routes", {"sort_by": "carrier; DROP"}, "sort_by is one of flights"),
        ("busiest_routes", {"start_date": "July"}, "Error validating 'July' to type Date"),
        ("carrier_delays", {"delay": "both"}, "delay is departure or arrival"),
        ("carrier_podium", {"min_flights": "many"}, "Error validating 'many' to type UInt32"),
        ("delays_by_hour", {"weekdays": "6,x"}, "(x) to type UInt8"),
        ("on_time", {"granularity": "decade"}, "granularity is one of day"),
        ("weather_impact", {"condition": "moon"}, "condition is one of wind"),
        ("worst_days", {"sort_by": "origin"}, "sort_by is one of cancelled_flights"),
    ],
)
def test_a_bad_parameter_is_refused_and_named(
    flights_server: RunningServer, endpoint: str, parameters: Parameters, message: str
) -> None:
    status, answer = ask(flights_server, endpoint, parameters)
    assert status == 400
    assert message in answer["error"]


def test_the_narrow_token_reads_two_endpoints_and_the_wide_one_everything(
    flights_project: Path,
) -> None:
    project = load_project(flights_project)
    granted: dict[str, set[str]] = {}
    pipes = [(pipe.name, pipe.tokens) for pipe in project.pipes.values()]
    tables = [(table.name, table.tokens) for table in project.datasources.values()]
    for name, tokens in pipes + tables:
        for grant in tokens:
            granted.setdefault(grant.name, set()).add(name)
    assert granted == {
        "flights_read": set(project.pipes) | set(project.datasources),
        "airport_board": {"airport_search", "busiest_routes"},
    }
