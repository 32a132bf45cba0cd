"""What goes out, as records: the request for an endpoint and the one for a batch of events.

The token is in none of them; the transport adds it as a header, never to a URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from pipewren.client.errors import InvalidArgument
from pipewren.client.parameters import Parameters, encode_parameters, needs_json

MAX_URL_BYTES = 4096  # the CLI's own border between GET and POST (endpoints.md section 1)
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """`target` is the path with its query string, without the server's URL."""

    method: str
    target: str
    content_type: str | None = None
    body: bytes | None = None

    @property
    def label(self) -> str:
        """The request for messages and logs, without the values of its parameters."""
        return f"{self.method} {self.target.partition('?')[0]}"


def check_base_url(url: str) -> str:
    """The server's URL without a slash at its end.

    Raises InvalidArgument for a URL that is not http(s), or that holds a user, a password, a query
    or a fragment: URLs are shown in errors and logs.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidArgument("The server's URL holds characters that no URL has")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is no number
    except ValueError:
        raise InvalidArgument("The server's URL cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgument("The server's URL must begin with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidArgument(
            "The server's URL must hold no user, password, query or fragment: give the token by "
            "its own argument"
        )
    return url.rstrip("/")


def check_token(token: str) -> str:
    """Raises InvalidArgument, without the text, for one that cannot be in a header."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArgument("The token is empty, or holds characters that no token has")
    return token


def endpoint_request(
    base_url: str, pipe: str, extension: str, parameters: Parameters, **switches: str
) -> Request:
    """A GET, or a POST with a form when the URL would be over 4,096 bytes (endpoints.md section 1).

    A list that a form cannot hold goes in a JSON body. `switches` are output settings, which stay
    in the query string. Raises InvalidArgument for a name or a value that cannot be sent.
    """
    if not pipe or "/" in pipe:
        raise InvalidArgument("The pipe's name is empty or holds a slash")
    encoded = encode_parameters(parameters)
    path = f"/v0/pipes/{quote(pipe, safe='')}.{extension}"
    form = urlencode(encoded, doseq=True)
    query = "&".join(part for part in (urlencode(switches), form) if part)
    target = f"{path}?{query}" if query else path
    as_json = needs_json(encoded)
    if not as_json and len(base_url) + len(target) <= MAX_URL_BYTES:
        return Request("GET", target)
    target = f"{path}?{urlencode(switches)}" if switches else path
    if as_json:
        return Request("POST", target, "application/json", msgspec.json.encode(encoded))
    return Request("POST", target, _FORM, form.encode("ascii"))


def events_request(datasource: str, body: bytes, *, wait: bool) -> Request:
    """A POST of NDJSON (data-apis.md section 1)."""
    if not datasource:
        raise InvalidArgument("The data source's name is empty")
    query = urlencode({"name": datasource, "wait": "true" if wait else "false"})
    return Request("POST", f"/v0/events?{query}", "application/x-ndjson", body)
