"""The application's life in the server process: `create_app` is what the supervisor's child calls.

The start runs inside ASGI's lifespan, so that the listening sockets are open all the while and no
connection is refused; what it has to say goes to standard error, a line each.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pipewren.serve.app import App
from pipewren.serve.logs import LogOptions, make_tell, write_line
from pipewren.serve.server import Server
from pipewren.settings_sources import read_settings

HEALTH_PAUSE_S = 0.5


def create_app(payload: Mapping[str, Any]) -> App:
    """`payload`: `flags` and `config` as given to the command, `example` to have a curl line
    made, and the supervisor's `base_url`. The environment is read again here, so that its secrets
    are in no payload."""

    async def lifespan(
        app: App,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        # Imported here, not above: it imports the engine, which takes a tenth of a second.
        from pipewren.serve.filtered_calls import tell_unfilterable
        from pipewren.serve.metrics_page import is_measured
        from pipewren.serve.request_logs import observe_requests
        from pipewren.serve.spans import open_spans
        from pipewren.serve.start import example_curl, start_server, stop_server

        await receive()
        config = Path(payload["config"]) if payload.get("config") else None
        settings = read_settings(payload["flags"], config=config)
        tell = make_tell(LogOptions(settings.log_format, settings.log_level), write_line)
        spans = open_spans(settings.otel_endpoint)
        started = await start_server(settings, tell)
        server = app.server = started.server
        observe_requests(server)
        if spans is not None:
            app.has_spans = True
            server.observers.append(spans.record)
        detail: dict[str, Any] = {"data_dir": str(settings.store_dir)}
        if started.new_admin_token is not None:
            detail["admin_token"] = started.new_admin_token
        if payload.get("example"):
            deployment = next(iter(server.deployments.values()))
            detail["example"] = example_curl(deployment, server, payload["base_url"])
        await send({"type": "lifespan.startup.complete", "detail": detail})
        # What is there now stays: full collections need not walk it while requests wait.
        gc.collect()
        gc.freeze()
        watcher = asyncio.create_task(_watch(server, send))
        beside = [watcher, asyncio.create_task(tell_unfilterable(server, tell))]
        if is_measured(settings):
            beside.append(asyncio.create_task(server.metrics.watch_loop()))
        await receive()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        app.server = None
        await stop_server(server)
        if spans is not None:
            await spans.close()
        await send({"type": "lifespan.shutdown.complete"})

    app = App(lifespan)
    app.metrics_port = payload.get("metrics_port")
    return app


async def _watch(server: Server, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Ask to be replaced when the engine cannot answer any more."""
    while True:
        await asyncio.sleep(HEALTH_PAUSE_S)
        state = server.engine.health()
        if not state.ready:
            await send({"type": "pipewren.unhealthy", "reason": state.reason or "no reason given"})
            return
