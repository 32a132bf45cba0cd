"""What a deployment changes: names of resources, and what would be lost by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipewren.project.model import Project
from pipewren.project.quarantine import name_quarantines


@dataclass(frozen=True, slots=True)
class KindChanges:
    """Names of one kind of resource, each in order."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between the live project and the next one."""

    datasources: KindChanges
    pipes: KindChanges
    connections: KindChanges

    @property
    def is_none(self) -> bool:
        none = KindChanges()
        return self.datasources == self.pipes == self.connections == none


def compare_projects(before: Project | None, after: Project) -> Changes:
    """By the text of the files; a file that only moved is no change."""
    empty: Mapping[str, Any] = {}
    return Changes(
        _compare(before.datasources if before else empty, after.datasources),
        _compare(before.pipes if before else empty, after.pipes),
        _compare(before.connections if before else empty, after.connections),
    )


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> KindChanges:
    return KindChanges(
        new=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(
            sorted(
                name
                for name in after.keys() & before.keys()
                if after[name].content != before[name].content
            )
        ),
        deleted=tuple(sorted(before.keys() - after.keys())),
    )


def changed_names(before: Project, after: Project) -> frozenset[str]:
    """Pipes, data sources and their quarantines that are new, changed or gone."""
    changes = compare_projects(before, after)
    datasources, pipes = (
        {*kind.new, *kind.changed, *kind.deleted} for kind in (changes.datasources, changes.pipes)
    )
    return frozenset(datasources | name_quarantines(datasources).keys() | pipes)
