"""Lines of the log about requests that are over: one for each, where that is asked for, and one for
each slow query. Both are observers of the server (`Server.observers`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pipewren.serve.logs import name_request, with_fields
from pipewren.serve.request_record import RequestRecord
from pipewren.serve.request_url import loggable_url
from pipewren.serve.server import Server
from pipewren.sql.tokens import Kind, scan_tokens

MAX_SQL_CHARACTERS = 2000
_MAX_SCANNED = 4 * MAX_SQL_CHARACTERS
_MAX_URL_CHARACTERS = 2000

_access = logging.getLogger("pipewren.access")
_slow = logging.getLogger("pipewren.slow_query")


def observe_requests(server: Server) -> None:
    """Have the lines written that the settings ask for."""
    settings = server.settings
    if settings.access_log:
        server.observers.append(log_access)
    if settings.slow_query_s:
        server.observers.append(make_slow_log(settings.slow_query_s))


def log_access(record: RequestRecord) -> None:
    """`GET /v0/pipes/top.json?limit=3 200`: a request, whatever became of it."""
    method = record.scope["method"]
    url = loggable_url(record.scope)[:_MAX_URL_CHARACTERS]
    fields: dict[str, Any] = {
        "method": method,
        "url": url,
        "status": record.status,
        "duration_ms": _ms(record.duration_s),
        **name_request(record.request_id, record.trace),
    }
    if record.name:
        fields["pipe"] = record.name
    if record.token_name:
        fields["token_name"] = record.token_name
    statistics = record.statistics
    if statistics is not None:
        fields["read_rows"] = statistics.rows_read
        fields["result_rows"] = statistics.result_rows
    extra = with_fields(fields, told=("method", "url", "status"))
    _access.info("%s %s %s", method, url, record.status, extra=extra)


def make_slow_log(slow_query_s: float) -> Callable[[RequestRecord], None]:
    """The observer that tells of queries which ran for `slow_query_s` or longer: in the engine,
    without what they waited for it."""

    def log_slow(record: RequestRecord) -> None:
        if record.duration_s < slow_query_s or not record.connection:
            return
        statistics = record.statistics
        if statistics is not None:
            ran_s = statistics.elapsed_s
        else:  # it failed, and only the request's own time is known
            ran_s = record.duration_s - record.waited_s
        if ran_s < slow_query_s:
            return
        fields: dict[str, Any] = {
            "pipe": record.name,
            "query_ms": _ms(ran_s),
            "status": record.status,
            "connection": record.connection,
            **name_request(record.request_id, record.trace),
        }
        if statistics is not None:
            fields["read_rows"] = statistics.rows_read
            fields["read_bytes"] = statistics.bytes_read
            fields["result_rows"] = statistics.result_rows
        fields["sql"] = without_values(record.sql)
        extra = with_fields(fields, told=("pipe", "query_ms"))
        _slow.warning("slow query: %.2f s, %s", ran_s, record.name, extra=extra)

    return log_slow


def without_values(sql: str, max_characters: int = MAX_SQL_CHARACTERS) -> str:
    """A statement on one line, with `?` for each string and number and without comments: what
    callers send belongs into no log. At most `max_characters` and `...`."""
    parts: list[str] = []
    end = -1
    text = sql[:_MAX_SCANNED]
    for token in scan_tokens(text):
        # A string that is cut, or was never closed; `$tag$...` is one too.
        if token.kind is Kind.BROKEN or (token.kind is Kind.WORD and "$" in token.text):
            break
        if end >= 0 and token.start > end:
            parts.append(" ")
        end = token.end
        is_value = token.kind in (Kind.STRING, Kind.NUMBER) or token.text[0].isdigit()
        parts.append("?" if is_value else token.text)
    else:
        if len(text) == len(sql):
            shown = "".join(parts)
            return shown if len(shown) <= max_characters else f"{shown[:max_characters]}..."
    return f"{''.join(parts)[:max_characters]}..."


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
