"""A call of an endpoint as it came in: from ASGI's scope and body to `EndpointCall`.

Parameters come from the query string and, with POST, from a form or JSON body, which wins
(endpoints.md section 1). Reserved names never reach a template.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from pipewren.errors import BadRequest
from pipewren.serve.formats import CSV_HEADER
from pipewren.serve.json_body import read_json_object

Value = Any  # str, or Repeated; from a JSON body any JSON value

DEPLOYMENT, STAGING = "__tb__deployment", "staging"
FINALIZES = "finalize_aggregations"
OUTPUT_SWITCHES = frozenset(
    {
        "output_format_json_quote_64bit_integers",
        "output_format_json_quote_denormals",
        "output_format_parquet_string_as_string",
    }
)
# The rest of the reserved names act nowhere yet, but must not be handed to a pipe as unknown
# parameters of the caller's (endpoints.md section 1, "Reserved"; client-compat.md's first table).
# `job_timestamp` is no such name: templates read it.
RESERVED = frozenset(
    {
        "token",
        "q",
        "format",
        FINALIZES,
        "from",
        "cli_version",
        "with_members_and_owner",
        "__tb__semver",
        "__tb__client",
        DEPLOYMENT,
        CSV_HEADER,
        "explain",
        "debug",
        "debug_source_tables",
        "query_id",
        "tag",
        "pipeline",
        "playground",
        "release_replacements",
        "template_parameters",
    }
)
KEPT_FROM_TEMPLATES = RESERVED | OUTPUT_SWITCHES
MAX_PARAMETERS = 1000

_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
_UTF8 = frozenset({b"", b"utf-8", b"utf8", b"us-ascii", b"ascii"})


class Repeated(list[str]):
    """The values of a name that was sent several times."""


class EndpointCall(msgspec.Struct, frozen=True):
    """`values` are the template's parameters; `switches` are output settings that were asked for,
    as (name, "1") pairs in name order; `csv_header` is what was sent of that name; `is_staged` asks
    the deployment that waits to be promoted; `q` is SQL over the result; `finalizes` asks for what
    aggregate states come to, in place of the states."""

    name: str
    extension: str
    token: str | None
    values: Mapping[str, Value]
    switches: tuple[tuple[str, str], ...] = ()
    csv_header: Value = None
    is_staged: bool = False
    q: str | None = None
    finalizes: bool = False


def read_call(scope: Mapping[str, Any], name: str, extension: str, body: bytes) -> EndpointCall:
    """Raises BadRequest for a body or an encoding that cannot be read."""
    query: bytes = scope["query_string"]
    given: dict[str, Value] = read_pairs(query) if query else {}
    token = read_bearer(scope["headers"])
    if body:
        given.update(read_body(body, scope["headers"]))
    if not given:
        return EndpointCall(name, extension, token, {})
    if token is None and "token" in given:
        token = read_token(given["token"])
    if KEPT_FROM_TEMPLATES.isdisjoint(given):
        return EndpointCall(name, extension, token, given)
    values = {key: value for key, value in given.items() if key not in KEPT_FROM_TEMPLATES}
    is_staged = last_of(given.get(DEPLOYMENT)) == STAGING
    csv_header = last_of(given.get(CSV_HEADER))
    q = read_sql(given)
    return EndpointCall(
        name,
        extension,
        token,
        values,
        read_switches(given),
        csv_header,
        is_staged,
        q,
        read_flag(given, FINALIZES),
    )


def read_switches(given: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    """The output settings that were asked for."""
    if OUTPUT_SWITCHES.isdisjoint(given):
        return ()
    return tuple(
        (switch, "1")
        for switch in sorted(OUTPUT_SWITCHES & given.keys())
        if read_flag(given, switch)
    )


def read_flag(given: Mapping[str, Value], name: str) -> bool:
    """Whether a parameter says yes: `1` or `true`."""
    return str(last_of(given.get(name))).lower() in ("1", "true")


def read_sql(given: Mapping[str, Value]) -> str | None:
    """The parameter `q`; None where it was not sent, or is empty. Raises BadRequest."""
    q = last_of(given.get("q"))
    if q is not None and not isinstance(q, str):
        raise BadRequest("The parameter q must be a text")
    return q or None


def read_bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of an `Authorization: Bearer` header, the last one where there are several."""
    token = None
    for header, value in headers:
        if header == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:].strip().decode("latin-1")
    return token


def read_pairs(query: bytes) -> dict[str, Value]:
    """Percent-decoded pairs; an empty value counts, a repeated name becomes a `Repeated`. Bytes
    beyond ASCII count as the UTF-8 that they are, as browsers' own parsers do.

    `urllib.parse.parse_qsl` gives the same at four times the cost, which every request pays.
    Raises BadRequest.
    """
    if query.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(f"More than {MAX_PARAMETERS} parameters were sent")
    values: dict[str, Value] = {}
    try:
        for pair in query.decode().split("&"):
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
        raise BadRequest(_describe_broken(query)) from None
    return values


def read_body(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Value]:
    """The parameters of a POST body: a form, or a JSON object, also where its type says nothing
    of it (client-compat.md section 1, rule 9). Raises BadRequest."""
    content_type = coding = b""
    for header, value in headers:
        if header == b"content-type":
            content_type = value
        elif header == b"content-encoding":
            coding = value.strip().lower()
    if coding not in (b"", b"identity"):
        raise BadRequest(
            f"The body has Content-Encoding {_quote(coding)}: send parameters uncompressed"
        )
    kind = content_type.partition(b";")[0].strip().lower()
    _check_charset(content_type, body)
    text = body.strip()
    if kind == _FORM:
        if text[:1] == b"{" and text[-1:] == b"}":  # what curl says of any text
            raise BadRequest(
                "The body looks like JSON, but its Content-Type is "
                "application/x-www-form-urlencoded: send Content-Type: application/json"
            )
        return read_pairs(text)
    if kind == _JSON or text.removeprefix(b"\xef\xbb\xbf")[:1] == b"{":
        return read_json_object(body, max_names=MAX_PARAMETERS)
    if kind == b"":
        return read_pairs(text)
    raise BadRequest(
        "The body must be application/x-www-form-urlencoded or application/json, not "
        + _quote(kind)
    )


def read_values(arrays: Container[str], given: Mapping[str, Value]) -> Mapping[str, Value]:
    """A repeated name is a list for `Array` parameters, which `arrays` are; for the others its
    last value counts (endpoints.md section 1). Lists of a JSON body stay what they are."""
    for value in given.values():
        if type(value) is Repeated:
            break
    else:
        return given
    return {
        name: (list(value) if name in arrays else value[-1]) if type(value) is Repeated else value
        for name, value in given.items()
    }


def read_token(sent: Value) -> str:
    token = last_of(sent)
    if not isinstance(token, str):
        raise BadRequest("The parameter token must be a text")
    return token


def last_of(value: Value) -> Value:
    return value[-1] if type(value) is Repeated else value


def _check_charset(content_type: bytes, body: bytes) -> None:
    """Percent-encoded forms and most JSON are ASCII, where a one-byte character set named out of
    habit makes no difference."""
    for parameter in content_type.lower().split(b";")[1:]:
        name, _, value = parameter.partition(b"=")
        charset = value.strip(b" \t\"'")
        if name.strip() != b"charset" or charset in _UTF8:
            continue
        if not body.isascii() or charset.startswith((b"utf", b"ucs")):
            raise BadRequest(f"The body's charset is {_quote(charset)}: send UTF-8")


def _describe_broken(query: bytes) -> str:
    """Which parameter is no UTF-8. Its value is not repeated: it may be a token."""
    for number, pair in enumerate(filter(None, query.split(b"&")), 1):
        name, _, value = (
            unquote_to_bytes(part) for part in pair.replace(b"+", b" ").partition(b"=")
        )
        try:
            shown = name.decode()
        except UnicodeDecodeError:
            return f"The name of parameter {number} is not percent-encoded UTF-8"
        try:
            value.decode()
        except UnicodeDecodeError:
            return f"The value of the parameter {shown[:100]} is not percent-encoded UTF-8"
    return "The parameters are not percent-encoded UTF-8"


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _quote(sent: bytes) -> str:
    return sent[:100].decode("latin-1")
