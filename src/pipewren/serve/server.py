"""The few objects that a running server is made of, built once in `serve/start.py` and passed
explicitly. The two that change, `keyring` and `deployments`, are replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipewren.access.caller import Keyring
from pipewren.access.rates import RateLimiter
from pipewren.deploy.deployment import Deployment
from pipewren.engine.contract import Engine, Lane, Limits
from pipewren.serve.admission import Admission
from pipewren.serve.pace import Paces
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sql.row_filters import RowFilters
from pipewren.storage.store import Store


@dataclass(slots=True)
class Server:
    """`deployments` is the live deployment of each workspace, by workspace id; `limits`
    are those of the engine's pooled connections, by lane; `row_filters` what is known of how to
    filter a deployment, by workspace id."""

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
    row_filters: dict[str, tuple[Deployment, RowFilters]] = field(default_factory=dict)
