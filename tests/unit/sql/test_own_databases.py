"""Which names are the server's own."""

from __future__ import annotations

import re

import pytest

from pipewren.ingest import scratch
from pipewren.sql.own_databases import OWN_DATABASES
from pipewren.usage import service_tables

WORKSPACE = "w_0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "name", [service_tables.DATABASE, scratch.DATABASE, WORKSPACE, f"{WORKSPACE}_d12"]
)
def test_all_databases_that_the_server_makes_are_its_own(name: str) -> None:
    assert re.fullmatch(OWN_DATABASES, name)


@pytest.mark.parametrize("name", ["w_page", "w_usages", "usage", "w_", "w_ab", f"x{WORKSPACE}"])
def test_no_others_are(name: str) -> None:
    assert not re.fullmatch(OWN_DATABASES, name)
