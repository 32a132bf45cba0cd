"""Between httpx2 and the steps: what both clients need of it, without I/O of its own."""

from __future__ import annotations

import httpx2

from pipewren import __version__
from pipewren.client.errors import InvalidArgument
from pipewren.client.exchange import Target
from pipewren.client.requests import Request, check_base_url, check_token
from pipewren.client.retries import Clock, RetryPolicy
from pipewren.client.steps import Failure, Head

_BEFORE_SENDING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def make_target(
    url: str, token: str, max_attempts: int, max_wait_s: float, clock: Clock | None
) -> Target:
    """Raises InvalidArgument for a URL, a token or bounds that cannot be used."""
    base_url = check_base_url(url)
    try:
        httpx2.URL(base_url)
    except httpx2.InvalidURL:
        raise InvalidArgument("The server's URL cannot be read") from None
    return Target(
        base_url,
        check_token(token),
        RetryPolicy(max_attempts=max_attempts, max_wait_s=max_wait_s),
        clock or Clock(),
    )


def check_timeout_s(timeout_s: float) -> float:
    """Raises InvalidArgument unless it is more than nothing."""
    if not timeout_s > 0:
        raise InvalidArgument("timeout_s must be more than 0")
    return timeout_s


def make_request(target: Target, request: Request) -> httpx2.Request:
    """The request with its token, which goes into a header and never into the URL."""
    headers = {
        "Authorization": f"Bearer {target.token}",
        "User-Agent": f"pipewren-client/{__version__}",
        "Accept-Encoding": "gzip, deflate",
    }
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    return httpx2.Request(
        request.method, target.base_url + request.target, headers=headers, content=request.body
    )


def head_of(response: httpx2.Response) -> Head:
    headers = {name.lower(): value for name, value in response.headers.items()}
    version = response.extensions.get("http_version", b"")
    has_end = not (
        isinstance(version, bytes)
        and version.startswith(b"HTTP/1.")
        and "content-length" not in headers
        and "chunked" not in headers.get("transfer-encoding", "").lower()
    )
    return Head(response.status_code, headers, has_end)


def failure_of(error: httpx2.RequestError) -> Failure:
    """What an exception of httpx2 means. The exception itself is dropped: it holds the request,
    and so the token."""
    before_sending = isinstance(error, _BEFORE_SENDING)
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
        return Failure("silent", reason, not before_sending)
    if isinstance(error, (httpx2.DecodingError, httpx2.LocalProtocolError)):
        return Failure("unreadable", reason, True)
    return Failure("broken", reason, not before_sending)
