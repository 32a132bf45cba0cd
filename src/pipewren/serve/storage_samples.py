"""Records how large data sources are: at times, and when a deployment goes live."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from pipewren.errors import PipewrenError
from pipewren.project.quarantine import quarantine_name
from pipewren.serve.datasource_descriptions import read_sizes
from pipewren.serve.server import Server

_BREATH_S = 0.01  # between workspaces, each a query

_log = logging.getLogger("pipewren.usage")


async def sample_for_ever(server: Server, interval_s: float) -> None:
    """All workspaces, from the start on."""
    while True:
        await sample_sizes(server, list(server.deployments))
        await asyncio.sleep(interval_s)


async def sample_sizes(server: Server, workspace_ids: Iterable[str]) -> None:
    """The data sources of the live deployments of those workspaces, one sample each."""
    for workspace_id in workspace_ids:
        deployment = server.deployments.get(workspace_id)
        if deployment is None or not deployment.tables:
            continue
        try:
            sizes = await read_sizes(deployment, server.engine)
        except PipewrenError as error:  # the next sample may do
            _log.debug("the sizes of %s were not read: %s", workspace_id, error.message)
            continue
        now_s = time.time()
        for name, table in deployment.tables.items():
            server.usage.note_size(
                *(workspace_id, table), sizes[name], sizes[quarantine_name(name)], at_s=now_s
            )
        del deployment  # its end tells that its database can go
        await asyncio.sleep(_BREATH_S)
