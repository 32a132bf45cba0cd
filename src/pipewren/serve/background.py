"""Work that must come to its end though the client that asked for it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pipewren.serve.server import Server

T = TypeVar("T")


async def run_to_the_end(server: Server, work: Coroutine[Any, Any, T]) -> T:
    """Its result or its error. Cancelling the caller leaves the work alone: it runs in a task of
    its own, which the server keeps."""
    return await asyncio.shield(start_work(server, work))


def start_work(server: Server, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that the server keeps and waits for when it stops."""
    task = asyncio.get_running_loop().create_task(work)
    server.background.add(task)
    task.add_done_callback(server.background.discard)
    return task


async def finish_work(server: Server) -> None:
    """Wait for all of it; it is bounded by the engine's own limits."""
    while server.background:
        await asyncio.gather(*server.background, return_exceptions=True)
