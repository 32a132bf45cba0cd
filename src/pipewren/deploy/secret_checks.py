"""Refuses endpoints that would show a secret to their callers (pipes-api.md section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from pipewren.engine.contract import Engine
from pipewren.errors import EngineError, ProjectMistake
from pipewren.project.model import NodeType
from pipewren.sql.graph import CompiledNode, CompiledPipe, may_reach
from pipewren.sql.revealed_secrets import find_revealed


async def find_shown_secrets(engine: Engine, pipes: Iterable[CompiledPipe]) -> list[ProjectMistake]:
    """The nodes of published endpoints that show a secret in any branch of their templates. Costs
    nothing for templates without secrets."""
    nodes: dict[CompiledNode, CompiledPipe] = {}
    for pipe in pipes:
        output = pipe.pipe.output
        if output is not None and output.type is NodeType.ENDPOINT:
            nodes |= {node: owner for owner, node in may_reach(pipe) if node.secret_texts}
    found = await asyncio.gather(*(_find(engine, node.secret_texts) for node in nodes))
    return [
        ProjectMistake(
            f'node "{node.name}" of pipe "{pipe.name}" shows the secret {secret} in its columns, '
            "and an endpoint returns them",
            file=pipe.pipe.position.file,
            line=node.node.sql_line,
            hint="Use tb_secret() in conditions only (WHERE, ON, HAVING), and give it no alias "
            "that a column reads",
        )
        for (node, pipe), secret in zip(nodes.items(), found, strict=True)
        if secret is not None
    ]


async def _find(engine: Engine, texts: Sequence[str]) -> str | None:
    for text in texts:
        try:
            tree = await engine.parse(text)
        except EngineError:
            continue  # this way is no statement: a call that takes it fails
        found = find_revealed(tree)
        if found is not None:
            return found
    return None
