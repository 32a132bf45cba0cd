"""Handlers of what an administrator does, each with its line in the audit log."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable

from pipewren.access.audit import record_action
from pipewren.access.caller import Caller
from pipewren.errors import PipewrenError
from pipewren.serve.answers import Answer
from pipewren.serve.callers import address_of, identify
from pipewren.serve.route_request import Handler, RouteRequest, refuse_jwt
from pipewren.serve.server import Server

Handle = Callable[[RouteRequest, Server, Caller], Awaitable[Answer]]


def audited(action: str) -> Callable[[Handle], Handler]:
    """A handler that is told who calls, never by a JWT. It tells whether it was allowed, and of
    what: the path's named part, else the parameter `name`."""

    def wrap(handle: Handle) -> Handler:
        @functools.wraps(handle)
        async def answer(request: RouteRequest, server: Server) -> Answer:
            caller = identify(request.token, server, request.scope)
            record = functools.partial(
                record_action,
                action,
                caller=caller,
                address=address_of(request.scope, server),
                at_s=time.time(),
                target=next(iter(request.names.values()), None) or request.sent("name"),
            )
            try:
                refuse_jwt(caller)
                result = await handle(request, server, caller)
            except PipewrenError as error:
                record(allowed=False, reason=error.message)
                raise
            record(allowed=True)
            return result

        return answer

    return wrap
