"""The attacked server, one for each process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.attacks.cases import NOTHING
from tests.api.attacks.world import World, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """It must be as before after each attack."""
    with make_world(tmp_path_factory.mktemp("attacks")) as made:
        yield made
        assert made.harm_done(None, NOTHING) == []
