"""Real servers, shared by the tests of a session where they only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipewren.testing.serving import RunningServer, serving

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


@pytest.fixture(scope="session")
def flights_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The example project over all its rows; `token` is the one of its files."""
    if not (FLIGHTS / "fixtures" / "flights.csv").is_file():
        pytest.fail("the data of examples/flights is missing: run `make data`")
    data_dir = tmp_path_factory.mktemp("flights")
    with serving(FLIGHTS, data_dir, token="flights_read") as server:
        yield server
