"""A client of Pipewren's API that retries, blocking and async.

    from pipewren.client import Client

    with Client("http://localhost:7181", token) as client:
        answer = client.query("busiest_routes", {"limit": 3})

How to use it stands in `docs/client.md`. A call's path: `blocking.py` or `asynchronous.py` performs
the steps of `rows.py`, `arrow.py`, `stream.py` or `batches.py`, which build a request
(`requests.py`), make attempts (`retries.py`) and read what came (`exchange.py`). It stands alone:
nothing of the server is imported.
"""

from pipewren.client.asynchronous import AsyncClient, AsyncRowStream
from pipewren.client.batches import EventsBatch, EventsReport
from pipewren.client.blocking import Client, RowStream
from pipewren.client.errors import (
    AnswerCut,
    AnswerTimedOut,
    BadRequest,
    ClientError,
    ConnectionFailed,
    Forbidden,
    InvalidArgument,
    NotAllSent,
    NotFound,
    QueryTimedOut,
    Refused,
    ServerFailed,
    TooManyRequests,
    UnreadableAnswer,
)
from pipewren.client.retries import Clock
from pipewren.client.rows import Column, Rows, Statistics

__all__ = [
    "AnswerCut",
    "AnswerTimedOut",
    "AsyncClient",
    "AsyncRowStream",
    "BadRequest",
    "Client",
    "ClientError",
    "Clock",
    "Column",
    "ConnectionFailed",
    "EventsBatch",
    "EventsReport",
    "Forbidden",
    "InvalidArgument",
    "NotAllSent",
    "NotFound",
    "QueryTimedOut",
    "Refused",
    "RowStream",
    "Rows",
    "ServerFailed",
    "Statistics",
    "TooManyRequests",
    "UnreadableAnswer",
]
