"""Which physical table each data source gets: its version now, or a new one.

Tables have versioned names (`events__3`) in the workspace's database; a deployment's own database
holds one `Alias` table per data source that points at them (design, decision 10). Each has its
quarantine beside it (`events_quarantine__3`). Nothing here touches the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import msgspec

from pipewren.project.model import Datasource, Project
from pipewren.storage.deployments import TableVersion, new_resource_id
from pipewren.storage.quarantine import quarantine_table


@dataclass(frozen=True, slots=True)
class TablePlan:
    """`tables` maps each data source to its version; `new` are those to be made; `changed` are the
    data sources whose newest table has another definition: (data source, that table)."""

    tables: Mapping[str, TableVersion]
    new: tuple[TableVersion, ...]
    changed: tuple[tuple[Datasource, TableVersion], ...]


def plan_tables(
    project: Project,
    versions: Iterable[TableVersion],
    *,
    live: Mapping[str, int] | None = None,
    present: Collection[str] = (),
) -> TablePlan:
    """Compare a project with the tables there are. A data source whose definition is unchanged
    keeps its table; one that had left the project and comes back finds its rows again. `live` are
    the versions that are live, which count before newer ones; `present` the tables in the engine:
    the name of one that is about to be dropped is not taken again. Nor is one of the quarantine of
    another data source, which `events_quarantine` could have after `events` was there."""
    known: dict[str, list[TableVersion]] = {}
    taken = set(present)
    for version in versions:
        known.setdefault(version.datasource, []).append(version)
        taken |= {version.table, quarantine_table(version)}
    tables: dict[str, TableVersion] = {}
    new: list[TableVersion] = []
    changed: list[tuple[Datasource, TableVersion]] = []
    for name, datasource in project.datasources.items():
        definition = definition_of(datasource)
        before = sorted(known.get(name, []), key=lambda one: one.version)
        current = next((one for one in before if (live or {}).get(name) == one.version), None)
        if current is None and before:
            current = before[-1]
        if current is not None and current.definition == definition:
            tables[name] = current
            continue
        if current is not None:
            changed.append((datasource, current))
        number = before[-1].version + 1 if before else 1
        resource_id = current.resource_id if current is not None else new_resource_id()
        version = TableVersion(name, number, resource_id, definition)
        while not taken.isdisjoint((version.table, quarantine_table(version))):
            version = replace(version, version=version.version + 1)
        tables[name] = version
        new.append(version)
    return TablePlan(tables, tuple(new), tuple(changed))


def without_quarantine(
    tables: Iterable[TableVersion], versions: Iterable[TableVersion]
) -> list[TableVersion]:
    """Those of `tables` of whose quarantine the place is taken by a data source's own table, as it
    may be where a Pipewren that knew no quarantines has made both."""
    own = {version.table for version in versions}
    return [one for one in tables if quarantine_table(one) in own]


def definition_of(datasource: Datasource) -> str:
    """What makes two tables the same: columns, engine and indexes as the author wrote them, white
    space outside quotes aside. Descriptions, tags, tokens and JSON paths are not part of it, nor
    are our own table settings: a later Pipewren with other settings finds nothing changed."""
    engine = {key: _squeeze(value) for key, value in asdict(datasource.engine).items() if value}
    return msgspec.json.encode(
        {
            "columns": [
                [
                    column.name,
                    _squeeze(column.type),
                    _squeeze(column.default),
                    _squeeze(column.codec),
                ]
                for column in datasource.columns
            ],
            "engine": engine,
            "indexes": [
                [index.name, _squeeze(index.expression), _squeeze(index.type), index.granularity]
                for index in datasource.indexes
            ],
        },
        order="sorted",
    ).decode()


def describe_change(old: str, new: str) -> list[str]:
    """The differences of two definitions, a line each, for the message that refuses them."""
    before, after = msgspec.json.decode(old), msgspec.json.decode(new)
    lines: list[str] = []
    old_columns = {column[0]: column for column in before["columns"]}
    new_columns = {column[0]: column for column in after["columns"]}
    for name in old_columns.keys() - new_columns.keys():
        lines.append(f"column {name} was removed")
    for name in new_columns.keys() - old_columns.keys():
        lines.append(f"column {name} was added")
    for name in old_columns.keys() & new_columns.keys():
        for label, was, now in zip(
            ("type", "DEFAULT", "CODEC"), old_columns[name][1:], new_columns[name][1:], strict=True
        ):
            if was != now:
                lines.append(f"{label} of column {name}: {was or 'none'} -> {now or 'none'}")
    if list(old_columns) != list(new_columns) and old_columns.keys() == new_columns.keys():
        lines.append("the order of the columns")
    for key in before["engine"].keys() | after["engine"].keys():
        was, now = before["engine"].get(key), after["engine"].get(key)
        if was != now:
            label = "ENGINE" if key == "name" else f"ENGINE_{key.upper()}"
            lines.append(f"{label}: {was or 'none'} -> {now or 'none'}")
    if before["indexes"] != after["indexes"]:
        lines.append("INDEXES")
    return sorted(lines)


def _squeeze(text: str | None) -> str | None:
    if text is None:
        return None
    return text.strip() if "'" in text or "`" in text or '"' in text else " ".join(text.split())
