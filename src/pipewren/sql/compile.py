"""A pipe and values -> one statement: `WITH a AS (...), b AS (...) <the node's own SQL>`.

Only nodes that are reached are rendered and put in. Another pipe that is read becomes one CTE of
its name with its nodes nested inside, so that both may have nodes of one name.

ClickHouse resolves the names in a CTE's body where the CTE is used, not where it is written
(26.9, tried: `WITH o AS (SELECT * FROM t) SELECT * FROM (WITH t AS (...) SELECT * FROM o)` reads
the inner t). Nodes cannot be caught by that: no node has a pipe's or a data source's name, and a
nested node is found first. A CTE of an author's own can catch what a node reads, and is renamed
where it would.

A service data source is a CTE, too, of its whole name: ClickHouse takes `tinybird.jobs_log` for the
CTE of that name (26.9, tried). Its rows are those of the workspace that the statement gets as a
parameter.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pipewren.errors import StatementError
from pipewren.sql.pipes import CompiledNode, CompiledPipe, CompiledStatement
from pipewren.sql.reads import check_reads
from pipewren.sql.service_datasources import services_among
from pipewren.sql.shape import Opening, Shape, rewrite
from pipewren.sqltext import Sql
from pipewren.template.run import Tables
from pipewren.template.values import Value
from pipewren.usage.service_tables import WORKSPACE_PARAMETER, select_rows_by_parameter

__all__ = ["CompiledStatement", "compile_endpoint", "compile_node", "validate_node"]


class _Text(NamedTuple):
    node: CompiledNode
    sql: str
    shape: Shape


@dataclass(slots=True)
class _Run:
    """One compilation. `pipes` are the texts of the other pipes that are read, each with its
    output last, in the order in which they are needed; None while one is being gathered."""

    values: Mapping[str, Value] | None  # None: placeholders
    tables: Tables
    now: datetime | None
    secrets: Container[str] = ()
    max_threads: int | None = None
    used_secrets: tuple[str, ...] = ()
    services: dict[str, None] = field(default_factory=dict)
    pipes: dict[str, list[_Text]] = field(default_factory=dict)
    open_pipes: list[str] = field(default_factory=list)
    has_own_names: bool = False


def compile_endpoint(
    pipe: CompiledPipe,
    values: Mapping[str, Value],
    *,
    tables: Tables = None,
    now: datetime | None = None,
    secrets: Container[str] = (),
) -> CompiledStatement:
    """The statement of a call: the output node and what it reaches. `secrets` are the names that
    `tb_secret()` knows; values are no business of a text. Raises TemplateError and
    StatementError."""
    if pipe.statement is not None:
        return pipe.statement
    return _compile(pipe, pipe.output, _Run(values, tables, now, secrets))


def compile_node(
    pipe: CompiledPipe,
    node: CompiledNode,
    values: Mapping[str, Value],
    *,
    tables: Tables = None,
    now: datetime | None = None,
    secrets: Container[str] = (),
) -> CompiledStatement:
    """The same for any node of the pipe."""
    return _compile(pipe, node, _Run(values, tables, now, secrets))


def validate_node(
    pipe: CompiledPipe,
    node: CompiledNode,
    *,
    tables: Tables = None,
    secrets: Container[str] = (),
) -> CompiledStatement:
    """The same with placeholders in place of values (templating.md section 10), for checks at
    deploy."""
    return _compile(pipe, node, _Run(None, tables, None, secrets))


def _compile(pipe: CompiledPipe, node: CompiledNode, run: _Run) -> CompiledStatement:
    texts = _gather(run, pipe, node)
    output = texts[-1].shape
    if run.has_own_names:
        texts = _keep_names_apart(run, texts)
    definitions = [_define(name, select_rows_by_parameter(name)) for name in run.services]
    if definitions:
        run.used_secrets += (WORKSPACE_PARAMETER,)
    definitions += [_define(name, _put_together([], of)) for name, of in run.pipes.items()]
    sql = _put_together(definitions, texts, tail=output.settings_tail)
    max_threads = run.max_threads
    if output.settings.max_threads is not None:
        max_threads = min(output.settings.max_threads, max_threads or output.settings.max_threads)
    names = frozenset([text.node.node.name for text in texts])
    seconds = output.settings.max_execution_time_s
    return CompiledStatement(
        Sql(sql), max_threads, seconds, output.settings.values, names, run.used_secrets
    )


def _gather(run: _Run, pipe: CompiledPipe, node: CompiledNode) -> list[_Text]:
    """Render `node` and what it reaches in `pipe`, each once, what is read before what reads it."""
    texts: list[_Text] = []
    _visit(run, pipe, node, texts, {}, [])
    return texts


def _visit(
    run: _Run,
    pipe: CompiledPipe,
    node: CompiledNode,
    texts: list[_Text],
    seen: dict[str, bool],
    path: list[str],
) -> None:
    """`seen` says of each node met whether it is done; `path` are those that are not."""
    name = node.node.name
    seen[name] = False
    path.append(name)
    text = _render(run, node)
    nodes, pipes = pipe.nodes, pipe.pipes
    for read in text.shape.names:
        if read in nodes:
            if not seen.get(read, True):
                raise _cycle(node, [*path[path.index(read) :], read])
            if read not in seen:
                _visit(run, pipe, nodes[read], texts, seen, path)
        elif read in pipes:
            _visit_pipe(run, node, pipes[read])
    path.pop()
    seen[name] = True
    texts.append(text)


def _visit_pipe(run: _Run, reader: CompiledNode, pipe: CompiledPipe) -> None:
    name = pipe.name
    if name in run.open_pipes:
        raise _cycle(reader, [*run.open_pipes[run.open_pipes.index(name) :], name])
    if name not in run.pipes:
        run.open_pipes.append(name)
        texts = _gather(run, pipe, pipe.output)
        run.open_pipes.pop()
        run.pipes[name] = texts


def _render(run: _Run, node: CompiledNode) -> _Text:
    template = node.template
    if template is None:
        assert node.shape is not None
        sql, shape = node.node.sql, node.shape
    else:
        if run.values is None:
            rendered = template.validate(tables=run.tables, secrets=run.secrets)
        else:
            rendered = template.render(
                run.values, tables=run.tables, now=run.now, secrets=run.secrets
            )
        sql = rendered.sql
        if rendered.used_secrets:
            run.used_secrets = tuple(dict.fromkeys((*run.used_secrets, *rendered.used_secrets)))
        threads = rendered.max_threads
        if threads is not None and (run.max_threads is None or threads < run.max_threads):
            run.max_threads = threads
        shape = node.scans.find(sql)
        if run.values is not None:
            check_reads(node.reads, rendered, shape, node.where)
    if shape.declared or shape.viewed:
        run.has_own_names = True
    if shape.others:
        run.services.update(dict.fromkeys(services_among(shape.others)))
    return _Text(node, sql, shape)


def _cycle(node: CompiledNode, names: list[str]) -> StatementError:
    return StatementError(
        f"{node.where} reads itself: {' -> '.join(names)}. Break the circle: read a data source, "
        "or a node that does not read this one"
    )


def _put_together(definitions: list[str], texts: list[_Text], *, tail: int | None = None) -> str:
    """The last text with the others as CTEs in front of it."""
    for text in texts[:-1]:
        sql, cut = text.sql, text.shape.tail
        definitions.append(_define(text.node.node.name, sql[:-cut] if cut else sql))
    _, sql, shape = texts[-1]
    cut = shape.tail if tail is None else tail
    if cut:
        sql = sql[:-cut]
    if not definitions:
        return sql
    head = ", ".join(definitions)
    opening = shape.opening
    if opening is Opening.PLAIN:
        return f"WITH {head}\n{sql}"
    if opening is Opening.WITH:
        return f"WITH {head},\n{sql[shape.head :].lstrip()}"
    if opening is Opening.WITH_RECURSIVE:
        return f"WITH RECURSIVE {head},\n{sql[shape.head :].lstrip()}"
    return f"WITH {head}\nSELECT * FROM (\n{sql}\n)"


def _define(name: str, sql: str) -> str:
    # Always quoted, since a node may be called `final`; its name holds no quote (project/names.py).
    return f"`{name}` AS (\n{sql}\n)"


def _keep_names_apart(run: _Run, texts: list[_Text]) -> list[_Text]:
    """Rename own CTEs that would catch what others read, and open `view(...)` around nodes."""
    scopes = [texts, *run.pipes.values()]
    emitted = {text.node.node.name for scope in scopes for text in scope[:-1]} | set(run.pipes)
    everything = [text for scope in scopes for text in scope]

    def adapt(text: _Text) -> _Text:
        shape = text.shape
        if not shape.declared and not shape.viewed:
            return text
        others = (other.shape.names for other in everything if other is not text)
        taken = emitted.union(*others)
        clashing = shape.declared & taken
        if not clashing and shape.viewed.isdisjoint(emitted | shape.declared):
            return text
        taken |= shape.declared
        taken.update(shape.names)
        renamed = {name: _free_name(name, taken) for name in sorted(clashing)}
        sql = rewrite(text.sql, text.node.where, renamed=renamed, inlined=frozenset(emitted))
        return text._replace(sql=sql)

    run.pipes = {name: [adapt(text) for text in scope] for name, scope in run.pipes.items()}
    return [adapt(text) for text in texts]


def _free_name(name: str, taken: set[str]) -> str:
    new = f"{name}_own"
    while new in taken:
        new += "_"
    taken.add(new)
    return new
