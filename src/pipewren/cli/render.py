"""`pipewren render`: the SQL that a template prints, without a server or an engine."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import click

from pipewren.errors import BadRequest, TemplateError
from pipewren.project.model import Node, Pipe
from pipewren.project.pipe import parse_pipe
from pipewren.template.template import compile_template


def render_file(
    file: IO[bytes], name: str, params: str, node_name: str | None, secrets: str
) -> None:
    """Print the SQL of one node of a `.pipe` file. Raises PipewrenError."""
    pipe = parse_pipe(Path(name).stem, file.read().decode("utf-8", "replace"), file=name)
    node = _find_node(pipe, node_name)
    if not node.is_template:
        click.echo(node.sql)
        return
    values = _read_object(params, "--params")
    template = compile_template(node.sql)
    click.echo(template.render(values, secrets=_read_object(secrets, "--secrets")).sql)


def render_lines(lines: Iterable[bytes], secrets: str) -> None:
    """One object a line, `{"template": ..., "params": {...}}`, to one a line, `{"sql": ...}` or
    `{"error": ...}`."""
    known = _read_object(secrets, "--secrets")
    for line in lines:
        if line.strip():
            click.echo(json.dumps(_render_line(line, known), ensure_ascii=False))


def _render_line(line: bytes, secrets: Container[str]) -> dict[str, str]:
    try:
        case = json.loads(line)
        template, params = case["template"], case.get("params") or {}
        if not isinstance(template, str) or not isinstance(params, dict):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"error": 'a line is an object {"template": "...", "params": {...}}'}
    try:
        return {"sql": compile_template(template).render(params, secrets=secrets).sql}
    except TemplateError as error:
        return {"error": error.message}


def _find_node(pipe: Pipe, name: str | None) -> Node:
    if name is None:
        return pipe.output or pipe.nodes[-1]
    for node in pipe.nodes:
        if node.name == name:
            return node
    names = ", ".join(node.name for node in pipe.nodes)
    raise BadRequest(f"The pipe {pipe.name} has no node {name}; it has: {names}")


def _read_object(text: str, option: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{option} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{option} is a JSON object of names and values")
    return value
