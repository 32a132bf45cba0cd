"""`/docs`: the page for people, Swagger UI out of the package over the caller's own OpenAPI
document. It needs no network, and the token that is given to it goes into headers only.
"""

from __future__ import annotations

from importlib.resources import files

from pipewren.errors import NotFound
from pipewren.serve.answers import Answer, Header
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.server import Server

# The files that are served; what else lies in the folder are notices.
_TYPES = {
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "swagger-ui.css": b"text/css; charset=utf-8",
    "docs.js": b"text/javascript; charset=utf-8",
    "docs.css": b"text/css; charset=utf-8",
}
# Swagger UI's icons are `data:` images.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


async def show_page(request: RouteRequest, server: Server) -> Answer:
    """`GET /docs`, without a token. `/docs/` is sent there: the page's links are relative, so that
    it also works below a proxy's path."""
    if request.path.endswith("/"):
        return Answer(308, ((b"location", b"../docs"),), b"")
    return _read("index.html", b"text/html; charset=utf-8", cache=b"no-cache")


async def show_file(request: RouteRequest, server: Server) -> Answer:
    """`GET /docs/FILE`: a part of the page. Raises NotFound."""
    name = request.names["file"]
    if name not in _TYPES:
        raise NotFound(f"There is no route {request.path}")
    return _read(name, _TYPES[name], cache=b"public, max-age=3600")


def _read(name: str, content_type: bytes, *, cache: bytes) -> Answer:
    body = files("pipewren.serve").joinpath("docs_assets", name).read_bytes()
    headers = ((b"content-type", content_type), (b"cache-control", cache), *_SAFE)
    return Answer(200, headers, body)
