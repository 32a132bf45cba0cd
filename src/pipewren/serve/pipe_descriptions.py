"""Pipes and nodes as clients read them (pipes-api.md section 2, client-compat.md section 5).

Some clients build their objects from the keys as they are, so keys are part of the contract.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

from pipewren.deploy.deployment import Deployment
from pipewren.errors import NotFound, StatementError, TemplateError
from pipewren.project.model import NodeType
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.template.discovery import Parameter
from pipewren.template.run import ANY_SECRET

Description = dict[str, Any]

# What a list shows when `attrs` is not sent.
LIST_KEYS = (
    *("id", "name", "description", "endpoint", "created_at", "updated_at", "parent", "type"),
    *("nodes", "url"),
)


def find_pipe(deployment: Deployment, name: str) -> CompiledPipe:
    """A pipe by its name or id, published or not. Raises NotFound."""
    pipe = deployment.pipes.get(name)
    if pipe is None:
        owner = next((key for key, pipe_id in deployment.pipe_ids.items() if pipe_id == name), "")
        pipe = deployment.pipes.get(owner)
    if pipe is None:
        raise NotFound(f"Pipe '{name}' not found")
    return pipe


def find_node(deployment: Deployment, pipe: CompiledPipe, name: str) -> CompiledNode:
    """A node by its name or id. Raises NotFound."""
    for node in pipe.nodes.values():
        if name in (node.name, node_id(deployment, pipe, node)):
            return node
    raise NotFound(f"Node '{name}' not found in pipe '{pipe.name}'")


def node_id(deployment: Deployment, pipe: CompiledPipe, node: CompiledNode) -> str:
    """`t_<32 hex>`: made of the pipe's id and the node's name, so that it outlives deploys."""
    text = f"{deployment.pipe_ids[pipe.name]}.{node.name}"
    return f"t_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def describe_pipe(deployment: Deployment, pipe: CompiledPipe, base_url: str) -> Description:
    """One pipe, whole. `endpoint` is the id of the published node, `url` that of its data."""
    output = pipe.pipe.output
    kind = output.type if output is not None else None
    is_endpoint = kind is NodeType.ENDPOINT
    return {
        "id": deployment.pipe_ids[pipe.name],
        "name": pipe.name,
        "description": pipe.pipe.description,
        "type": kind.value if kind is not None else "default",
        "endpoint": node_id(deployment, pipe, pipe.output) if is_endpoint else None,
        "parent": None,
        "path": pipe.pipe.position.file,
        "content": pipe.pipe.content,
        "url": f"{base_url}/v0/pipes/{pipe.name}.json" if is_endpoint else None,
        "workspace_id": deployment.workspace.uuid,
        "edited_by": None,
        "last_commit": {"content_sha": "", "path": "", "status": ""},
        **_times(deployment, pipe),
        "nodes": [describe_node(deployment, pipe, node) for node in pipe.nodes.values()],
    }


def describe_node(deployment: Deployment, pipe: CompiledPipe, node: CompiledNode) -> Description:
    """One node. `sql` begins with `%` where it is a template, as the author wrote it."""
    written = node.node.sql
    if node.node.is_template:
        written = f"%{written}" if written.startswith("\n") else f"%\n{written}"
    target = deployment.tables.get(node.node.attributes.get("datasource", ""))
    is_view = node.node.type is NodeType.MATERIALIZED and target is not None
    return {
        "id": node_id(deployment, pipe, node),
        "name": node.name,
        "sql": written,
        "description": node.node.description or None,
        "node_type": node.node.type.value,
        "params": describe_parameters(node.template.parameters if node.template else ()),
        "dependencies": _dependencies(deployment, pipe, node),
        "materialized": target.resource_id if is_view and target is not None else None,
        "cluster": None,
        "tags": {},
        "version": 0,
        "project": None,
        "result": None,
        "ignore_sql_errors": False,
        "deployment_suffix": "",
        **_times(deployment, pipe),
    }


def describe_parameters(parameters: Sequence[Parameter]) -> list[Description]:
    """Each name once, by its first use with a type; other keywords as the author wrote them."""
    chosen: dict[str, Parameter] = {}
    for one in parameters:
        known = chosen.get(one.name)
        if known is None or (known.used_in is not None and one.used_in is None):
            chosen[one.name] = one
    return [
        {
            "name": one.name,
            "type": one.type,
            "default": as_json(one.default),
            "description": None,
            **{key: as_json(value) for key, value in one.attributes.items()},
            "required": one.is_required,
        }
        for one in chosen.values()
    ]


def as_json(value: Any) -> Any:
    """What an author wrote in a template, as JSON can hold it; the text of anything else."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    if isinstance(value, dict):
        return {str(key): as_json(one) for key, one in value.items()}
    return str(value)


def cut_description(
    pipe: Description, keys: Iterable[str] | None, node_keys: Iterable[str] | None
) -> Description:
    """The pipe with those of its and its nodes' keys; None keeps all, no node key drops the nodes.

    `url` is always there, and `nodes` too when node keys are asked for."""
    cut = dict(pipe)
    if keys is not None:
        wanted = {*keys, "url"} | ({"nodes"} if node_keys else set())
        cut = {key: value for key, value in pipe.items() if key in wanted}
    if node_keys is not None and "nodes" in cut:
        names = set(node_keys)
        if not names:
            del cut["nodes"]
        else:
            cut["nodes"] = [
                {key: value for key, value in node.items() if key in names}
                for node in pipe["nodes"]
            ]
    return cut


def _times(deployment: Deployment, pipe: CompiledPipe) -> dict[str, str]:
    # What is live was changed when its deployment was made; microseconds stay (section 2).
    updated_at = deployment.stored.created_at
    return {
        # Ids are made just after the deployment is recorded.
        "created_at": min(deployment.pipe_times.get(pipe.name, updated_at), updated_at),
        "updated_at": updated_at,
    }


def _dependencies(deployment: Deployment, pipe: CompiledPipe, node: CompiledNode) -> list[str]:
    """The nodes, pipes and data sources that it reads; of a template, with placeholders."""
    known = deployment.names | pipe.nodes.keys()
    if node.shape is not None:
        return [name for name in node.shape.names if name in known]
    assert node.template is not None  # a node has a template or a shape
    try:
        rendered = node.template.validate(tables=deployment.names, secrets=ANY_SECRET)
        return [name for name in node.scans.find(rendered.sql).names if name in known]
    except (TemplateError, StatementError):
        return []  # such a template says what it reads only once it has values
