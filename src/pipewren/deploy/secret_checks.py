"""Refuses endpoints that would show a secret to their callers (pipes-api.md section 3)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from pipewren.deploy.few_at_once import run_few_at_once
from pipewren.engine.contract import Engine
from pipewren.errors import EngineError, ProjectMistake
from pipewren.project.model import NodeType
from pipewren.sql.graph import CompiledNode, CompiledPipe, may_reach
from pipewren.sql.revealed_secrets import find_revealed

_PARAMETER = re.compile(r"\{\s*\w+\s*:")


async def find_shown_secrets(engine: Engine, pipes: Iterable[CompiledPipe]) -> list[ProjectMistake]:
    """The nodes of published endpoints that show a secret in any branch of their templates. Costs
    nothing for templates without secrets."""
    nodes: dict[CompiledNode, tuple[CompiledPipe, Sequence[str]]] = {}
    for pipe in pipes:
        output = pipe.pipe.output
        if output is not None and output.type is NodeType.ENDPOINT:
            places = may_reach(pipe)
            if any(node.secret_texts for _, node in places):
                for owner, node in places:
                    nodes[node] = owner, _texts_of(node)
    found = await run_few_at_once(
        [functools.partial(_find, engine, texts) for _, texts in nodes.values()]
    )
    return [
        ProjectMistake(
            f'node "{node.name}" of pipe "{pipe.name}" shows the secret {secret} in its columns, '
            "and an endpoint returns them",
            file=pipe.pipe.position.file,
            line=node.node.sql_line,
            hint="Use tb_secret() in conditions only (WHERE, ON, HAVING), and give it no alias "
            "that a column reads",
        )
        for (node, (pipe, _)), secret in zip(nodes.items(), found, strict=True)
        if secret is not None
    ]


def _texts_of(node: CompiledNode) -> Sequence[str]:
    """What it may print with a parameter in it. One written by hand means the same secret, where
    another node of the statement calls `tb_secret()`."""
    texts = (node.node.sql,) if node.paths is None else node.paths.texts
    return (*node.secret_texts, *(text for text in texts if _PARAMETER.search(text)))


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
