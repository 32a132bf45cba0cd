"""The server's side of HTTP/1.1 over real sockets, under an application of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from pipewren.serve.bounds import HttpBounds
from pipewren.serve.protocol import HttpConnection
from pipewren.serve.traffic import Traffic

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@contextlib.asynccontextmanager
async def listening(app: Application, bounds: HttpBounds | None = None) -> AsyncIterator[Connect]:
    """Serve an application on a free port; what comes back opens a connection."""
    config = uvicorn.Config(app, interface="asgi3", lifespan="off", proxy_headers=False)
    config.load()
    state = ServerState()
    traffic = Traffic(bounds or HttpBounds())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: HttpConnection(traffic, config, state, {}), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    server.close()
    for exchange in list(state.tasks):
        exchange.cancel()
    while state.connections or state.tasks:
        await asyncio.sleep(0)
    assert traffic.connections == 0
