"""A project -> its pipes, compiled: templates, shapes, and who reads whom.

What a template reads is known for sure only when it is rendered, so cycles are looked for twice:
here, in what literal nodes read and templates read with placeholders, and at every compilation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

from pipewren.errors import (
    PipewrenError,
    ProjectErrors,
    ProjectMistake,
    StatementError,
    TemplateError,
    TemplateSyntaxError,
)
from pipewren.project.model import Node, Pipe, Project
from pipewren.project.quarantine import name_quarantines
from pipewren.sql.compile import compile_endpoint, compile_node
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.sql.reads import find_reads, reads_of_shape
from pipewren.sql.scans import Scans
from pipewren.sql.shape import read_shape
from pipewren.template.discovery import Parameter
from pipewren.template.limits import TemplateLimits
from pipewren.template.paths import find_secret_texts
from pipewren.template.run import ANY_SECRET
from pipewren.template.template import DEFAULT_LIMITS, compile_with_paths

__all__ = ["CompiledNode", "CompiledPipe", "compile_pipes", "compile_steps", "may_reach"]

_WORD = re.compile(r"\w+")


def compile_pipes(
    project: Project,
    *,
    limits: TemplateLimits = DEFAULT_LIMITS,
    earlier: Sequence[ProjectMistake] = (),
) -> Mapping[str, CompiledPipe]:
    """All pipes of a project. Raises ProjectErrors with all mistakes, those that were found
    `earlier` among them, in order of the files."""
    steps = compile_steps(project, limits=limits, earlier=earlier)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            pipes: Mapping[str, CompiledPipe] = end.value
            return pipes


def compile_steps(
    project: Project,
    *,
    limits: TemplateLimits = DEFAULT_LIMITS,
    earlier: Sequence[ProjectMistake] = (),
    known: Mapping[str, CompiledPipe] | None = None,
) -> Generator[None, None, Mapping[str, CompiledPipe]]:
    """The same, a pipe a step, so that a server can answer requests in between. `known` are pipes
    compiled before, in a project with the same names of pipes and data sources: the nodes of one
    whose file is the same are taken over."""
    mistakes = list(earlier)
    pipes: dict[str, CompiledPipe] = {}
    quarantines = name_quarantines(project.datasources)
    names = frozenset((*project.datasources, *quarantines, *project.pipes))
    for pipe in project.pipes.values():
        yield
        before = known.get(pipe.name) if known is not None else None
        if before is not None and before.pipe.content == pipe.content:
            nodes = dict(before.nodes)
        else:
            nodes = _compile_nodes(pipe, limits, names, mistakes)
        output = nodes.get((pipe.output or pipe.nodes[-1]).name)
        if output is not None:  # else its mistake is on the list
            pipes[pipe.name] = CompiledPipe(pipe, nodes, output, pipes)
    yield
    mistakes += _find_cycles(pipes)
    if mistakes:
        raise ProjectErrors(sorted(mistakes, key=lambda one: (one.file or "", one.line or 0)))
    for name, compiled in list(pipes.items()):
        yield
        pipes[name] = _add_facts(compiled)
    return pipes


def _compile_nodes(
    pipe: Pipe,
    limits: TemplateLimits,
    names: frozenset[str],
    mistakes: list[ProjectMistake],
) -> dict[str, CompiledNode]:
    nodes: dict[str, CompiledNode] = {}
    readable = names.union(node.name for node in pipe.nodes)
    for node in pipe.nodes:
        try:
            nodes[node.name] = _compile_node(pipe, node, limits, readable)
        except (TemplateSyntaxError, StatementError) as error:
            mistakes.append(_mistake(pipe, node, error))
    return nodes


def _compile_node(
    pipe: Pipe, node: Node, limits: TemplateLimits, readable: frozenset[str]
) -> CompiledNode:
    """`readable` are the names of data sources, quarantines, pipes and the pipe's nodes."""
    where = f"Node '{node.name}' of pipe '{pipe.name}'"
    scans = Scans(where)
    if node.is_template:
        template, paths = compile_with_paths(node.sql, limits=limits)
        reads = find_reads(paths, readable)
        secret_texts = find_secret_texts(paths)
        return CompiledNode(node, where, template, None, scans, reads, secret_texts, paths)
    shape = read_shape(node.sql, "its SQL")
    return CompiledNode(node, where, None, shape, scans, reads_of_shape(shape))


def _mistake(pipe: Pipe, node: Node, error: TemplateSyntaxError | StatementError) -> ProjectMistake:
    line, column = node.sql_line, None
    if isinstance(error, TemplateSyntaxError) and error.line is not None:
        is_known = 0 < error.line <= len(node.sql_lines)
        line = node.sql_lines[error.line - 1] if is_known else node.sql_line + error.line - 1
        column = error.column
    return ProjectMistake(
        f'error parsing node "{node.name}" from pipe "{pipe.name}": {error.message}',
        file=node.position.file,
        line=line,
        column=column,
    )


def _names_in_every_branch(node: CompiledNode) -> Sequence[str]:
    return sorted(node.reads.names)


def _names_with_placeholders(node: CompiledNode) -> Sequence[str]:
    """The names that a node reads; of a template, with placeholders for its values."""
    if node.shape is not None:
        return node.shape.names
    assert node.template is not None
    try:
        return node.scans.find(node.template.validate(secrets=ANY_SECRET).sql).names
    except (TemplateError, StatementError):
        return ()  # reported by the checks of a deploy, with what the engine says


_Place = tuple[CompiledPipe, CompiledNode]


def _targets(place: _Place, names: Sequence[str]) -> list[_Place]:
    pipe, _ = place
    found: list[_Place] = []
    for name in names:
        if name in pipe.nodes:
            found.append((pipe, pipe.nodes[name]))
        elif name in pipe.pipes:
            found.append((pipe.pipes[name], pipe.pipes[name].output))
    return found


def _find_cycles(pipes: Mapping[str, CompiledPipe]) -> list[ProjectMistake]:
    """Each cycle once, at the node of it that comes first. Branches may exclude each other, so
    one that takes several branches is looked for again without values."""
    if not _follow_all(pipes, _names_in_every_branch):
        return []
    return _follow_all(pipes, _names_with_placeholders)


def _follow_all(
    pipes: Mapping[str, CompiledPipe], names_of: Callable[[CompiledNode], Sequence[str]]
) -> list[ProjectMistake]:
    mistakes: list[ProjectMistake] = []
    path: list[_Place] = []
    done: set[CompiledNode] = set()

    def follow(place: _Place) -> None:
        if place[1] in done:
            return
        if place in path:
            mistakes.append(_describe_cycle([*path[path.index(place) :], place]))
            return
        path.append(place)
        for target in _targets(place, names_of(place[1])):
            follow(target)
        done.add(path.pop()[1])

    for pipe in pipes.values():
        for node in pipe.nodes.values():
            follow((pipe, node))
    return mistakes


def _describe_cycle(places: list[_Place]) -> ProjectMistake:
    names = [node.name for _, node in places]
    if len({pipe.name for pipe, _ in places}) > 1:
        names = [f"{pipe.name}.{node.name}" for pipe, node in places]
    pipe, node = places[0]
    circle = " -> ".join(names)
    message = "reads itself" if len(places) == 2 else f"reads itself through others: {circle}"
    return ProjectMistake(
        f'node "{node.name}" of pipe "{pipe.name}" {message}',
        file=node.node.position.file,
        line=node.node.sql_line,
        hint="A node may read data sources, other pipes, and nodes that do not read it",
    )


def _add_facts(pipe: CompiledPipe) -> CompiledPipe:
    places = may_reach(pipe)
    templates = [node.template for _, node in places if node.template is not None]
    if not templates:
        return replace(pipe, statement=compile_node(pipe, pipe.output, {}))
    found = [parameter for template in templates for parameter in template.parameters]
    printed = {parameter.name for parameter in found if parameter.used_in is None}
    parameters: dict[str, Parameter] = {}
    for parameter in found:
        if parameter.used_in is None or parameter.name not in printed:
            parameters.setdefault(parameter.name, parameter)
    try:
        compile_endpoint(pipe, {}, secrets=ANY_SECRET)
        requires_parameters = False
    except PipewrenError:
        requires_parameters = True
    open_templates = [
        node.template for _, node in places if node.reads.is_open and node.template is not None
    ]
    words = (word for template in open_templates for word in _WORD.findall(template.source))
    return replace(
        pipe,
        open_names=frozenset(words) if open_templates else None,
        parameters=tuple(parameters.values()),
        conflicts=_describe_conflicts(found),
        array_parameters=frozenset().union(*(one.array_parameters for one in templates)),
        requires_parameters=requires_parameters,
    )


def _describe_conflicts(found: list[Parameter]) -> tuple[str, ...]:
    """Parameters that are declared with two types or with two defaults: a caller's value, or none,
    means one thing in one place and another in the next."""
    first: dict[str, Parameter] = {}
    conflicts: dict[str, str] = {}
    for one in found:
        if one.used_in is not None:
            continue
        known = first.setdefault(one.name, one)
        has_two_defaults = None not in (one.default, known.default) and one.default != known.default
        if one.type != known.type or has_two_defaults:
            ways = " and as ".join(
                f"{way.type}({way.name}{'' if way.default is None else f', {way.default!r}'})"
                for way in (known, one)
            )
            conflicts.setdefault(one.name, f"the parameter {one.name} is declared as {ways}")
    return tuple(conflicts.values())


def may_reach(pipe: CompiledPipe) -> list[_Place]:
    """All nodes that the output may reach, whatever the values. A `table()` that may choose any
    name counts as choosing those that its template's source mentions. Nodes of the pipe come
    first, in the file's order."""
    found: dict[CompiledNode, CompiledPipe] = {}
    waiting: list[_Place] = [(pipe, pipe.output)]
    while waiting:
        place = waiting.pop(0)
        owner, node = place
        if node in found:
            continue
        found[node] = owner
        waiting += _targets(place, _names_in_every_branch(node))
        if node.template is not None and node.reads.is_open:
            waiting += _targets(place, tuple(dict.fromkeys(_WORD.findall(node.template.source))))
    own = [(pipe, node) for node in pipe.nodes.values() if node in found]
    return own + [(owner, node) for node, owner in found.items() if owner is not pipe]
