"""What only the engine can say of a project: whether each node's statement means something.

Each node is described (`DESCRIBE`: its columns are worked out, no row is read) in the database of
the deployment, where the data sources' names are. A node without required parameters is described
as a call without parameters would run it; one with them, with placeholders, and then only
mistakes that no value can mend count.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from pipewren.deploy.deployment import Deployment, ResultColumn, with_columns
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

# ClickHouse's codes that no value can bring about: NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
# UNKNOWN_FUNCTION, UNKNOWN_IDENTIFIER, UNKNOWN_TABLE, SYNTAX_ERROR, UNKNOWN_DATABASE,
# NOT_AN_AGGREGATE.
_OF_THE_TEXT = frozenset({42, 46, 47, 60, 62, 81, 215})
_PLACEHOLDER = "placeholder"  # what `column()` and `table()` print when nothing is given
_LIMITS = Limits(max_execution_time_s=30)


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What became of a node. `reads` are the nodes of its pipe in its statement; `columns` those of
    its result, None where only values could tell."""

    pipe: CompiledPipe
    node: CompiledNode
    reads: frozenset[str]
    mistake: PipewrenError | None
    columns: tuple[ResultColumn, ...] | None = None


async def check_statements(engine: Engine, deployment: Deployment) -> Deployment:
    """Check every node of every pipe; the deployment comes back with its endpoints' columns. Raises
    ProjectErrors with all mistakes, in file order; a node that reads one with a mistake is not
    blamed for it."""
    checked = await asyncio.gather(
        *(
            _check_node(engine, deployment, pipe, node)
            for pipe in deployment.pipes.values()
            for node in pipe.nodes.values()
        )
    )
    failed = {(one.pipe.name, one.node.name) for one in checked if one.mistake is not None}
    mistakes = [
        _describe(one.pipe, one.node, one.mistake)
        for one in checked
        if one.mistake is not None
        and failed.isdisjoint((one.pipe.name, name) for name in one.reads - {one.node.name})
    ]
    if mistakes:
        raise ProjectErrors(mistakes)
    described = {
        one.pipe.name: one.columns
        for one in checked
        if one.columns is not None and one.node is one.pipe.output
    }
    return with_columns(deployment, described)


async def _check_node(
    engine: Engine, deployment: Deployment, pipe: CompiledPipe, node: CompiledNode
) -> NodeCheck:
    reads: frozenset[str] = frozenset()
    try:
        statement, is_placeholder = _compile(deployment, pipe, node)
        reads = statement.nodes
        described = await engine.run(
            Statement(
                Sql(f"DESCRIBE TABLE (\n{statement.sql}\n)"),
                deployment.database,
                "JSONCompactEachRow",
                _LIMITS,
                statement.settings,
            )
        )
    except EngineError as error:
        if is_placeholder and not _is_of_the_text(error):
            return NodeCheck(pipe, node, reads, None)
        return NodeCheck(pipe, node, reads, error)
    except (TemplateError, StatementError, TimedOut) as error:
        return NodeCheck(pipe, node, reads, error)
    return NodeCheck(pipe, node, reads, None, _read_columns(described.body))


def _read_columns(body: bytes) -> tuple[ResultColumn, ...]:
    """The rows of a DESCRIBE: name, type, and more that only tables have."""
    rows = msgspec.json.Decoder(list[str]).decode_lines(body)
    return tuple(ResultColumn(row[0], row[1]) for row in rows)


def _compile(
    deployment: Deployment, pipe: CompiledPipe, node: CompiledNode
) -> tuple[CompiledStatement, bool]:
    """The statement of a call without parameters; where there is none, with placeholders."""
    try:
        return compile_node(pipe, node, {}, tables=deployment.names), False
    except TemplateError:
        return validate_node(pipe, node, tables=deployment.names), True


def _is_of_the_text(error: EngineError) -> bool:
    return error.engine_code in _OF_THE_TEXT and _PLACEHOLDER not in error.message


def _describe(pipe: CompiledPipe, node: CompiledNode, error: PipewrenError) -> ProjectMistake:
    return ProjectMistake(
        f'node "{node.name}" of pipe "{pipe.name}": {error.message}',
        file=pipe.pipe.position.file,
        line=node.node.sql_line,
    )
