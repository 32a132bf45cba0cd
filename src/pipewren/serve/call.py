"""A call of an endpoint as it came in: from ASGI's scope and body to `EndpointCall`.

Parameters come from the query string and, with POST, from a form or JSON body, which wins
(endpoints.md section 1). Reserved names never reach a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from pipewren.errors import BadRequest
from pipewren.serve.formats import CSV_HEADER

Value = Any  # str, or Repeated; from a JSON body any JSON value

# The rest of the reserved names act nowhere yet, but must not be handed to a pipe as unknown
# parameters of the caller's (endpoints.md section 1, "Reserved").
RESERVED = frozenset(
    {"token", "q", "format", "from", "cli_version", "release_replacements", CSV_HEADER}
)
OUTPUT_SWITCHES = frozenset(
    {
        "output_format_json_quote_64bit_integers",
        "output_format_json_quote_denormals",
        "output_format_parquet_string_as_string",
    }
)
MAX_PARAMETERS = 1000


class Repeated(list[str]):
    """The values of a name that was sent several times."""


class EndpointCall(msgspec.Struct, frozen=True):
    """`values` are the template's parameters; `switches` are output settings that were asked for,
    as (name, "1") pairs in name order; `csv_header` is what was sent of that name."""

    name: str
    extension: str
    token: str | None
    values: Mapping[str, Value]
    switches: tuple[tuple[str, str], ...] = ()
    csv_header: Value = None


def read_call(scope: Mapping[str, Any], name: str, extension: str, body: bytes) -> EndpointCall:
    """Raises BadRequest for a body or an encoding that cannot be read."""
    query: bytes = scope["query_string"]
    given: dict[str, Value] = read_pairs(query) if query else {}
    token = None
    content_type = b""
    for header, value in scope["headers"]:
        if header == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:].strip().decode("latin-1")
        elif header == b"content-type":
            content_type = value
    if body:
        given.update(_read_body(body, content_type))
    if not given:
        return EndpointCall(name, extension, token, {})
    if token is None:
        sent = given.get("token")
        token = sent[-1] if isinstance(sent, list) and sent else sent
    if "q" in given:
        raise BadRequest(
            "q is not supported yet: a statement over an endpoint's result needs the SQL guard. "
            "Call the endpoint without q."
        )
    switches: tuple[tuple[str, str], ...] = ()
    if not OUTPUT_SWITCHES.isdisjoint(given):
        switches = tuple(
            (switch, "1")
            for switch in sorted(OUTPUT_SWITCHES & given.keys())
            if str(given[switch]).lower() in ("1", "true")
        )
    values = {
        key: value
        for key, value in given.items()
        if key not in RESERVED and key not in OUTPUT_SWITCHES and value is not None
    }
    return EndpointCall(
        name,
        extension,
        str(token) if token is not None else None,
        values,
        switches,
        given.get(CSV_HEADER),
    )


def read_pairs(query: bytes) -> dict[str, Value]:
    """Percent-decoded pairs; an empty value counts, a repeated name becomes a `Repeated`.

    `urllib.parse.parse_qsl` gives the same at four times the cost, which every request pays.
    """
    if query.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(f"More than {MAX_PARAMETERS} parameters were sent")
    values: dict[str, Value] = {}
    try:
        for pair in query.decode("ascii").split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair:
                name, value = _decode(name), _decode(value)
            if name not in values:
                values[name] = value
            elif type(known := values[name]) is Repeated:
                known.append(value)
            else:
                values[name] = Repeated((known, value))
    except UnicodeDecodeError:
        raise BadRequest("The parameters are not percent-encoded UTF-8") from None
    return values


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _read_body(body: bytes, content_type: bytes) -> dict[str, Value]:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json" or (
        kind != b"application/x-www-form-urlencoded" and body[:1] == b"{"
    ):
        try:
            value = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise BadRequest(f"The body is not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise BadRequest("The JSON body must be an object of parameters")
        return value
    if kind in (b"application/x-www-form-urlencoded", b""):
        return read_pairs(body.strip())
    raise BadRequest(
        "The body must be application/x-www-form-urlencoded or application/json, not "
        + kind.decode("latin-1")
    )
