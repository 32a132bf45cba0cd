"""Which route a path has."""

from __future__ import annotations

import pytest

from pipewren.errors import NotFound
from pipewren.serve.routes import _MATCHERS, ROUTES, Route, find_route

WHOLE = [route for route in ROUTES if "{" not in route.pattern]


@pytest.mark.parametrize("route", WHOLE, ids=lambda route: route.pattern)
def test_a_path_without_names_is_found_as_the_first_pattern_that_fits_it(route: Route) -> None:
    first = next(one for matcher, one in _MATCHERS if matcher.match(route.pattern))
    assert first is route
    for path in (route.pattern, f"{route.pattern}/", f"{route.pattern}//"):
        assert find_route(path) == (route, {})


def test_names_of_a_path_are_told() -> None:
    route, names = find_route("/v0/datasources/visits/truncate/")
    assert (route.pattern, names) == (
        "/v0/datasources/{datasource}/truncate",
        {"datasource": "visits"},
    )
    assert find_route("/v0/pipes/a.pipe")[1] == {"pipe": "a"}


@pytest.mark.parametrize("path", ["/", "/v0", "/v0/eventss", "/v0/events/x", "/V0/EVENTS"])
def test_other_paths_have_none(path: str) -> None:
    with pytest.raises(NotFound):
        find_route(path)
