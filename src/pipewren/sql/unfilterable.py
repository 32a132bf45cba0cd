"""Where row filters cannot act, found when a project is deployed: so that its author hears of it
before a token's holder does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipewren.errors import EngineError, StatementError, TemplateError
from pipewren.project.model import NodeType, Project
from pipewren.project.quarantine import name_quarantines
from pipewren.sql.compile import compile_node, validate_node
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.sql.row_filters import RowFilters, quarantine_reason
from pipewren.template.run import ANY_SECRET

_TARGETS = {NodeType.MATERIALIZED: "datasource", NodeType.COPY: "target_datasource"}


@dataclass(frozen=True, slots=True)
class Unfilterable:
    """A node that refuses filters. `datasource`: on this one; None: on any."""

    pipe: str
    node: str
    datasource: str | None
    reason: str

    def __str__(self) -> str:
        which = "any data source" if self.datasource is None else f"'{self.datasource}'"
        return (
            f'node "{self.node}" of pipe "{self.pipe}" refuses tokens with a row filter on '
            f"{which}: {self.reason}"
        )


async def find_unfilterable(
    filters: RowFilters, pipes: Mapping[str, CompiledPipe], *, tables: Collection[str]
) -> list[Unfilterable]:
    """All nodes that some filter could not act in, each statement as a call without parameters
    would run it, or with placeholders. `tables` are the names that `table()` may choose."""
    found: list[Unfilterable] = []
    for pipe in pipes.values():
        for node in pipe.nodes.values():
            try:
                sql = _compile(pipe, node, frozenset(tables))
                names, hindrances = await filters.find_hindrances(sql)
            except (TemplateError, StatementError, EngineError):
                continue  # what is wrong with it is told by the checks of a deploy
            found += [
                Unfilterable(pipe.name, node.name, one.datasource, one.reason) for one in hindrances
            ]
            found += [
                Unfilterable(pipe.name, node.name, source, f"it reads '{target}', made of it")
                for source, targets in filters.derived.items()
                for target in sorted(targets & names)
            ]
            found += [
                Unfilterable(pipe.name, node.name, source, quarantine_reason(quarantine))
                for source, quarantine in filters.quarantines.items()
                if quarantine in names
            ]
    return found


def find_derived(project: Project, pipes: Mapping[str, CompiledPipe]) -> dict[str, frozenset[str]]:
    """For each data source those that are filled from it, by materialised views and copies, at
    any distance; what is filled from its quarantine, too, holds rows that were sent to it. A
    `table()` that may choose anything may have read anything."""
    direct: dict[str, set[str]] = {name: set() for name in project.datasources}
    tables = {name: name for name in project.datasources} | name_quarantines(project.datasources)
    for pipe in pipes.values():
        for node in pipe.nodes.values():
            attribute = _TARGETS.get(node.node.type)
            target = node.node.attributes.get(attribute) if attribute else None
            if target is None:
                continue
            for source in _sources_of(pipe, node, tables):
                direct[source].add(target)
    return {name: frozenset(_reach(direct, name)) for name in direct if direct[name]}


def _sources_of(
    pipe: CompiledPipe, node: CompiledNode, tables: Mapping[str, str]
) -> frozenset[str]:
    """The data sources that a node may read, through nodes and pipes. `tables` has the data source
    of each name of a table."""
    found: set[str] = set()
    seen: set[CompiledNode] = set()
    waiting = [(pipe, node)]
    while waiting:
        inside, one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.reads.is_open:
            return frozenset(tables.values())
        for name in one.reads.names | one.reads.others:
            if name in inside.nodes:
                waiting.append((inside, inside.nodes[name]))
            elif name in inside.pipes:
                waiting.append((inside.pipes[name], inside.pipes[name].output))
            elif name in tables:
                found.add(tables[name])
    return frozenset(found)


def _reach(direct: Mapping[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for target in direct.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found - {name}


def _compile(pipe: CompiledPipe, node: CompiledNode, tables: frozenset[str]) -> str:
    try:
        return compile_node(pipe, node, {}, tables=tables, secrets=ANY_SECRET).sql
    except TemplateError:
        return validate_node(pipe, node, tables=tables, secrets=ANY_SECRET).sql
