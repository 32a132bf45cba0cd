"""Every error of the client, on one page.

    ClientError                  what every call raises
    ├── InvalidArgument          the call itself cannot be sent (also a ValueError)
    ├── Refused                  4xx: the same call again gives the same answer
    │   ├── BadRequest           400
    │   ├── Forbidden            401 or 403
    │   ├── NotFound             404
    │   ├── QueryTimedOut        408  the server's time limit
    │   └── TooManyRequests      429  after the last attempt; `.retry_after_s`
    ├── ServerFailed             5xx, after the last attempt
    ├── ConnectionFailed         no connection, or it broke, after the last attempt
    │   └── AnswerCut            the answer ended before it was complete
    ├── AnswerTimedOut           the server was silent for longer than `timeout_s`
    ├── UnreadableAnswer         an answer that is none of the API's
    └── NotAllSent               some events are not known to be stored; `.report`, `.next_row`

These are about what another server answered, so they stand apart from `pipewren.errors`, whose
statuses become the answers of our own. No error holds the token, nor an object of the HTTP
library, whose requests carry the token in their headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipewren.client.batches import EventsReport


class ClientError(Exception):
    """The root of the client's errors.

    `status` is the answer's, None when there was no whole answer; `request_id` its
    `X-Request-Id`; `retry_after_s` what it said in `Retry-After`, in seconds; `engine_code`
    ClickHouse's number of an engine error (endpoints.md section 4). `attempts` counts the requests
    that were made. `may_have_arrived` says that one of them may have been carried out although
    its answer is missing or tells of a failure.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        engine_code: int | None = None,
        attempts: int = 0,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.engine_code = engine_code
        self.attempts = attempts
        self.may_have_arrived = may_have_arrived

    def __str__(self) -> str:
        known = [f"status {self.status}"] if self.status else []
        if self.request_id:
            known.append(f"request {self.request_id}")
        if self.attempts > 1:
            known.append(f"{self.attempts} attempts")
        return f"{self.message} ({', '.join(known)})" if known else self.message


class InvalidArgument(ClientError, ValueError):
    """An argument that cannot be sent; the message names it. Nothing went out for it."""


class Refused(ClientError):
    """A status of 4xx."""


class BadRequest(Refused):
    """400: a template's or a parameter's mistake, or the engine's that the caller can mend."""


class Forbidden(Refused):
    """401 or 403: no token, a wrong one, or one without the scope."""


class NotFound(Refused):
    """404: no such pipe, or not published."""


class QueryTimedOut(Refused):
    """408: the query ran over the server's limit. Never repeated: it would run as long again."""


class TooManyRequests(Refused):
    """429: rate, quota or concurrency (limits.md section 6)."""


class ServerFailed(ClientError):
    """A status of 5xx."""


class ConnectionFailed(ClientError):
    """The server could not be reached, or the connection broke."""


class AnswerCut(ConnectionFailed):
    """The connection ended in the middle of an answer; what was handed over is not all of it."""


class AnswerTimedOut(ClientError):
    """Nothing came for `timeout_s`. Not repeated: the server may still be working on the call."""


class UnreadableAnswer(ClientError):
    """A redirect, or a body that is not what the API answers: most likely not a Pipewren URL."""


class NotAllSent(ClientError):
    """Sending events ended early.

    `report` tells what got through. `next_row` is the index of the first row that is not known to
    be stored: rows before it must not be sent again. With `may_have_arrived` the batch at
    `next_row` may be stored all the same, wholly or in part. `cause` is the error of that batch,
    whose status, request id and `retry_after_s` this error repeats.
    """

    def __init__(self, cause: ClientError, report: EventsReport, *, rows: int) -> None:
        """`rows` is how many rows the failed batch has; 0 when a row could not be encoded."""
        self.cause = cause
        self.report = report
        self.next_row = report.rows
        batch = f"the batch of {rows} rows" if rows else "the batch"
        doubt = "; that batch may be stored all the same" if cause.may_have_arrived else ""
        super().__init__(
            f"{self.next_row} rows got through, then {batch} that begins with row "
            f"{self.next_row} failed: {cause.message}{doubt}",
            status=cause.status,
            request_id=cause.request_id,
            retry_after_s=cause.retry_after_s,
            engine_code=cause.engine_code,
            attempts=cause.attempts,
            may_have_arrived=cause.may_have_arrived,
        )
