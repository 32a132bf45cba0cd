"""Finds the files of rows under `fixtures/`: NAME.ndjson, NAME.csv or NAME.parquet, also `.gz`.

Of several files for one data source the first counts, in this order: the clients load one file
into an empty data source, and then it is no longer empty (client-compat.md section 3).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pipewren.errors import ProjectMistake
from pipewren.project.model import Fixture, Position, Warning
from pipewren.project.names import suggest_name

FOLDER = "fixtures"
_Format = Literal["csv", "ndjson", "parquet"]
_FORMATS: tuple[_Format, ...] = ("ndjson", "csv", "parquet")
_UNREAD = (".sql", ".json", ".jsonl", ".tsv", ".zst", ".zip")


def find_fixtures(
    root: Path, datasources: Collection[str]
) -> tuple[list[Fixture], list[ProjectMistake], list[Warning]]:
    """The fixtures in order of their names, and what is wrong with the files there. `datasources`
    are the names of all data sources, those with mistakes included."""
    fixtures: dict[str, Fixture] = {}
    mistakes: list[ProjectMistake] = []
    warnings: list[Warning] = []
    found: list[Fixture] = []
    folder = root / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        file = path.relative_to(root).as_posix()
        if path.name.startswith(".") or not path.is_file():
            continue
        fixture = _read_name(path)
        if fixture is None:
            if path.suffix.lower() in _UNREAD:
                message = f"{path.name} is not loaded: a fixture is .ndjson, .csv or .parquet"
                warnings.append(Warning(message, Position(file, 1)))
            continue
        if fixture.datasource not in datasources:
            mistakes.append(
                ProjectMistake(
                    f"There is no data source '{fixture.datasource}' for this fixture",
                    file=file,
                    hint=suggest_name(fixture.datasource, datasources)
                    or "A fixture has the name of its data source",
                )
            )
            continue
        found.append(fixture)
    for fixture in sorted(found, key=lambda one: (one.datasource, _FORMATS.index(one.format))):
        first = fixtures.setdefault(fixture.datasource, fixture)
        if first is not fixture:
            message = f"{fixture.path.name} is not loaded: {first.path.name} is"
            file = fixture.path.relative_to(root).as_posix()
            warnings.append(Warning(message, Position(file, 1)))
    return list(fixtures.values()), mistakes, warnings


def _read_name(path: Path) -> Fixture | None:
    name = path.name
    compression: Literal["gzip"] | None = None
    if name.endswith(".gz"):
        name, compression = name.removesuffix(".gz"), "gzip"
    for format in _FORMATS:
        if name.endswith(f".{format}"):
            return Fixture(name.removesuffix(f".{format}"), path, format, compression)
    return None
