"""A call of the Query API as it came in (query-api.md section 1): `GET /v0/sql?q=`, or a POST whose
body is a form, a JSON object, or the SQL itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pipewren.errors import BadRequest
from pipewren.serve.call import (
    DEPLOYMENT,
    FINALIZES,
    KEPT_FROM_TEMPLATES,
    STAGING,
    Value,
    last_of,
    read_bearer,
    read_body,
    read_flag,
    read_pairs,
    read_sql,
    read_switches,
    read_token,
)
from pipewren.sql.caller_errors import POST_SQL

_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
# No form begins so: blanks are percent-encoded in it, or `+`.
_BEGINS_AS_SQL = re.compile(
    rb"\s*(?:(?:SELECT|WITH|FROM|DESCRIBE|DESC|SHOW)(?:\s|\(|\Z)|\(\s*SELECT\s|%\s)", re.IGNORECASE
).match
# Also as text/plain, which is what `fetch` says of a string (client-compat.md section 1, rule 9).
_BEGINS_AS_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*["}]').match


class QueryCall(msgspec.Struct, frozen=True):
    """`values` are template parameters, of `sql` and of the pipes that it reads; `pipeline` names
    the pipe that `_` stands for; `from_` is what the client says it is. The others are as in
    `EndpointCall`."""

    sql: str
    token: str | None
    values: Mapping[str, Value]
    pipeline: str | None = None
    from_: str | None = None
    switches: tuple[tuple[str, str], ...] = ()
    is_staged: bool = False
    finalizes: bool = False


def read_query_call(scope: Mapping[str, Any], body: bytes) -> QueryCall:
    """Raises BadRequest for a body or an encoding that cannot be read, and where there is no
    SQL."""
    query: bytes = scope["query_string"]
    given: dict[str, Value] = read_pairs(query) if query else {}
    if body:
        if _is_sql(scope, body, has_sql="q" in given):
            given["q"] = _decode(body)
        else:
            given.update(read_body(body, scope["headers"]))
    sql = read_sql(given)
    if sql is None:
        raise BadRequest("The request body should contain a query", documentation=POST_SQL)
    token = read_bearer(scope["headers"])
    if token is None and "token" in given:
        token = read_token(given["token"])
    return QueryCall(
        sql,
        token,
        {key: value for key, value in given.items() if key not in KEPT_FROM_TEMPLATES},
        _read_text(given, "pipeline"),
        _read_text(given, "from"),
        read_switches(given),
        last_of(given.get(DEPLOYMENT)) == STAGING,
        read_flag(given, FINALIZES),
    )


def _is_sql(scope: Mapping[str, Any], body: bytes, *, has_sql: bool) -> bool:
    """Whether a body is the SQL: it is of no type that has names, and does not look like JSON, or
    it is what `curl -d "SELECT ..."` sends as a form and no parameter has the SQL."""
    kind = b""
    for header, value in scope["headers"]:
        if header == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
    if kind == _FORM:
        return not has_sql and _BEGINS_AS_SQL(body) is not None
    return kind != _JSON and not _BEGINS_AS_JSON(body)


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The SQL in the body is not UTF-8: the byte at {error.start} is wrong"
        ) from None


def _read_text(given: Mapping[str, Value], name: str) -> str | None:
    value = last_of(given.get(name))
    return value if isinstance(value, str) and value else None
