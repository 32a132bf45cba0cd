"""Reads a project's folder: its datafiles, at any depth, and its fixtures.

Read are all `.datasource`, `.pipe` and `.connection` files below the root: the usual folders
(`datasources/`, `pipes/`, `endpoints/`, ...) are a habit, not a rule. Left out are hidden folders,
`fixtures/` and `tests/` of the root, `vendor/` (shared data sources of other workspaces, with a
warning) and folders of other tools' packages. Links are followed to files inside the root only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pipewren.errors import ProjectErrors, ProjectMistake
from pipewren.project.assembly import assemble, make_project, ordered_mistakes
from pipewren.project.directives import KINDS
from pipewren.project.fixtures import FOLDER as FIXTURES
from pipewren.project.fixtures import find_fixtures
from pipewren.project.includes import Includer
from pipewren.project.model import Position, Project, Warning
from pipewren.project.source import MAX_FILE_BYTES

USUAL_FOLDERS = (
    *("datasources", "pipes", "endpoints", "materializations", "sinks", "copies"),
    *("playgrounds", "connections"),
)
VENDOR = "vendor"
_NOT_OF_THE_ROOT = frozenset((FIXTURES, "tests"))
_NOT_ANYWHERE = frozenset(("node_modules", "__pycache__", "venv", "site-packages"))


def load_project(root: Path, *, secrets: Mapping[str, str] | None = None) -> Project:
    """The project in the folder `root`; `secrets` as for `parse_datasource`.

    Raises ProjectErrors with all mistakes of all files, in order of the files' paths. A folder
    without datafiles is a project with nothing in it.
    """
    project, mistakes = read_project(root, secrets=secrets)
    if mistakes:
        raise ProjectErrors(mistakes)
    return project


def read_project(
    root: Path, *, secrets: Mapping[str, str] | None = None
) -> tuple[Project, tuple[ProjectMistake, ...]]:
    """The files without mistakes as a project, and all mistakes, so that what is found later can
    be told together with them. Raises ProjectErrors when there is no such folder."""
    if not root.is_dir():
        mistake = ProjectMistake(
            f"There is no folder {root}", hint="Give the folder that holds the datafiles"
        )
        raise ProjectErrors([mistake])
    root = root.resolve()
    mistakes: list[ProjectMistake] = []
    warnings: list[Warning] = []
    files: dict[str, bytes] = {}
    for path in _walk(root, warnings):
        file = path.relative_to(root).as_posix()
        content = _read(root, path, file, mistakes)
        if content is not None:
            files[file] = content
    assembly = assemble(files, secrets=secrets, include_for=lambda file: Includer(root))
    datasources = assembly.names["datasource"]
    fixtures, fixture_mistakes, fixture_warnings = find_fixtures(root, datasources)
    assembly.mistakes += mistakes + fixture_mistakes
    assembly.warnings += warnings + fixture_warnings
    project = make_project(assembly, root)
    return replace(project, fixtures=tuple(fixtures)), ordered_mistakes(assembly)


def _walk(root: Path, warnings: list[Warning]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        if here == root and VENDOR in folders:
            message = (
                "vendor/ is not read: shared data sources of other workspaces are not supported"
            )
            warnings.append(Warning(message, Position(VENDOR, 1)))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_ANYWHERE
            and not (here == root and (name in _NOT_OF_THE_ROOT or name == VENDOR))
        )
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lstrip(".") in KINDS:
                yield here / name


def _read(root: Path, path: Path, file: str, mistakes: list[ProjectMistake]) -> bytes | None:
    if not path.resolve().is_relative_to(root):
        mistakes.append(
            ProjectMistake(
                "The file is a link to a place outside of the project",
                file=file,
                hint="Copy the file into the project",
            )
        )
        return None
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        mistakes.append(ProjectMistake(f"The file cannot be read: {error.strerror}", file=file))
        return None
