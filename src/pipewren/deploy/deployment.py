"""What is live: an immutable, compiled project. Going live replaces it whole, which makes a
deploy atomic for requests: each takes one `Deployment` at its start and keeps it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipewren.errors import NotFound
from pipewren.project.model import NodeType, Project
from pipewren.project.quarantine import name_quarantines
from pipewren.sql.graph import CompiledPipe
from pipewren.sql.service_datasources import SERVICE_DATASOURCES
from pipewren.storage.deployments import StoredDeployment, TableVersion
from pipewren.storage.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result. `type` is ClickHouse's type text, `Nullable(Float64)`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A published pipe, ready to be called. `id` is `t_<hex>`. `columns` are those that the
    engine described at the deploy; None where it could not without values."""

    name: str
    id: str
    pipe: CompiledPipe
    columns: tuple[ResultColumn, ...] | None = None

    @property
    def array_parameters(self) -> frozenset[str]:
        """Parameters of which a repeated value is a list."""
        return self.pipe.array_parameters


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Deployment:
    """`endpoints` are by name and by id; `names` are those of data sources (those of the service
    too), quarantines and pipes, which a template may choose from at run time; `database` is the one
    in which names of data sources and quarantines are aliases of this deployment's tables.
    `pipe_ids` and `pipe_times` (created at) are by name, of all pipes. `quarantines` has the data
    source of each quarantine's name."""

    workspace: Workspace
    stored: StoredDeployment
    project: Project
    pipes: Mapping[str, CompiledPipe]
    endpoints: Mapping[str, Endpoint]
    tables: Mapping[str, TableVersion]
    names: frozenset[str]
    pipe_ids: Mapping[str, str] = field(default_factory=dict)
    pipe_times: Mapping[str, str] = field(default_factory=dict)
    quarantines: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return self.stored.database

    def endpoint(self, name: str) -> Endpoint:
        """Raises NotFound with the text that clients know (endpoints.md section 4)."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise NotFound(f"The pipe '{name}' does not exist")
        return endpoint


def published_pipes(project: Project) -> list[str]:
    """Names of the pipes that are endpoints."""
    return [
        pipe.name
        for pipe in project.pipes.values()
        if pipe.output is not None and pipe.output.type is NodeType.ENDPOINT
    ]


def make_deployment(
    workspace: Workspace,
    stored: StoredDeployment,
    project: Project,
    pipes: Mapping[str, CompiledPipe],
    *,
    tables: Mapping[str, TableVersion],
    pipe_ids: Mapping[str, str],
    pipe_times: Mapping[str, str] | None = None,
) -> Deployment:
    """Put a compiled project together with what the store knows of it. `pipe_ids` has an id for
    every pipe."""
    endpoints: dict[str, Endpoint] = {}
    for name in published_pipes(project):
        endpoint = Endpoint(name, pipe_ids[name], pipes[name])
        endpoints[name] = endpoints[endpoint.id] = endpoint
    quarantines = name_quarantines(project.datasources)
    return Deployment(
        workspace,
        stored,
        project,
        pipes,
        endpoints,
        tables,
        frozenset((*project.datasources, *quarantines, *project.pipes, *SERVICE_DATASOURCES)),
        pipe_ids,
        pipe_times or {},
        quarantines,
    )


def with_columns(
    deployment: Deployment, columns: Mapping[str, tuple[ResultColumn, ...]]
) -> Deployment:
    """The same with what the engine described, by the pipe's name."""
    endpoints: dict[str, Endpoint] = {}
    for endpoint in deployment.endpoints.values():
        described = replace(endpoint, columns=columns.get(endpoint.name))
        endpoints[endpoint.name] = endpoints[endpoint.id] = described
    return replace(deployment, endpoints=endpoints)


def known_columns(deployment: Deployment) -> dict[str, tuple[ResultColumn, ...]]:
    """What the engine has described, by the pipe's name."""
    return {
        endpoint.name: endpoint.columns
        for endpoint in deployment.endpoints.values()
        if endpoint.columns is not None
    }


def outlive(first: Deployment, second: Deployment) -> None:
    """Have `second` live at least as long as `first`. The two are one deployment with one database,
    which is dropped at the end of the object that was live; requests may still hold the other."""
    weakref.finalize(first, _let_go, second).atexit = False


def _let_go(_: Deployment) -> None:
    """The finalizer held it, and holds it no more."""
