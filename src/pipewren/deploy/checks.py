"""What only the engine can say of a project: whether each node's statement means something.

First comes what the SQL may not do at all (author_checks.py), since the engine runs parts of what
it is asked to describe. Then each node is described (`DESCRIBE`: its columns are worked out, no row
is read) in the database of the deployment, where the data sources' names are: as a call without
parameters would run it; where a parameter is required, with values made for it; where that cannot
be rendered either, with placeholders. Of the last two, only mistakes that no value can mend count.
Other branches are described with the values that lead there.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pipewren.deploy.author_checks import find_author_mistakes, in_file_order
from pipewren.deploy.deployment import Deployment, ResultColumn, with_columns
from pipewren.deploy.few_at_once import AT_ONCE, run_few_at_once
from pipewren.deploy.generated_values import GENERATED_TEXT, Given, Variant, find_variants
from pipewren.deploy.secret_checks import find_shown_secrets
from pipewren.engine.contract import Engine, Limits, Statement
from pipewren.errors import (
    EngineError,
    PipewrenError,
    ProjectErrors,
    ProjectMistake,
    StatementError,
    TemplateError,
    TimedOut,
)
from pipewren.sql.compile import CompiledStatement, compile_node, validate_node
from pipewren.sql.graph import CompiledNode, CompiledPipe
from pipewren.sqltext import Sql
from pipewren.template.run import ANY_SECRET
from pipewren.usage.service_tables import WORKSPACE_PARAMETER

MAX_WAYS = 8  # statements of one node that are described
# ClickHouse's codes that no value can bring about: NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
# UNKNOWN_FUNCTION, whatever else the statement holds; UNKNOWN_IDENTIFIER, UNKNOWN_TABLE,
# SYNTAX_ERROR, UNKNOWN_DATABASE, NOT_AN_AGGREGATE.
_OF_ONE_CALL = frozenset({42, 46})
_OF_THE_TEXT = _OF_ONE_CALL | {47, 60, 62, 81, 215}
_OF_A_VALUE = (GENERATED_TEXT, "placeholder")  # the latter is what `column()` prints of nothing
_LIMITS = Limits(max_execution_time_s=30)


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What became of a node. `reads` are the nodes of its pipe in its statement; `columns` those of
    its result, None where only values could tell; `given` the values that led to the mistake."""

    pipe: CompiledPipe
    node: CompiledNode
    reads: frozenset[str]
    mistake: PipewrenError | None
    columns: tuple[ResultColumn, ...] | None = None
    given: Given = frozenset()


@dataclass(frozen=True, slots=True)
class _Checks:
    engine: Engine
    deployment: Deployment
    slots: asyncio.Semaphore
    with_branches: bool

    async def describe(self, statement: CompiledStatement) -> tuple[ResultColumn, ...]:
        """Raises EngineError and TimedOut."""
        async with self.slots:
            described = await self.engine.run(
                Statement(
                    Sql(f"DESCRIBE TABLE (\n{statement.sql}\n)"),
                    self.deployment.database,
                    "JSONCompactEachRow",
                    _LIMITS,
                    statement.settings,
                    tuple((name, GENERATED_TEXT) for name in statement.secrets),
                )
            )
        return _read_columns(described.body)


async def check_statements(
    engine: Engine,
    deployment: Deployment,
    *,
    only: Collection[str] | None = None,
    known: Mapping[str, tuple[ResultColumn, ...]] | None = None,
    refused: Mapping[str, Sequence[ProjectMistake]] | None = None,
    with_branches: bool = True,
) -> Deployment:
    """Check every node of every pipe; the deployment comes back with its endpoints' columns. Raises
    ProjectErrors with all mistakes, in file order; a node that reads one with a mistake is not
    blamed for it.

    `only` are the names of pipes and data sources that have changed: those pipes are checked, and
    those that read one of them; other endpoints get their columns from `known`. `refused` is what
    `find_author_mistakes` has found, where it was asked before, as it must be before tables are
    made: what reads one of those is not described. `with_branches`: False for a project that has
    been checked before, of which the columns are wanted.
    """
    pipes = deployment.pipes
    if refused is None:
        refused = await find_author_mistakes(engine, deployment.project, pipes, only=only)
    names = set(pipes) if only is None else find_affected(pipes, only)
    names -= find_affected(pipes, refused)
    checks = _Checks(engine, deployment, asyncio.Semaphore(AT_ONCE), with_branches)
    checked = await run_few_at_once(
        [
            functools.partial(_check_node, checks, pipe, node)
            for pipe in pipes.values()
            if pipe.name in names
            for node in pipe.nodes.values()
        ]
    )
    failed = {(one.pipe.name, one.node.name) for one in checked if one.mistake is not None}
    mistakes = [
        _describe(one, one.mistake)
        for one in checked
        if one.mistake is not None
        and failed.isdisjoint((one.pipe.name, name) for name in one.reads - {one.node.name})
    ]
    mistakes += in_file_order(refused)
    mistakes += await find_shown_secrets(engine, (pipes[name] for name in sorted(names)))
    if mistakes:
        raise ProjectErrors(sorted(mistakes, key=lambda one: (one.file or "", one.line or 0)))
    described = {name: columns for name, columns in (known or {}).items() if name not in names}
    for one in checked:
        if one.columns is not None and one.node is one.pipe.output:
            described[one.pipe.name] = one.columns
    return with_columns(deployment, described)


def find_affected(pipes: Mapping[str, CompiledPipe], changed: Collection[str]) -> set[str]:
    """The pipes of `changed`, and those that read one of it, through others too."""
    readers: dict[str, set[str]] = {}
    open_readers: set[str] = set()
    for pipe in pipes.values():
        for node in pipe.nodes.values():
            for name in node.reads.names:
                readers.setdefault(name, set()).add(pipe.name)
            if node.reads.is_open:
                open_readers.add(pipe.name)
    affected = set(changed)
    waiting = [*changed]
    while waiting:
        found = readers.get(waiting.pop(), set()) | open_readers
        waiting += found - affected
        affected |= found
    return affected.intersection(pipes)


async def _check_node(checks: _Checks, pipe: CompiledPipe, node: CompiledNode) -> NodeCheck:
    needed, variants = (
        find_variants(pipe, node) if _has_templates(pipe, node) else (Variant({}), [])
    )
    reads: frozenset[str] = frozenset()
    try:
        statement, is_made_up = _compile(checks.deployment, pipe, node, needed)
    except (TemplateError, StatementError) as error:
        return NodeCheck(pipe, node, reads, error)
    reads = statement.nodes
    columns: tuple[ResultColumn, ...] | None = None
    try:
        columns = await checks.describe(statement)
    except EngineError as error:
        if not is_made_up or _is_of_the_text(error):
            return NodeCheck(pipe, node, reads, error)
    except TimedOut as error:
        return NodeCheck(pipe, node, reads, error)
    if not checks.with_branches:
        return NodeCheck(pipe, node, reads, None, columns)
    statements = _compile_variants(checks.deployment, pipe, node, variants, statement)
    mistake, given = await _check_variants(checks, statements)
    if mistake is not None:
        reads = reads.union(*(one.statement.nodes for one in statements))
    return NodeCheck(pipe, node, reads, mistake, columns, given)


def _has_templates(pipe: CompiledPipe, node: CompiledNode) -> bool:
    return node.template is not None or pipe.statement is None


def _read_columns(body: bytes) -> tuple[ResultColumn, ...]:
    """The rows of a DESCRIBE: name, type, and more that only tables have."""
    rows = msgspec.json.Decoder(list[str]).decode_lines(body)
    return tuple(ResultColumn(row[0], row[1]) for row in rows)


def _compile(
    deployment: Deployment, pipe: CompiledPipe, node: CompiledNode, needed: Variant
) -> tuple[CompiledStatement, bool]:
    """The statement of a call without parameters, else of one with made up values, else with
    placeholders; and whether something was made up, as secrets are: one can be made, or changed,
    later. Raises TemplateError and StatementError."""
    tables = deployment.names
    try:
        statement = compile_node(pipe, node, {}, tables=tables, secrets=ANY_SECRET)
        return statement, not {WORKSPACE_PARAMETER}.issuperset(statement.secrets)
    except TemplateError:
        pass
    try:
        return compile_node(pipe, node, needed.values, tables=tables, secrets=ANY_SECRET), True
    except (TemplateError, StatementError):
        return validate_node(pipe, node, tables=tables, secrets=ANY_SECRET), True


@dataclass(frozen=True, slots=True)
class _Way:
    """A statement, and what is given in each of the variants that make it."""

    statement: CompiledStatement
    given: list[Given]


def _compile_variants(
    deployment: Deployment,
    pipe: CompiledPipe,
    node: CompiledNode,
    variants: list[Variant],
    first: CompiledStatement,
) -> list[_Way]:
    """The different statements that the variants make, `first` in front; those that a template
    refuses are none."""
    ways = {first.sql: _Way(first, [])}
    for variant in variants:
        try:
            statement = compile_node(
                pipe, node, variant.values, tables=deployment.names, secrets=ANY_SECRET
            )
        except (TemplateError, StatementError):
            continue
        if statement.sql in ways or len(ways) < MAX_WAYS:
            ways.setdefault(statement.sql, _Way(statement, [])).given.append(variant.given)
    return list(ways.values())


async def _check_variants(checks: _Checks, ways: list[_Way]) -> tuple[PipewrenError | None, Given]:
    """A mistake that no value can mend: a call that is wrong by itself, or a value with which no
    statement means anything, alone nor with all others. Branches may need each other, so that one
    alone proves nothing. The first way has been described already."""
    errors = [None, *await asyncio.gather(*(_error_of(checks, way) for way in ways[1:]))]
    outcomes: dict[tuple[str, str], list[EngineError | None]] = {}
    for way, error in zip(ways, errors, strict=True):
        for given in way.given:
            if error is not None and error.engine_code in _OF_ONE_CALL:
                return error, given
            for value in given:
                outcomes.setdefault(value, []).append(error)
    for value, seen in sorted(outcomes.items(), key=lambda one: one[0]):
        last = seen[-1]
        if last is not None and len(seen) > 1 and None not in seen:
            return last, frozenset({value})
    return None, frozenset()


async def _error_of(checks: _Checks, way: _Way) -> EngineError | None:
    try:
        await checks.describe(way.statement)
    except EngineError as error:
        return error if _is_of_the_text(error) else None
    except TimedOut:
        return None
    return None


def _is_of_the_text(error: EngineError) -> bool:
    return error.engine_code in _OF_THE_TEXT and not any(
        text in error.message for text in _OF_A_VALUE
    )


def _describe(check: NodeCheck, error: PipewrenError) -> ProjectMistake:
    given = ", ".join(f"{name}={value}" for name, value in sorted(check.given)[:5])
    return ProjectMistake(
        f'node "{check.node.name}" of pipe "{check.pipe.name}": {error.message}'
        + (f" (seen in the statement of a call with {given})" if given else ""),
        file=check.pipe.pipe.position.file,
        line=check.node.node.sql_line,
    )
