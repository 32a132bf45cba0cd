"""The quarantine of a data source: a table beside it, `NAME_quarantine`, for rows that do not fit
it (data-apis.md section 2.3).

Its columns are what went wrong, every column of the data source as the text that came, and when.
Rows stay until someone truncates it: no source says for sure that they should go by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipewren.project.model import Column, Datasource, Position, TableEngine

SUFFIX = "_quarantine"  # `storage/quarantine.py` has the physical table's
_BEFORE = (
    ("c__error_column", "Array(String)"),
    ("c__error", "Array(String)"),
    ("c__import_id", "Nullable(String)"),
)
_AFTER = ("insertion_date", "DateTime")
_ENGINE = TableEngine(partition_key="toYear(insertion_date)", sorting_key="insertion_date")
# Where a data source's own columns begin: columns[FIRST + i] holds what its column i should have.
FIRST = len(_BEFORE)


def quarantine_name(datasource: str) -> str:
    """What SQL calls the quarantine of the data source of that name."""
    return f"{datasource}{SUFFIX}"


def name_quarantines(datasources: Iterable[str]) -> dict[str, str]:
    """Name of each quarantine -> its data source."""
    return {quarantine_name(name): name for name in datasources}


def quarantine_of(datasource: Datasource) -> Datasource:
    """The quarantine, as if its author had written it. A column of the data source that is called
    like one of the quarantine's own gets a `_` at its end there, or more until it is the only one
    of its name; the order says which is which (`FIRST`)."""
    place = datasource.position
    own = {name for name, _ in (*_BEFORE, _AFTER)}
    taken = own.union(column.name for column in datasource.columns)
    columns = [Column(name, type, place) for name, type in _BEFORE]
    for column in datasource.columns:
        name = column.name
        if name in own:
            while name in taken:
                name += "_"
            taken.add(name)
        columns.append(Column(name, "Nullable(String)", column.position))
    columns.append(Column(*_AFTER, place))
    return Datasource(
        name=quarantine_name(datasource.name),
        columns=tuple(columns),
        position=Position(place.file, place.line),
        content="",
        schema_text="",
        engine=_ENGINE,
        description=f"Rows that do not fit {datasource.name}",
        tags=datasource.tags,
    )
