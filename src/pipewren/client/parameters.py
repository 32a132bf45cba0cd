"""A call's parameters as the text that a server reads (endpoints.md section 1, "Parameters")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from pipewren.client.errors import InvalidArgument

# No union of what can be sent: a dict of several types is a `dict[str, object]` to type checkers.
Parameters: TypeAlias = Mapping[str, object]

_SCALARS = (str, bool, int, float, Decimal, date, UUID, Enum)


def encode_parameters(parameters: Parameters) -> dict[str, str | list[str]]:
    """Each parameter as one text, or as a list of texts for a value that is a list.

    None is left out, so that the pipe's own default holds. Datetimes are ISO text, as the SDKs
    send them; booleans `true` and `false`; a set is sent in the order of its texts.
    Raises InvalidArgument for a value that no parameter can take, naming the parameter.
    """
    encoded: dict[str, str | list[str]] = {}
    for name, value in parameters.items():
        if name == "token":
            raise InvalidArgument("token cannot be a parameter: give it to the client")
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            encoded[name] = [_encode_scalar(name, item) for item in value]
        elif isinstance(value, (set, frozenset)):
            encoded[name] = sorted(_encode_scalar(name, item) for item in value)
        else:
            encoded[name] = _encode_scalar(name, value)
    return encoded


def needs_json(encoded: Mapping[str, str | list[str]]) -> bool:
    """Whether a list would be lost in a form or a query string: an empty one is not there at all,
    and a single element is split at its commas. In a JSON body both are lists."""
    return any(
        not value or (len(value) == 1 and "," in value[0])
        for value in encoded.values()
        if isinstance(value, list)
    )


def _encode_scalar(name: str, value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, _SCALARS):
        return str(value)
    raise InvalidArgument(
        f"The parameter {name} cannot be sent: it is a {type(value).__name__}, or holds one. Give "
        "text, a number, a boolean, a date, a UUID, or a list of these."
    )
