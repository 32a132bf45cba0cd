"""Small texts for the command line's `endpoint ls`, `endpoint url` and `local version`
(pipes-api.md section 6, client-compat.md section 8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pipewren import __version__
from pipewren.access.authorize import authorize_endpoint
from pipewren.errors import BadRequest
from pipewren.serve.answers import Answer
from pipewren.serve.formats import find_format
from pipewren.serve.parameter_schema import list_parameters, sample_value
from pipewren.serve.route_request import TEXT_TYPE, RouteRequest, open_deployment
from pipewren.serve.server import Server


async def show_url(request: RouteRequest, server: Server) -> Answer:
    """`GET /examples/query.http?pipe=&format=&q=`: the URL of a call that works, with an example
    of each parameter that has one and the token that was sent.

    Raises BadRequest without `pipe` or for an unknown format, NotFound, Forbidden.
    """
    caller, deployment = open_deployment(request, server)
    name = request.text("pipe")
    if not name:
        raise BadRequest("The parameter pipe is missing: it names the endpoint")
    endpoint = deployment.endpoint(name)
    authorize_endpoint(caller, endpoint.name, endpoint.id)
    extension = request.text("format") or "json"
    find_format(extension)
    pairs: list[tuple[str, str]] = []
    for parameter in list_parameters(endpoint.pipe):
        sample = sample_value(parameter, must=endpoint.pipe.requires_parameters)
        if sample is not None:
            pairs.append((parameter.name, _as_text(sample)))
    if request.text("q"):
        pairs.append(("q", request.text("q") or ""))
    pairs.append(("token", request.token or ""))
    if request.text("__tb__deployment"):
        pairs.append(("__tb__deployment", request.text("__tb__deployment") or ""))
    url = f"{request.base_url}/v0/pipes/{endpoint.name}.{extension}?{urlencode(pairs)}"
    return Answer(200, (TEXT_TYPE, (b"cache-control", b"no-store")), url.encode())


async def show_version(request: RouteRequest, server: Server) -> Answer:
    """`GET /version`, without a token: the server's version as text."""
    return Answer(200, (TEXT_TYPE,), __version__.encode())


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_as_text(one) for one in value)
    return str(value)
