"""The independent figures, read once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.flights.figures import Figures

PROJECT = Path(__file__).parents[3] / "examples" / "flights"


@pytest.fixture(scope="session")
def figures() -> Figures:
    name = "flights_figures"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("figures.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    opened: Figures = module.open_figures(PROJECT / "fixtures")
    return opened


@pytest.fixture(scope="session")
def flights_project() -> Path:
    return PROJECT
