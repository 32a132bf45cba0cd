"""The few objects that a running server is made of, built once in `serve/start.py` and passed
explicitly. The two that change, `keyring` and `deployments`, are replaced whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipewren.access.caller import Keyring
from pipewren.access.rates import RateLimiter
from pipewren.deploy.deployment import Deployment
from pipewren.engine.contract import Engine, Lane, Limits
from pipewren.errors import NotFound
from pipewren.ingest.gate import WriteGate
from pipewren.ingest.ingestion import Ingestion
from pipewren.serve.admission import Admission
from pipewren.serve.event_bodies import EventRoom
from pipewren.serve.job_runner import Jobs
from pipewren.serve.metrics import Metrics
from pipewren.serve.pace import Paces
from pipewren.serve.request_record import RequestRecord
from pipewren.serve.row_readers import RowReaders
from pipewren.serve.spool import SpoolRoom
from pipewren.serve.usage import Usage
from pipewren.settings import Settings
from pipewren.sql.recent import Recent
from pipewren.sql.row_filters import RowFilters
from pipewren.storage.store import Store


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a deployment from the statements that were run over it: how to filter them,
    those that callers sent (serve/query.py), by text and rights, how those must be written
    whose rows the engine does not count right (serve/counted_queries.py), by text, and which pipes
    name nothing that is not in them (serve/closed_pipes.py)."""

    deployment: Deployment
    filters: RowFilters
    statements: Recent[Any, Any]
    counted: Recent[Any, Any]
    closed: Recent[Any, Any]


@dataclass(slots=True)
class Server:
    """`deployments` is the live deployment of each workspace, by workspace id; `limits`
    are those of the engine's pooled connections, by lane; `learned` what is known of a
    deployment's statements, by workspace id; `observers` are told of each request that is over;
    `metrics` counts them and more; `background` what outlives the request that began it
    (serve/background.py). `staged` are deployments that wait to be promoted, by workspace id;
    `light_queries` is how many statements of callers are in the light lane (serve/query.py);
    `deploying` the ids of workspaces that are being deployed to; `writes` keeps inserts and going
    live apart; `ingestion` takes events (serve/start.py sets it); `secrets` are values by workspace
    id and name."""

    settings: Settings
    engine: Engine
    store: Store
    keyring: Keyring
    deployments: Mapping[str, Deployment]
    admission: Admission
    limits: Mapping[Lane, Limits]
    spool_room: SpoolRoom
    paces: Paces = field(default_factory=Paces)
    rates: RateLimiter = field(default_factory=RateLimiter)
    observers: list[Callable[[RequestRecord], None]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    metrics: Metrics = field(default_factory=Metrics)
    learned: dict[str, Learned] = field(default_factory=dict)
    background: set[asyncio.Task[Any]] = field(default_factory=set)
    staged: dict[str, Deployment] = field(default_factory=dict)
    light_queries: int = 0
    deploying: set[str] = field(default_factory=set)
    writes: WriteGate = field(default_factory=WriteGate)
    # By workspace id, then name. The key seals what is stored of them (storage/secrets.py).
    secrets: dict[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    secrets_key: bytes = field(default=b"", repr=False)
    jobs: Jobs = field(init=False)
    ingestion: Ingestion = field(init=False)
    event_room: EventRoom = field(init=False)
    row_readers: RowReaders = field(default_factory=RowReaders)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.store, self.usage.note_job)
        self.event_room = EventRoom(self.settings.max_events_memory_bytes)

    def deployment_of(self, workspace_id: str, *, is_staged: bool = False) -> Deployment:
        """What answers in a workspace: the live deployment, or the staged one. Raises NotFound
        where none is staged."""
        if not is_staged:
            return self.deployments[workspace_id]
        staged = self.staged.get(workspace_id)
        if staged is None:
            raise NotFound("No deployment is staged: leave out __tb__deployment=staging")
        return staged
