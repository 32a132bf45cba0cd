"""The token is in no error, no repr and no log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from pipewren.client import AsyncClient, Client, ClientError

if TYPE_CHECKING:
    from tests.unit.client.conftest import Caller, FailingServer

TOKEN = "p.very+secret/value==.end"


def reaches_token(error: BaseException) -> bool:
    """Whether the token is in the error, its attributes, or the errors that it is chained to."""
    texts = [*traceback.format_exception(error), repr(error)]
    chained: BaseException | None = error
    while chained is not None:
        texts += [repr(vars(chained)), repr(chained.args)]
        assert type(chained).__module__.startswith("pipewren."), "an error of another library's"
        chained = chained.__cause__ or chained.__context__
    whole = "\n".join(texts)
    return TOKEN in whole or quote(TOKEN, safe="") in whole


FAILURES: list[Callable[[FailingServer], object]] = [
    lambda server: server.drops(),
    lambda server: server.cuts(b"{", length=9),
    lambda server: server.hangs(),
    lambda server: server.sends(b"garbage\r\n\r\n"),
    lambda server: server.answers(200, b"<html>" + TOKEN.encode()),
    lambda server: server.answers(403, {"error": f"Invalid token {TOKEN}"}),
    lambda server: server.answers(
        400, {"error": f"in {quote(TOKEN, safe='')}"}, x_request_id=TOKEN
    ),
    lambda server: server.answers(302, location=f"http://elsewhere/?token={TOKEN}"),
    lambda server: server.sends(
        b"HTTP/1.1 200 OK\r\nContent-Length: " + TOKEN.encode() + b"\r\n\r\n"
    ),
]


@pytest.mark.parametrize("number", range(len(FAILURES)))
def test_no_failure_shows_the_token(
    caller: Caller, server: FailingServer, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    FAILURES[number](server)
    caller.token = TOKEN
    with caplog.at_level(logging.DEBUG), pytest.raises(ClientError) as caught:
        caller.query("top", {"x": 1}, timeout_s=0.1, max_attempts=1)
    assert not reaches_token(caught.value)
    logged = [record for record in caplog.records if record.name.startswith("pipewren")]
    assert TOKEN not in "".join(record.getMessage() for record in logged)


def test_the_token_goes_out_in_a_header_and_never_in_a_url(
    caller: Caller, server: FailingServer
) -> None:
    server.answers(404, {"error": "x"}).answers(404, {"error": "x"})
    caller.token = TOKEN
    for call in (caller.query, caller.stream):
        with pytest.raises(ClientError):
            call("top", {"x": 1})
    for received in server.received:
        assert received.headers["authorization"] == f"Bearer {TOKEN}"
        assert "secret" not in received.target


def test_no_repr_shows_the_token() -> None:
    for client in (Client("http://host", TOKEN), AsyncClient("http://host", TOKEN)):
        assert repr(client) == f"{type(client).__name__}('http://host')"
        assert TOKEN not in repr(vars(client))
