"""Which rate limits a call counts towards, and what its answer says of them (limits.md
section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from pipewren.access.rates import Rate
from pipewren.access.rights import Caller
from pipewren.deploy.deployment import Endpoint
from pipewren.serve.answers import Header, rate_limit_headers
from pipewren.serve.server import Server
from pipewren.settings import Settings


def find_rates(
    caller: Caller, endpoint: Endpoint | None, rps: int | None, settings: Settings
) -> list[Rate]:
    """Of the JWT's name, the token, the endpoint and the workspace, where they have one. `endpoint`
    is None for the Query API, `rps` is the JWT's."""
    workspace = caller.workspace_id
    rates: list[Rate] = []
    if rps is not None:
        key = ("jwt", workspace, caller.token_name)
        rates.append(Rate(f"the JWT '{caller.token_name}'", key, rps))
    if settings.rate_limit_per_token:
        key = ("token", workspace, caller.token_id)
        rates.append(Rate(f"the token '{caller.token_name}'", key, settings.rate_limit_per_token))
    if settings.rate_limit_per_endpoint and endpoint is not None:
        key = ("endpoint", workspace, endpoint.id)
        rates.append(Rate(f"the endpoint '{endpoint.name}'", key, settings.rate_limit_per_endpoint))
    if settings.rate_limit_per_workspace:
        key = ("workspace", workspace, "")
        rates.append(Rate("the workspace", key, settings.rate_limit_per_workspace))
    return rates


async def take_rates(
    caller: Caller, endpoint: Endpoint | None, rps: int | None, server: Server
) -> tuple[Header, ...]:
    """Count the call; the headers for its answer. Raises TooManyRequests or Unavailable."""
    return await count_towards(find_rates(caller, endpoint, rps, server.settings), server)


async def count_towards(rates: Sequence[Rate], server: Server) -> tuple[Header, ...]:
    """Count a request; the headers for its answer, none where there is no limit. Raises
    TooManyRequests or Unavailable."""
    if not rates:
        return ()
    state = await server.rates.take(rates)
    return rate_limit_headers(state.limit, state.remaining, state.reset_s)
