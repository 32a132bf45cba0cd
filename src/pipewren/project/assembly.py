"""Puts parsed files together into one project, and finds what is wrong between them.

Pipes and data sources share one name space with the data sources' quarantines, and no node may take
a name of it (pipes-api.md section 1). Pure: uploaded files come the same way as those of a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipewren.errors import DatafileError, ProjectErrors, ProjectMistake
from pipewren.project.connection import parse_connection
from pipewren.project.datasource import parse_datasource
from pipewren.project.directives import KINDS
from pipewren.project.lexer import Include
from pipewren.project.model import Connection, Datasource, Node, Pipe, Project, Warning
from pipewren.project.names import suggest_name
from pipewren.project.pipe import parse_pipe
from pipewren.project.quarantine import name_quarantines, quarantine_name
from pipewren.project.source import decode_text

IncludeFor = Callable[[str], Include | None]


@dataclass(slots=True)
class Assembly:
    """A project as far as it is read. `names` are those of all files by kind, those with mistakes
    included, so that one mistake does not bring others about."""

    datasources: dict[str, Datasource] = field(default_factory=dict)
    pipes: dict[str, Pipe] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}  # kind -> name -> file
    )
    mistakes: list[ProjectMistake] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)


def parse_project(
    files: Mapping[str, bytes], *, secrets: Mapping[str, str] | None = None
) -> Project:
    """The project of uploaded files, by their paths in it; those that are no datafiles are left
    out. The root is empty and there are no fixtures. Raises ProjectErrors with all mistakes."""
    assembly = assemble(files, secrets=secrets, include_for=lambda file: None)
    if assembly.mistakes:
        raise ProjectErrors(ordered_mistakes(assembly))
    return make_project(assembly, Path())


def assemble(
    files: Mapping[str, bytes], *, secrets: Mapping[str, str] | None, include_for: IncludeFor
) -> Assembly:
    """Parse all files, in order of their paths, and check what is between them."""
    steps = assemble_steps(files, secrets=secrets, include_for=include_for)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            assembly: Assembly = end.value
            return assembly


def assemble_steps(
    files: Mapping[str, bytes], *, secrets: Mapping[str, str] | None, include_for: IncludeFor
) -> Generator[None, None, Assembly]:
    """The same, a file a step, so that a server can answer requests in between."""
    assembly = Assembly()
    for file in sorted(files):
        yield
        path = PurePosixPath(file)
        if path.suffix.lstrip(".") in KINDS:
            _add_file(assembly, path, files[file], secrets, include_for(file))
    _check_quarantines(assembly)
    _check_nodes(assembly)
    return assembly


def make_project(assembly: Assembly, root: Path) -> Project:
    """The files that have no mistakes."""
    return Project(
        root=root,
        datasources=assembly.datasources,
        pipes=assembly.pipes,
        connections=assembly.connections,
        warnings=tuple(assembly.warnings),
    )


def ordered_mistakes(assembly: Assembly) -> tuple[ProjectMistake, ...]:
    """All mistakes, in order of the files."""
    by_file: dict[str, list[ProjectMistake]] = {}
    for mistake in assembly.mistakes:
        by_file.setdefault(mistake.file or "", []).append(mistake)
    return tuple(one for file in sorted(by_file) for one in by_file[file])


def _add_file(
    assembly: Assembly,
    path: PurePosixPath,
    content: bytes,
    secrets: Mapping[str, str] | None,
    include: Include | None,
) -> None:
    name, kind, file = path.stem, path.suffix.lstrip("."), path.as_posix()
    taken = _name_taken(assembly, kind, name)
    if taken is not None:
        assembly.mistakes.append(
            ProjectMistake(
                f"The name '{name}' is taken by {taken}",
                file=file,
                hint="Pipes and data sources share one name space, folders do not matter: "
                "rename one of the files",
            )
        )
    else:
        assembly.names[kind][name] = file
    try:
        text = decode_text(content, file=file)
        parsed: Datasource | Pipe | Connection
        if kind == "pipe":
            parsed = parse_pipe(name, text, file=file, include=include)
            assembly.pipes.setdefault(name, parsed)
        elif kind == "datasource":
            parsed = parse_datasource(name, text, file=file, secrets=secrets, include=include)
            assembly.datasources.setdefault(name, parsed)
        else:
            parsed = parse_connection(name, text, file=file, secrets=secrets, include=include)
            assembly.connections.setdefault(name, parsed)
        assembly.warnings.extend(parsed.warnings)
    except DatafileError as error:
        assembly.mistakes.append(error.mistake)
    except ProjectErrors as errors:
        assembly.mistakes.extend(errors.mistakes)


def _name_taken(assembly: Assembly, kind: str, name: str) -> str | None:
    shared = ("connection",) if kind == "connection" else ("pipe", "datasource")
    return next(
        (assembly.names[other][name] for other in shared if name in assembly.names[other]), None
    )


def _check_quarantines(assembly: Assembly) -> None:
    """What has the name of another one's quarantine; the first line of its file is blamed."""
    for name, source in assembly.names["datasource"].items():
        quarantine = quarantine_name(name)
        for kind in ("datasource", "pipe"):
            file = assembly.names[kind].get(quarantine)
            if file is not None:
                assembly.mistakes.append(
                    ProjectMistake(
                        f"The name '{quarantine}' is that of the quarantine of the data source in "
                        f"{source}",
                        file=file,
                        line=1,
                        hint="Each data source has a table NAME_quarantine for rows that do not "
                        "fit it: rename one of the two",
                    )
                )


def _check_nodes(assembly: Assembly) -> None:
    datasources, pipes = assembly.names["datasource"], assembly.names["pipe"]
    quarantines = name_quarantines(datasources)
    for pipe in assembly.pipes.values():
        for node in pipe.nodes:
            taken = datasources.get(node.name) or pipes.get(node.name)
            if taken is not None:
                kind = "data source" if node.name in datasources else "pipe"
                assembly.mistakes.append(
                    _node_mistake(
                        node,
                        f"The node's name '{node.name}' is that of the {kind} in {taken}",
                        "A node's name differs from those of all pipes and data sources",
                    )
                )
            elif node.name in quarantines:
                source = datasources[quarantines[node.name]]
                assembly.mistakes.append(
                    _node_mistake(
                        node,
                        f"The node's name '{node.name}' is that of the quarantine of the data "
                        f"source in {source}",
                        "Give the node another name",
                    )
                )
            for key in ("datasource", "target_datasource"):
                target = node.attributes.get(key)
                if target is not None and target not in datasources:
                    assembly.mistakes.append(
                        _node_mistake(
                            node,
                            f"{key.upper()} of node '{node.name}': there is no data source "
                            f"'{target}'",
                            suggest_name(target, datasources)
                            or f"Add datasources/{target}.datasource",
                        )
                    )


def _node_mistake(node: Node, message: str, hint: str) -> ProjectMistake:
    place = node.position
    return ProjectMistake(message, file=place.file, line=place.line, column=place.column, hint=hint)
