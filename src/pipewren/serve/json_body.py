"""A JSON body of parameters (endpoints.md section 1, rule 5): numbers, booleans and lists reach the
template as such."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pipewren.errors import BadRequest

MAX_DEPTH = 64  # levels; templates print and walk values, and a deep one ends in a RecursionError
# Beyond, a float is not every integer any more, and one that is whole may have been rounded.
_MAX_WHOLE_FLOAT = 2.0**53
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_json_object(body: bytes, *, max_names: int) -> dict[str, Any]:
    """The object's members, where `null` means that a name was not sent. Of a name that occurs
    twice the last value counts, as with repeated names of scalar parameters.

    Raises BadRequest for what is no JSON, no object, has more than `max_names` names or is nested
    deeper than MAX_DEPTH.
    """
    try:
        # Python's own rule first: for broken UTF-8 msgspec tells either of the coding or of JSON.
        text = body.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"The JSON body is not UTF-8: the byte at {error.start} is wrong"
        ) from None
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid JSON: a text in it is no Unicode") from None
    if not isinstance(value, dict):
        raise BadRequest("The JSON body must be an object of parameters")
    if len(value) > max_names:
        raise BadRequest(f"More than {max_names} parameters were sent")
    _check_depth(value.values())
    return {name: _whole(one) for name, one in value.items() if one is not None}


_TOO_DEEP = f"The JSON body is nested deeper than {MAX_DEPTH} levels"


def _check_depth(values: Iterable[Any]) -> None:
    level = [value for value in values if isinstance(value, dict | list)]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
    raise BadRequest(_TOO_DEEP)


def _whole(value: Any) -> Any:
    """`14.0` and `14` are the same number to JSON, so both must do for an integer parameter; also
    in a list, for `Array`."""
    if type(value) is float:
        is_whole = value.is_integer() and abs(value) <= _MAX_WHOLE_FLOAT
        return int(value) if is_whole else value
    if type(value) is list:
        return [_whole(one) if type(one) is float else one for one in value]
    return value
