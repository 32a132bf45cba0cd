"""From uploaded files to a compiled project, in steps between which a server answers requests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import TypeVar

import msgspec

from pipewren.deploy.deployment import Deployment
from pipewren.deploy.few_at_once import take_a_breath
from pipewren.errors import ProjectMistake
from pipewren.project.assembly import assemble_steps, make_project, ordered_mistakes
from pipewren.project.model import Connection, Datasource, Pipe, Project
from pipewren.project.quarantine import SUFFIX
from pipewren.sql.graph import CompiledPipe, compile_steps
from pipewren.template.limits import TemplateLimits

T = TypeVar("T")
# Changed with what a deploy checks, so that a folder is checked again after an upgrade.
_CHECKS = b"author guard 1"
_SLICE_S = 0.001  # how long other requests may wait for a step, about


@dataclass(frozen=True, slots=True)
class Candidate:
    """A project that parses and compiles: what may become a deployment."""

    project: Project
    pipes: Mapping[str, CompiledPipe]

    @property
    def digest(self) -> str:
        return project_digest(self.project)


async def read_candidate(
    files: Mapping[str, bytes],
    *,
    secrets: Mapping[str, str] | None,
    limits: TemplateLimits,
    live: Deployment | None = None,
) -> Candidate:
    """Parse and compile files by their paths in the project; what `live` has compiled already is
    taken over. With `secrets` None those that datafiles name are not looked up. Raises
    ProjectErrors with all mistakes of all files."""
    steps = assemble_steps(files, secrets=secrets, include_for=lambda file: None)
    assembly = await _in_slices(steps)
    project = make_project(assembly, Path())
    known = None
    if live is not None and _names(live.project) == _names(project):
        known = live.pipes
    mistakes = ordered_mistakes(assembly)
    pipes = await _in_slices(compile_steps(project, limits=limits, earlier=mistakes, known=known))
    return Candidate(project, pipes)


def files_without_mistakes(
    files: Mapping[str, bytes], mistakes: Iterable[ProjectMistake]
) -> dict[str, bytes]:
    """The files that can be checked although others have mistakes: those that name none of them,
    nor one that does."""
    rest = dict(files)
    gone = [mistake.file for mistake in mistakes if mistake.file in rest]
    while gone:
        names = [re.escape(PurePosixPath(file).stem.encode()) for file in gone]
        for file in gone:
            rest.pop(file, None)
        named = re.compile(
            rb"(?<!\w)(?:" + b"|".join(names) + rb")(?:" + SUFFIX.encode() + rb")?(?!\w)"
        )
        gone = [file for file, content in rest.items() if named.search(content)]
    return rest


def project_files(project: Project) -> dict[str, str]:
    """Path -> text of every datafile."""
    resources: tuple[Datasource | Pipe | Connection, ...] = (
        *project.datasources.values(),
        *project.pipes.values(),
        *project.connections.values(),
    )
    return {resource.position.file: resource.content for resource in resources}


def project_digest(project: Project) -> str:
    """SHA-256 over all files, in order of their paths, as 64 hex digits."""
    digest = hashlib.sha256(_CHECKS)
    for path, content in sorted(project_files(project).items()):
        digest.update(msgspec.json.encode([path, content]))
    return digest.hexdigest()


async def _in_slices(steps: Generator[None, None, T]) -> T:
    began = monotonic()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if monotonic() - began > _SLICE_S:
            await take_a_breath()
            began = monotonic()


def _names(project: Project) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(project.datasources), frozenset(project.pipes)
