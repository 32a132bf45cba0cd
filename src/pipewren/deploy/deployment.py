"""What is live: an immutable, compiled project. Going live replaces it whole, which makes a
deploy atomic for requests: each takes one `Deployment` at its start and keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipewren.errors import NotFound
from pipewren.project.model import Project
from pipewren.sql.graph import CompiledPipe
from pipewren.storage.deployments import StoredDeployment, TableVersion
from pipewren.storage.workspaces import Workspace


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A published pipe, ready to be called. `id` is `t_<hex>`."""

    name: str
    id: str
    pipe: CompiledPipe


@dataclass(frozen=True, slots=True)
class Deployment:
    """`endpoints` are by name and by id; `database` is the one in which names of data sources
    are aliases of this deployment's tables."""

    workspace: Workspace
    stored: StoredDeployment
    project: Project
    pipes: Mapping[str, CompiledPipe]
    endpoints: Mapping[str, Endpoint]
    tables: Mapping[str, TableVersion]

    @property
    def database(self) -> str:
        return self.stored.database

    def endpoint(self, name: str) -> Endpoint:
        """Raises NotFound with the text that clients know (endpoints.md section 4)."""
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            raise NotFound(f"The pipe '{name}' does not exist")
        return endpoint
