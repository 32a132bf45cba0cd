"""The lists of names that the parser goes by are those of the engine."""

from __future__ import annotations

from typing import Any

from pipewren.project import type_families as families
from pipewren.project.aggregate_functions import AGGREGATE_FUNCTIONS


def ask(bare_chdb: Any, sql: str) -> set[str]:
    return set(bare_chdb.query(sql, "TSVRaw").bytes().decode().split("\n")) - {""}


def test_the_type_families_are_those_of_the_engine(bare_chdb: Any) -> None:
    exact = "SELECT name FROM system.data_type_families WHERE NOT case_insensitive"
    any_case = "SELECT upper(name) FROM system.data_type_families WHERE case_insensitive"
    assert ask(bare_chdb, exact) == families.CASE_SENSITIVE
    assert ask(bare_chdb, any_case) == families.CASE_INSENSITIVE | families.OF_SEVERAL_WORDS


def test_the_aggregate_functions_are_those_of_the_engine(bare_chdb: Any) -> None:
    found = ask(bare_chdb, "SELECT name FROM system.functions WHERE is_aggregate")
    assert found == AGGREGATE_FUNCTIONS
