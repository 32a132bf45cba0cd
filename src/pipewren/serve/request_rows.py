"""From the record of a request to its row in `tinybird.pipe_stats_rt` (service-data-sources.md
sections 2 and 3).

No token's value is in a row: the parameter `token` is left out however it is spelt, and a value of
another one that has a token in it is replaced. Every text has a bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, cast
from urllib.parse import unquote, unquote_plus

from pipewren.engine.contract import QueryCost
from pipewren.serve.call import read_bearer
from pipewren.serve.forwarded import Network, client_address
from pipewren.serve.request_record import RECORD, RequestRecord
from pipewren.usage.recorder import Row
from pipewren.usage.service_tables import workspace_uuid

MAX_URL = 8192  # characters, as all bounds here
MAX_TEXT = 2000  # of an error's message
MAX_USER_AGENT = 500
MAX_NAMES = 100  # parameters
MAX_NAME = 200
MAX_VALUE = 1000

_HIDDEN = "***"
# Static tokens and JWTs, whole: base64 of JSON, which begins with `{"`, and its signature.
_TOKEN_LIKE = re.compile(r"p\.eyJ[\w-]+\.[\w-]+|eyJ[\w-]+\.[\w-]+\.[\w-]+")
_MAX_DECODED = 3  # times that a text is decoded to see what it hides
_MIN_TOKEN = 8  # a shorter one would hide words of every URL


def request_row(
    record: RequestRecord, trusted_proxies: Collection[Network], cost: QueryCost | None = None
) -> Row:
    """CPU time and memory are those of `cost`, and 0 where it is not known."""
    scope = record.scope
    # A record and its scope name each other: freed at once, and not by a collection, without.
    cast(dict[str, Any], scope).pop(RECORD, None)
    bearer = read_bearer(scope["headers"])
    query, parameters = read_query(scope["query_string"], bearer)
    for name, value in record.fixed.items():
        parameters[name[:MAX_NAME]] = str(value)[:MAX_VALUE]
    row = {
        "workspace_id": workspace_uuid(record.workspace_id),
        "start_datetime": int(record.started_at_s),
        "pipe_id": record.resource_id,
        "pipe_name": record.name,
        "token": record.token_id,
        "token_name": record.token_name,
        "duration": round(record.duration_s, 6),
        "url": (f"{scope['path']}?{query}" if query else scope["path"])[:MAX_URL],
        "error": int(record.status >= 400 or record.error is not None),
        "status_code": record.status,
        "request_id": record.request_id,
        "parameters": parameters,
        "method": scope["method"],
        "user_agent": _user_agent(scope["headers"]),
        "client_ip": client_address(scope, trusted_proxies),
        "resource_tags": record.tags,
    }
    if record.error is not None:
        row["error_message"] = _TOKEN_LIKE.sub(_HIDDEN, record.error)[:MAX_TEXT]
    statistics = record.statistics
    if statistics is not None:
        row["read_bytes"] = statistics.bytes_read
        row["read_rows"] = statistics.rows_read
        row["result_rows"] = statistics.result_rows
    if cost is not None:
        row["cpu_time"] = cost.cpu_s
        row["memory_usage"] = cost.memory_bytes
    return row


def read_query(query: bytes, bearer: str | None) -> tuple[str, dict[str, str]]:
    """The query string without tokens, and its parameters as texts; a repeated one is a JSON array
    of its values. `bearer` is the token that was sent in a header."""
    if not query:
        return "", {}
    pairs = []
    tokens = [bearer] if bearer is not None else []
    for pair in query.decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            name, value = unquote_plus(name), unquote_plus(value)
        if _is_token(name):
            tokens.append(value)
        elif pair:
            pairs.append((pair, name, value))
    tokens = [token for token in tokens if len(token) >= _MIN_TOKEN]
    kept: list[str] = []
    values: dict[str, list[str]] = {}
    for pair, name, value in pairs:
        if _has_token(value, tokens):
            value = _HIDDEN
            pair = f"{pair.partition('=')[0]}={_HIDDEN}"
        if _has_token(name, tokens):
            continue
        kept.append(pair)
        if name in values:
            values[name].append(value)
        elif len(values) < MAX_NAMES:
            values[name] = [value]
    return "&".join(kept), {
        name[:MAX_NAME]: found[0][:MAX_VALUE] if len(found) == 1 else _as_array(found)
        for name, found in values.items()
    }


def _is_token(name: str) -> bool:
    """Also where no server would take it for one: encoded twice, in capitals, between spaces."""
    if "%" in name:
        name = _decoded(name)
    return name.strip().lower() == "token"


def _has_token(text: str, tokens: Collection[str]) -> bool:
    if "%" in text:
        text = _decoded(text)
        if "%" in text and unquote(text) != text:
            return True  # who encodes so often hides something
    if "eyJ" in text and _TOKEN_LIKE.search(text):
        return True
    return any(token in text for token in tokens)


def _decoded(text: str) -> str:
    for _ in range(_MAX_DECODED):
        before, text = text, unquote(text)
        if text == before:
            break
    return text


def _as_array(values: list[str]) -> str:
    """As many of them as there is room for, so that it is JSON at any length."""
    kept: list[str] = []
    size = 2
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        size += len(text) + 1
        if size > MAX_VALUE:
            break
        kept.append(text)
    return f"[{','.join(kept)}]"


def _user_agent(headers: Collection[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"user-agent":
            return _TOKEN_LIKE.sub(_HIDDEN, value.decode("latin-1"))[:MAX_USER_AGENT]
    return None
