"""The records that pipes are compiled to, once, when a project loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipewren.project.model import Node, Pipe
from pipewren.sql.reads import Reads
from pipewren.sql.scans import Scans
from pipewren.sql.shape import Shape
from pipewren.sqltext import Sql
from pipewren.template.discovery import Parameter
from pipewren.template.paths import Paths
from pipewren.template.template import Template


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """One SELECT. `settings` and the limits are those that the author wrote at its end; `nodes`
    the nodes of the pipe that are in it. `secrets` are names: `{name: String}` stands for each in
    the text, and the engine puts the value there."""

    sql: Sql
    max_threads: int | None = None
    max_execution_time_s: float | None = None
    settings: tuple[tuple[str, str], ...] = ()
    nodes: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CompiledNode:
    """A node with its template, or with the shape of its literal text. `reads` are the tables that
    it can read, over all branches; `secret_texts` what the branches with a secret print; `paths`
    the ways through its template."""

    node: Node
    where: str  # names it in messages
    template: Template | None
    shape: Shape | None
    scans: Scans = field(repr=False)
    reads: Reads
    secret_texts: tuple[str, ...] = ()
    paths: Paths | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPipe:
    """A pipe. `pipes` are all of the project, which its nodes may read by name.

    `output` is the node that callers and other pipes read: the published one, else the last.
    `parameters` are those of all nodes that `output` may reach, other pipes' included;
    `conflicts` tells of those that are declared in two ways, a sentence each;
    `requires_parameters`: without values it cannot be rendered. `statement`: all that it reaches
    is literal, so every call has this one. `open_names`: a `table()` in it may choose any name, and
    these are the words of the templates that it stands in, by which the author may have named
    tables; None where there is no such.
    """

    pipe: Pipe
    nodes: Mapping[str, CompiledNode]
    output: CompiledNode
    pipes: Mapping[str, CompiledPipe] = field(repr=False)
    parameters: tuple[Parameter, ...] = ()
    array_parameters: frozenset[str] = frozenset()
    conflicts: tuple[str, ...] = ()
    requires_parameters: bool = False
    statement: CompiledStatement | None = None
    open_names: frozenset[str] | None = None

    @property
    def name(self) -> str:
        return self.pipe.name
